"""The range of each dtype and PIL mode, and shapes that are ambiguous."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lenet5 import ImageDataset, Preprocess
from lenet5.data.images import as_pixels


def pixels(image: Any) -> list[Any]:
    """Return the pixels of a greyscale image, from 0 to 255."""
    converted = as_pixels(image, 1)
    assert converted.shape[0] == 1
    return np.rint(converted[0].numpy()).astype(int).tolist()  # type: ignore[no-any-return]


def saved(image: PIL.Image.Image, **options: Any) -> PIL.Image.Image:
    """Write a PNG file and read it."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return PIL.Image.open(buffer)


LEVELS = np.arange(0, 256, 3, dtype=np.uint8).reshape(2, 43)  # 86 grey values


@pytest.mark.parametrize(
    "image",
    [
        LEVELS.astype(np.uint16) * 257,
        LEVELS.astype(">u2") * 257,
        LEVELS.astype(np.int64),
        LEVELS.astype(">i4"),
        LEVELS.astype(np.int16),
        LEVELS.astype(np.uint32),
        LEVELS / 255,
        (LEVELS / 255).astype(">f4"),
        (LEVELS / 255).astype(np.float16),
        (LEVELS / 255).astype(np.longdouble),
        LEVELS[::-1, ::-1][::-1, ::-1],
        torch.from_numpy(LEVELS.astype(np.int32)),
        torch.from_numpy(LEVELS.astype(np.uint16) * 257),
        torch.from_numpy(LEVELS / 255),
        PIL.Image.fromarray(LEVELS),
        PIL.Image.fromarray(LEVELS).convert("I"),
        PIL.Image.fromarray(LEVELS).convert("F"),
        PIL.Image.fromarray((LEVELS / 255).astype(np.float32)),
        PIL.Image.fromarray(LEVELS.astype(np.uint16) * 257),
        PIL.Image.fromarray(LEVELS.astype(">u2") * 257),
        PIL.Image.fromarray(LEVELS.astype(np.int32) * 257),
        saved(PIL.Image.fromarray(LEVELS.astype(np.uint16) * 257)),
    ],
    ids=lambda image: getattr(image, "mode", None) or f"{type(image).__name__} {image.dtype}",
)
def test_every_dtype_and_mode_of_one_image_gives_the_same_pixels(image: Any) -> None:
    assert pixels(image) == LEVELS.tolist()


@given(values=hnp.arrays("uint16", (5, 6)))
def test_16_bit_images_agree_as_array_tensor_and_pil_image(values: npt.NDArray[np.uint16]) -> None:
    assume(not 0 < values.max() <= 255)
    expected = np.rint(values / 257).tolist()
    for image in (values, values.astype(">u2"), torch.from_numpy(values), PIL.Image.fromarray(values)):
        assert pixels(image) == expected
    unit = (values / 65535).astype(np.float32)
    for image in (unit, torch.from_numpy(unit), PIL.Image.fromarray(unit)):
        assert np.abs(np.array(pixels(image)) - values / 257).max() <= 0.502


@pytest.mark.parametrize("highest", [1, 255])
def test_16_bit_images_that_may_hold_8_bits_are_refused(highest: int) -> None:
    values = np.zeros((2, 1, 28, 28), np.uint16)
    values[1, 0, 3, 3] = highest
    dark: Any
    for dark in (values, values.astype(">u2"), torch.from_numpy(values), PIL.Image.fromarray(values[1, 0])):
        with pytest.raises(
            ValueError, match=f"16 bits have no value above {highest}, which is ambiguous; expected uint"
        ):
            Preprocess()(dark)
    with pytest.raises(ValueError, match="which is ambiguous"):
        ImageDataset(values, [0, 1], classes=None)
    assert Preprocess(mean=0.0, std=1.0)(values * 0).max() == 0
    assert Preprocess(mean=0.0, std=1.0)(values / 65535).max() < 0.004
    assert Preprocess(mean=0.0, std=1.0)(values.astype("uint8")).max() == pytest.approx(highest / 255)
    values[0, 0, 0, 0] = 65535
    assert Preprocess(mean=0.0, std=1.0)(values)[1].max() < 0.004


