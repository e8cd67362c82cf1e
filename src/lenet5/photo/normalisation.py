"""Normalisation of a digit to MNIST's stroke width, size and position (LeCun et al. 1998, section III.A)."""

import numpy as np
import numpy.typing as npt
import PIL.Image

from .pixels import Grey, Mask, bounding_box, centre_of_mass, longer_side

_IMAGE = 28  # side of the image in pixels
_BOX = 20  # longer side of the digit in pixels
_STROKE_WIDTH = (2.2, 4.0)  # in pixels; 90 % of MNIST's training images lie in 1.8 to 4.0, with a median of 2.6
_PADDING = 96  # pixels around a mask, for thicker strokes


def is_normalised(grey: Grey) -> bool:
    """Return True if an image is in MNIST's format: 28x28, with a centred digit of 20 pixels on black."""
    if grey.shape != (_IMAGE, _IMAGE) or grey.max() < 128:
        return False
    offset = np.abs(np.subtract(centre_of_mass(grey), _IMAGE / 2)).max()
    return bool(abs(longer_side(bounding_box(grey != 0)) - _BOX) <= 1 and offset <= 1)


def normalise(mask: Mask) -> npt.NDArray[np.uint8]:
    """Render the mask of a digit as a (28, 28) image with MNIST's stroke width, size and position."""
    return _centre(_fit_box(_render_strokes(np.pad(mask, _PADDING))))


def _render_strokes(mask: Mask) -> Grey:
    """Antialias the strokes, and change their width to the nearest one within MNIST's range."""
    from scipy import ndimage

    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    side = longer_side(bounding_box(mask))
    width = 4 * inside[mask].mean() - 1  # a bar's mean distance to its edge is a quarter of its width
    target = float(np.clip(width / side, _STROKE_WIDTH[0] / _BOX, _STROKE_WIDTH[1] / _BOX))  # relative to the box
    growth = min((target * side - width) / (2 * (1 - target)), _PADDING / 2)  # the box grows with the strokes
    growth = max(growth, 1 - float(inside.max()))  # something is left even of a blot
    return np.asarray(np.clip(np.where(mask, inside, 1 - outside) + growth, 0, 1), np.float32)


def _fit_box(grey: Grey) -> Grey:
    """Scale the digit to a longer side of 20 pixels, keeping its aspect ratio."""
    box = bounding_box(grey > 0.5)
    scale = longer_side(box) / _BOX
    shape = [max(1, int(np.ceil((span.stop - span.start) / scale - 0.01))) for span in box]
    starts = [(span.start + span.stop - length * scale) / 2 for span, length in zip(box, shape, strict=True)]
    stops = [start + length * scale for start, length in zip(starts, shape, strict=True)]
    top, left = (max(0.0, start) for start in starts)
    bottom, right = map(min, stops, grey.shape)
    region = left, top, right, bottom
    return np.asarray(PIL.Image.fromarray(grey).resize(shape[::-1], PIL.Image.Resampling.HAMMING, box=region))


def _centre(grey: Grey) -> npt.NDArray[np.uint8]:
    """Place the centre of mass at the centre, to the nearest pixel, and scale the lightest pixel to 255."""
    canvas = np.zeros((3 * _IMAGE, 3 * _IMAGE), np.float32)
    top, left = (round(1.5 * _IMAGE - centre) for centre in centre_of_mass(grey))
    canvas[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    canvas = canvas[_IMAGE : 2 * _IMAGE, _IMAGE : 2 * _IMAGE]
    return np.asarray(np.rint(canvas.clip(0, None) * (255 / canvas.max())), np.uint8)
