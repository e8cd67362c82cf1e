"""Bad input, start-up, and the commands that only print."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

import lenet5
from lenet5 import LeNet5
from lenet5.data.catalogue import NAMES
from lenet5.models.kernels import library
from lenet5.recipes.catalogue import RECIPES

Invoke = Callable[..., Result]


def test_info_lists_networks_weights_and_the_device(run: Invoke) -> None:
    text = run("info").stdout
    meta = lenet5.LeNet5_Weights.DEFAULT.meta
    for part in (
        f"lenet5 {lenet5.__version__}",
        f"torch {torch.__version__}",
        f"CPU kernels: {library.description()}; ",
        "LeNet5  61,706 parameters",
        "LeNet5Original  60,000 parameters",
        "CaffeLeNet  431,080 parameters",
        f"{lenet5.LeNet5_Weights.DEFAULT.value} (default)",
        meta["sha256"],
        meta["recipe"],
        f"accuracy {meta['metrics']['mnist']['accuracy']:.2%}",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--recipe", "1998", "--lr", "0.1"], "the recipe has its own network and learning rates; omit lr"),
        (
            ["train", "--recipe", "record", "--set", "patience=3"],
            "the recipe record trains on all images; omit patience",
        ),
        (["train", "--device", "gpu"], "device 'gpu' is unknown to torch"),
        (["train", "--out", "full"], "full is not empty; expected a new folder, or --resume full"),
        (["train", "--resume", "full"], "no run at 'full'"),
        (["train", "--resume", "weights"], "weights holds weights but no run to resume"),
        (
            ["evaluate", "--weights", "nothing", "--data", "digits"],
            "no weights at 'nothing'; expected a path, or one of",
        ),
        (
            ["evaluate", "--weights", "three", "--data", "digits"],
            "three has 3 classes (0, 1, 2); digits has 10 classes",
        ),
        (["evaluate", "--weights", "weights", "--data", "digits"], "does not describe its preprocessing"),
        (["predict", "full/note.txt"], "full/note.txt"),
        (["predict", "full"], "there is no image file in the folder full"),
        (["predict"], "Missing argument 'IMAGES...'"),
    ],
)
def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(
    arguments: list[str], message: str, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("not an image", encoding="utf-8")
    LeNet5().save_pretrained("weights")
    LeNet5(3).save_pretrained("three", preprocess={})
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not result.stdout
    assert not (tmp_path / "runs").exists()


def test_evaluate_rejects_weights_of_different_classes(invoke: Invoke, tmp_path: Path) -> None:
    LeNet5().save_pretrained(tmp_path, preprocess={}, meta={"categories": list("abcdefghij")})
    result = invoke("evaluate", "--weights", tmp_path, "--data", "digits")
    assert result.exit_code == 2
    assert "has 10 classes (a, b, c, d, e, f, g, h, i, j); digits has 10 classes (0, 1, 2" in result.stderr


@pytest.mark.parametrize("preprocess", [{"mean": "much"}, {"colour": 1}])
def test_invalid_preprocessing_is_reported(preprocess: dict[str, object], invoke: Invoke, tmp_path: Path) -> None:
    LeNet5().save_pretrained(tmp_path, preprocess=preprocess)
    result = invoke("evaluate", "--weights", tmp_path, "--data", "digits")
    assert result.exit_code == 2
    assert f"{tmp_path} does not describe its preprocessing: " in result.stderr


def test_damaged_weights_are_reported(invoke: Invoke, tmp_path: Path) -> None:
    LeNet5().save_pretrained(tmp_path, preprocess={})
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    result = invoke("evaluate", "--weights", tmp_path, "--data", "digits")
    assert result.exit_code == 2
    assert "model.safetensors is damaged or was edited: expected sha256" in result.stderr


def test_missing_data_names_the_files_and_the_embedded_dataset(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(url: str, **_: object) -> None:
        raise OSError(f"no route to {url}")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    result = invoke("train", "--data", "mnist", "--root", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 2
    for part in ("train-images-idx3-ubyte", str(tmp_path / "MNIST" / "raw"), "--data digits"):
        assert part in result.stderr


def test_help_lists_the_registered_datasets_and_recipes_without_loading_torch() -> None:
    program = (
        "import sys, lenet5, lenet5.cli\n"
        "try:\n    lenet5.cli.main(sys.argv[1:])\n"
        "except SystemExit:\n    assert not {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    for arguments, names in (
        (["--help"], ["train", "evaluate", "predict", "info", "benchmark"]),
        (["train", "--help"], [*NAMES, *RECIPES]),
    ):
        command = [sys.executable, "-c", program, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        for name in names:
            assert name in result.stdout


def test_python_m_lenet5_is_the_same_command() -> None:
    result = subprocess.run([sys.executable, "-m", "lenet5", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"lenet5, version {lenet5.__version__}"


def test_bundled_weights_record_registered_recipes_and_datasets() -> None:
    for member in [*lenet5.LeNet5_Weights, *lenet5.LeNet5Original_Weights]:
        command = member.meta["recipe"].split()
        if command[0] == "python":  # a script of the repository
            assert (Path(__file__).parents[2] / command[1]).is_file()
            continue
        assert command[:2] == ["lenet5", "train"]
        options = dict(zip(command[2::2], command[3::2], strict=True))
        assert options["--recipe"] in RECIPES
        assert options["--data"] in NAMES
