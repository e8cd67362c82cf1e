"""Images of any kind in greyscale: files, PIL images, arrays and tensors."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps
import torch
from torch import Tensor

from ..data.images import array_to_tensor, is_deep, open_image, read_layers, scale_pixels
from ..storage import StrPath
from .pixels import Grey

__all__ = ["Photograph", "open_image", "read_greyscale", "thumbnail"]

Photograph: TypeAlias = "StrPath | PIL.Image.Image | Tensor | npt.ArrayLike | Mapping[str, Any]"

_CHANNELS = (1, 2, 3, 4)  # greyscale, greyscale with alpha, RGB, RGBA
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in PIL
_COMPOSITE = "composite"  # the drawing among the entries that gradio's `ImageEditor` and `Sketchpad` return


def read_greyscale(image: Photograph) -> tuple[str, PIL.Image.Image]:
    """Read one image of any kind; see `load_digit`.

    Returns
    -------
    name
        The path, or "the image", for messages.
    grey
        An upright image of mode "L" or "F", from 0 for black to 255 for white. Pixels of more than 8 bits are scaled
        to the full range, because cameras and scanners seldom use all of it.
    """
    if isinstance(image, Mapping) and _COMPOSITE in image:
        image = image[_COMPOSITE]
    if isinstance(image, str | PathLike):
        return fspath(image), _to_greyscale(*read_layers(open_image(image)))
    return "the image", _to_greyscale(*_read_object(image))


def thumbnail(path: StrPath, side: int = 400) -> tuple[npt.NDArray[np.uint8], float]:
    """Read an image file at most `side` pixels high and wide, upright and on white.

    Returns
    -------
    pixels
        (H, W, 3) uint8.
    zoom
        Its size relative to that of the file.
    """
    image = PIL.ImageOps.exif_transpose(open_image(path))
    longer_side = max(image.size)
    if is_deep(image):
        image = _to_greyscale(*read_layers(image)).convert("L")
    image.thumbnail((side, side))
    layer = image.convert("RGBA")
    on_white = PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(on_white.convert("RGB")), max(image.size) / longer_side


def _read_object(image: object) -> tuple[npt.NDArray[Any], Grey | None]:
    """Return the colours (H, W) or (H, W, 3), and alpha (H, W) from 0 to 1 or None, of an image that is no file."""
    if isinstance(image, PIL.Image.Image):
        if not all(image.size):
            raise ValueError(f"the image has the size {image.size}; expected at least one pixel")
        return read_layers(image)
    pixels = _channels_last(_as_array(image))
    if pixels.dtype != np.uint16:
        pixels = _to_uint8(pixels)
    num_colours = 1 if pixels.shape[2] < 3 else 3
    colours = pixels[..., 0] if num_colours == 1 else pixels[..., :3]
    if pixels.shape[2] == num_colours:
        return colours, None
    return colours, np.divide(pixels[..., -1], np.iinfo(pixels.dtype).max, dtype=np.float32)


def _as_array(image: object) -> npt.NDArray[Any]:
    """Convert a tensor or an array-like object to an array of numbers in the processor's byte order."""
    if isinstance(image, Tensor):
        image = image.detach().cpu().as_subclass(Tensor)
        array = (image.float() if image.dtype == torch.bfloat16 else image).numpy(force=True)
    elif hasattr(image, "__array__") or (isinstance(image, Sequence) and not isinstance(image, str | bytes)):
        try:
            array = np.asarray(image)
        except ValueError as error:
            raise ValueError("the image is a sequence whose rows differ in length; expected an array") from error
    else:
        raise TypeError(f"the image is {type(image).__name__}; expected a path, a PIL image, an array or a tensor")
    if array.dtype.kind not in "buif":
        raise ValueError(f"the image has the dtype {array.dtype}; expected uint8, or floating point in [0, 1]")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _channels_last(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return one image as (H, W, C)."""
    shape = array.shape
    if array.ndim == 2 and array.size:
        return array[..., None]
    first, last = (array.ndim == 3 and array.size > 0 and shape[axis] in _CHANNELS for axis in (0, 2))
    if first == last:
        advice = ": pass the images of a batch one by one" if array.ndim == 4 else ""
        raise ValueError(
            f"the image has the shape {shape}; expected (H, W), (H, W, C) or (C, H, W) with 1 to 4 channels{advice}"
        )
    return array if last else np.moveaxis(array, 0, -1)


def _to_uint8(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    scaled = pixels if pixels.dtype == np.uint8 else scale_pixels(array_to_tensor(pixels)).numpy()
    return np.asarray(np.rint(scaled) if scaled.dtype.kind == "f" else scaled, np.uint8)


def _to_greyscale(colours: npt.NDArray[Any], alpha: Grey | None) -> PIL.Image.Image:
    if colours.dtype in (np.bool_, np.uint8):
        image = PIL.Image.fromarray(colours).convert("L")
        if alpha is None:
            return image
        return PIL.Image.fromarray(np.rint(_flatten(np.asarray(image, np.float32), alpha)).astype(np.uint8))
    deep = colours.astype(np.float32) if colours.ndim == 2 else colours @ _LUMA
    low, high = float(deep.min()), float(deep.max())
    grey = (deep - low) * (255 / max(high - low, 1e-6))
    return PIL.Image.fromarray(grey if alpha is None else _flatten(grey, alpha))


def _flatten(grey: Grey, alpha: Grey) -> Grey:
    """Composite a transparent image onto black or white, whichever contrasts more with its opaque pixels."""
    opaque_mean = (grey * alpha).sum() / max(alpha.sum(), 1e-6)
    background = 255 if opaque_mean < 128 else 0
    return (grey * alpha + (1 - alpha) * background).astype(np.float32)
