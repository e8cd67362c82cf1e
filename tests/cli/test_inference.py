import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import Result

import lenet5
from lenet5 import DataSplits

Invoke = Callable[..., Result]
Photographs = tuple[list[Path], list[str]]


@pytest.fixture
def photographs(digits: DataSplits, tmp_path: Path) -> Photographs:
    """Three images of dark digits on white, and the digits."""
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(paths, digits.test.images, strict=False):
        PIL.Image.fromarray(255 - image[0].numpy()).resize((64, 64)).convert("RGB").save(path)
    return paths, [str(int(target)) for target in digits.test.targets[:3]]


def test_evaluate_repeats_the_report_of_the_run(trained: tuple[Path, Result], run: Invoke) -> None:
    folder, _ = trained
    for weights in (folder, folder / "model.safetensors"):
        result = run("evaluate", "--weights", weights, "--data", "digits", "--device", "cpu", "--json")
        assert json.loads(result.stdout) == json.loads((folder / "report.json").read_text())


def test_evaluate_prints_a_readable_report(trained: tuple[Path, Result], run: Invoke) -> None:
    result = run("evaluate", "--weights", trained[0], "--data", "digits", "--device", "cpu")
    assert re.match(r"accuracy \d\d\.\d\d% of 360 \(95 % confidence: ", result.stdout)


def test_evaluate_reproduces_the_published_accuracy(mnist_root: Path, run: Invoke) -> None:
    for name in ("mnist_v2", "default"):
        result = run("evaluate", "--weights", name, "--data", "mnist", "--root", mnist_root, "--json")
        published = lenet5.LeNet5_Weights.MNIST_V2.meta["metrics"]["mnist"]["accuracy"]
        assert json.loads(result.stdout)["accuracy"] == published


def test_predict_prints_one_line_per_image(trained: tuple[Path, Result], photographs: Photographs, run: Invoke) -> None:
    paths, digits = photographs
    lines = run("predict", *paths, paths[0], "--weights", trained[0]).stdout.splitlines()
    expected = [f"{path}  {digit}" for path, digit in zip([*paths, paths[0]], [*digits, digits[0]], strict=True)]
    assert [line.rsplit("  ", 1)[0] for line in lines] == expected
    assert all(0.1 < float(line.rsplit("  ", 1)[1]) <= 1 for line in lines)


def test_predict_prints_json(trained: tuple[Path, Result], photographs: Photographs, run: Invoke) -> None:
    paths, digits = photographs
    rows = json.loads(run("predict", *paths, "--weights", trained[0], "--json").stdout)
    assert [(row["file"], row["label"]) for row in rows] == list(zip(map(str, paths), digits, strict=True))


def test_predict_marks_low_confidence(run: Invoke, tmp_path: Path) -> None:
    pixels = np.zeros((2, 28, 28), np.uint8)
    pixels[0, 4:24, 13:15] = 255  # a vertical 1
    pixels[1, 4:24, 4:24] = np.random.default_rng(0).integers(0, 256, (20, 20))
    paths = [tmp_path / "digit.png", tmp_path / "noise.png"]
    for path, image in zip(paths, pixels, strict=True):
        PIL.Image.fromarray(image).save(path)
    rows = json.loads(run("predict", *paths, "--raw", "--json").stdout)
    assert [(row["label"], row["confident"]) for row in rows] == [("1", True), (rows[1]["label"], False)]
    lines = run("predict", *paths, "--raw").stdout.splitlines()
    assert [line.endswith("  low confidence") for line in lines] == [False, True]


def test_raw_images_skip_load_digit(
    trained: tuple[Path, Result], digits: DataSplits, invoke: Invoke, run: Invoke, tmp_path: Path
) -> None:
    path = tmp_path / "two.png"
    PIL.Image.fromarray(np.hstack([digits.test.images[index, 0].numpy() for index in range(2)])).save(path)
    assert "2 digits" in invoke("predict", path, "--weights", trained[0]).stderr
    assert run("predict", path, "--weights", trained[0], "--raw").stdout.startswith(str(path))


def test_predict_reports_a_failed_image_and_predicts_the_others(
    trained: tuple[Path, Result], photographs: Photographs, invoke: Invoke, tmp_path: Path
) -> None:
    paths, digits = photographs
    blank = tmp_path / "blank.png"
    PIL.Image.new("L", (50, 50), "white").save(blank)
    result = invoke("predict", paths[0], blank, paths[1], "--weights", trained[0])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {blank}: no digit")
    assert [line.split("  ")[:2] for line in result.stdout.splitlines()] == [
        [str(paths[0]), digits[0]],
        [str(paths[1]), digits[1]],
    ]


@pytest.mark.parametrize(("given", "written"), [(["--show"], "predictions.png"), (["--show", "seen.png"], "seen.png")])
def test_show_plots_the_input_of_the_network(
    trained: tuple[Path, Result],
    photographs: Photographs,
    run: Invoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    written: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    run("predict", *photographs[0], "--weights", trained[0], *given)
    with PIL.Image.open(written) as figure:
        assert figure.size == (800, 690)


def test_show_overwrites_no_image(photographs: Photographs, invoke: Invoke) -> None:
    result = invoke("predict", "--show", *photographs[0])
    assert result.exit_code == 2
    assert f"--show would write {photographs[0][0]}; expected the name of a new PNG file" in result.stderr


def test_predict_uses_the_bundled_weights(mnist_root: Path, run: Invoke, tmp_path: Path) -> None:
    test = lenet5.load_data("mnist", mnist_root, download=False).test
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for path, image in zip(paths, test.images, strict=False):
        PIL.Image.fromarray(image[0].numpy()).save(path)
    rows = json.loads(run("predict", *paths, "--json").stdout)
    assert [row["label"] for row in rows] == [str(int(target)) for target in test.targets[:5]]
