"""`lenet5 train --seeds` trains one run per seed and prints the spread of their results."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result

from lenet5 import ProgressBar, TrainingState

Invoke = Callable[..., Result]
OPTIONS = ("train", "--epochs", 1, "--device", "cpu", "--seed", 3)


def test_each_seed_is_a_run_and_the_spread_is_printed(
    invoke: Invoke, run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs") / "digits-001"

    def interrupt(_bar: ProgressBar, state: TrainingState) -> None:
        if state.config.seed == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "on_step_end", interrupt)
        stopped = invoke(*OPTIONS, "--seeds", 2)
    assert stopped.exit_code == 130
    assert f"to go on with the other seeds, repeat the command with --out {folder}" in stopped.stdout
    first = (folder / "seed-3" / "model.safetensors").stat().st_mtime_ns

    result = run(*OPTIONS, "--seeds", 2, "--out", folder)
    assert f"{folder / 'seed-3'} has finished" in result.stdout
    assert (folder / "seed-3" / "model.safetensors").stat().st_mtime_ns == first
    accuracies = [
        json.loads((folder / f"seed-{seed}" / "report.json").read_text(encoding="utf-8"))["accuracy"] for seed in (3, 4)
    ]
    percent = 100 * pd.Series(accuracies)
    expected = f"test accuracy: {percent.mean():.2f} ± {percent.std():.2f} % (mean ± sd) over 2 seeds: seed-3, seed-4"
    assert expected in result.stdout
    assert f"written to {folder}: report.html, seeds.csv" in result.stdout
    assert "2 runs on digits" in (folder / "report.html").read_text(encoding="utf-8")
    assert run("report", folder).exit_code == 0  # which replaces it
    table = pd.read_csv(folder / "seeds.csv")
    assert table["seed"].tolist() == [3, 4]
    assert table["test_accuracy"].tolist() == pytest.approx(accuracies, rel=1e-12)

    different = invoke(*OPTIONS, "--seeds", 2, "--lr", 0.01, "--out", folder)
    assert different.exit_code == 2
    assert f"{folder / 'seed-3'} holds a run with different settings" in different.stderr


def test_folder_with_other_files_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    result = invoke(*OPTIONS, "--seeds", 2, "--out", tmp_path)
    assert (result.exit_code, [path.name for path in tmp_path.iterdir()]) == (2, ["notes.txt"])
    assert "is not empty; expected a new folder" in result.stderr
