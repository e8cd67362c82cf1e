"""Segmentation of the digits in an image: located at low resolution, then outlined at high resolution."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import PIL.Image
from scipy import ndimage

from .components import CONNECTIVITY, Candidate, find_digit
from .pixels import Box, Grey, Mask, Region, border, bounding_box, longer_side, otsu, resize, resize_to
from .ruling import remove_lines

_LOW_RESOLUTION = (160, 400)  # range of the image's longer side in pixels, from small drawings to photographs
_MIN_PHOTOGRAPH = 160  # in pixels; a smaller image is a drawing or a scan, which is evenly lit
_MIN_CONTRAST = 12.0  # of 255
_MIN_PLAUSIBILITY = 0.03
_HIGH_PLAUSIBILITY = 0.15  # required in uneven light and at the border of a photograph
_HIGH_RESOLUTION = 160  # longer side of the digit in pixels: 8 per pixel of MNIST
_MARGIN = 0.35  # around the digit, as a fraction of its longer side
_MIN_SPECK = 0.03  # as a fraction of the largest component's area; anything smaller is dirt


class Segmented(NamedTuple):
    """A digit, separated from the background."""

    mask: Mask
    """(H, W) bool: a crop around the digit, whose longer side is about 160 pixels."""

    box: tuple[int, int, int, int]
    """The bounding box in pixels of the image: left, top, right and bottom, the last two exclusive."""


class _Found(NamedTuple):
    """The most plausible digit, and the pixels that it was found in."""

    digit: Candidate
    excess: Grey
    ink: Mask


def segment_all(image: PIL.Image.Image) -> list[Segmented]:
    """Segment the strokes of each digit in an image.

    Parameters
    ----------
    image
        Mode "F", from 0 for black to 255 for white.

    Returns
    -------
    list of Segmented
        The digits, in any order; empty if the image shows none.
    """
    digits = _locate(image)
    ink = np.logical_or.reduce([digit.mask for digit in digits])
    return [_outline(image, digit, ink & ~digit.mask) for digit in digits]


def _outline(image: PIL.Image.Image, digit: Candidate, others: Mask) -> Segmented:
    """Segment a digit at high resolution, without the ink of others."""
    region, crop, seed, rest = _crop(image, digit, others)
    inside, distance = ndimage.distance_transform_edt(seed), ndimage.distance_transform_edt(~seed)
    near = distance <= 10 + 2 * inside[seed].mean()  # half a stroke and some tolerance
    if rest.any():
        near &= distance < ndimage.distance_transform_edt(~rest)
    ink = near
    for _ in range(2):  # estimate the background without all nearby pixels, then without only the ink
        background = _inpaint(crop, ndimage.binary_dilation(ink | rest, iterations=4))
        excess = digit.polarity * (crop - background)
        if digit.polarity < 0:
            excess *= 128 / np.maximum(background, 32)  # ink has proportionally less contrast in a shadow
        ink = (excess > otsu(excess[near])) & near
    mask = _without_specks(ink)
    return Segmented(mask, _box_in_image(mask, region, image.size))


# Low resolution


def _locate(image: PIL.Image.Image) -> list[Candidate]:
    """Find the digits, by a global threshold and, in photographs, by local contrast as well."""
    zoom = float(np.clip(max(image.size), *_LOW_RESOLUTION)) / max(image.size)
    grey = ndimage.gaussian_filter(resize(image, zoom), 0.7)
    photograph = max(image.size) >= _MIN_PHOTOGRAPH
    candidates = list(_in_even_light(grey, photograph=photograph))
    if photograph and not any(_fills_image(found.digit) for found in candidates):
        candidates += _in_uneven_light(grey, max((found.digit.plausibility for found in candidates), default=0.0))
    best = max(candidates, key=lambda found: found.digit.score, default=None)
    if best is None or best.digit.plausibility < _MIN_PLAUSIBILITY:
        return []
    return _separate(best)


def _separate(found: _Found) -> list[Candidate]:
    """Return a digit and the others in its ink: components as tall as it, each with the pieces that are near it."""
    digit = found.digit
    labels, _ = ndimage.label(found.ink & ~digit.mask, CONNECTIVITY)
    boxes, areas = ndimage.find_objects(labels), np.bincount(labels.ravel())
    tall = [number for number, box in enumerate(boxes, start=1) if _is_as_tall(labels[box] == number, box, found)]
    if not tall and not digit.num_rivals:
        return [digit]
    masks = [digit.mask, *(labels == number for number in tall)]
    distances = np.stack([ndimage.distance_transform_edt(~mask) for mask in masks])
    for number in np.flatnonzero(areas >= 0.02 * digit.mask.sum()):
        if number and number not in tall:
            gaps = distances[:, labels == number].min(1)
            if gaps.min() <= 0.2 * longer_side(bounding_box(digit.mask)):
                masks[gaps.argmin()] = masks[gaps.argmin()] | (labels == number)
    return [digit._replace(mask=mask) for mask in masks]


def _is_as_tall(component: Mask, box: Box, found: _Found) -> bool:
    """Return True if a component may be a digit beside another, or anywhere if that one has rivals."""
    rows, columns = bounding_box(found.digit.mask)
    height, other = rows.stop - rows.start, box[0].stop - box[0].start
    inner = all(span.start > 0 and span.stop < end for span, end in zip(box, found.ink.shape, strict=True))
    if not inner or not 0.55 * height < other < 1.8 * height:  # what touches the border is a shadow or the table
        return False
    contrast = float(found.excess[box][component].mean() / found.excess[found.digit.mask].mean())
    common = min(rows.stop, box[0].stop) - max(rows.start, box[0].start)
    beside = box[1].start >= columns.stop or columns.start >= box[1].stop
    level = beside and common > 0.6 * max(height, other)
    return contrast > 0.75 if level else bool(found.digit.num_rivals) and contrast > 0.5


def _in_even_light(grey: Grey, *, photograph: bool) -> Iterator[_Found]:
    """Yield a candidate of each polarity, relative to the median of the lighter or the darker pixels."""
    if np.ptp(grey) < _MIN_CONTRAST:
        return
    light = grey > otsu(grey)
    fraction = light.mean()
    contrast = grey[light].mean() - grey[~light].mean()
    separability = fraction * (1 - fraction) * contrast**2 / grey.var()  # Otsu's eta
    if photograph and separability < 0.8:  # more than two levels, such as shadows
        return
    noise = _noise(grey - ndimage.gaussian_filter(grey, 2))
    for polarity, background in ((-1, light), (1, ~light)):
        found = _find_unruled(polarity * (grey - np.median(grey[background])), noise, polarity, low=0.8)
        suspect = photograph and found and border(found.digit.mask).any()  # shadows enter from the border
        if found and found.digit.plausibility >= (_HIGH_PLAUSIBILITY if suspect else _MIN_PLAUSIBILITY):
            yield found


def _in_uneven_light(grey: Grey, even_plausibility: float) -> Iterator[_Found]:
    """Yield a candidate of each polarity, relative to the local median.

    A grey level between two neighbouring local medians belongs to the edge of the paper or of a shadow, not to ink.
    """
    small = resize(PIL.Image.fromarray(grey), 64 / max(grey.shape))
    background = ndimage.median_filter(small, 21, mode="nearest")  # a third of the image
    extremes = ndimage.minimum_filter(background, 3), ndimage.maximum_filter(background, 3)
    excess = grey - np.clip(grey, *(resize_to(extreme, grey.shape) for extreme in extremes))
    for polarity in (-1, 1):
        found = _find_unruled(polarity * excess, _noise(excess), polarity, low=0.5)
        if found is None or found.digit.plausibility < _HIGH_PLAUSIBILITY:
            continue
        digit = found.digit
        if border(digit.mask).any() and _extent(digit.mask) <= 0.5:  # part of a shadow or of the table
            continue
        score = digit.score * max(0.05, 1 - 1.3 * even_plausibility)
        yield found._replace(digit=digit._replace(score=score))


def _find_unruled(excess: Grey, noise: float, polarity: int, *, low: float) -> _Found | None:
    """Find a digit after removing the lines of the paper."""
    ruled = _find(excess, noise, polarity, low)
    if min(excess.shape) < 100 or (unruled_excess := remove_lines(excess, excess > max(3.0, 1.5 * noise))) is None:
        return ruled
    unruled = _find(unruled_excess, noise, polarity, low)
    if ruled and ruled.digit.plausibility > 0.5 and not border(ruled.digit.mask).any():
        # If the score collapses without the line, the line was an upright 1.
        return ruled if unruled is None or unruled.digit.score < 0.3 * ruled.digit.score else unruled
    return unruled


def _find(excess: Grey, noise: float, polarity: int, low: float) -> _Found | None:
    ink = _threshold(excess, noise, low)
    digit = find_digit(excess, ink, polarity)
    return None if digit is None else _Found(digit, excess, ink)


def _threshold(excess: Grey, noise: float, low: float) -> Mask:
    """Mark pixels that exceed the noise, with hysteresis (Canny, IEEE Trans. PAMI 8(6), 1986)."""
    minimum = max(_MIN_CONTRAST, 4 * noise)
    visible = excess[excess > minimum]
    high = otsu(visible) if visible.size else np.inf
    likely = excess > max(minimum, low * high)
    return np.asarray(ndimage.binary_propagation(excess > high, structure=CONNECTIVITY, mask=likely))


def _noise(residual: Grey) -> float:
    """Estimate the standard deviation of the noise from the median absolute deviation, which is robust to ink."""
    return 1.4826 * float(np.median(np.abs(residual)))


def _extent(mask: Mask) -> float:
    """Return the longer side of a mask's bounding box as a fraction of the image's longer side."""
    return float(longer_side(bounding_box(mask)) / max(mask.shape))


def _fills_image(digit: Candidate) -> bool:
    """Return True if an image is cropped to its digit."""
    return _extent(digit.mask) > 0.9 and digit.mask.mean() > 0.15 and digit.plausibility >= _HIGH_PLAUSIBILITY


# High resolution


def _crop(image: PIL.Image.Image, digit: Candidate, others: Mask) -> tuple[Region, Grey, Mask, Mask]:
    """Crop an image to the digit and its surroundings, and the low-resolution masks to the same region."""
    scale = max(image.size) / max(digit.mask.shape)
    box = bounding_box(digit.mask)
    side = longer_side(box)
    top, left = (max(0.0, span.start - _MARGIN * side) for span in box)
    bottom, right = (min(end, span.stop + _MARGIN * side) for span, end in zip(box, digit.mask.shape, strict=True))
    region = left * scale, top * scale, min(right * scale, image.width), min(bottom * scale, image.height)
    crop = ndimage.gaussian_filter(resize(image, _HIGH_RESOLUTION / (side * scale), region), 1.2)
    seed, rest = (
        resize_to(mask.astype(np.float32), crop.shape, (left, top, right, bottom)) > 0.5
        for mask in (digit.mask, others)
    )
    return region, crop, seed, rest


def _box_in_image(mask: Mask, region: Region, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the bounding box of the mask of a region, in pixels of the image."""
    left, top, right, bottom = region
    rows, columns = bounding_box(mask)
    across, down = (right - left) / mask.shape[1], (bottom - top) / mask.shape[0]
    return (
        math.floor(left + columns.start * across),
        math.floor(top + rows.start * down),
        min(math.ceil(left + columns.stop * across), size[0]),
        min(math.ceil(top + rows.stop * down), size[1]),
    )


def _inpaint(crop: Grey, covered: Mask) -> Grey:
    """Fill covered pixels with a Gaussian mean of the background around them."""
    mean = float(crop.min() if covered.all() else crop[~covered].mean())
    weight = (~covered).astype(np.float32)
    total = ndimage.gaussian_filter(weight, 20) + 1e-3
    return np.asarray(ndimage.gaussian_filter((crop - mean) * weight, 20) / total + mean, np.float32)


def _without_specks(ink: Mask) -> Mask:
    labels, _ = ndimage.label(ink, CONNECTIVITY)
    areas = np.bincount(labels[ink])
    return np.isin(labels, np.flatnonzero(areas >= max(1, _MIN_SPECK * areas.max())))
