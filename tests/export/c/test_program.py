"""The program in the C file: it classifies PGM files, or PPM files in colour."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import lenet5
from lenet5 import LeNet5, Preprocess
from lenet5.export import export_c

if TYPE_CHECKING:
    from .conftest import Compiler

Classify = Callable[..., subprocess.CompletedProcess[str]]
BLANK = b"P5 28 28 255\n" + bytes(784)


@pytest.fixture
def classify(compiler: "Compiler", strict: list[str], tmp_path: Path) -> Classify:
    """Run the program on files."""
    export_c(lenet5.load("mnist_v2"), tmp_path / "lenet5.c")
    program = compiler.executable(*strict, "-O1", "-DLENET5_MAIN", tmp_path / "lenet5.c")

    def run(*files: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *files], capture_output=True, text=True, check=False)

    return run


def test_program_classifies_binary_and_text_files_with_comments(
    classify: Classify, digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    pixels = digits.test.images[7, 0].numpy()
    rows = "\n".join(" ".join(map(str, row)) for row in pixels.tolist())
    files = {
        "raw.pgm": b"P5\n28 28\n255\n" + pixels.tobytes(),
        "comments.pgm": b"P5 # binary\n# two\n# lines\n28 28# size\n255\n" + pixels.tobytes(),
        "windows.pgm": b"P5 28\r\n28\r\n255\n" + pixels.tobytes(),
        "text.pgm": f"P2\n# text\n28\t28\n255\n{rows}\n".encode(),
        "no newline.pgm": f"P2 28 28 255 {rows}".encode(),
        "bits.pgm": b"P5 28 28 15\n" + (pixels // 17).tobytes(),
        "two images.pgm": b"P5 28 28 255\n" + pixels.tobytes() + BLANK,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    result = classify(*(tmp_path / name for name in files))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f"{tmp_path / name}: 7" for name in files]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no PGM file; expected the formats P2 and P5"),
        (b"P6 28 28 255\n" + bytes(3 * 784), "is no PGM file; expected the formats P2 and P5"),
        (b"\x89PNG\r\n", "is no PGM file; expected the formats P2 and P5"),
        (b"P5 32 28 255\n" + bytes(1024), "has the wrong size; expected 28 x 28 pixels"),
        (b"P5 4294967324 28 255\n" + bytes(1024), "has the wrong size; expected 28 x 28 pixels"),
        (b"P5 -28 28 255\n" + bytes(1024), "has the wrong size; expected 28 x 28 pixels"),
        (b"P5 28x28 255\n" + bytes(1024), "has the wrong size; expected 28 x 28 pixels"),
        (b"P5 28 28 65535\n" + bytes(1568), "has samples of more than 8 bits; expected a maximum of 1 to 255"),
        (b"P5 28 28 0\n" + bytes(784), "has samples of more than 8 bits; expected a maximum of 1 to 255"),
        (b"P5 28 28 255\n" + bytes(783), "ends too early, or is damaged"),
        (b"P5 28 28 # a comment", "has samples of more than 8 bits; expected a maximum of 1 to 255"),
        (b"P2 28 28 255 " + b"1 " * 783, "ends too early, or is damaged"),
        (b"P2 28 28 255 " + b"x " * 784, "ends too early, or is damaged"),
        (b"P2 28 28 9 " + b"10 " * 784, "has a sample above its maximum"),
        (b"P5 28 28 9\n" + b"\x0a" * 784, "has a sample above its maximum"),
    ],
)
def test_bad_file_gets_one_sentence_and_the_others_are_classified(
    content: bytes, message: str, classify: Classify, tmp_path: Path
) -> None:
    (tmp_path / "bad.pgm").write_bytes(content)
    (tmp_path / "good.pgm").write_bytes(BLANK)
    result = classify(tmp_path / "bad.pgm", tmp_path / "good.pgm")
    assert (result.returncode, result.stderr) == (2, f"{tmp_path / 'bad.pgm'} {message}\n")
    assert result.stdout.startswith(f"{tmp_path / 'good.pgm'}: ")


def test_missing_file_and_missing_argument_are_reported(classify: Classify, tmp_path: Path) -> None:
    result = classify(tmp_path / "missing.pgm")
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"{tmp_path / 'missing.pgm'} cannot be read\n")
    result = classify()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: ")
    assert result.stderr.endswith(" IMAGE.pgm...\n")


def test_program_for_colour_reads_ppm_files(compiler: "Compiler", strict: list[str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    pretrained = lenet5.Pretrained(LeNet5(26, in_channels=3).eval(), Preprocess(channels=3), {})
    export_c(pretrained, tmp_path / "lenet5.c")
    program = compiler.executable(*strict, "-O1", "-DLENET5_MAIN", tmp_path / "lenet5.c")
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 28, 28), dtype=np.uint8)
    files = [tmp_path / f"{number}.ppm" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        file.write_bytes(b"P6 28 28 255\n" + image.transpose(1, 2, 0).tobytes())
    lines = subprocess.run([program, *files], capture_output=True, text=True, check=True).stdout.splitlines()
    labels = pretrained.predict(torch.from_numpy(images)).labels.tolist()
    assert lines == [f"{file}: {label}" for file, label in zip(files, labels, strict=True)]
