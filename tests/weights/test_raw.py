"""Weights for other classes than digits use image files as they are, unless their metadata states otherwise."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner

import lenet5
from lenet5 import DataSplits, LeNet5, Preprocess
from lenet5.cli import main
from lenet5.runs.run import Run
from lenet5.runs.settings import RunSettings

DIGITS = list("0123456789")
LETTERS = list("ABCDEFGHIJ")


def save(folder: Path, meta: dict[str, Any], num_classes: int = 10) -> lenet5.Pretrained:
    torch.manual_seed(0)
    LeNet5(num_classes=num_classes).save_pretrained(folder, preprocess=Preprocess(), meta=meta)
    return lenet5.load(folder)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A bright square on dark grey, beside a second one: no image of one digit."""
    pixels = np.full((60, 80), 40, np.uint8)
    pixels[20:40, 10:25] = pixels[20:40, 50:65] = 220
    PIL.Image.fromarray(pixels).save(tmp_path / "squares.png")
    return tmp_path / "squares.png"


@pytest.mark.parametrize(
    ("categories", "raw"),
    [
        (DIGITS, False),
        (list(range(10)), False),
        (["0 - zero", "1 - one"], False),  # torchvision's names
        (["3", "8"], False),
        (LETTERS, True),
        ([*DIGITS, "A"], True),
        ([*DIGITS, "10"], True),
        (["even", "odd"], True),
        (["zero", "one"], True),
        (["٣", "٨"], True),  # digits, but not those of MNIST
    ],
    ids=str,
)
def test_classes_decide_whether_image_files_are_raw(tmp_path: Path, categories: list[Any], raw: bool) -> None:
    pretrained = save(tmp_path / "own", {"categories": categories}, len(categories))
    assert pretrained.raw is raw
    for stated in (True, False):
        assert save(tmp_path / "stated", {"categories": categories, "raw": stated}, len(categories)).raw is stated


def test_weights_without_names_are_raw_if_they_have_more_classes_than_digits(tmp_path: Path) -> None:
    assert save(tmp_path / "ten", {}).raw is False
    assert save(tmp_path / "letters", {}, num_classes=26).raw is True


def test_bundled_weights_for_clothes_are_raw() -> None:
    assert [lenet5.load(name).raw for name in ("mnist_v2", "original_mnist_v1", "fashion_mnist_v1")] == [
        False,
        False,
        True,
    ]


def test_weights_for_letters_use_a_file_as_it_is(tmp_path: Path, image: Path) -> None:
    letters = save(tmp_path / "letters", {"categories": LETTERS})
    expected = letters.preprocess([PIL.Image.open(image)])
    for each in (image, str(image), PIL.Image.open(image)):
        assert torch.equal(letters.prepare(each), expected)
    photographs = save(tmp_path / "digits", {"categories": LETTERS, "raw": False})
    with pytest.raises(ValueError, match="digit"):
        photographs.predict(image)


def test_command_predicts_a_letter_as_pretrained_does(tmp_path: Path, image: Path) -> None:
    letters = save(tmp_path / "letters", {"categories": LETTERS})
    label = letters.classes[int(letters.predict(image).labels)]
    output = CliRunner().invoke(main, ["predict", str(image), "--weights", str(tmp_path / "letters")]).output
    assert output.startswith(f"{image}  {label}  ")
    assert output.count("\n") == 1


def test_raw_must_be_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has 'no' for 'meta.raw'; expected true or false"):
        save(tmp_path, {"raw": "no"})


def test_runs_state_raw_for_own_images_alone(tmp_path: Path, digits: DataSplits) -> None:
    for number, target in enumerate(digits.test.targets[:60].tolist()):
        (tmp_path / "own" / str(target)).mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(digits.test.images[number, 0].numpy()).save(
            tmp_path / "own" / str(target) / f"{number}.png"
        )
    for data, meta in ((str(tmp_path / "own"), {"raw": True}), ("digits", {})):
        run = Run(tmp_path / Path(data).name / "run", RunSettings(data, None, "digits", seed=0, max_epochs=1), "cpu")
        run.fit()
        run.report()
        pretrained = lenet5.load(run.folder)
        assert pretrained.classes == tuple(DIGITS)
        assert {name: value for name, value in pretrained.meta.items() if name == "raw"} == meta
        assert pretrained.raw is bool(meta)
