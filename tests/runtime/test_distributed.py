"""Training in two processes gives the result of a single process."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pytest
import torch

from lenet5.runtime.distributed import (
    Processes,
    _agree_on_attempt,
    is_main_process,
    join_processes,
    launch_id,
    local_rank,
    was_restarted,
)

pytestmark = [
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without torch.distributed"),
    pytest.mark.skipif(sys.platform == "win32", reason="torch for Windows lacks libuv, which torchrun needs"),
]

WORKER = Path(__file__).with_name("torchrun_worker.py")
RunJob: TypeAlias = Callable[[str, Path], list[dict[str, Any]]]


def torchrun(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, cwd=cwd
    )


def run_two(job: str, folder: Path) -> list[dict[str, Any]]:
    """Run a job of the worker in two processes, without torchrun, and return the result of each rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(exist_ok=True)
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(WORKER), job, str(folder)]
    processes = []
    for rank in ("0", "1"):
        environment = {**os.environ, **group, "RANK": rank, "LOCAL_RANK": rank}
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    messages = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(messages)
    return read_results(job, folder)


def run_one(job: str, folder: Path) -> list[dict[str, Any]]:
    """Run a job of the worker in this process."""
    spec = importlib.util.spec_from_file_location(WORKER.stem, WORKER)
    assert spec is not None
    assert spec.loader is not None
    worker: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    return [json.loads(json.dumps(getattr(worker, job)(folder)))]


