"""Several digits in one image."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.photo.writing import DIGITS, Box, write, write_row

import lenet5
from lenet5 import DataSplits, Digits, load_digit, load_digits

Row: TypeAlias = list[tuple[str, float, float]]

ROWS = st.lists(  # digit, scale and gap
    st.tuples(st.sampled_from(sorted(DIGITS)), st.floats(0.8, 1.25), st.floats(20, 90)), min_size=2, max_size=7
)


def page(width: int = 300, height: int = 240) -> PIL.Image.Image:
    return PIL.Image.new("L", (width, height), 230)


def draw_row(row: Row, height: int = 240) -> tuple[PIL.Image.Image, list[Box]]:
    digits, scales, gaps = zip(*row, strict=True)
    image = page(round(sum(gaps) + 70 * len(row)) + 60, height)
    return image, write_row(image, "".join(digits), scales, gaps, start=20, middle=120)


def read(digits: Digits) -> str:
    """Return what pretrained weights read."""
    return "".join(map(str, lenet5.load("mnist_robust_v1").predict(digits.images).labels.tolist()))


def check_boxes(digits: Digits, expected: Sequence[Sequence[float]], tolerance: float = 3) -> None:
    """Compare each box with that of the ink, within a tolerance in pixels."""
    assert digits.boxes.shape == (len(expected), 4)
    assert (digits.boxes - torch.tensor(expected)).abs().max() <= tolerance


@settings(max_examples=25)
@given(ROWS)
@example([("1", 1.0, 20.0), ("2", 1.0, 20.0)])  # a bare stem, like a line
@example([("2", 0.9, 20.0), ("1", 1.0, 20.0)])
def test_digits_of_a_row_come_from_left_to_right_with_their_boxes(row: Row) -> None:
    image, boxes = draw_row(row)
    digits = load_digits(image)
    check_boxes(digits, boxes)
    assert read(digits) == "".join(digit for digit, _, _ in row)


@pytest.mark.parametrize("count", [8, 12, 16])
def test_long_row_is_read(count: int) -> None:
    row = "2713152731527135"[:count]
    image = page(60 * count, 140)
    boxes = write_row(image, row, [0.8] * count, [20] * count, start=0, middle=70)
    digits = load_digits(image)
    check_boxes(digits, boxes)
    assert read(digits) == row


def test_rows_come_from_top_to_bottom() -> None:
    image = page(420, 420)
    boxes = write_row(image, "275", (1, 1, 1), (60, 40, 40), start=20, middle=110)
    boxes += write_row(image, "532", (1, 1, 1), (20, 60, 40), start=20, middle=310)
    digits = load_digits(image)
    check_boxes(digits, boxes)
    assert read(digits) == "275532"


def test_digit_of_an_image_is_that_of_load_digit() -> None:
    image = page()
    box = write(image, "5")
    digits = load_digits(image)
    assert torch.equal(digits.images[0], load_digit(image))
    assert (digits.images.dtype, digits.boxes.dtype) == (torch.uint8, torch.int64)
    check_boxes(digits, [box])


def test_each_digit_is_that_of_its_box_alone() -> None:
    image, _ = draw_row([("5", 1, 60), ("2", 1, 40), ("3", 1, 40)])
    digits = load_digits(image)
    for digit, (left, top, right, bottom) in zip(digits.images, digits.boxes.tolist(), strict=True):
        alone = load_digit(image.crop((left - 15, top - 15, right + 15, bottom + 15)))
        assert (digit.float() - alone.float()).abs().sum() < 0.2 * (digit.float() + alone.float()).sum()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_those_of_the_upright_image(orientation: int, tmp_path: Path) -> None:
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpositions that undo each orientation
    image, boxes = draw_row([("7", 1, 60), ("2", 1, 40)])
    turned = image if orientation == 1 else image.transpose(PIL.Image.Transpose(turns[orientation]))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    turned.save(tmp_path / "72.png", exif=exif)
    check_boxes(load_digits(tmp_path / "72.png"), boxes)


@settings(max_examples=10)
@given(st.floats(0.4, 5))
def test_boxes_scale_with_the_image(factor: float) -> None:
    image, boxes = draw_row([("7", 1, 60), ("5", 1, 40), ("2", 1, 40)])
    size = round(image.width * factor), round(image.height * factor)
    digits = load_digits(image.resize(size, PIL.Image.Resampling.BICUBIC))
    check_boxes(digits, [[edge * factor for edge in box] for box in boxes], 2 + 2 * factor)


def test_one_beside_a_broad_digit_is_found() -> None:
    image, boxes = draw_row([("1", 0.95, 69), ("5", 1.22, 31)])
    check_boxes(load_digits(image), boxes)


def test_detached_bar_belongs_to_its_five() -> None:
    image, boxes = draw_row([("2", 1, 60), ("5", 1, 60), ("7", 1, 40)])
    left, top, _, _ = map(round, boxes[1])
    image.paste(230, (left + 7, top, left + 17, top + 9))  # a gap in the bar
    digits = load_digits(image)
    check_boxes(digits, boxes)
    assert read(digits) == "257"


def test_polarity_does_not_matter() -> None:
    image, boxes = draw_row([("7", 1, 60), ("5", 1, 40), ("2", 1, 40)])
    check_boxes(load_digits(PIL.ImageOps.invert(image)), boxes)


def test_image_in_mnist_format_is_one_digit_unchanged(digits: DataSplits) -> None:
    pixels = load_digit(PIL.Image.fromarray(255 - digits.test.images[0, 0].numpy()))
    loaded = load_digits(pixels)
    assert torch.equal(loaded.images, pixels[None])
    rows, columns = pixels[0].nonzero(as_tuple=True)
    assert loaded.boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]


def test_image_without_digit_has_no_digits() -> None:
    digits = load_digits(page())
    assert (digits.images.shape, digits.boxes.shape) == ((0, 1, 28, 28), (0, 4))
    assert (digits.images.dtype, digits.boxes.dtype) == (torch.uint8, torch.int64)
    assert len(digits) == 0
    assert digits._repr_png_() is None


def test_digits_show_their_number_and_display_themselves() -> None:
    image, _ = draw_row([("7", 1, 60), ("5", 1, 40)])
    digits = load_digits(image)
    png, _ = digits._repr_png_()
    assert (repr(digits), len(digits), png[:4]) == ("<Digits: 2 digits>", 2, b"\x89PNG")
    image = page()
    write(image, "5")
    assert repr(load_digits(image)) == "<Digits: 1 digit>"


def test_load_digit_refuses_several_and_names_load_digits(tmp_path: Path) -> None:
    image, _ = draw_row([("7", 1, 60), ("5", 1, 40), ("2", 1, 40)])
    image.save(tmp_path / "752.png")
    with pytest.raises(ValueError, match=r"752.png: 3 digits were found; expected one: load_digits reads all of them"):
        load_digit(tmp_path / "752.png")
    with pytest.raises(ValueError, match="the image: 3 digits were found"):
        load_digit(np.asarray(image))


def test_boxes_are_those_of_torchvision() -> None:
    torchvision = pytest.importorskip("torchvision")
    image, _ = draw_row([("7", 1, 60), ("5", 1, 40)])
    digits = load_digits(image)
    pixels = torchvision.transforms.functional.pil_to_tensor(image)
    drawn = torchvision.utils.draw_bounding_boxes(pixels, digits.boxes, ["7", "5"], colors="red")
    assert drawn.shape == (3, image.height, image.width)
    assert torch.equal(torchvision.ops.clip_boxes_to_image(digits.boxes, (image.height, image.width)), digits.boxes)
