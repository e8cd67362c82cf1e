"""Segmentation of the digit in an image: located at low resolution, then outlined at high resolution."""

from collections.abc import Iterator

import numpy as np
import PIL.Image
from scipy import ndimage

from .components import CONNECTIVITY, Candidate, find_digit
from .pixels import Grey, Mask, border, bounding_box, longer_side, otsu, resize, resize_to
from .ruling import remove_lines

_LOW_RESOLUTION = (160, 400)  # range of the image's longer side in pixels, from small drawings to photographs
_MIN_PHOTOGRAPH = 160  # in pixels; a smaller image is a drawing or a scan, which is evenly lit
_MIN_CONTRAST = 12.0  # of 255
_MIN_PLAUSIBILITY = 0.03
_HIGH_PLAUSIBILITY = 0.15  # required in uneven light and at the border of a photograph
_HIGH_RESOLUTION = 160  # longer side of the digit in pixels: 8 per pixel of MNIST
_MARGIN = 0.35  # around the digit, as a fraction of its longer side
_MIN_SPECK = 0.03  # as a fraction of the largest component's area; anything smaller is dirt


def segment(image: PIL.Image.Image) -> Mask:
    """Segment the strokes of the only digit in an image.

    Parameters
    ----------
    image
        Mode "F", from 0 for black to 255 for white.

    Returns
    -------
    ndarray
        (H, W) bool: a crop around the digit, whose longer side is about 160 pixels.

    Raises
    ------
    ValueError
        The image shows no digit, or several.
    """
    digit = _locate(image)
    crop, seed = _crop(image, digit)
    inside = ndimage.distance_transform_edt(seed)
    near = ndimage.distance_transform_edt(~seed) <= 10 + 2 * inside[seed].mean()  # half a stroke and some tolerance
    ink = near
    for _ in range(2):  # estimate the background without all nearby pixels, then without only the ink
        background = _inpaint(crop, ndimage.binary_dilation(ink, iterations=4))
        excess = digit.polarity * (crop - background)
        if digit.polarity < 0:
            excess *= 128 / np.maximum(background, 32)  # ink has proportionally less contrast in a shadow
        ink = (excess > otsu(excess[near])) & near
    return _without_specks(ink)


# Low resolution


def _locate(image: PIL.Image.Image) -> Candidate:
    """Find the most plausible digit, by a global threshold and, in photographs, by local contrast as well."""
    zoom = float(np.clip(max(image.size), *_LOW_RESOLUTION)) / max(image.size)
    grey = ndimage.gaussian_filter(resize(image, zoom), 0.7)
    photograph = max(image.size) >= _MIN_PHOTOGRAPH
    candidates = list(_in_even_light(grey, photograph=photograph))
    if photograph and not any(map(_fills_image, candidates)):
        candidates += _in_uneven_light(grey, max((digit.plausibility for digit in candidates), default=0.0))
    best = max(candidates, key=lambda digit: digit.score, default=None)
    if best is None or best.plausibility < _MIN_PLAUSIBILITY:
        raise ValueError("no digit was found; expected one, dark on light or light on dark")
    if best.num_rivals:
        raise ValueError(f"{best.num_rivals + 1} digits were found; expected one")
    return best


def _in_even_light(grey: Grey, *, photograph: bool) -> Iterator[Candidate]:
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
        digit = _find_unruled(polarity * (grey - np.median(grey[background])), noise, polarity, low=0.8)
        suspect = photograph and digit and border(digit.mask).any()  # shadows enter from the border
        if digit and digit.plausibility >= (_HIGH_PLAUSIBILITY if suspect else _MIN_PLAUSIBILITY):
            yield digit


def _in_uneven_light(grey: Grey, even_plausibility: float) -> Iterator[Candidate]:
    """Yield a candidate of each polarity, relative to the local median.

    A grey level between two neighbouring local medians belongs to the edge of the paper or of a shadow, not to ink.
    """
    small = resize(PIL.Image.fromarray(grey), 64 / max(grey.shape))
    background = ndimage.median_filter(small, 21, mode="nearest")  # a third of the image
    extremes = ndimage.minimum_filter(background, 3), ndimage.maximum_filter(background, 3)
    excess = grey - np.clip(grey, *(resize_to(extreme, grey.shape) for extreme in extremes))
    for polarity in (-1, 1):
        digit = _find_unruled(polarity * excess, _noise(excess), polarity, low=0.5)
        if digit and border(digit.mask).any() and _extent(digit.mask) <= 0.5:  # part of a shadow or of the table
            continue
        if digit and digit.plausibility >= _HIGH_PLAUSIBILITY:
            yield digit._replace(score=digit.score * max(0.05, 1 - 1.3 * even_plausibility))


def _find_unruled(excess: Grey, noise: float, polarity: int, *, low: float) -> Candidate | None:
    """Find a digit after removing the lines of the paper."""
    ruled = find_digit(excess, _threshold(excess, noise, low), polarity)
    if min(excess.shape) < 100 or (unruled_excess := remove_lines(excess, excess > max(3.0, 1.5 * noise))) is None:
        return ruled
    unruled = find_digit(unruled_excess, _threshold(unruled_excess, noise, low), polarity)
    if ruled and ruled.plausibility > 0.5 and not border(ruled.mask).any():
        # If the score collapses without the line, the line was an upright 1.
        return ruled if unruled is None or unruled.score < 0.3 * ruled.score else unruled
    return unruled


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


def _crop(image: PIL.Image.Image, digit: Candidate) -> tuple[Grey, Mask]:
    """Crop an image to the digit and its surroundings, and its low-resolution mask to the same region."""
    scale = max(image.size) / max(digit.mask.shape)
    box = bounding_box(digit.mask)
    side = longer_side(box)
    top, left = (max(0.0, span.start - _MARGIN * side) for span in box)
    bottom, right = (min(end, span.stop + _MARGIN * side) for span, end in zip(box, digit.mask.shape, strict=True))
    region = left * scale, top * scale, min(right * scale, image.width), min(bottom * scale, image.height)
    crop = ndimage.gaussian_filter(resize(image, _HIGH_RESOLUTION / (side * scale), region), 1.2)
    return crop, resize_to(digit.mask.astype(np.float32), crop.shape, (left, top, right, bottom)) > 0.5


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
