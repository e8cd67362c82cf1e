"""Train on two hosts, for real: two network namespaces that a virtual cable joins, and nothing else.

    sudo python benchmarks/two_hosts.py

Each namespace has an address of its own, 10.77.0.1 and 10.77.0.2, and no other way out. Each runs torchrun in a folder
of its own, as two hosts without a shared disk would, with one process; only the first writes. Its weights and history
must be those of two processes on one host, to the last byte; how far one process differs is printed. Needs Linux,
iproute2 and root.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

HOSTS = {"lenet5-a": "10.77.0.1", "lenet5-b": "10.77.0.2"}
EPOCHS = 5


def connect() -> None:
    """Make the namespaces and the cable."""
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
    """Remove what `connect` made."""
    for name in HOSTS:
        subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def command(*torchrun: str) -> list[str]:
    """Return a training under torchrun, as docs/scaling.md gives it; without options, a training by itself."""
    launcher = ["-m", "torch.distributed.run", *torchrun] if torchrun else []
    train = ["-m", "lenet5", "train", "--device", "cpu", "--epochs", str(EPOCHS), "--out", "run"]
    return [sys.executable, *launcher, *train]


def start(folder: Path, words: list[str], **variables: str) -> subprocess.Popen[str]:
    """Run a command in a folder of its own."""
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        words, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a process; return what it showed."""
    shown, errors = process.communicate()
    assert process.returncode == 0, errors
    return shown


def main() -> None:
    """Train on two hosts, in two processes and in one, and compare."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        disconnect()
        connect()
        try:
            hosts = []
            for rank, (host, link) in enumerate(zip(HOSTS, ("eth-a", "eth-b"), strict=True)):
                options = ["--nnodes=2", "--nproc-per-node=1", f"--node-rank={rank}"]
                options += [f"--master-addr={HOSTS['lenet5-a']}", "--master-port=29500"]
                words = ["ip", "netns", "exec", host, *command(*options)]
                hosts.append(start(root / host, words, GLOO_SOCKET_IFNAME=link))
            shown = [finish(host) for host in hosts]
        finally:
            disconnect()
        finish(start(root / "two", command("--standalone", "--nproc-per-node=2")))
        finish(start(root / "one", command()))
        print("the first host: ", shown[0].splitlines()[0])
        print(
            "the second host:", shown[1] or "silent;", "files:", [path.name for path in (root / "lenet5-b").iterdir()]
        )
        for file in ("model.safetensors", "history.csv"):
            same = (root / "lenet5-a" / "run" / file).read_bytes() == (root / "two" / "run" / file).read_bytes()
            print(f"{file} as of two processes on one host, to the last byte: {same}")
        two, one = (pd.read_csv(root / name / "run" / "history.csv")["train_loss"] for name in ("two", "one"))
        print("training loss against one process, relative difference by epoch:")
        print(", ".join(f"{value:.1e}" for value in (two - one).abs() / one))


if __name__ == "__main__":
    main()
