"""What starting the package imports: it decides how long a first answer takes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

HEAVY = ("PIL", "click", "joblib", "matplotlib", "pandas", "scipy", "sklearn", "torchvision", "tqdm")
PROGRAM = """
import sys
import torch
before = set(sys.modules)
try:
    exec(sys.argv.pop(1))
finally:
    print("imported:", *sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def imported(program: str, *arguments: object) -> set[str]:
    """Return those of `HEAVY` that a program imports after torch."""
    command = [sys.executable, "-c", PROGRAM, program, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(result.stdout.rpartition("imported:")[2].split()) & set(HEAVY)


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    """An image in MNIST's format: an upright 1."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:15] = 255
    PIL.Image.fromarray(pixels).save(tmp_path / "digit.png")
    return tmp_path / "digit.png"


def test_loading_weights_imports_nothing_slow() -> None:
    assert imported("import lenet5; lenet5.lenet5(weights='DEFAULT')") == set()


def test_predicting_tensors_imports_nothing_slow() -> None:
    program = "import lenet5; lenet5.predict(lenet5.lenet5(weights='DEFAULT'), torch.zeros(2, 1, 28, 28))"
    assert imported(program) == set()


@pytest.mark.parametrize("options", [["--raw"], []])
def test_predict_of_an_image_in_mnist_format_imports_what_reads_images_alone(digit: Path, options: list[str]) -> None:
    program = "import lenet5.cli; lenet5.cli.main(['predict', *sys.argv[1:]])"
    assert imported(program, digit, *options) == {"PIL", "click"}


def test_predict_of_a_drawing_imports_scipy_and_nothing_else_that_is_slow(digit: Path) -> None:
    with PIL.Image.open(digit) as image:
        image.resize((64, 64)).save(digit)
    program = "import lenet5.cli; lenet5.cli.main(['predict', *sys.argv[1:]])"
    assert imported(program, digit) == {"PIL", "click", "scipy"}
