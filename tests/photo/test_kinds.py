"""Images of any kind: paths, PIL images, arrays, tensors, and what gradio gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch
from tests.photo.writing import write
from torchvision import tv_tensors

import lenet5
from lenet5 import load_digit, load_digits


def paper() -> PIL.Image.Image:
    """Write a five on coloured paper."""
    grey = PIL.Image.new("L", (200, 160), 230)
    write(grey, "5")
    return PIL.Image.merge("RGB", (grey, grey.point(lambda level: level * 0.9), grey.point(lambda level: level * 0.8)))


COLOUR: npt.NDArray[Any] = np.asarray(paper())
GREY: npt.NDArray[Any] = np.asarray(paper().convert("L"))
TENSOR = torch.from_numpy(COLOUR.copy()).permute(2, 0, 1)

COLOURED: dict[str, Any] = {
    "array (H, W, 3)": COLOUR,
    "array (3, H, W)": COLOUR.transpose(2, 0, 1),
    "array of strides": COLOUR[::-1][::-1],
    "not writable": np.frombuffer(COLOUR.tobytes(), np.uint8).reshape(COLOUR.shape),
    "int64": COLOUR.astype(np.int64),
    "float64 in [0, 1]": COLOUR / 255,
    "float32 in [0, 1]": (COLOUR / 255).astype(np.float32),
    "big-endian float": (COLOUR / 255).astype(">f4"),
    "longdouble": (COLOUR / 255).astype(np.longdouble),
    "list": COLOUR.tolist(),
    "opaque RGBA": np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)]),
    "opaque float RGBA": np.dstack([COLOUR / 255, np.ones(GREY.shape)]),
    "tensor (3, H, W)": TENSOR,
    "float tensor": TENSOR / 255,
    "tensor with gradient": (TENSOR / 255).requires_grad_(),
    "tensor (H, W, 3)": TENSOR.permute(1, 2, 0),
    "torchvision's image": tv_tensors.Image(TENSOR),
    "gradio's editor": {"background": None, "layers": [], "composite": COLOUR},
    "PIL image in an editor": {"background": None, "layers": [], "composite": paper()},
}
GREYSCALE: dict[str, Any] = {
    "array (H, W)": GREY,
    "array (H, W, 1)": GREY[..., None],
    "array (1, H, W)": GREY[None],
    "grey and opaque": np.dstack([GREY, np.full(GREY.shape, 255, np.uint8)]),
    "float (H, W)": GREY / 255,
    "tensor (H, W)": torch.from_numpy(GREY.copy()),
    "tensor (1, H, W)": torch.from_numpy(GREY.copy())[None],
}


@pytest.mark.parametrize("kind", COLOURED)
def test_all_kinds_of_one_image_give_the_same_digit(kind: str, tmp_path: Path) -> None:
    paper().save(tmp_path / "five.png")
    digit = load_digit(tmp_path / "five.png")
    assert torch.equal(load_digit(paper()), digit)
    assert torch.equal(load_digit(COLOURED[kind]), digit)
    assert torch.equal(load_digits(COLOURED[kind]).boxes, load_digits(tmp_path / "five.png").boxes)


@pytest.mark.parametrize("kind", GREYSCALE)
def test_all_kinds_of_a_greyscale_image_give_the_same_digit(kind: str) -> None:
    assert torch.equal(load_digit(GREYSCALE[kind]), load_digit(paper().convert("L")))


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the relative difference of two digits, from 0 to 1."""
    return float((first.float() - second.float()).abs().sum() / (first.float().sum() + second.float().sum()))


TRANSPARENT = np.dstack([np.zeros((*GREY.shape, 3), np.uint8), 230 - GREY])
"""Black strokes on nothing, as drawn on gradio's `Sketchpad`."""

SIMILAR: dict[str, Any] = {
    "BGR": COLOUR[..., ::-1],
    "bool": GREY < 128,
    "bool (H, W, 3)": COLOUR < 128,
    "bfloat16": (TENSOR / 255).bfloat16(),
    "float16": (COLOUR / 255).astype(np.float16),
    "dark uint16": GREY.astype(np.uint16),
    "uint16 (H, W, 3)": COLOUR.astype(np.uint16) * 257,
    "uint16 tensor": torch.from_numpy(COLOUR.astype(np.uint16) * 257),
    "big-endian uint16": GREY.astype(">u2"),
    "uint16 with alpha": TRANSPARENT.astype(np.uint16) * 257,
    "transparent": TRANSPARENT,
    "transparent float": TRANSPARENT / 255,
    "grey and transparent": TRANSPARENT[..., 2:],
    "transparent tensor": torch.from_numpy(TRANSPARENT).permute(2, 0, 1),
    "sketch": {"background": None, "layers": [TRANSPARENT], "composite": TRANSPARENT},
}


