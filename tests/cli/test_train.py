import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result

import lenet5
from lenet5 import LeNet5, ProgressBar, TrainingState

Invoke = Callable[..., Result]
FILES = {
    "README.md",
    "checkpoints",
    "config.json",
    "confusion_matrix.png",
    "curves.png",
    "history.csv",
    "model.safetensors",
    "predictions.safetensors",
    "report.html",
    "report.json",
}


def test_train_writes_a_run_and_prints_its_report(trained: tuple[Path, Result]) -> None:
    folder, result = trained
    assert {path.name for path in folder.iterdir()} == FILES
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    low, high = report["accuracy_interval"]
    assert low < report["accuracy"] < high
    assert f"accuracy {report['accuracy']:.2%} of 360 (95 % confidence: {low:.2%} to {high:.2%})" in result.stdout
    assert str(folder) in result.stdout
    for heading in ("precision", "confusion matrix"):
        assert heading in result.stdout
    assert np.sum(report["confusion_matrix"]) == 360
    assert list(report["per_class"]) == list("0123456789")


def test_without_a_terminal_stderr_has_one_line_per_epoch(trained: tuple[Path, Result]) -> None:
    _, result = trained
    assert "\r" not in result.stderr
    assert [line[:9] for line in result.stderr.splitlines()] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_run_folder_is_a_weights_folder_that_records_its_command(trained: tuple[Path, Result]) -> None:
    folder, _ = trained
    assert isinstance(LeNet5.from_pretrained(folder), LeNet5)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["meta"]["recipe"] == "lenet5 train --data digits --recipe digits --epochs 3 --seed 1"
    assert config["meta"]["num_params"] == 61_706
    rows = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "epoch,lr,train_loss,val_loss,val_accuracy"
    assert len(rows) == 4


def test_recorded_command_reproduces_the_same_bytes(trained: tuple[Path, Result], run: Invoke, tmp_path: Path) -> None:
    folder, _ = trained
    command = json.loads((folder / "config.json").read_text(encoding="utf-8"))["meta"]["recipe"].split()[1:]
    run(*command, "--device", "cpu", "--out", tmp_path / "again")
    for name in (
        "model.safetensors",
        "config.json",
        "history.csv",
        "report.json",
        "predictions.safetensors",
        "report.html",
    ):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_runs_are_numbered_by_default(run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "digits-007").mkdir(parents=True)
    (tmp_path / "runs" / "digits-mine").mkdir()
    run("train", "--epochs", 1, "--batch-size", 64, "--lr", 0.01, "--device", "cpu")
    assert (tmp_path / "runs" / "digits-008" / "report.json").is_file()


def test_interrupted_run_resumes_to_the_same_bytes(
    trained: tuple[Path, Result], invoke: Invoke, run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = trained

    def interrupt(_bar: ProgressBar, state: TrainingState) -> None:
        if (state.epoch, state.step) == (1, 17):
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "on_step_end", interrupt)
        stopped = invoke("train", "--epochs", 3, "--seed", 1, "--device", "cpu", "--out", tmp_path / "run")
    assert stopped.exit_code == 130
    assert f"interrupted; to resume: lenet5 train --resume {tmp_path / 'run'}" in stopped.stdout
    run("train", "--resume", tmp_path / "run", "--device", "cpu", "--root", tmp_path)
    for name in ("model.safetensors", "history.csv", "report.json"):
        assert (tmp_path / "run" / name).read_bytes() == (folder / name).read_bytes(), name


