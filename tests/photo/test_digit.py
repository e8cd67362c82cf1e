from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
import PIL.ImageOps
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import lenet5
from lenet5 import DataSplits, load_digit
from lenet5.data.photo import open_picture, thumbnail

Pixels = npt.NDArray[np.uint8]

SEVEN = [(10, 10), (50, 12), (25, 90)]
FIVE = [(50, 10), (15, 10), (14, 45), (45, 50), (48, 75), (30, 90), (10, 84)]
TWO = [(10, 25), (30, 8), (50, 25), (12, 90), (52, 90)]
DIGITS = {"seven": SEVEN, "five": FIVE, "two": TWO, "one": [(30, 8), (28, 92)]}


def drawn(
    strokes: str = "two",
    *,
    size: tuple[int, int] = (200, 160),
    place: tuple[float, float] = (60, 40),
    scale: float = 1.0,
    width: float = 6,
    ink: int = 30,
    ground: int = 230,
) -> PIL.Image.Image:
    """Draw a digit of 60 by 100 with its corner at a place, four times as large at first, so that it is antialiased."""
    picture = PIL.Image.new("L", (size[0] * 4, size[1] * 4), ground)
    points = [((place[0] + x * scale) * 4, (place[1] + y * scale) * 4) for x, y in DIGITS[strokes]]
    pen = PIL.ImageDraw.Draw(picture)
    pen.line(points, ink, round(width * 4), joint="curve")
    return picture.resize(size, PIL.Image.Resampling.BOX)


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return how far two digits are apart, from 0 to 1."""
    return float((one.float() - other.float()).abs().sum() / (one.float().sum() + other.float().sum()))


def check_form(digit: torch.Tensor) -> None:
    assert digit.shape == (1, 28, 28)
    assert digit.dtype == torch.uint8
    assert digit.max() == 255
    pixels = digit[0].numpy()
    sides = [np.ptp(np.flatnonzero(pixels.max(axis))) + 1 for axis in (0, 1)]
    assert 19 <= max(sides) <= 21
    assert np.abs(np.subtract(ndimage.center_of_mass(pixels), 14)).max() <= 1


def lit_unevenly(picture: PIL.Image.Image, depth: float) -> PIL.Image.Image:
    light = np.linspace(1, 1 - depth, picture.width)[None] * np.linspace(1, 1 - depth / 2, picture.height)[:, None]
    noise = np.random.default_rng(0).normal(0, 2, light.shape)
    return PIL.Image.fromarray((np.asarray(picture) * light + noise).clip(0, 255).astype(np.uint8))


# What comes out


@settings(max_examples=25)
@given(
    strokes=st.sampled_from(sorted(DIGITS)),
    scale=st.floats(0.3, 1.2),
    width=st.floats(0.03, 0.16),
    place=st.tuples(st.integers(12, 80), st.integers(12, 60)),
    ink=st.integers(0, 90),
    ground=st.integers(150, 255),
)
def test_whatever_is_drawn_has_the_form_of_mnists_digits(
    strokes: str, scale: float, width: float, place: tuple[int, int], ink: int, ground: int
) -> None:
    picture = drawn(
        strokes, size=(180, 200), place=place, scale=scale, width=max(1.5, 100 * scale * width), ink=ink, ground=ground
    )
    digit = load_digit(picture)
    check_form(digit)
    assert torch.equal(load_digit(PIL.Image.fromarray(digit[0].numpy())), digit)  # as it is, the second time


@pytest.mark.parametrize("strokes", DIGITS)
def test_light_on_dark_and_dark_on_light_are_the_same(strokes: str) -> None:
    picture = drawn(strokes)
    assert far(load_digit(picture), load_digit(PIL.ImageOps.invert(picture))) < 0.02


@settings(max_examples=15)
@given(factor=st.floats(0.3, 6))
def test_the_size_of_the_picture_does_not_matter(factor: float) -> None:
    picture = drawn()
    size = round(picture.width * factor), round(picture.height * factor)
    assert far(load_digit(picture), load_digit(picture.resize(size, PIL.Image.Resampling.BICUBIC))) < 0.08


@settings(max_examples=15)
@given(border=st.tuples(*[st.integers(0, 150)] * 4))
def test_the_margin_does_not_matter(border: tuple[int, int, int, int]) -> None:
    assert far(load_digit(drawn()), load_digit(PIL.ImageOps.expand(drawn(), border, 230))) < 0.08


@pytest.mark.parametrize("strokes", ["two", "five", "seven"])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_digit_may_fill_a_small_picture_to_its_edges(strokes: str, inverted: bool) -> None:
    small = (
        drawn(strokes, size=(62, 100), place=(0, 0), width=12)
        .crop((8, 4, 54, 96))
        .resize((10, 20), PIL.Image.Resampling.BOX)
    )
    digit = load_digit(PIL.ImageOps.invert(small) if inverted else small)
    check_form(digit)
    assert far(digit, load_digit(drawn(strokes, width=12))) < 0.2


@pytest.mark.parametrize("width", [1.5, 3, 12])
def test_strokes_are_as_thick_as_mnists(width: float) -> None:
    pixels = load_digit(drawn(width=width))[0].numpy()
    inside = ndimage.distance_transform_edt(ndimage.zoom(pixels.astype(float), 8, order=1) > 127) / 8
    assert 1.9 < 4 * inside[inside > 0].mean() < 4.2


def test_pixels_that_are_mnists_already_are_returned_as_they_are(mnist_root: Path) -> None:
    images = lenet5.load_data("mnist", mnist_root, download=False).val.images[:200]
    for image in images:
        assert torch.equal(load_digit(PIL.Image.fromarray(image[0].numpy())), image)


# What photographs have


@pytest.mark.parametrize("strokes", DIGITS)
def test_uneven_light_and_noise_do_not_matter(strokes: str) -> None:
    picture = drawn(strokes, size=(300, 260), place=(120, 80))
    assert far(load_digit(picture), load_digit(lit_unevenly(picture, 0.6))) < 0.15


@pytest.mark.parametrize("strokes", DIGITS)
@pytest.mark.parametrize("tilt", [0, 4])
@pytest.mark.parametrize("squares", [False, True])
def test_the_lines_of_the_paper_are_left_out(strokes: str, tilt: int, squares: bool) -> None:
    plain = drawn(strokes, size=(360, 300), place=(140, 90))
    picture = np.asarray(plain.rotate(-tilt, fillcolor=230)).copy()
    for at in range(15, 360, 40):
        picture[at : at + 2] = np.minimum(picture[at : at + 2], 170)
        if squares:
            picture[:, at : at + 2] = np.minimum(picture[:, at : at + 2], 170)
    ruled = PIL.Image.fromarray(picture).rotate(tilt, fillcolor=230)
    assert far(load_digit(plain), load_digit(ruled)) < 0.2


def test_the_papers_edge_and_the_table_are_left_out() -> None:
    sheet = drawn("five", size=(300, 240), place=(120, 70))
    table = PIL.Image.new("L", (400, 300), 60)
    table.paste(sheet, (70, 30))
    assert far(load_digit(sheet), load_digit(table)) < 0.2


def test_specks_are_left_out_and_pieces_are_kept() -> None:
    picture = drawn("five")
    pen = PIL.ImageDraw.Draw(picture)
    whole = load_digit(picture)
    pen.rectangle((66, 46, 72, 54), fill=230)  # the bar comes off
    pieces = load_digit(picture)
    check_form(pieces)
    assert far(whole, pieces) < 0.2
    pen.ellipse((20, 20, 24, 24), fill=30)
    assert far(load_digit(picture), pieces) < 0.02


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_camera_says(orientation: int, tmp_path: Path) -> None:
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # FLIP_LEFT_RIGHT, ROTATE_180, ... as they undo the tag
    turned = drawn("five")
    if orientation > 1:
        turned = turned.transpose(PIL.Image.Transpose(turns[orientation]))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    turned.save(tmp_path / "five.png", exif=exif)
    assert far(load_digit(tmp_path / "five.png"), load_digit(drawn("five"))) < 0.02
    assert thumbnail(tmp_path / "five.png").shape == (160, 200, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F"])
def test_any_mode_will_do(mode: str) -> None:
    picture = drawn("five")
    pixels = np.asarray(picture, np.float32)
    given_in: PIL.Image.Image
    if mode == "I;16":
        given_in = PIL.Image.fromarray((pixels * 200).astype(np.uint16))
    elif mode in {"I", "F"}:
        given_in = PIL.Image.fromarray((pixels * 3).astype(np.int32 if mode == "I" else np.float32))
    else:
        given_in = picture.convert(mode, dither=PIL.Image.Dither.NONE)
    assert far(load_digit(given_in), load_digit(picture)) < 0.06


@pytest.mark.parametrize("ink", [0, 255])
def test_what_is_transparent_is_the_ground(ink: int) -> None:
    cover = PIL.ImageOps.invert(drawn("five", ink=0, ground=255))
    picture = PIL.Image.new("RGBA", cover.size, (ink, ink, ink, 0))
    picture.putalpha(cover)
    assert far(load_digit(picture), load_digit(drawn("five"))) < 0.03


def test_the_weights_know_the_digits() -> None:
    model, preprocess = lenet5.lenet5(weights="DEFAULT"), lenet5.LeNet5_Weights.DEFAULT.transforms()
    digits = torch.stack([load_digit(drawn(strokes)) for strokes in ("one", "two", "five", "seven")])
    assert model(preprocess(digits)).argmax(1).tolist() == [1, 2, 5, 7]


def test_scikit_learns_digits_are_known(digits: DataSplits) -> None:
    model, preprocess = lenet5.lenet5(weights="DEFAULT"), lenet5.LeNet5_Weights.DEFAULT.transforms()
    images = [PIL.Image.fromarray(255 - image[0].numpy()).resize((90, 90)) for image in digits.test.images[:60]]
    labels = model(preprocess(torch.stack([load_digit(image) for image in images]))).argmax(1)
    assert (labels == digits.test.targets[:60]).float().mean() > 0.85


# What is no picture of one digit


def noisy(deviation: float) -> PIL.Image.Image:
    pixels = np.random.default_rng(0).normal(200, deviation, (240, 300))
    return PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "picture",
    [
        PIL.Image.new("L", (100, 100), 255),
        PIL.Image.new("RGBA", (40, 40)),
        PIL.Image.new("L", (1, 1)),
        PIL.Image.new("F", (28, 28)),
        noisy(3),
        noisy(40),
        lit_unevenly(PIL.Image.new("L", (200, 150), 240), 0.7),
        PIL.ImageOps.expand(PIL.Image.new("L", (60, 60), 0), 40, 255),
    ],
    ids=["white", "transparent", "a pixel", "black", "paper", "noise", "shadow", "a square"],
)
def test_a_picture_without_a_digit_is_refused(picture: PIL.Image.Image) -> None:
    with pytest.raises(ValueError, match="the picture: no digit was found; expected one, dark on light or light on"):
        load_digit(picture)


@pytest.mark.parametrize("side", [12, 16, 48, 80, 120])
def test_digits_that_were_cut_to_their_size_are_read_whole(digits: DataSplits, side: int) -> None:
    model, preprocess = lenet5.lenet5(weights="DEFAULT"), lenet5.LeNet5_Weights.DEFAULT.transforms()
    found = []
    for image in digits.test.images[:40, 0]:
        rows, columns = (image.amax(axis).nonzero() for axis in (1, 0))  # scikit-learn's lie in a frame of 28x28
        cut = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].numpy()
        height, width = (max(2, round(side * length / max(cut.shape))) for length in cut.shape)
        picture = PIL.Image.fromarray(cut).resize((width, height), PIL.Image.Resampling.BICUBIC)
        found.append(load_digit(picture))
    with torch.inference_mode():
        labels = model(preprocess(torch.stack(found))).argmax(1)
    assert (labels == digits.test.targets[:40]).float().mean() >= 0.85


@pytest.mark.parametrize("gap", [8, 25, 60])
@pytest.mark.parametrize("inverted", [False, True])
def test_two_digits_are_refused(gap: int, inverted: bool, tmp_path: Path) -> None:
    picture = PIL.Image.new("L", (260, 160), 230)
    picture.paste(drawn("two", size=(60, 120), place=(4, 10)), (20, 15))
    picture.paste(drawn("five", size=(60, 120), place=(4, 10)), (70 + gap, 15))
    (PIL.ImageOps.invert(picture) if inverted else picture).save(tmp_path / "25.png")
    with pytest.raises(ValueError, match=r"25.png: 2 digits were found; expected one"):
        load_digit(tmp_path / "25.png")


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note.txt").write_text("no picture")
    with pytest.raises(ValueError, match="note.txt is no picture that can be read; expected PNG, JPEG or the like"):
        load_digit(str(tmp_path / "note.txt"))
    with pytest.raises(ValueError, match="nothing.png does not exist"):
        load_digit(tmp_path / "nothing.png")
    drawn().save(tmp_path / "large.png")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"large.png is too large a picture: Image size"):
        open_picture(tmp_path / "large.png")


@pytest.mark.parametrize(("thing", "name"), [(None, "NoneType"), (np.zeros((28, 28), np.uint8), "ndarray")])
def test_what_is_neither_a_path_nor_a_picture_is_a_type_error(thing: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"the picture is {name}; expected a path or a PIL image"):
        load_digit(thing)
