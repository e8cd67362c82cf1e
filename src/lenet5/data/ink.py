"""Tell which pixels the strokes of one digit cover: a close look at the place where it is."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
from scipy import ndimage

from .locate import TOUCHING, Found, locate, otsu, resized

Grey: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

_SIDE = 160  # pixels of the digit's longer side in the close look; 8 for each of MNIST's
_MARGIN = 0.35  # of the digit's longer side is looked at around it
_SPECK = 0.03  # of the largest piece; what is smaller is dirt


def strokes(picture: PIL.Image.Image) -> Mask:
    """Return what the strokes of the one digit in a picture cover.

    Parameters
    ----------
    picture
        Of mode "F", with 0 for black and 255 for white.

    Returns
    -------
    ndarray
        (H, W) bool, the digit and its surroundings; the digit's longer side has about 160 pixels.

    Raises
    ------
    ValueError
        There is no digit, or there are several.
    """
    found = locate(picture)
    close, seed = _surroundings(picture, found)
    inside = ndimage.distance_transform_edt(seed)
    near = ndimage.distance_transform_edt(~seed) <= 10 + 2 * inside[seed].mean()  # half a stroke, and some
    ink = near
    for _ in range(2):  # the ground is filled in under all that is near, then under the ink alone
        ground = _ground(close, ndimage.binary_dilation(ink, iterations=4))
        excess = found.sign * (close - ground)
        if found.sign < 0:
            excess *= 128 / np.maximum(ground, 32)  # in a shadow, ink is darker in proportion
        ink = (excess > otsu(excess[near])) & near
    return _without_specks(ink)


def _surroundings(picture: PIL.Image.Image, found: Found) -> tuple[Grey, Mask]:
    """Cut out the digit and what is around it, in full resolution; and where it was seen."""
    scale = max(picture.size) / max(found.mask.shape)
    rows, columns = (np.flatnonzero(found.mask.any(axis)) for axis in (1, 0))
    side = int(max(np.ptp(rows), np.ptp(columns))) + 1
    left, top = (max(0.0, float(span[0]) - _MARGIN * side) for span in (columns, rows))
    right, bottom = (
        min(float(end), float(span[-1]) + 1 + _MARGIN * side)
        for span, end in ((columns, found.mask.shape[1]), (rows, found.mask.shape[0]))
    )
    region = (left * scale, top * scale, min(right * scale, picture.width), min(bottom * scale, picture.height))
    close = ndimage.gaussian_filter(resized(picture, region, _SIDE / (side * scale)), 1.2)
    coarse = PIL.Image.fromarray(found.mask.astype(np.float32))
    size = close.shape[1], close.shape[0]
    seed = coarse.resize(size, PIL.Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    return close, np.asarray(seed) > 0.5


def _ground(close: Grey, covered: Mask) -> Grey:
    """Fill in the ground under what is covered: a Gaussian mean of what is around it."""
    mean = float(close.min() if covered.all() else close[~covered].mean())
    weight = (~covered).astype(np.float32)
    total = ndimage.gaussian_filter(weight, 20) + 1e-3
    return np.asarray(ndimage.gaussian_filter((close - mean) * weight, 20) / total + mean, np.float32)


def _without_specks(ink: Mask) -> Mask:
    labels, _ = ndimage.label(ink, TOUCHING)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return np.isin(labels, np.flatnonzero(areas >= max(1, _SPECK * areas.max())))