@pytest.mark.parametrize("kind", SIMILAR)
def test_kinds_of_fewer_or_other_levels_give_a_similar_digit(kind: str) -> None:
    assert distance(load_digit(SIMILAR[kind]), load_digit(paper())) < 0.12


def test_deep_array_is_as_deep_image() -> None:
    deep = GREY.astype(np.uint16) * 9
    assert torch.equal(load_digit(deep), load_digit(PIL.Image.fromarray(deep)))


def test_array_in_mnist_format_is_returned_unchanged() -> None:
    digit = load_digit(paper())
    for same in (digit, digit[0], digit.numpy(), digit[0] / 255, digit[0].numpy()[..., None]):
        assert torch.equal(load_digit(same), digit)
    for other in (digit, digit.numpy()):
        assert load_digit(other).data_ptr() != digit.data_ptr()


def test_image_is_not_changed() -> None:
    array = COLOUR.copy()
    load_digit(array)
    assert np.array_equal(array, COLOUR)


def test_anything_that_numpy_accepts_is_an_array() -> None:
    class Frame:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
            return GREY

    assert torch.equal(load_digit(Frame()), load_digit(GREY))


BAD_VALUES: dict[str, tuple[Any, str]] = {
    "no pixels": (np.zeros((0, 20), np.uint8), r"shape \(0, 20\); expected \(H, W\), \(H, W, C\) or \(C, H, W\)"),
    "no columns": (np.zeros((20, 0, 3), np.uint8), r"shape \(20, 0, 3\); expected"),
    "no rows of a list": ([], r"shape \(0,\); expected"),
    "a number": (np.uint8(3), r"shape \(\); expected"),
    "five channels": (np.zeros((20, 30, 5), np.uint8), r"shape \(20, 30, 5\); expected .* with 1 to 4 channels$"),
    "ambiguous": (np.zeros((3, 30, 4), np.uint8), r"shape \(3, 30, 4\)"),
    "batch": (torch.zeros(5, 1, 28, 28), r"shape \(5, 1, 28, 28\); .*: pass the images of a batch one by one"),
    "NaN": (np.full((20, 20), np.nan), "400 values that are NaN or infinite"),
    "infinite": (torch.full((20, 20), torch.inf), "400 values that are NaN or infinite"),
    "floats to 255": (
        GREY.astype(np.float32),
        r"lie in \[28, 211\]; expected \[0, 1\], not normalised \(or pass uint8",
    ),
    "normalised": (GREY / 255 - 0.5, r"lie in \[-0.39\d*, 0.327\d*\]; expected \[0, 1\]"),
    "integers above 255": (GREY.astype(np.int32) * 9, r"lie in \[252, 1899\]; expected integers from 0 to 255"),
    "negative integers": (GREY.astype(np.int16) - 40, r"lie in \[-12, 171\]; expected integers from 0 to 255"),
    "complex": (GREY.astype(np.complex64), "dtype complex64; expected uint8, or floating point"),
    "objects": (GREY.astype(object), "dtype object; expected uint8, or floating point"),
    "text": (["one.png", "two.png"], "dtype <U7; expected uint8, or floating point"),
    "unequal rows": ([[1, 2], [3]], "a sequence whose rows differ in length; expected an array"),
    "PIL image without pixels": (PIL.Image.new("L", (0, 5)), r"size \(0, 5\); expected at least one pixel"),
}


@pytest.mark.parametrize("load", [load_digit, load_digits])
@pytest.mark.parametrize("kind", BAD_VALUES)
def test_array_that_is_no_image_is_refused(kind: str, load: Callable[[Any], object]) -> None:
    image, message = BAD_VALUES[kind]
    with pytest.raises(ValueError, match=message):
        load(image)


@pytest.mark.parametrize("load", [load_digit, load_digits])
@pytest.mark.parametrize(
    "image", [None, 3, b"PNG", {"image": GREY}, {"composite": None}, object(), lenet5.Preprocess()]
)
def test_argument_of_another_type_is_refused(image: Any, load: Callable[[Any], object]) -> None:
    name = "NoneType" if image == {"composite": None} else type(image).__name__
    expected = f"the image is {name}; expected a path, a PIL image, an array or a tensor"
    with pytest.raises(TypeError, match=expected):
        load(image)


@pytest.mark.parametrize("load", [load_digit, load_digits])
def test_file_that_cannot_be_read_is_named(load: Callable[[Any], object], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing.png does not exist"):
        load(tmp_path / "missing.png")