def read_results(job: str, folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"{job}-{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


def assert_close(actual: Any, expected: Any, rel: float) -> None:
    """Compare the numbers in nested lists and dicts."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for name in expected:
            assert_close(actual[name], expected[name], rel)
    elif isinstance(expected, list) and expected and isinstance(expected[0], list | dict):
        for pair in zip(actual, expected, strict=True):
            assert_close(*pair, rel)
    else:
        assert actual == pytest.approx(expected, rel=rel, abs=1e-12)


def test_two_processes_give_the_result_of_one(tmp_path: Path) -> None:
    first, second = run_two("compare", tmp_path / "two")
    (single,) = run_one("compare", tmp_path / "one")
    shards = [first.pop("indices"), second.pop("indices")]
    order = single.pop("indices")
    assert first == second
    statistics = first["batch statistics"]
    assert statistics["loss"] == statistics["rows"][-1]["val_loss"]
    assert single["batch statistics"] != statistics  # each rank normalises by its own rows
    assert first["evaluation"] == single["evaluation"]
    assert len(first["lenet5"]["losses"]) >= 50
    for name in ("images", "augmented", "dataset", "accumulated", "averaged"):
        assert_close(first[name], single[name], rel=1e-9)  # in float64
    assert_close(first["lenet5"]["losses"], single["lenet5"]["losses"], rel=1e-5)

    batches = [order[epoch + step : epoch + min(step + 8, 33)] for epoch in (0, 33, 66) for step in range(0, 33, 8)]
    assert shards[0] == [index for batch in batches for index in batch[0::2]]
    assert shards[1] == [index for batch in batches for index in (batch[1::2] or batch[:1])]


def test_run_continues_exactly_after_a_process_was_killed(tmp_path: Path) -> None:
    uninterrupted = run_two("uninterrupted", tmp_path / "uninterrupted")
    folder = tmp_path / "killed"
    folder.mkdir()
    done = torchrun("--max-restarts=3", WORKER, "killed", folder)
    assert done.returncode == 0, done.stderr
    killed = read_results("killed", folder)
    assert [result.pop("steps") for result in uninterrupted] == [15, 15]
    assert [result.pop("steps") for result in killed] == [8, 8]  # killed in step 8, resumed after step 7
    assert killed == uninterrupted


@pytest.mark.parametrize(("stop", "resume"), [(run_two, run_one), (run_one, run_two)], ids=["2 to 1", "1 to 2"])
def test_signal_to_one_process_stops_all_and_a_different_world_size_resumes(
    tmp_path: Path, stop: RunJob, resume: RunJob
) -> None:
    (unstopped,) = run_one("unstopped", tmp_path)
    for result in stop("interrupted", tmp_path):
        assert result == {"interrupted": True, "steps": 7}
    for result in resume("resumed", tmp_path):
        assert_close(result["rows"], unstopped["rows"], rel=1e-9)
    assert pd.read_csv(tmp_path / "log.csv")["epoch"].tolist() == [1, 2, 3]
    assert (tmp_path / "saved" / "model.safetensors").is_file()


def test_all_ranks_raise_the_same_errors(tmp_path: Path) -> None:
    first, second = run_two("rejected", tmp_path)
    assert first == second
    assert first["steps"] == [4, 3]
    used, missing, loader, evaluation, search = first["errors"]
    assert "holds checkpoints of an earlier run" in used
    assert "no valid checkpoint at" in missing
    assert "DataLoader would give each of the 2 processes the same batches; expected the dataset itself" in loader
    assert "the loader has a DistributedSampler, which skips or repeats examples" in evaluation
    assert "there are 2 processes; expected one" in search


def test_command_line_trains_in_several_processes_and_prints_once(tmp_path: Path) -> None:
    done = torchrun("-m", "lenet5", "train", "--epochs", "2", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1294 training images, 143 validation images, cpu in 2 processes") == 1
    assert done.stdout.count("test set") == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["digits-001"]
    assert "report.json" in {path.name for path in (tmp_path / "runs" / "digits-001").iterdir()}
    lines = [line for line in done.stderr.splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]


def test_single_process_is_a_group_of_one() -> None:
    processes = join_processes(torch.device("cpu"))
    assert isinstance(processes, Processes)
    assert (processes.rank, processes.world_size, processes.is_main) == (0, 1, True)
    assert (local_rank(), was_restarted(), is_main_process()) == (None, False, True)
    assert processes.all_max(3, 0) == [3, 0]
    assert processes.all_sum(torch.tensor(2.5)) == 2.5
    assert [rows.tolist() for rows in processes.all_gather(torch.arange(2))] == [[0, 1]]
    assert processes.all_gather_bytes(b"data") == [b"data"]
    assert processes.broadcast_from_main(lambda: b"data") == b"data"


def test_join_processes_rejects_an_incomplete_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="WORLD_SIZE is 2, but MASTER_ADDR, MASTER_PORT is not set; expected a launch"):
        join_processes(torch.device("cpu"))


@pytest.mark.parametrize(("rank", "is_main"), [("0", True), ("1", False)])
def test_rank_is_known_before_joining_the_group(monkeypatch: pytest.MonkeyPatch, rank: str, is_main: bool) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    assert is_main_process() is is_main


def test_ranks_agree_on_the_attempt_despite_leftovers_of_an_earlier_one() -> None:
    store = torch.distributed.HashStore()  # type: ignore[attr-defined]
    store.set("question-1", "leftover")
    with ThreadPoolExecutor() as pool:
        for attempt in (1, 2):
            ranks = [pool.submit(_agree_on_attempt, store, rank, 2) for rank in range(2)]
            assert [rank.result(timeout=60) for rank in ranks] == [attempt, attempt]


def test_missing_ranks_are_named_after_the_timeout() -> None:
    store = torch.distributed.HashStore()  # type: ignore[attr-defined]
    store.set_timeout(timedelta(0))
    with pytest.raises(TimeoutError, match=r"ranks \[1, 2\] of 3 processes have not started"):
        _agree_on_attempt(store, 0, 3)


@pytest.mark.parametrize(
    ("run_id", "error_file", "expected"),
    [
        (None, None, None),
        ("job", None, "job"),
        ("none", "/tmp/none_x7k/attempt_0/1/error.json", "none_x7k"),
        ("none", "/tmp/none_x7k/attempt_2/0/error.json", "none_x7k"),
        ("none", None, "none"),
    ],
)
def test_launch_id_is_equal_across_restarts(
    monkeypatch: pytest.MonkeyPatch, run_id: str | None, error_file: str | None, expected: str | None
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": run_id, "TORCHELASTIC_ERROR_FILE": error_file}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert launch_id() == expected
