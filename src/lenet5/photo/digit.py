"""The pipeline from a photograph of digits to images in MNIST's format."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from .greyscale import Photograph, read_greyscale
from .normalisation import is_normalised, normalise
from .pixels import bounding_box
from .rows import Corners, reading_order


def load_digit(image: Photograph) -> Tensor:
    """Convert a photograph, scan or drawing of one digit to MNIST's format.

    A small network marks the ink of the digit. It may be dark on light or light on dark, unevenly lit, in a frame, and
    on ruled, squared or dotted paper. The width of its strokes is then adjusted to MNIST's range. The digit is scaled
    to fit 20x20 pixels, and its centre of mass is placed at the centre of the 28x28 image (LeCun, Bottou, Bengio and
    Haffner 1998, section III.A).
    An image that is already in this format is returned unchanged.

    Parameters
    ----------
    image
        One image:

        - a path;
        - a PIL image of any mode and size, turned upright as its EXIF data says;
        - an array or a tensor (H, W), (H, W, C) or (C, H, W), greyscale or RGB, with or without a last channel of
          alpha;
        - a dict with such an image as its entry "composite", which gradio's `ImageEditor` and `Sketchpad` return.

        The range depends on the dtype, as in `Preprocess`: floating point, 0 to 1; bool, False to True; integers, 0 to
        255. uint16 and PIL images of more than 8 bits are scaled to the range that they use. Only the greyscale counts,
        so that OpenCV's order of channels, BGR, works too.

    Returns
    -------
    Tensor
        (1, 28, 28) uint8, light on dark, on the CPU.

    Raises
    ------
    ValueError
        The file does not exist or is not a readable image, the array has the wrong shape, dtype or range, or the image
        does not show exactly one digit.
    TypeError
        `image` is of an unsupported type.

    See Also
    --------
    load_digits : Convert several digits.

    Examples
    --------
    >>> digit = lenet5.load_digit("pencil.jpg")
    >>> digit.shape, digit.dtype
    (torch.Size([1, 28, 28]), torch.uint8)
    >>> import PIL.Image
    >>> array = np.asarray(PIL.Image.open("pencil.jpg"))  # or cv2.imread("pencil.jpg")
    >>> array.shape, torch.equal(lenet5.load_digit(array), digit)
    ((480, 362, 3), True)
    """
    name, grey = read_greyscale(image)
    found = _find(grey)
    if not found:
        raise ValueError(f"{name}: no digit was found; expected one, dark on light or light on dark")
    if len(found) > 1:
        raise ValueError(f"{name}: {len(found)} digits were found; expected one: load_digits reads all of them")
    return found[0][0]


@dataclass(frozen=True, repr=False)
class Digits:
    """The digits of one photograph, from left to right; rows from top to bottom.

    Examples
    --------
    >>> digits = lenet5.load_digits("postcode.jpg")
    >>> digits
    <Digits: 5 digits>
    >>> lenet5.load("mnist_photo_v1").predict(digits.images).labels
    tensor([2, 7, 4, 1, 9])
    """

    images: Tensor
    """(N, 1, 28, 28) uint8, light on dark: each digit as `load_digit` returns it."""

    boxes: Tensor
    """(N, 4) int64: left, top, right and bottom of each digit, in pixels of the upright image.

    Right and bottom are exclusive, so that `image.crop(box.tolist())` of PIL is the digit. Functions of torchvision
    name this format XYXY.
    """

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"<Digits: {len(self)} digit{'' if len(self) == 1 else 's'}>"

    def _repr_png_(self) -> Any:
        from ..plots import plot_images

        return plot_images(self.images)._repr_png_() if len(self) else None


def load_digits(image: Photograph) -> Digits:
    """Convert a photograph, scan or drawing of several digits, such as a postal code, to MNIST's format.

    The digits are of similar size, and do not touch. What is less than 0.55 times as tall as the tallest digit is taken
    for a part of one or left out.

    Parameters
    ----------
    image
        As in `load_digit`.

    Returns
    -------
    Digits
        The digits from left to right, and rows from top to bottom. It is empty if the image shows no digit.

    Raises
    ------
    ValueError
        The file does not exist or is not a readable image, or the array has the wrong shape, dtype or range.
    TypeError
        `image` is of an unsupported type.

    Examples
    --------
    >>> digits = lenet5.load_digits("postcode.jpg")
    >>> digits.images.shape, digits.boxes[0]
    (torch.Size([5, 1, 28, 28]), tensor([ 54,  64, 103, 134]))
    """
    found = _find(read_greyscale(image)[1])
    if not found:
        return Digits(torch.zeros(0, 1, 28, 28, dtype=torch.uint8), torch.zeros(0, 4, dtype=torch.int64))
    ordered = [found[index] for index in reading_order([box for _, box in found])]
    return Digits(torch.stack([digit for digit, _ in ordered]), torch.tensor([box for _, box in ordered]))


def _find(grey: PIL.Image.Image) -> list[tuple[Tensor, Corners]]:
    """Return the digits (1, 28, 28) of an image of mode "L" or "F" with their bounding boxes, in any order."""
    pixels = np.asarray(grey)
    if is_normalised(pixels):
        rows, columns = bounding_box(pixels != 0)
        return [(_as_tensor(np.rint(pixels)), (columns.start, rows.start, columns.stop, rows.stop))]
    from .segmentation import segment_all  # with scipy, which images in MNIST's format do not need

    return [(_as_tensor(normalise(mask)), box) for mask, box in segment_all(grey)]


def _as_tensor(pixels: Any) -> Tensor:
    return torch.from_numpy(pixels.astype(np.uint8))[None]
