"""Digits drawn on the page are recognised as in Python, and layer by layer with the same numbers."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest

import lenet5
from lenet5 import ImageDataset

from .reading import check, expected_pixels, next_answer, read
from .tracing import trace

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Page

Visit = Callable[..., "Page"]


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    """100 test digits of 28x28: MNIST's where its files are at hand, else scikit-learn's."""
    beside = Path(__file__).parents[4] / "shared" / "data"
    root = Path(os.environ.get("LENET5_DATA") or beside)
    if (root / "MNIST" / "raw").is_dir():
        return lenet5.load_data("mnist", root, download=False).test
    return lenet5.load_data("digits").test


@pytest.mark.parametrize("at", ["file", "server"])
@pytest.mark.parametrize("digit", range(10))
def test_drawn_strokes_are_read_as_in_python(
    visit: Visit, draw: Callable[..., None], example: Callable[..., Any], digit: int, at: str
) -> None:
    page = visit(at)
    draw(page, [[(0.8 * x + 10, 0.8 * y + 40) for x, y in stroke] for stroke in example(page, digit)])
    reading = read(page)
    assert np.abs(reading.pixels.astype(int) - expected_pixels(reading)).max() <= 1
    check(reading, reading.pixels)
    assert [answer["label"] for answer in reading.answers.values()] == [digit, digit]
    assert page.locator("#head-today .digit").inner_text() == str(digit)


def test_hundred_test_digits_traced_by_the_mouse_are_read_as_in_python(
    visit: Visit, draw: Callable[..., None], digits: ImageDataset
) -> None:
    page = visit(viewport={"width": 1280, "height": 480})  # without the layers, which take long to paint
    right = {"original": 0, "today": 0}
    for image, target in zip(digits.images[:100, 0].numpy(), digits.targets[:100].tolist(), strict=True):
        page.locator("#clear").click()
        draw(page, trace(image))
        reading = read(page)
        assert np.abs(reading.pixels.astype(int) - expected_pixels(reading)).max() <= 1
        check(reading, reading.pixels)
        for key, answer in reading.answers.items():
            right[key] += answer["label"] == target
    assert min(right.values()) >= 90, right  # the strokes follow the digits; the networks read both


def test_hundred_test_images_are_read_pixel_for_pixel(visit: Visit, digits: ImageDataset) -> None:
    page = visit(viewport={"width": 1280, "height": 480})
    for number, image in enumerate(digits.images[:100, 0].numpy()):
        file = io.BytesIO()
        PIL.Image.fromarray(image).save(file, "PNG")
        payload: FilePayload = {"name": f"{number}.png", "mimeType": "image/png", "buffer": file.getvalue()}
        page.locator("#file").set_input_files(payload)
        next_answer(page)
        reading = read(page)
        expected = lenet5.load_digit(PIL.Image.fromarray(image))[0].numpy()
        if np.array_equal(expected, image):  # it is in MNIST's format: 20 pixels high or wide, and centred
            assert np.array_equal(reading.pixels, image)
        check(reading, reading.pixels)


def test_scribble_is_marked_as_in_predict(visit: Visit, draw: Callable[..., None]) -> None:
    page = visit()
    draw(page, [[(60, 60), (220, 220)], [(220, 60), (60, 220)], [(140, 40), (140, 240)]])
    reading = read(page)
    check(reading, reading.pixels)
    for key, answer in reading.answers.items():
        mark = page.locator(f"#head-{key} .mark").inner_text()
        assert mark == ("" if answer["confident"] else "low confidence")
    assert not all(answer["confident"] for answer in reading.answers.values())


def test_undo_and_clear_take_the_answer_back(visit: Visit, draw: Callable[..., None]) -> None:
    page = visit()
    draw(page, [[(140, 40), (140, 240)]])
    first = read(page)
    draw(page, [[(60, 140), (220, 140)]])
    assert not np.array_equal(read(page).pixels, first.pixels)
    page.locator("#undo").click()
    assert np.array_equal(read(page).pixels, first.pixels)
    page.locator("#clear").click()
    assert page.evaluate("lenet5.latest") is None
    assert page.locator("#head-today .digit").inner_text() == "\N{EN DASH}"
    page.keyboard.press("Control+z")
    assert np.array_equal(read(page).pixels, first.pixels)
