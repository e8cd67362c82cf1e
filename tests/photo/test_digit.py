from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageOps
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import lenet5
from lenet5 import DataSplits, load_digit, load_digits
from lenet5.photo import open_image, thumbnail

SEVEN = [(10, 10), (50, 12), (25, 90)]
FIVE = [(50, 10), (15, 10), (14, 45), (45, 50), (48, 75), (30, 90), (10, 84)]
TWO = [(10, 25), (30, 8), (50, 25), (12, 90), (52, 90)]
DIGITS = {"seven": SEVEN, "five": FIVE, "two": TWO, "one": [(30, 8), (28, 92)]}


def draw_digit(
    strokes: str = "two",
    *,
    size: tuple[int, int] = (200, 160),
    position: tuple[float, float] = (60, 40),
    scale: float = 1.0,
    width: float = 6,
    ink: int = 30,
    background: int = 230,
) -> PIL.Image.Image:
    """Draw an antialiased digit of 60x100 pixels, with its upper left corner at a position."""
    image = PIL.Image.new("L", (size[0] * 4, size[1] * 4), background)
    points = [((position[0] + x * scale) * 4, (position[1] + y * scale) * 4) for x, y in DIGITS[strokes]]
    pen = PIL.ImageDraw.Draw(image)
    pen.line(points, ink, round(width * 4), joint="curve")
    return image.resize(size, PIL.Image.Resampling.BOX)


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the relative difference of two digits, from 0 to 1."""
    return float((first.float() - second.float()).abs().sum() / (first.float().sum() + second.float().sum()))


def check_format(digit: torch.Tensor) -> None:
    assert digit.shape == (1, 28, 28)
    assert digit.dtype == torch.uint8
    assert digit.max() == 255
    pixels = digit[0].numpy()
    sides = [np.ptp(np.flatnonzero(pixels.max(axis))) + 1 for axis in (0, 1)]
    assert 19 <= max(sides) <= 21
    assert np.abs(np.subtract(ndimage.center_of_mass(pixels), 14)).max() <= 1


def light_unevenly(image: PIL.Image.Image, depth: float) -> PIL.Image.Image:
    light = np.linspace(1, 1 - depth, image.width)[None] * np.linspace(1, 1 - depth / 2, image.height)[:, None]
    noise = np.random.default_rng(0).normal(0, 2, light.shape)
    return PIL.Image.fromarray((np.asarray(image) * light + noise).clip(0, 255).astype(np.uint8))


# Output


@settings(max_examples=25)
@given(
    strokes=st.sampled_from(sorted(DIGITS)),
    scale=st.floats(0.3, 1.2),
    width=st.floats(0.03, 0.16),
    position=st.tuples(st.integers(12, 80), st.integers(12, 60)),
    ink=st.integers(0, 90),
    background=st.integers(150, 255),
)
def test_drawings_are_converted_to_mnist_format(
    strokes: str, scale: float, width: float, position: tuple[int, int], ink: int, background: int
) -> None:
    pen: dict[str, Any] = {"width": max(1.5, 100 * scale * width), "ink": ink, "background": background}
    digit = load_digit(draw_digit(strokes, size=(180, 200), position=position, scale=scale, **pen))
    check_format(digit)
    assert torch.equal(load_digit(PIL.Image.fromarray(digit[0].numpy())), digit)  # unchanged by a second conversion


@pytest.mark.parametrize("strokes", DIGITS)
def test_polarity_does_not_matter(strokes: str) -> None:
    image = draw_digit(strokes)
    assert distance(load_digit(image), load_digit(PIL.ImageOps.invert(image))) < 0.02


@settings(max_examples=15)
@given(factor=st.floats(0.3, 6))
def test_image_size_does_not_matter(factor: float) -> None:
    image = draw_digit()
    size = round(image.width * factor), round(image.height * factor)
    assert distance(load_digit(image), load_digit(image.resize(size, PIL.Image.Resampling.BICUBIC))) < 0.12


@settings(max_examples=15)
@given(border=st.tuples(*[st.integers(0, 150)] * 4))
def test_margin_does_not_matter(border: tuple[int, int, int, int]) -> None:
    assert distance(load_digit(draw_digit()), load_digit(PIL.ImageOps.expand(draw_digit(), border, 230))) < 0.08


@pytest.mark.parametrize("strokes", ["two", "five", "seven"])
@pytest.mark.parametrize("inverted", [False, True])
def test_digit_may_fill_small_image(strokes: str, inverted: bool) -> None:
    small = (
        draw_digit(strokes, size=(62, 100), position=(0, 0), width=12)
        .crop((8, 4, 54, 96))
        .resize((10, 20), PIL.Image.Resampling.BOX)
    )
    digit = load_digit(PIL.ImageOps.invert(small) if inverted else small)
    check_format(digit)
    assert distance(digit, load_digit(draw_digit(strokes, width=12))) < 0.2


@pytest.mark.parametrize("width", [1.5, 3, 12])
def test_stroke_width_is_within_mnist_range(width: float) -> None:
    pixels = load_digit(draw_digit(width=width))[0].numpy()
    inside = ndimage.distance_transform_edt(ndimage.zoom(pixels.astype(float), 8, order=1) > 127) / 8
    assert 1.9 < 4 * inside[inside > 0].mean() < 4.2


def test_mnist_images_are_returned_unchanged(mnist_root: Path) -> None:
    images = lenet5.load_data("mnist", mnist_root, download=False).val.images[:200]
    for image in images:
        assert torch.equal(load_digit(PIL.Image.fromarray(image[0].numpy())), image)


# Photographs


@pytest.mark.parametrize("strokes", DIGITS)
def test_uneven_light_and_noise_do_not_matter(strokes: str) -> None:
    image = draw_digit(strokes, size=(300, 260), position=(120, 80))
    assert distance(load_digit(image), load_digit(light_unevenly(image, 0.6))) < 0.15


@pytest.mark.parametrize("strokes", DIGITS)
@pytest.mark.parametrize("tilt", [0, 4])
@pytest.mark.parametrize("squares", [False, True])
def test_ruled_lines_are_removed(strokes: str, tilt: int, squares: bool) -> None:
    plain = draw_digit(strokes, size=(360, 300), position=(140, 90))
    image = np.asarray(plain.rotate(-tilt, fillcolor=230)).copy()
    for at in range(15, 360, 40):
        image[at : at + 2] = np.minimum(image[at : at + 2], 170)
        if squares:
            image[:, at : at + 2] = np.minimum(image[:, at : at + 2], 170)
    ruled = PIL.Image.fromarray(image).rotate(tilt, fillcolor=230)
    assert distance(load_digit(plain), load_digit(ruled)) < 0.2


def test_paper_edge_and_table_are_ignored() -> None:
    sheet = draw_digit("five", size=(300, 240), position=(120, 70))
    table = PIL.Image.new("L", (400, 300), 60)
    table.paste(sheet, (70, 30))
    assert distance(load_digit(sheet), load_digit(table)) < 0.2


def test_specks_are_removed_and_detached_strokes_are_kept() -> None:
    image = draw_digit("five")
    pen = PIL.ImageDraw.Draw(image)
    whole = load_digit(image)
    pen.rectangle((66, 46, 72, 54), fill=230)  # detach the bar
    pieces = load_digit(image)
    check_format(pieces)
    assert distance(whole, pieces) < 0.2
    pen.ellipse((20, 20, 24, 24), fill=30)
    assert distance(load_digit(image), pieces) < 0.02


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpositions that undo each orientation
    turned = draw_digit("five")
    if orientation > 1:
        turned = turned.transpose(PIL.Image.Transpose(turns[orientation]))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    turned.save(tmp_path / "five.png", exif=exif)
    assert distance(load_digit(tmp_path / "five.png"), load_digit(draw_digit("five"))) < 0.02
    pixels, zoom = thumbnail(tmp_path / "five.png")
    assert (pixels.shape, zoom) == ((160, 200, 3), 1)
    pixels, zoom = thumbnail(tmp_path / "five.png", side=50)
    assert (pixels.shape, zoom) == ((40, 50, 3), 0.25)


def test_pretrained_model_recognises_drawings() -> None:
    model, preprocess = lenet5.lenet5(weights="DEFAULT"), lenet5.LeNet5_Weights.DEFAULT.transforms()
    digits = torch.stack([load_digit(draw_digit(strokes)) for strokes in ("one", "two", "five", "seven")])
    assert model(preprocess(digits)).argmax(1).tolist() == [1, 2, 5, 7]


def test_pretrained_model_recognises_scikit_learn_digits(digits: DataSplits) -> None:
    model, preprocess = lenet5.lenet5(weights="DEFAULT"), lenet5.LeNet5_Weights.DEFAULT.transforms()
    images = [PIL.Image.fromarray(255 - image[0].numpy()).resize((90, 90)) for image in digits.test.images[:60]]
    predictions = model(preprocess(torch.stack([load_digit(image) for image in images]))).argmax(1)
    assert (predictions == digits.test.targets[:60]).float().mean() > 0.85


# Rejected images


def noisy(deviation: float) -> PIL.Image.Image:
    pixels = np.random.default_rng(0).normal(200, deviation, (240, 300))
    return PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "image",
    [
        PIL.Image.new("L", (100, 100), 255),
        PIL.Image.new("RGBA", (40, 40)),
        PIL.Image.new("L", (1, 1)),
        PIL.Image.new("F", (28, 28)),
        noisy(3),
        noisy(40),
        light_unevenly(PIL.Image.new("L", (200, 150), 240), 0.7),
        PIL.ImageOps.expand(PIL.Image.new("L", (60, 60), 0), 40, 255),
    ],
    ids=["white", "transparent", "a pixel", "black", "paper", "noise", "shadow", "a square"],
)
def test_image_without_digit_is_rejected(image: PIL.Image.Image) -> None:
    with pytest.raises(ValueError, match="the image: no digit was found; expected one, dark on light or light on"):
        load_digit(image)


@pytest.mark.parametrize("side", [12, 16, 48, 80, 120])
def test_cropped_digits_are_recognised(digits: DataSplits, side: int) -> None:
    model, preprocess = lenet5.lenet5(weights="DEFAULT"), lenet5.LeNet5_Weights.DEFAULT.transforms()
    converted, unread = [], torch.zeros(1, 28, 28, dtype=torch.uint8)
    for image in digits.test.images[:40, 0]:
        rows, columns = (image.amax(axis).nonzero() for axis in (1, 0))  # without the margin of the 28x28 image
        cropped = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].numpy()
        height, width = (max(2, round(side * length / max(cropped.shape))) for length in cropped.shape)
        resized = PIL.Image.fromarray(cropped).resize((width, height), PIL.Image.Resampling.BICUBIC)
        read = load_digits(resized).images
        converted.append(read[0] if len(read) == 1 else unread)
    with torch.inference_mode():
        predictions = model(preprocess(torch.stack(converted))).argmax(1)
    assert (predictions == digits.test.targets[:40]).float().mean() >= 0.85


@pytest.mark.parametrize("gap", [8, 25, 60])
@pytest.mark.parametrize("inverted", [False, True])
def test_two_digits_are_rejected(gap: int, inverted: bool, tmp_path: Path) -> None:
    image = PIL.Image.new("L", (260, 160), 230)
    image.paste(draw_digit("two", size=(60, 120), position=(4, 10)), (20, 15))
    image.paste(draw_digit("five", size=(60, 120), position=(4, 10)), (70 + gap, 15))
    (PIL.ImageOps.invert(image) if inverted else image).save(tmp_path / "25.png")
    with pytest.raises(ValueError, match=r"25.png: 2 digits were found; expected one"):
        load_digit(tmp_path / "25.png")


def test_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note.txt").write_text("not an image", encoding="utf-8")
    with pytest.raises(ValueError, match="note.txt is not a readable image; expected PNG, JPEG or another common"):
        load_digit(str(tmp_path / "note.txt"))
    with pytest.raises(ValueError, match="nothing.png does not exist"):
        load_digit(tmp_path / "nothing.png")
    for name, described in (("", "an empty path"), ("a\0b", r"a\\x00b")):
        with pytest.raises(ValueError, match=f"^{described} does not exist"):
            load_digit(name)
    draw_digit().save(tmp_path / "large.png")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"large.png is too large: Image size"):
        open_image(tmp_path / "large.png")
