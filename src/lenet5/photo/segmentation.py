"""Segmentation of the digits in an image: located at low resolution, then outlined in close-ups."""

import math
from typing import NamedTuple

import numpy as np
import PIL.Image
from scipy import ndimage

from .components import CONNECTIVITY, group_ink, missed_ones
from .ink import ink_probability
from .pixels import Box, Grey, Mask, Region, bounding_box, longer_side, otsu, resize, resize_to
from .rows import Corners

_RESOLUTION, _CLOSE_UP = 128, 72  # longer side in pixels of the image, and of a digit in its close-up
_ROW, _MOST = 64, 640  # least height of a wide image in pixels, and the most of its width
_HIGH_RESOLUTION = 160  # longer side of the digit in its mask: 8 pixels per pixel of MNIST
_MARGIN = 0.35  # around the digit, as a fraction of its longer side
_LEVEL = 0.1  # of the probability of ink
_CONFIDENT = 0.9  # mean probability of ink in the digits, above which no threshold is tried
_BACKGROUND = 8.0  # standard deviation in pixels of the mean of the paper around the ink
_SIMILAR = 0.65  # contrast of ink that the network missed, relative to the ink that it found
_MOST_GROWTH = 2.5  # of the area, by such ink
_MIN_SPECK = 0.03  # as a fraction of the largest component's area; anything smaller is dirt
_FILLED = 0.85  # longer side of a digit that is cropped tightly, as a fraction of the image's
_HALF_WIDTHS = (0.035, 0.25)  # of its strokes, relative to the image's longer side
_MIN_SUPPORT = 0.03  # mean probability of its ink: that of shadows and tables is at most 0.02
_MIN_SEED = 0.3  # of ink to which what is as dark is added, as a fraction of the largest component's longer side
_MIN_CONTRAST = 12.0  # of 255
_MIN_SEPARABILITY = 0.78  # an even gradient has 0.75


class Segmented(NamedTuple):
    """A digit, separated from the background."""

    mask: Mask
    """(H, W) bool: a crop around the digit, whose longer side is about 160 pixels."""

    box: Corners
    """The bounding box in pixels of the image: the last two are exclusive."""


def segment_all(image: PIL.Image.Image) -> list[Segmented]:
    """Segment the strokes of each digit in an image.

    Parameters
    ----------
    image
        Mode "L" or "F", from 0 for black to 255 for white.

    Returns
    -------
    list of Segmented
        The digits, in any order; empty if the image shows none.
    """
    longer, shorter = max(image.size), min(image.size)
    resolution = min(max(_RESOLUTION, _ROW * longer / shorter), _MOST)
    probability = _mark(resize(image, resolution / longer))
    digits = group_ink(probability, _LEVEL)
    ink = np.logical_or.reduce([np.zeros_like(probability, bool), *digits])
    confident = bool(digits) and probability[ink].mean() >= _CONFIDENT
    if not confident and (cropped := _threshold(image, probability)):
        return [cropped]
    return [_outline(image, digit, ink & ~digit) for digit in digits]


def _threshold(image: PIL.Image.Image, probability: Grey) -> Segmented | None:
    """Segment one digit with thick strokes that fills the image, by one threshold; None if there is none.

    The network, trained with a margin around most digits, is unsure of it. It is sure of shadows that they are no ink.
    """
    grey = resize(image, _HIGH_RESOLUTION / max(image.size))
    ink = grey > otsu(grey)
    if np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).mean() > 0.5:
        ink = ~ink
    contrast = float(grey[ink].mean() - grey[~ink].mean()) if ink.any() and not ink.all() else 0.0
    separability = ink.mean() * (1 - ink.mean()) * contrast**2 / max(float(grey.var()), 1e-6)  # Otsu's eta
    if abs(contrast) < _MIN_CONTRAST or separability < _MIN_SEPARABILITY:
        return None
    mask = _connected(ink, ink)
    box = bounding_box(mask)
    half_width = ndimage.distance_transform_edt(np.pad(mask, 1)).max() / max(mask.shape)
    if longer_side(box) < _FILLED * max(mask.shape) or not _HALF_WIDTHS[0] <= half_width <= _HALF_WIDTHS[1]:
        return None
    if resize_to(probability, mask.shape)[mask].mean() < _MIN_SUPPORT:
        return None
    return Segmented(mask, _box_in_image(box, mask.shape, (0, 0, *image.size), image.size))


