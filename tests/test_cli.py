import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
from click.testing import CliRunner, Result

import lenet5
from lenet5 import DataSplits, LeNet5, ProgressBar, Trainer
from lenet5.cli import main

FILES = {
    "checkpoints",
    "config.json",
    "confusion_matrix.png",
    "curves.png",
    "history.csv",
    "model.safetensors",
    "report.json",
}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run(*arguments: object) -> Result:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, run("train", "--epochs", 3, "--seed", 1, "--device", "cpu", "--out", folder)


# train


def test_train_writes_a_run_and_prints_its_report(trained: tuple[Path, Result]) -> None:
    folder, result = trained
    assert {path.name for path in folder.iterdir()} == FILES
    report = json.loads((folder / "report.json").read_text())
    low, high = report["accuracy_interval"]
    assert low < report["accuracy"] < high
    assert f"accuracy {report['accuracy']:.2%} of 360 (95 % confidence: {low:.2%} to {high:.2%})" in result.stdout
    assert str(folder) in result.stdout
    for head in ("precision", "confusion matrix"):
        assert head in result.stdout
    assert np.sum(report["confusion_matrix"]) == 360
    assert list(report["per_class"]) == list("0123456789")


def test_where_stderr_is_no_terminal_there_is_one_line_an_epoch(trained: tuple[Path, Result]) -> None:
    _, result = trained
    assert "\r" not in result.stderr
    assert [line[:9] for line in result.stderr.splitlines()] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_the_run_folder_is_a_weights_folder_that_says_how_it_was_made(trained: tuple[Path, Result]) -> None:
    folder, _ = trained
    assert isinstance(LeNet5.from_pretrained(folder), LeNet5)
    config = json.loads((folder / "config.json").read_text())
    assert config["meta"]["recipe"] == "lenet5 train --data digits --recipe digits --epochs 3 --seed 1"
    assert config["meta"]["num_params"] == 61_706
    rows = (folder / "history.csv").read_text().splitlines()
    assert rows[0] == "epoch,lr,train_loss,val_loss,val_accuracy"
    assert len(rows) == 4