def test_mnist_files_are_used_in_place(mnist_root: Path, run: Invoke, tmp_path: Path) -> None:
    before = sorted(mnist_root.rglob("*"))
    run("train", "--data", "mnist", "--root", mnist_root, "--epochs", 1, "--batch-size", 512, "--out", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["accuracy"] > 0.95
    assert sorted(mnist_root.rglob("*")) == before


def test_original_recipe_trains_the_original_network_and_plots_its_errors(run: Invoke, tmp_path: Path) -> None:
    result = run("train", "--recipe", "1998", "--epochs", 2, "--device", "cpu", "--out", tmp_path / "run")
    assert "1437 training images, 0 validation images" in result.stdout  # the validation split is trained on too
    model = lenet5.LeNet5Original.from_pretrained(tmp_path / "run")
    assert sum(parameter.numel() for parameter in model.parameters()) == 60_000
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert list(history["lr"]) == pytest.approx([5e-4, 5e-4])
    assert history["test_accuracy"].iloc[-1] == pytest.approx(report["accuracy"], rel=1e-12)
    assert history["train_accuracy"].iloc[-1] > 0.9
    assert (tmp_path / "run" / "errors.png").read_bytes()[:4] == b"\x89PNG"
    last = history.iloc[-1]
    line = f"  train_error {1 - last['train_accuracy']:.2%}  test_error {1 - last['test_accuracy']:.2%}"
    assert line in result.stderr.splitlines()[-1]
    again = run("evaluate", "--weights", tmp_path / "run", "--data", "digits", "--device", "cpu", "--json")
    assert json.loads(again.stdout) == report


def test_calibrated_weights_give_the_reported_metrics(run: Invoke, tmp_path: Path) -> None:
    run("train", "--recipe", "fashion", "--epochs", "2", "--device", "cpu", "--out", tmp_path)
    meta = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["meta"]
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    evaluated = json.loads(run("evaluate", "--weights", tmp_path, "--data", "digits", "--json").stdout)
    assert evaluated["loss"] == pytest.approx(report["loss"], rel=1e-5)
    assert meta["temperature"] != 1
    val = lenet5.evaluate(LeNet5.from_pretrained(tmp_path), lenet5.load_data("digits").val)
    assert lenet5.temperature(val.targets, val.probabilities) == pytest.approx(1, abs=0.01)


@pytest.mark.filterwarnings("default")
def test_damaged_checkpoint_is_skipped_with_a_warning(run: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run("train", "--epochs", 2, "--device", "cpu", "--out", folder)
    latest = max((folder / "checkpoints").iterdir())
    (latest / "state.json").write_text("{", encoding="utf-8")
    result = run("train", "--resume", folder, "--device", "cpu")
    assert result.stderr.startswith(f"warning: skipping the damaged checkpoint {latest}: ")


def test_ctrl_c_before_the_first_step_exits_with_130(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lenet5.runs.run.load_data", interrupt)
    result = invoke("train", "--out", tmp_path / "run")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")
    assert not (tmp_path / "run").exists()


def test_second_ctrl_c_in_the_first_epoch_leaves_a_run_that_can_be_resumed(
    trained: tuple[Path, Result], invoke: Invoke, run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_bar: ProgressBar, _state: TrainingState) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "on_step_end", interrupt)
        stopped = invoke("train", "--epochs", 3, "--seed", 1, "--device", "cpu", "--out", folder)
    assert stopped.exit_code == 130
    assert f"interrupted; to resume: lenet5 train --resume {folder}" in stopped.stdout
    run("train", "--resume", folder, "--device", "cpu")
    assert (folder / "model.safetensors").read_bytes() == (trained[0] / "model.safetensors").read_bytes()


def test_run_that_is_refused_leaves_no_folder(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("refused by the preflight")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lenet5.training.trainer.Trainer._prepare", refuse)
    result = invoke("train", "--device", "cpu")
    assert (result.exit_code, result.stderr) == (2, "Error: refused by the preflight\n")
    assert not list(tmp_path.iterdir())


def test_resuming_a_finished_run_says_so_and_repeats_its_report(
    trained: tuple[Path, Result], run: Invoke, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = run("train", "--resume", folder, "--device", "cpu")
    hint = f"the run had finished after 3 epochs; for more: lenet5 train --resume {folder} --epochs NUMBER"
    assert hint in result.stdout
    assert "epoch" not in result.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_settings_by_option_are_stored_and_repeated(run: Invoke, tmp_path: Path) -> None:
    settings = ["weight_decay=0.05", "augment.degrees=5", "model.pooling=avg", "model.activation=Tanh"]
    options = [text for setting in settings for text in ("--set", setting)]
    run("train", "--set", "max_epochs=1", *options, "--lr", 0.01, "--device", "cpu", "--out", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    command = "lenet5 train --data digits --recipe digits --epochs 1 --lr 0.01 --seed 0 " + " ".join(options)
    assert config["meta"]["recipe"] == command
    assert (config["arguments"]["pooling"], config["arguments"]["activation"]) == ("avg", "Tanh")
    run(*command.split()[1:], "--device", "cpu", "--out", tmp_path / "again")
    run("train", "--resume", tmp_path / "run", "--device", "cpu")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    state = lenet5.Trainer.load(tmp_path / "run").config
    assert (state.weight_decay, state.lr, state.max_epochs) == (0.05, 0.01, 1)
