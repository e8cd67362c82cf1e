import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from click.testing import Result
from matplotlib.figure import Figure
from tests.photo.writing import write_row

import lenet5
from lenet5 import DataSplits
from lenet5.plots import plot_predictions

Invoke = Callable[..., Result]
Photographs = tuple[list[Path], list[str]]


@pytest.fixture
def photographs(digits: DataSplits, tmp_path: Path) -> Photographs:
    """Three images of dark digits on white, and the digits."""
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(paths, digits.test.images, strict=False):
        PIL.Image.fromarray(255 - image[0].numpy()).resize((64, 64)).convert("RGB").save(path)
    return paths, [str(int(target)) for target in digits.test.targets[:3]]


def test_predict_prints_one_line_per_image(trained: tuple[Path, Result], photographs: Photographs, run: Invoke) -> None:
    paths, digits = photographs
    lines = run("predict", *paths, paths[0], "--weights", trained[0]).stdout.splitlines()
    expected = [f"{path}  {digit}" for path, digit in zip([*paths, paths[0]], [*digits, digits[0]], strict=True)]
    assert [line.rsplit("  ", 1)[0] for line in lines] == expected
    assert all(0.1 < float(line.rsplit("  ", 1)[1]) <= 1 for line in lines)


def test_default_weights_are_the_default_of_the_package(run: Invoke) -> None:
    assert f"[default: {lenet5.LeNet5_Weights.DEFAULT.value}]" in " ".join(run("predict", "--help").stdout.split())


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
    trained: tuple[Path, Result], digits: DataSplits, run: Invoke, tmp_path: Path
) -> None:
    path = tmp_path / "two.png"
    PIL.Image.fromarray(np.hstack([digits.test.images[index, 0].numpy() for index in range(2)])).save(path)
    assert len(run("predict", path, "--weights", trained[0]).stdout.splitlines()) == 2
    (row,) = json.loads(run("predict", path, "--weights", trained[0], "--raw", "--json").stdout)
    assert row["file"] == str(path)
    assert "box" not in row


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


