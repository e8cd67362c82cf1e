"""Two runs in one folder, and runs that a fault or a kill stops."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lenet5
from lenet5 import storage
from lenet5.storage import claimed

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke
    from tests.conftest import Faults

OPTIONS = ["--epochs", "1", "--batch-size", "512", "--device", "cpu"]


def start(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    """Start `lenet5 train` in a process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lenet5", "train", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )


def test_runs_that_start_together_get_different_folders(tmp_path: Path) -> None:
    processes = [start(*OPTIONS, folder=tmp_path) for _ in range(2)]
    for process in processes:
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr
    runs = sorted((tmp_path / "runs").iterdir())
    assert [run.name for run in runs] == ["digits-001", "digits-002"]
    assert len({(run / "model.safetensors").read_bytes() for run in runs}) == 1
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("option", ["--out", "--resume"])
def test_second_run_in_a_folder_is_refused_while_the_first_lives(tmp_path: Path, invoke: Invoke, option: str) -> None:
    folder = tmp_path / "run"
    process = start("--out", folder, "--epochs", "10000", "--device", "cpu", folder=tmp_path)
    assert process.stderr is not None
    assert "epoch" in process.stderr.readline()  # of the first epoch
    extra = [] if option == "--resume" else OPTIONS
    result = invoke("train", option, folder, *extra)
    assert result.exit_code == 2
    assert "is in use by a training run that has not ended" in result.stderr
    process.kill()
    process.communicate()
    with claimed(folder):
        pass


def test_relative_root_that_is_not_here_is_named_on_resume(tmp_path: Path, invoke: Invoke) -> None:
    settings = {"data": "mnist", "root": "no/such/data", "recipe": "standard", "seed": 0}
    storage.write_json(tmp_path / "config.json", storage.sealed({"settings": settings}))
    result = invoke("train", "--resume", tmp_path)
    assert result.exit_code == 2
    assert "was trained on data in no/such/data, which does not exist here; pass --root" in result.stderr


def test_run_that_fails_at_once_leaves_no_folder(tmp_path: Path, invoke: Invoke) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (root / "MNIST" / "raw").mkdir(parents=True, exist_ok=True)
        (root / "MNIST" / "raw" / name).write_bytes(b"damaged")
    result = invoke("train", "--data", "mnist", "--root", root, "--out", tmp_path / "new" / "run")
    assert result.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_finished_run_survives_faults_while_its_report_is_written(
    trained: tuple[Path, object], tmp_path: Path, run: Invoke, invoke: Invoke, faults: Faults
) -> None:
    expected = contents(trained[0])
    for number in range(1, 1000, 13):
        folder = shutil.copytree(trained[0], tmp_path / str(number))
        failed = faults.survive(functools.partial(invoke, "train", "--resume", folder), "kill", number)
        assert lenet5.load(folder).classes
        if not failed:
            break
        run("train", "--resume", folder)
        assert contents(folder) == expected
    assert faults.injected > 4


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a run, hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_run_that_fails_before_its_first_checkpoint_leaves_no_folder(tmp_path: Path, invoke: Invoke) -> None:
    result = invoke("train", "--lr", "1e30", "--device", "cpu", "--out", tmp_path / "new" / "run")
    assert (result.exit_code, "the loss became NaN" in result.stderr) == (2, True)
    assert not list(tmp_path.iterdir())
