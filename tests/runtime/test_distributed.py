"""Several processes do what one does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import torchrun_worker
from lenet5.runtime.distributed import Processes, join_processes, local_rank, was_restarted

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch was built without torch.distributed"
)

COUNT = 2


def torchrun(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={COUNT}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, cwd=cwd
    )


def work(job: str, folder: Path) -> list[dict[str, Any]]:
    """Do a job in two processes, started by hand; return what each of them found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, torchrun_worker.__file__, job, str(folder)]
    processes = []
    for rank in range(COUNT):
        environment = {**os.environ, **address, "WORLD_SIZE": str(COUNT), "RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    messages = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * COUNT, "\n".join(messages)
    return found_by(job, folder)


def found_by(job: str, folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"{job}-{rank}.json").read_text()) for rank in range(COUNT)]


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def close(one: Any, other: Any, rel: float) -> None:
    """Compare numbers in nested lists and dicts."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            close(one[name], other[name], rel)
    elif isinstance(one, list) and one and isinstance(one[0], list | dict):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            close(*pair, rel)
    else:
        assert one == pytest.approx(other, rel=rel, abs=1e-12)


@pytest.fixture
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.usefixtures("one_thread")
def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    first, second = work("compare", tmp_path)
    statistics = first["batch statistics"]
    assert statistics["loss"] == statistics["rows"][-1]["val_loss"]
    taken = [first.pop("taken"), second.pop("taken")]
    assert first == second
    alone = as_json(torchrun_worker.compare(tmp_path))
    assert alone["batch statistics"] != statistics  # each process normalises by its own rows
    order = alone.pop("taken")
    assert first["evaluation"] == alone["evaluation"]  # to the last digit
    assert len(first["lenet5"]["losses"]) >= 50
    for name in ("images", "augmented", "dataset", "accumulated", "averaged"):
        close(first[name], alone[name], rel=1e-9)  # in float64
    close(first["lenet5"]["losses"], alone["lenet5"]["losses"], rel=1e-5)

    batches = [order[epoch + step : epoch + min(step + 8, 33)] for epoch in (0, 33, 66) for step in range(0, 33, 8)]
    expected = [[index for batch in batches for index in batch[0::2]], []]
    expected[1] = [index for batch in batches for index in (batch[1::2] or batch[:1])]
    assert taken == expected


def test_a_training_goes_on_when_a_process_was_killed_as_if_it_was_not(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = work("whole", tmp_path / "whole")
    done = torchrun("--max-restarts=3", torchrun_worker.__file__, "killed", tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    killed = found_by("killed", tmp_path / "killed")
    assert [found["steps"] for found in whole] == [15, 15]
    assert [found["steps"] for found in killed] == [8, 8]  # killed in the 8th step, resumed after the 7th
    assert [found["weights"] for found in killed] == [found["weights"] for found in whole]
    assert [found["rows"] for found in killed] == [found["rows"] for found in whole]


@pytest.mark.usefixtures("one_thread")
def test_a_signal_to_one_stops_all_and_another_number_of_processes_can_resume(tmp_path: Path) -> None:
    whole = torchrun_worker.train(torchrun_worker.doubled(torchrun_worker.images()))
    for name, stop_in_two in (("two, one", True), ("one, two", False)):
        folder = tmp_path / name
        folder.mkdir()
        if stop_in_two:
            stopped, found = work("interrupted", folder), [as_json(torchrun_worker.resumed(folder))]
        else:
            stopped, found = [torchrun_worker.interrupted(folder)], work("resumed", folder)
        assert stopped == [{"interrupted": True, "steps": 7}] * len(stopped)
        for each in found:
            assert [row["lr"] for row in each["rows"]] == [row["lr"] for row in whole["rows"]]
            losses = [[row["train_loss"] for row in rows] for rows in (each["rows"], whole["rows"])]
            assert losses[0] == pytest.approx(losses[1], rel=1e-9)
        assert pd.read_csv(folder / "log.csv")["epoch"].tolist() == [1, 2, 3]
        assert (folder / "saved" / "model.safetensors").is_file()


def test_what_cannot_be_trained_is_refused_by_all_alike(tmp_path: Path) -> None:
    first, second = work("refused", tmp_path)
    assert first == second
    assert first["steps"] == [4, 3]
    used, missing, loader, evaluation = first["errors"]
    assert "holds the checkpoints of an earlier training" in used
    assert "there is no whole checkpoint" in missing
    assert "an evaluation by a DistributedSampler would miss some examples" in evaluation
    assert "DataLoader would give each of the 2 processes the same batches; expected the dataset itself" in loader


def test_the_command_line_trains_in_several_processes_and_speaks_once(tmp_path: Path) -> None:
    done = torchrun("-m", "lenet5", "train", "--epochs", "2", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1294 images to train on, 143 to validate, cpu in 2 processes") == 1
    assert done.stdout.count("test set") == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["digits-001"]
    assert "report.json" in {path.name for path in (tmp_path / "runs" / "digits-001").iterdir()}
    lines = [line for line in done.stderr.splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]


def test_one_process_is_a_world_of_its_own() -> None:
    alone = join_processes(torch.device("cpu"))
    assert isinstance(alone, Processes)
    assert (alone.rank, alone.size, local_rank(), was_restarted()) == (0, 1, None, False)
    assert alone.all_max(3, 0) == [3, 0]
    assert alone.all_sum(torch.tensor(2.5)) == 2.5
    assert [part.tolist() for part in alone.all_gather(torch.arange(2))] == [[0, 1]]
    assert alone.from_first(lambda: b"data") == b"data"


def test_a_launch_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="WORLD_SIZE is 2, but MASTER_ADDR, MASTER_PORT is not set; expected a launch"):
        join_processes(torch.device("cpu"))