@pytest.mark.parametrize("missing", [False, True], ids=["blank", "missing"])
def test_json_of_no_digit_is_an_empty_list(invoke: Invoke, tmp_path: Path, missing: bool) -> None:
    image = tmp_path / "image.png"
    if not missing:
        PIL.Image.new("L", (50, 50), "white").save(image)
    result = invoke("predict", image, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (2, [])
    assert result.stderr.startswith("Error: ")


@pytest.fixture
def postcode(tmp_path: Path) -> tuple[Path, list[list[float]]]:
    """An image of 7, 5 and 2, and their boxes."""
    image = PIL.Image.new("L", (380, 240), 230)
    boxes = write_row(image, "752", (1, 1, 1), (60, 40, 40), start=10, middle=120)
    image.save(tmp_path / "postcode.png")
    return tmp_path / "postcode.png", [list(box) for box in boxes]


def test_predict_prints_each_digit_of_an_image_with_its_box(
    postcode: tuple[Path, list[list[float]]], photographs: Photographs, run: Invoke
) -> None:
    path, boxes = postcode
    other = photographs[0][0]
    arguments = (other, path, other, path)  # a file may come twice
    rows = json.loads(run("predict", *arguments, "--json").stdout)
    assert [row["file"] for row in rows] == [str(file) for file in (other, path, path, path) * 2]
    assert "".join(row["label"] for row in rows[1:4]) == "752"
    np.testing.assert_allclose([row["box"] for row in rows[1:4]], boxes, atol=3)
    assert len(rows[0]["box"]) == 4
    lines = run("predict", *arguments).stdout.splitlines()
    assert [f"  box {' '.join(map(str, row['box']))}" in line for row, line in zip(rows, lines, strict=True)] == [
        row["file"] == str(path) for row in rows
    ]
    assert [line.split("  ")[:2] for line in lines] == [[row["file"], row["label"]] for row in rows]


def test_predict_marks_each_digit_of_an_image(run: Invoke, tmp_path: Path) -> None:
    image = PIL.Image.new("L", (380, 240), 230)
    write_row(image, "7E5", (1, 1, 1), (60, 40, 40), start=10, middle=120)
    image.save(tmp_path / "7E5.png")
    lines = run("predict", tmp_path / "7E5.png").stdout.splitlines()
    assert [line.endswith("  low confidence") for line in lines] == [False, True, False]
    rows = json.loads(run("predict", tmp_path / "7E5.png", "--json").stdout)
    assert [row["confident"] for row in rows] == [True, False, True]


def test_show_outlines_the_digits(
    postcode: tuple[Path, list[list[float]]], run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}

    def plot(*arguments: object) -> Figure:
        drawn.update(
            zip(("images", "inputs", "probabilities", "classes", "threshold", "boxes"), arguments, strict=True)
        )
        return plot_predictions(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("lenet5.plots.plot_predictions", plot)
    path, boxes = postcode
    with PIL.Image.open(path) as image:
        image.resize((1520, 960)).save(path)
    run("predict", path, "--show", tmp_path / "seen.png")
    assert [(name, pixels.shape) for name, pixels in drawn["images"]] == [("postcode.png", (253, 400, 3))] * 3
    np.testing.assert_allclose(drawn["boxes"], np.array(boxes) * 400 / 380, atol=3)  # in pixels of the thumbnail
    with PIL.Image.open(tmp_path / "seen.png") as figure:
        assert figure.size == (768, 720)


def test_show_of_many_digits_plots_the_first_of_them(
    trained: tuple[Path, Result], photographs: Photographs, run: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, folder = photographs[0], photographs[0][0].parent
    monkeypatch.setattr("lenet5.cli.predict._SHOWN", 2)
    figure = folder / "figure.png"
    result = run("predict", *images, "--weights", trained[0], "--show", figure)
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr == f"figure of the first 2 of 3 digits written to {figure}\n"
    with PIL.Image.open(figure) as picture:
        assert picture.height == 2 * 2 * 120


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
        assert figure.size == (768, 720)


def test_show_takes_the_next_free_name(
    trained: tuple[Path, Result], photographs: Photographs, run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photographs[0][0].rename("predictions.png")
    before = Path("predictions.png").read_bytes()
    for number in (2, 3):
        result = run("predict", "predictions.png", "--show", "predictions.png", "--weights", trained[0])
        assert f"figure written to predictions-{number}.png" in result.stderr
        assert Path(f"predictions-{number}.png").is_file()
    assert Path("predictions.png").read_bytes() == before


def test_show_overwrites_no_image(photographs: Photographs, invoke: Invoke) -> None:
    result = invoke("predict", "--show", *photographs[0])
    assert result.exit_code == 2
    assert f"--show would write {photographs[0][0]}, which exists; expected the name of a new PNG file" in result.stderr


def test_predict_uses_the_bundled_weights(mnist_root: Path, run: Invoke, tmp_path: Path) -> None:
    test = lenet5.load_data("mnist", mnist_root, download=False).test
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for path, image in zip(paths, test.images, strict=False):
        PIL.Image.fromarray(image[0].numpy()).save(path)
    rows = json.loads(run("predict", *paths, "--json").stdout)
    assert [row["label"] for row in rows] == [str(int(target)) for target in test.targets[:5]]


def test_predict_takes_folders_and_patterns(
    trained: tuple[Path, Result], photographs: Photographs, run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, digits = photographs
    folder = tmp_path / "folder"
    (folder / "nested").mkdir(parents=True)
    names = ["2.png", "10.PNG", "[1].png"]
    for path, name in zip(paths, names, strict=True):
        path.rename(folder / name)
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    (folder / "nested" / "3.png").write_bytes(b"")
    for name in (".hidden.png", "._2.png"):
        (folder / name).write_bytes(b"")
    monkeypatch.chdir(folder)

    def predicted(argument: object) -> list[list[str]]:
        return [line.split("  ")[:2] for line in run("predict", argument, "--weights", trained[0]).stdout.splitlines()]

    assert predicted(folder) == [
        [str(folder / name), digits[names.index(name)]] for name in ("2.png", "10.PNG", "[1].png")
    ]
    assert predicted("*[gd]") == predicted("*.png")  # no subfolder
    assert predicted("?.png") == [["2.png", digits[0]]]
    assert predicted("[1].png") == [["[1].png", digits[2]]]  # a file of that name is not a pattern


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids these file names")
def test_names_that_cannot_be_shown_are_escaped(
    trained: tuple[Path, Result], photographs: Photographs, tmp_path: Path
) -> None:
    paths, digits = photographs
    names = [b"\xff.png", "\u2713\u00e9.png".encode(), b"a\nb\x1b[31m.png"]
    for path, name in zip(paths, names, strict=True):
        os.rename(path, os.path.join(os.fsencode(tmp_path), name))  # noqa: PTH104, PTH118 (names that are no text)
    command: list[str | bytes] = [sys.executable, "-m", "lenet5", "predict", *names, "--weights", str(trained[0])]
    for encoding, shown in (
        ("cp1252", "\\u2713\u00e9.png"),
        ("ascii", "\\u2713\\xe9.png"),
        ("utf-8", "\u2713\u00e9.png"),
    ):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
        lines = result.stdout.decode(encoding).splitlines()
        expected = ["\\udcff.png", shown, "a\\nb\\x1b[31m.png"]
        assert [line.split("  ")[:2] for line in lines] == [list(pair) for pair in zip(expected, digits, strict=True)]
    result = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, check=True)
    assert [os.fsencode(row["file"]) for row in json.loads(result.stdout)] == names
