"""From a photograph of one digit to what the makers of MNIST would have made of it."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps
import torch
from scipy import ndimage
from torch import Tensor

from .ink import Mask, strokes

Grey: TypeAlias = npt.NDArray[np.float32]

_BOX = 20  # pixels of the digit's longer side (LeCun et al. 1998, section III.A)
_SIZE = 28
_STROKE = (2.2, 4.0)  # pixels; of MNIST's training images nine in ten have strokes of 1.8 to 4.0, half under 2.6


def load_digit(picture: str | PathLike[str] | PIL.Image.Image) -> Tensor:
    """Make of a photograph, scan or drawing of one digit what the makers of MNIST would have made of it.

    The ink is found, dark on light or light on dark, whatever the light and the lines of the paper. Strokes that are
    thinner or thicker than MNIST's are drawn as thick. The digit is scaled to fit 20x20 pixels and placed with its
    centre of mass in the centre of 28x28 (LeCun, Bottou, Bengio and Haffner 1998, section III.A). A picture that is
    as MNIST's already is returned as it is.

    Parameters
    ----------
    picture
        A file, or a PIL image of any mode and size.

    Returns
    -------
    Tensor
        (1, 28, 28) uint8, light on dark.

    Raises
    ------
    ValueError
        The file is no picture, or there is no digit in it, or there are several.
    TypeError
        It is neither a path nor a PIL image.
    """
    if isinstance(picture, PIL.Image.Image):
        name, opened = "the picture", picture
    elif isinstance(picture, str | PathLike):
        name, opened = fspath(picture), open_picture(picture)
    else:
        raise TypeError(f"the picture is {type(picture).__name__}; expected a path or a PIL image")
    grey = _grey(opened)
    if _is_like_mnist(np.asarray(grey)):
        return torch.from_numpy(np.rint(np.asarray(grey)).astype(np.uint8))[None]
    try:
        return torch.from_numpy(_normalized(strokes(grey)))[None]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def open_picture(path: str | PathLike[str]) -> PIL.Image.Image:
    """Read a picture, or raise a ValueError that says why it cannot be read."""
    try:
        with PIL.Image.open(path) as picture:
            picture.load()
            return picture
    except PIL.UnidentifiedImageError as error:
        raise ValueError(f"{path} is no picture that can be read; expected PNG, JPEG or the like") from error
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large a picture: {error}") from error
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise ValueError(f"{path} {reason}") from error


def thumbnail(path: str | PathLike[str], side: int = 400) -> npt.NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8, upright and not larger than `side`; transparency shows white."""
    picture = PIL.ImageOps.exif_transpose(open_picture(path))
    picture.thumbnail((side, side))
    drawn = picture.convert("RGBA")
    return np.asarray(PIL.Image.alpha_composite(PIL.Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB"))


def _grey(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Turn upright, and make mode "F" with 0 for black and 255 for white."""
    picture = PIL.ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        return _opaque(picture.convert("RGBA"))
    if picture.mode.startswith(("I", "F")):  # of unknown range
        pixels = np.asarray(picture, np.float32)
        low, high = float(pixels.min()), float(pixels.max())
        return PIL.Image.fromarray((pixels - low) * (255 / max(high - low, 1e-6)))
    return (picture if picture.mode == "L" else picture.convert("RGB").convert("L")).convert("F")


def _opaque(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Lay what is transparent on black or white, whichever is farther from what is drawn."""
    alpha = np.asarray(picture.getchannel("A"), np.float32) / 255
    grey = np.asarray(picture.convert("RGB").convert("L"), np.float32)
    drawn = (grey * alpha).sum() / max(alpha.sum(), 1e-6)
    return PIL.Image.fromarray((grey * alpha + (1 - alpha) * (255 if drawn < 128 else 0)).astype(np.float32))


def _is_like_mnist(grey: Grey) -> bool:
    """Tell whether a picture is what this module makes: 28x28, black around a centred digit of 20 pixels."""
    if grey.shape != (_SIZE, _SIZE) or grey.max() < 128:
        return False
    rows, columns = (np.flatnonzero(grey.max(axis)) for axis in (1, 0))
    long = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    off = np.abs(np.subtract(ndimage.center_of_mass(grey), _SIZE / 2)).max()
    return bool(_BOX - 1 <= long <= _BOX + 1 and off <= 1)


def _normalized(ink: Mask) -> npt.NDArray[np.uint8]:
    """Scale strokes to the box, as thick as MNIST's, and centre them."""
    pad = 96
    ink = np.pad(ink, pad)
    inside, outside = ndimage.distance_transform_edt(ink), ndimage.distance_transform_edt(~ink)
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    long = max(np.ptp(rows), np.ptp(columns)) + 1
    width = 4 * inside[ink].mean() - 1  # the mean distance to the edge of a bar is a quarter of its width
    wanted = float(np.clip(width / long, _STROKE[0] / _BOX, _STROKE[1] / _BOX))
    grown = min((wanted * long - width) / (2 * (1 - wanted)), pad / 2)
    drawn = np.clip(np.where(ink, inside, 1 - outside) + grown, 0, 1).astype(np.float32)
    return _centred(_boxed(drawn))


def _boxed(drawn: Grey) -> Grey:
    """Reduce what is drawn to a box of 20 pixels with its aspect."""
    rows, columns = (np.flatnonzero(drawn.max(axis) > 0.5) for axis in (1, 0))
    scale = (max(np.ptp(rows), np.ptp(columns)) + 1) / _BOX
    sides = [max(1, int(np.ceil((np.ptp(span) + 1) / scale - 0.01))) for span in (columns, rows)]
    box = []
    for span, side in zip((columns, rows), sides, strict=True):
        start = (span[0] + span[-1] + 1 - side * scale) / 2
        box.append((max(0.0, start), start + side * scale))
    region = (box[0][0], box[1][0], min(box[0][1], drawn.shape[1]), min(box[1][1], drawn.shape[0]))
    picture = PIL.Image.fromarray(drawn)
    return np.asarray(picture.resize((sides[0], sides[1]), PIL.Image.Resampling.HAMMING, box=region))


def _centred(box: Grey) -> npt.NDArray[np.uint8]:
    """Place the centre of mass in the centre, to the nearest pixel, with the lightest pixel at 255."""
    canvas = np.zeros((3 * _SIZE, 3 * _SIZE), np.float32)
    top, left = (round(1.5 * _SIZE - centre) for centre in ndimage.center_of_mass(box))
    canvas[top : top + box.shape[0], left : left + box.shape[1]] = box
    canvas = canvas[_SIZE : 2 * _SIZE, _SIZE : 2 * _SIZE]
    return np.asarray(np.rint(canvas.clip(0, None) * (255 / canvas.max())), np.uint8)
