"""Images of every mode of PIL."""

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageOps
import pytest
import torch

import lenet5
from lenet5 import load_digit
from lenet5.photo import thumbnail

FIVE = [(50, 10), (15, 10), (14, 45), (45, 50), (48, 75), (30, 90), (10, 84)]
SEVEN = [(10, 10), (50, 12), (25, 90)]


def draw_digit(strokes: list[tuple[int, int]], ink: int = 30, background: int = 230) -> PIL.Image.Image:
    """Draw an antialiased digit."""
    image = PIL.Image.new("L", (800, 640), background)
    PIL.ImageDraw.Draw(image).line([((x + 60) * 4, (y + 40) * 4) for x, y in strokes], ink, 24, joint="curve")
    return image.resize((200, 160), PIL.Image.Resampling.BOX)


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the relative difference of two digits, from 0 to 1."""
    return float((first.float() - second.float()).abs().sum() / (first.float().sum() + second.float().sum()))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "HSV", "I", "I;16", "I;16B", "F"])
def test_any_image_mode_is_accepted(mode: str) -> None:
    image = draw_digit(FIVE)
    pixels = np.asarray(image, np.float32)
    converted: PIL.Image.Image
    if mode.startswith("I;16"):
        converted = PIL.Image.fromarray((pixels * 200).astype(">u2" if mode == "I;16B" else "<u2"))
    elif mode in {"I", "F"}:
        converted = PIL.Image.fromarray((pixels * 3).astype(np.int32 if mode == "I" else np.float32))
    else:
        converted = image.convert("RGB" if mode == "LAB" else "L").convert(mode, dither=PIL.Image.Dither.NONE)
    assert distance(load_digit(converted), load_digit(image)) < (0.12 if mode == "1" else 0.06)  # strokes have steps


@pytest.mark.parametrize("ink", [0, 255])
def test_transparent_pixels_are_background(ink: int) -> None:
    cover = PIL.ImageOps.invert(draw_digit(FIVE, ink=0, background=255))
    image = PIL.Image.new("RGBA", cover.size, (ink, ink, ink, 0))
    image.putalpha(cover)
    assert distance(load_digit(image), load_digit(draw_digit(FIVE))) < 0.03


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_transparent_colour_of_a_png_file_is_background(mode: str, tmp_path: Path) -> None:
    image = draw_digit(FIVE, background=255)
    deep = PIL.Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    path = tmp_path / "five.png"
    (deep if mode == "I;16" else image).save(path, transparency=65535 if mode == "I;16" else 255)
    assert distance(load_digit(path), load_digit(image)) < 0.03


def test_thumbnail_of_a_16_bit_image_shows_its_range(tmp_path: Path) -> None:
    image = draw_digit(FIVE)
    PIL.Image.fromarray(np.asarray(image).astype(np.uint16) * 257).save(tmp_path / "five.png")
    image.save(tmp_path / "eight.png")
    deep, expected = (thumbnail(tmp_path / name)[0].astype(float) for name in ("five.png", "eight.png"))
    assert deep.min() < 10
    assert deep.max() > 245
    assert np.corrcoef(deep.ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_pretrained_model_recognises_images_of_more_than_8_bits(mode: str, tmp_path: Path) -> None:
    pixels = np.asarray(draw_digit(SEVEN), np.float64) / 255
    deep = (pixels * 65535).astype(np.uint16) if mode == "I;16" else pixels.astype(np.float32)
    path = tmp_path / f"seven.{'png' if mode == 'I;16' else 'tiff'}"
    PIL.Image.fromarray(deep).save(path)
    weights = lenet5.load("mnist_robust_v1")
    assert weights.predict(path).labels.tolist() == [7]
    inverted = (255 - 255 * pixels).round().astype(np.uint8)
    expected = weights.predict(PIL.Image.fromarray(inverted), raw=True)
    PIL.Image.fromarray(65535 - deep if mode == "I;16" else 1 - deep).save(path)
    torch.testing.assert_close(weights.predict(path, raw=True).probabilities, expected.probabilities, rtol=0, atol=0.1)