def _mark(grey: Grey) -> Grey:
    """Return the probability of ink (H, W): that of the network, and 1 for what is as dark as its ink and connected."""
    probability = ink_probability(grey)
    sure = _largest(probability > 0.5)
    if not sure.any():
        return probability
    paper = (~ndimage.binary_dilation(probability > _LEVEL, iterations=2)).astype(np.float32)
    mean = float(np.average(grey, weights=paper)) if paper.any() else float(grey.mean())
    weight = ndimage.gaussian_filter(paper, _BACKGROUND) + 1e-3
    contrast = grey - mean - ndimage.gaussian_filter((grey - mean) * paper, _BACKGROUND) / weight
    typical = float(np.median(contrast[sure]))
    similar = sure | (contrast * np.sign(typical) > _SIMILAR * abs(typical))
    grown = ndimage.binary_propagation(sure, CONNECTIVITY, similar)
    if grown.sum() > _MOST_GROWTH * sure.sum():  # the lines of the paper are as dark
        return probability
    return np.asarray(np.maximum(probability, grown | missed_ones(grown, similar)), np.float32)


def _largest(ink: Mask) -> Mask:
    """Leave out components that are much smaller than the largest one."""
    labels, _ = ndimage.label(ink, CONNECTIVITY)
    sides = [longer_side(box) for box in ndimage.find_objects(labels)]
    kept = [number for number, side in enumerate(sides, start=1) if side >= _MIN_SEED * max(sides)]
    return np.isin(labels, kept)


def _outline(image: PIL.Image.Image, digit: Mask, others: Mask) -> Segmented:
    """Segment a digit at high resolution, without the ink of others."""
    box, scale = bounding_box(digit), max(image.size) / max(digit.shape)
    side = longer_side(box)
    top, left = (max(0.0, span.start - _MARGIN * side) for span in box)
    bottom, right = (min(end, span.stop + _MARGIN * side) for span, end in zip(box, digit.shape, strict=True))
    low = left, top, right, bottom
    region = left * scale, top * scale, min(right * scale, image.width), min(bottom * scale, image.height)
    probability = _mark(resize(image, _CLOSE_UP / (side * scale), region))
    shape = tuple(round(length * _HIGH_RESOLUTION / _CLOSE_UP) for length in probability.shape)
    seed, rest = (resize_to(mask.astype(np.float32), shape, low) > 0.5 for mask in (digit, others))
    ink = resize_to(probability, shape) > 0.5
    if rest.any():
        ink &= ndimage.distance_transform_edt(~seed) <= ndimage.distance_transform_edt(~rest)
    mask = _connected(ink, seed)
    return Segmented(mask, _box_in_image(bounding_box(mask), mask.shape, region, image.size))


def _connected(ink: Mask, seed: Mask) -> Mask:
    """Return the components of ink that meet a seed, without specks, or the seed if there are none."""
    labels, _ = ndimage.label(ink, CONNECTIVITY)
    areas = np.bincount(labels.ravel())
    met = np.bincount(labels[seed], minlength=len(areas)) > 0
    met[0] = False
    if not met.any():
        return seed
    return np.isin(labels, np.flatnonzero(met & (areas >= _MIN_SPECK * areas[met].max())))


def _box_in_image(box: Box, shape: tuple[int, ...], region: Region, size: tuple[int, int]) -> Corners:
    """Return a box inside a region, in pixels of the image."""
    left, top, right, bottom = region
    rows, columns = box
    across, down = (right - left) / shape[1], (bottom - top) / shape[0]
    return (
        math.floor(left + columns.start * across),
        math.floor(top + rows.start * down),
        min(math.ceil(left + columns.stop * across), size[0]),
        min(math.ceil(top + rows.stop * down), size[1]),
    )