def test_the_command_in_a_run_makes_the_same_bytes_again(trained: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = trained
    command = json.loads((folder / "config.json").read_text())["meta"]["recipe"].split()[1:]
    run(*command, "--device", "cpu", "--out", tmp_path / "again")
    for name in ("model.safetensors", "config.json", "history.csv", "report.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_runs_are_numbered_where_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "digits-007").mkdir(parents=True)
    (tmp_path / "runs" / "digits-mine").mkdir()
    run("train", "--epochs", 1, "--batch-size", 64, "--lr", 0.01, "--device", "cpu")
    assert (tmp_path / "runs" / "digits-008" / "report.json").is_file()


def test_an_interrupted_run_is_resumed_to_the_same_bytes(
    trained: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = trained

    def interrupt(_bar: ProgressBar, trainer: Trainer) -> None:
        assert trainer.state is not None
        if (trainer.state.epoch, trainer.state.step) == (1, 17):
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "on_step_end", interrupt)
        stopped = invoke("train", "--epochs", 3, "--seed", 1, "--device", "cpu", "--out", tmp_path / "run")
    assert stopped.exit_code == 130
    assert f"interrupted; lenet5 train --resume {tmp_path / 'run'} continues" in stopped.stdout
    run("train", "--resume", tmp_path / "run", "--device", "cpu", "--root", tmp_path)
    for name in ("model.safetensors", "history.csv", "report.json"):
        assert (tmp_path / "run" / name).read_bytes() == (folder / name).read_bytes(), name


def test_mnist_is_read_as_it_lies(mnist_root: Path, tmp_path: Path) -> None:
    before = sorted(mnist_root.rglob("*"))
    run("train", "--data", "mnist", "--root", mnist_root, "--epochs", 1, "--batch-size", 512, "--out", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "report.json").read_text())["accuracy"] > 0.95
    assert sorted(mnist_root.rglob("*")) == before


# evaluate


def test_evaluate_repeats_the_report_of_the_run(trained: tuple[Path, Result]) -> None:
    folder, _ = trained
    for weights in (folder, folder / "model.safetensors"):
        result = run("evaluate", "--weights", weights, "--data", "digits", "--device", "cpu", "--json")
        assert json.loads(result.stdout) == json.loads((folder / "report.json").read_text())


def test_evaluate_prints_for_people_too(trained: tuple[Path, Result]) -> None:
    result = run("evaluate", "--weights", trained[0], "--data", "digits", "--device", "cpu")
    assert re.match(r"accuracy \d\d\.\d\d% of 360 \(95 % confidence: ", result.stdout)


def test_evaluate_reproduces_the_published_number(mnist_root: Path) -> None:
    result = run("evaluate", "--weights", "mnist_v2", "--data", "mnist", "--root", mnist_root, "--json")
    published = lenet5.LeNet5_Weights.MNIST_V2.meta["metrics"]["mnist"]["accuracy"]
    assert json.loads(result.stdout)["accuracy"] == published


def test_the_recipe_of_1998_trains_its_network_and_draws_the_errors(tmp_path: Path) -> None:
    result = run("train", "--recipe", "1998", "--epochs", 2, "--device", "cpu", "--out", tmp_path / "run")
    assert "1437 images to train on, 0 to validate" in result.stdout  # the validation split too
    model = lenet5.LeNet5Original.from_pretrained(tmp_path / "run")
    assert sum(parameter.numel() for parameter in model.parameters()) == 60_000
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert list(history["lr"]) == [5e-4, 5e-4]
    assert history["test_accuracy"].iloc[-1] == report["accuracy"]
    assert history["train_accuracy"].iloc[-1] > 0.9
    assert (tmp_path / "run" / "errors.png").read_bytes()[:4] == b"\x89PNG"
    again = run("evaluate", "--weights", tmp_path / "run", "--data", "digits", "--device", "cpu", "--json")
    assert json.loads(again.stdout) == report


def test_a_recipe_that_calibrates_saves_what_it_reports(tmp_path: Path) -> None:
    run("train", "--recipe", "fashion", "--epochs", "2", "--device", "cpu", "--out", tmp_path)
    meta = json.loads((tmp_path / "config.json").read_text())["meta"]
    report = json.loads((tmp_path / "report.json").read_text())
    found = json.loads(run("evaluate", "--weights", tmp_path, "--data", "digits", "--json").stdout)
    assert found["loss"] == pytest.approx(report["loss"], rel=1e-5)
    assert meta["temperature"] != 1
    splits = lenet5.load_data("digits")
    val = lenet5.Trainer(LeNet5.from_pretrained(tmp_path)).evaluate(splits.val)
    assert lenet5.temperature(val.targets, val.probabilities) == pytest.approx(1, abs=0.01)


# predict and info


@pytest.fixture
def pictures(digits: DataSplits, tmp_path: Path) -> tuple[list[Path], list[str]]:
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(paths, digits.test.images, strict=False):
        PIL.Image.fromarray(255 - image[0].numpy()).resize((64, 64)).convert("RGB").save(path)
    return paths, [str(int(target)) for target in digits.test.targets[:3]]


def test_predict_prints_a_line_a_picture(trained: tuple[Path, Result], pictures: tuple[list[Path], list[str]]) -> None:
    paths, labels = pictures
    lines = run("predict", *paths, "--weights", trained[0]).stdout.splitlines()
    assert [line.rsplit("  ", 1)[0] for line in lines] == [
        f"{path}  {label}" for path, label in zip(paths, labels, strict=True)
    ]
    assert all(0.1 < float(line.rsplit("  ", 1)[1]) <= 1 for line in lines)


def test_predict_prints_json(trained: tuple[Path, Result], pictures: tuple[list[Path], list[str]]) -> None:
    paths, labels = pictures
    rows = json.loads(run("predict", *paths, "--weights", trained[0], "--json").stdout)
    assert [(row["file"], row["label"]) for row in rows] == [
        (str(path), label) for path, label in zip(paths, labels, strict=True)
    ]


def test_what_the_weights_are_not_sure_of_is_marked(tmp_path: Path) -> None:
    pixels = np.zeros((2, 28, 28), np.uint8)
    pixels[0, 4:24, 13:15] = 255  # an upright 1
    pixels[1, 4:24, 4:24] = np.random.default_rng(0).integers(0, 256, (20, 20))
    paths = [tmp_path / "one.png", tmp_path / "noise.png"]
    for path, image in zip(paths, pixels, strict=True):
        PIL.Image.fromarray(image).save(path)
    rows = json.loads(run("predict", *paths, "--raw", "--json").stdout)
    assert [(row["label"], row["sure"]) for row in rows] == [("1", True), (rows[1]["label"], False)]
    lines = run("predict", *paths, "--raw").stdout.splitlines()
    assert [line.endswith("  unsure") for line in lines] == [False, True]


def test_raw_pictures_are_taken_as_they_are(trained: tuple[Path, Result], digits: DataSplits, tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    PIL.Image.fromarray(np.hstack([digits.test.images[index, 0].numpy() for index in range(2)])).save(path)
    assert "2 digits were found" in invoke("predict", path, "--weights", trained[0]).stderr
    assert run("predict", path, "--weights", trained[0], "--raw").stdout.startswith(str(path))


def test_predict_answers_for_the_others_where_one_picture_fails(
    trained: tuple[Path, Result], pictures: tuple[list[Path], list[str]], tmp_path: Path
) -> None:
    paths, labels = pictures
    blank = tmp_path / "blank.png"
    PIL.Image.new("L", (50, 50), "white").save(blank)
    result = invoke("predict", paths[0], blank, paths[1], "--weights", trained[0])
    assert result.exit_code == 2
    assert result.stderr == f"Error: {blank}: no digit was found; expected one, dark on light or light on dark\n"
    assert [line.split("  ")[:2] for line in result.stdout.splitlines()] == [
        [str(paths[0]), labels[0]],
        [str(paths[1]), labels[1]],
    ]


@pytest.mark.parametrize(("given", "written"), [(["--show"], "predictions.png"), (["--show", "seen.png"], "seen.png")])
def test_predict_draws_what_the_network_saw(
    trained: tuple[Path, Result],
    pictures: tuple[list[Path], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    written: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    run("predict", *pictures[0], "--weights", trained[0], *given)
    with PIL.Image.open(written) as drawn:
        assert drawn.size == (800, 690)


def test_no_picture_is_overwritten(pictures: tuple[list[Path], list[str]]) -> None:
    result = invoke("predict", "--show", *pictures[0])
    assert result.exit_code == 2
    assert f"--show would write {pictures[0][0]}; expected the name of a new PNG file" in result.stderr


def test_predict_uses_the_weights_in_the_package(mnist_root: Path, tmp_path: Path) -> None:
    test = lenet5.load_data("mnist", mnist_root, download=False).test
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for path, image in zip(paths, test.images, strict=False):
        PIL.Image.fromarray(image[0].numpy()).save(path)
    rows = json.loads(run("predict", *paths, "--json").stdout)
    assert [row["label"] for row in rows] == [str(int(target)) for target in test.targets[:5]]


def test_info_lists_models_weights_and_the_device() -> None:
    text = run("info").stdout
    meta = lenet5.LeNet5_Weights.DEFAULT.meta
    for part in (
        f"lenet5 {lenet5.__version__}",
        f"torch {torch.__version__}",
        "LeNet5  61,706 parameters",
        "LeNet5Original  60,000 parameters",
        "CaffeLeNet  431,080 parameters",
        f"{lenet5.LeNet5_Weights.DEFAULT.value} (default)",
        meta["sha256"],
        meta["recipe"],
        f"accuracy {meta['metrics']['mnist']['accuracy']:.2%}",
    ):
        assert part in text


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epochs", "0"], "max_epochs is 0; expected an integer of at least 1"),
        (["train", "--recipe", "1998", "--lr", "0.1"], "1998 has learning rates of its own; expected none"),
        (["train", "--recipe", "secret"], "no recipe is named 'secret'; expected one of: standard, digits"),
        (["train", "--data", "cifar"], "'cifar' is not one of 'digits', 'mnist'"),
        (["train", "--device", "gpu"], "device 'gpu' is unknown to torch"),
        (["train", "--out", "full"], "full is not empty; expected a new folder, or --resume full"),
        (["train", "--resume", "full"], "there is no run in full; expected a folder that lenet5 train wrote"),
        (["train", "--resume", "weights"], "weights holds weights but no run to resume"),
        (["train", "--resume", "full", "--epochs", "3"], "--resume takes its settings from the run; found --epochs"),
        (["evaluate", "--weights", "nothing", "--data", "digits"], "no weights at 'nothing'; expected a folder"),
        (["evaluate", "--weights", "three", "--data", "digits"], "three knows 3 classes; digits has 10"),
        (["evaluate", "--weights", "weights", "--data", "digits"], "does not say how pictures are prepared"),
        (["predict", "nothing.png"], "nothing.png does not exist"),
        (["predict", "full/note.txt"], "full/note.txt is no picture that can be read"),
        (["predict", "full"], "full cannot be read"),
        (["predict"], "Missing argument 'IMAGES...'"),
    ],
)
def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("not a picture")
    LeNet5().save_pretrained("weights")
    LeNet5(3).save_pretrained("three", preprocess={})
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not result.stdout


def test_weights_of_other_classes_are_refused(tmp_path: Path) -> None:
    LeNet5().save_pretrained(tmp_path, preprocess={}, meta={"categories": list("abcdefghij")})
    result = invoke("evaluate", "--weights", tmp_path, "--data", "digits")
    assert result.exit_code == 2
    assert "knows a, b, c, d, e, f, g, h, i, j; digits has 0, 1, 2" in result.stderr


@pytest.mark.parametrize("preprocess", [{"mean": "much"}, {"colour": 1}])
def test_preprocessing_that_makes_no_sense_is_named(tmp_path: Path, preprocess: dict[str, object]) -> None:
    LeNet5().save_pretrained(tmp_path, preprocess=preprocess)
    result = invoke("evaluate", "--weights", tmp_path, "--data", "digits")
    assert result.exit_code == 2
    assert f"{tmp_path} does not say how pictures are prepared: " in result.stderr


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    LeNet5().save_pretrained(tmp_path)
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    result = invoke("evaluate", "--weights", tmp_path, "--data", "digits")
    assert result.exit_code == 2
    assert "model.safetensors is damaged or was edited: expected sha256" in result.stderr


def test_no_download_is_tried_where_files_are_missing_and_mirrors_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(url: str, **_: object) -> None:
        raise OSError(f"no route to {url}")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    result = invoke("train", "--data", "mnist", "--root", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 2
    for part in ("train-images-idx3-ubyte", str(tmp_path / "MNIST" / "raw"), "--data digits"):
        assert part in result.stderr


@pytest.mark.filterwarnings("default")
def test_a_damaged_checkpoint_is_warned_of_in_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run("train", "--epochs", 2, "--device", "cpu", "--out", folder)
    newest = max((folder / "checkpoints").iterdir())
    (newest / "state.json").write_text("{")
    result = run("train", "--resume", folder, "--device", "cpu")
    assert result.stderr.startswith(f"warning: the checkpoint {newest} is passed over: ")


# Starting up


def test_help_and_import_need_no_torch() -> None:
    program = (
        "import sys, lenet5, lenet5.cli\n"
        "try:\n    lenet5.cli.main(['--help'])\n"
        "except SystemExit:\n    assert not {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for command in ("train", "evaluate", "predict", "info", "benchmark"):
        assert command in result.stdout


def test_the_module_is_the_command() -> None:
    result = subprocess.run([sys.executable, "-m", "lenet5", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"lenet5, version {lenet5.__version__}"


def test_ctrl_c_before_the_first_step_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lenet5.runs.load_data", interrupt)
    result = invoke("train", "--out", tmp_path / "run")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")
