"""Train on two hosts: two network namespaces, connected by a virtual Ethernet cable alone.

    sudo python benchmarks/two_hosts.py

The namespaces have the addresses 10.77.0.1 and 10.77.0.2 and no other connection. Each runs torchrun with one process
in a folder of its own, like hosts without a shared disk. Only the first host writes. Its weights and history must be
byte-identical to a run of two processes on one host. The difference from a run of one process is printed. A second run
uses torchrun's elastic rendezvous and a shared folder, and the process of the second host is killed. Needs Linux,
iproute2 and root.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

HOSTS = {"lenet5-a": "10.77.0.1", "lenet5-b": "10.77.0.2"}
EPOCHS = 5


def connect() -> None:
    """Create the namespaces and the cable."""
    first, second = HOSTS
    for name in HOSTS:
        subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(
        ["ip", "link", "add", "eth-a", "netns", first, "type", "veth", "peer", "eth-b", "netns", second], check=True
    )
    for (name, address), link in zip(HOSTS.items(), ("eth-a", "eth-b"), strict=True):
        for command in (f"addr add {address}/24 dev {link}", f"link set {link} up", "link set lo up"):
            subprocess.run(["ip", "-n", name, *command.split()], check=True)


def disconnect() -> None:
    """Remove the namespaces and the cable."""
    for name in HOSTS:
        subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def command(*torchrun: str) -> list[str]:
    """Return the command of docs/howto/several_processes.md: under torchrun, or without it if there are no options."""
    launcher = ["-m", "torch.distributed.run", *torchrun] if torchrun else []
    train = ["-m", "lenet5", "train", "--device", "cpu", "--epochs", str(EPOCHS), "--out", "run"]
    return [sys.executable, *launcher, *train]


def start(folder: Path, words: list[str], **variables: str) -> subprocess.Popen[str]:
    """Start a command in a folder of its own."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        words, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def start_hosts(folders: list[Path], options: Callable[[int], list[str]]) -> list[subprocess.Popen[str]]:
    """Start torchrun in both namespaces."""
    hosts = []
    for rank, (host, link) in enumerate(zip(HOSTS, ("eth-a", "eth-b"), strict=True)):
        words = ["ip", "netns", "exec", host, *command("--nnodes=2", "--nproc-per-node=1", *options(rank))]
        hosts.append(start(folders[rank], words, GLOO_SOCKET_IFNAME=link))
    return hosts


def static(rank: int) -> list[str]:
    """Return the options for a fixed rank per host."""
    return [f"--node-rank={rank}", f"--master-addr={HOSTS['lenet5-a']}", "--master-port=29500"]


def elastic(rank: int) -> list[str]:
    """Return the options for elastic rendezvous, which restarts the run after a process has died."""
    rendezvous = [f"--rdzv-endpoint={HOSTS['lenet5-a']}:29501", f"--rdzv-conf=is_host={int(rank == 0)}"]
    address = f"--local-addr={list(HOSTS.values())[rank]}"
    return ["--rdzv-backend=c10d", "--rdzv-id=1", *rendezvous, address, "--max-restarts=3"]


def kill_worker(host: str) -> None:
    """Kill the training process on a host."""
    pids = subprocess.run(["ip", "netns", "pids", host], check=True, capture_output=True, text=True).stdout.split()
    os.kill(max(map(int, pids)), signal.SIGKILL)  # torchrun has a lower PID


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a process; return its output."""
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def main() -> None:
    """Train on two hosts, in two processes and in one, and compare."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        disconnect()
        connect()
        try:
            outputs = [finish(host) for host in start_hosts([root / host for host in HOSTS], static)]
            hosts = start_hosts([root / "killed", root / "killed"], elastic)
            while not list((root / "killed").glob("run/checkpoints/step-*82")):
                time.sleep(0.01)
            kill_worker("lenet5-b")
            for host in hosts:
                finish(host)
        finally:
            disconnect()
        finish(start(root / "two", command("--standalone", "--nproc-per-node=2")))
        finish(start(root / "one", command()))
        print("the first host: ", outputs[0].splitlines()[0])
        print(
            "the second host:", outputs[1] or "silent;", "files:", [path.name for path in (root / "lenet5-b").iterdir()]
        )
        for run, title in (("lenet5-a", "two hosts"), ("killed", "two hosts, one process killed in epoch 3")):
            for file in ("model.safetensors", "history.csv"):
                same = (root / run / "run" / file).read_bytes() == (root / "two" / "run" / file).read_bytes()
                print(f"{title}: {file} byte-identical to two processes on one host: {same}")
        two, one = (pd.read_csv(root / name / "run" / "history.csv")["train_loss"] for name in ("two", "one"))
        print("training loss, relative difference from one process, by epoch:")
        print(", ".join(f"{value:.1e}" for value in (two - one).abs() / one))


if __name__ == "__main__":
    main()
