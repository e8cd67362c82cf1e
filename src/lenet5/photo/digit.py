"""The pipeline from a photograph of one digit to an image in MNIST's format."""

from os import PathLike, fspath

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps
import torch
from torch import Tensor

from ..data.images import is_deep, open_image, read_layers
from .normalisation import is_normalised, normalise
from .pixels import Grey

__all__ = ["load_digit", "open_image", "thumbnail"]


def load_digit(image: str | PathLike[str] | PIL.Image.Image) -> Tensor:
    """Convert a photograph, scan or drawing of one digit to MNIST's format.

    The digit is segmented from the background. It may be dark on light or light on dark, unevenly lit, and on ruled
    paper. The width of its strokes is then adjusted to MNIST's range. The digit is scaled to fit 20x20 pixels, and its
    centre of mass is placed at the centre of the 28x28 image (LeCun, Bottou, Bengio and Haffner 1998, section III.A).
    An image that is already in this format is returned unchanged.

    Parameters
    ----------
    image
        A path, or a PIL image of any mode and size.

    Returns
    -------
    Tensor
        (1, 28, 28) uint8, light on dark.

    Raises
    ------
    ValueError
        The file does not exist or is not a readable image, or the image does not show exactly one digit.
    TypeError
        `image` is neither a path nor a PIL image.

    Examples
    --------
    >>> digit = lenet5.load_digit("pencil.jpg")
    >>> digit.shape, digit.dtype
    (torch.Size([1, 28, 28]), torch.uint8)
    """
    if not isinstance(image, str | PathLike | PIL.Image.Image):
        raise TypeError(f"the image is {type(image).__name__}; expected a path or a PIL image")
    name, opened = ("the image", image) if isinstance(image, PIL.Image.Image) else (fspath(image), open_image(image))
    grey = _to_greyscale(opened)
    if is_normalised(np.asarray(grey)):
        return torch.from_numpy(np.rint(np.asarray(grey)).astype(np.uint8))[None]
    from .segmentation import segment  # with scipy, which images in MNIST's format do not need

    try:
        return torch.from_numpy(normalise(segment(grey)))[None]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def thumbnail(path: str | PathLike[str], side: int = 400) -> npt.NDArray[np.uint8]:
    """Read an image file as an upright (H, W, 3) uint8 array on white, at most `side` pixels high and wide."""
    image = PIL.ImageOps.exif_transpose(open_image(path))
    if is_deep(image):
        image = _to_greyscale(image).convert("L")
    image.thumbnail((side, side))
    layer = image.convert("RGBA")
    return np.asarray(PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))


def _to_greyscale(image: PIL.Image.Image) -> PIL.Image.Image:
    """Convert to an upright image of mode "F", from 0 for black to 255 for white.

    Images of more than 8 bits are scaled to the full range, because cameras and scanners seldom use all of it.
    """
    colours, alpha = read_layers(image)
    if is_deep(image):
        low, high = float(colours.min()), float(colours.max())
        grey = (colours.astype(np.float32) - low) * (255 / max(high - low, 1e-6))
    else:
        grey = np.asarray(PIL.Image.fromarray(colours).convert("L"), np.float32)
    return PIL.Image.fromarray(grey if alpha is None else _flatten(grey, alpha))


def _flatten(grey: Grey, alpha: Grey) -> Grey:
    """Composite a transparent image onto black or white, whichever contrasts more with its opaque pixels."""
    opaque_mean = (grey * alpha).sum() / max(alpha.sum(), 1e-6)
    background = 255 if opaque_mean < 128 else 0
    return (grey * alpha + (1 - alpha) * background).astype(np.float32)