@given(values=hnp.arrays("bool", (5, 6)))
def test_1_bit_images_agree_as_array_tensor_and_pil_image(values: npt.NDArray[np.bool_]) -> None:
    for image in (values, torch.from_numpy(values), PIL.Image.fromarray(values)):
        assert pixels(image) == (values * 255).tolist()


@given(values=hnp.arrays("uint8", st.tuples(st.just(5), st.just(6), st.sampled_from([3, 4]))))
def test_colour_images_agree_as_array_tensor_and_pil_image(values: npt.NDArray[np.uint8]) -> None:
    expected = Preprocess()(PIL.Image.fromarray(values))
    for image in (values, values[::-1][::-1], torch.from_numpy(values)):
        assert torch.equal(Preprocess()(image), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "I;16", "1"])
def test_transparent_colour_of_a_png_file_becomes_black(mode: str) -> None:
    grey = np.full((2, 2), 255, np.uint8)
    grey[0, 0] = 0
    image = PIL.Image.fromarray(grey.astype(np.uint16) * 257 if mode == "I;16" else grey)
    image = image if mode == "I;16" else image.convert(mode)
    clear = image.getpixel((1, 1))
    try:
        read = saved(image, transparency=clear)
    except OSError as error:
        pytest.skip(f"this version of Pillow writes no such file: {error}")
    assert "transparency" in read.info
    assert Preprocess(image_size=2, mean=0.0, std=1.0)(read).max() == 0


def test_first_frame_of_an_animation_is_read() -> None:
    frames = [PIL.Image.new("L", (4, 4), level) for level in (200, 100)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert np.unique(as_pixels(PIL.Image.open(buffer), 1)).tolist() == [200]


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "F"])
def test_images_are_turned_upright(mode: str) -> None:
    image = PIL.Image.fromarray(LEVELS)
    image = PIL.Image.fromarray(LEVELS.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    turned = image.transpose(PIL.Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    assert torch.equal(as_pixels(turned, 1), as_pixels(image, 1))


@pytest.mark.parametrize("kind", [np.zeros, torch.zeros])
@pytest.mark.parametrize("shape", [(3, 28, 28), (4, 28, 28), (1, 28, 3), (3, 3, 3), (1, 5, 1)])
def test_ambiguous_shape_is_refused_for_tensors_and_arrays(kind: Any, shape: tuple[int, ...]) -> None:
    message = r"which is ambiguous; expected images\[None\] for one image in \(C, H, W\), images\[:, None\] for"
    with pytest.raises(ValueError, match=message):
        Preprocess()(kind(shape))
    assert Preprocess()(kind(shape)[None]).shape == (1, 1, 28, 28)
    assert Preprocess()(kind(shape)[:, None]).shape == (shape[0], 1, 28, 28)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            np.array([[0, 256]]),
            r"images lie in \[0, 256\]; expected integers from 0 to 255 \(16-bit images are uint16\)",
        ),
        (np.array([[-1, 255]]), r"images lie in \[-1, 255\]; expected integers from 0 to 255"),
        (torch.tensor([[0, 70_000]]), r"images lie in \[0, 7e\+04\]; expected integers from 0 to 255"),
        (
            PIL.Image.fromarray(np.array([[0, 70_000]], np.int32)),
            r"the image of mode 'I' has values in \[0, 70000\]; expected \[0, 255\] or \[0, 65535\]",
        ),
        (PIL.Image.fromarray(np.array([[-1, 7]], np.int32)), r"mode 'I' has values in \[-1, 7\]"),
        (PIL.Image.new("F", (2, 2), 300), r"mode 'F' has values in \[300.0, 300.0\]; expected \[0, 1\] or \[0, 255\]"),
        (PIL.Image.new("F", (2, 2), float("nan")), "images hold 4 values that are NaN or infinite"),
        (PIL.Image.new("L", (0, 5)), r"the image has the size \(0, 5\); expected at least one pixel"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_values_out_of_range_are_refused(image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocess()(image)
