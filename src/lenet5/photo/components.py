"""Connected components of ink, and the digits that they form."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from .pixels import Box, Grey, Mask, longer_side

CONNECTIVITY = np.ones((3, 3), bool)  # eight neighbours: pixels that touch at a corner are connected
_MIN_PEAK = 0.6  # the highest probability in a component of a digit
_MIN_MEAN = 0.75  # the mean probability in a digit: lines and shadows that pass for ink do so in parts
_MIN_SIDE = 0.06  # of a digit, as a fraction of the image's shorter side
_MIN_HEIGHT = 0.55  # of a digit, as a fraction of the tallest one's; what is lower is a part of one
_MAX_BREAK = 0.15  # in a stroke, as a fraction of the digit's longer side
_MAX_STEM_BREAK = 0.4  # in a stem, of which one part is much higher than broad
_STEM = 0.3  # width of a stem, as a fraction of its height
_MIN_SPACE = 0.05  # between digits, as a fraction of the longer side
_MAX_GAP = 0.2  # between a digit and its smaller parts, as a fraction of the digit's longer side
_MIN_FRAMED = 0.3  # size of a digit in a frame, as a fraction of the frame's
_ONE_HEIGHTS = (0.7, 1.2)  # of a one in a row that was taken for a line, relative to the tallest digit
_ONE_WIDTH = 0.4  # relative to its height


class _Component(NamedTuple):
    mask: Mask
    box: Box
    peak: float

    @property
    def side(self) -> int:
        return longer_side(self.box)


def group_ink(probability: Grey, level: float) -> list[Mask]:
    """Find the digits in an image.

    Parameters
    ----------
    probability
        (H, W) float32: of ink.
    level
        Pixels above it are ink.

    Returns
    -------
    list of ndarray
        The mask (H, W) of each digit.
    """
    labels, _ = ndimage.label(probability > level, CONNECTIVITY)
    masks = [labels == number for number in range(1, labels.max() + 1)]
    boxes = ndimage.find_objects(labels)
    components = [_Component(mask, box, float(probability[mask].max())) for mask, box in zip(masks, boxes, strict=True)]
    components = [component for component in components if not _is_frame(component, components)]
    sure = [component for component in components if component.peak >= _MIN_PEAK]
    tallest = max((component.side for component in sure), default=0)
    if tallest < _MIN_SIDE * min(probability.shape):
        return []
    tall = [component for component in sure if component.side >= _MIN_HEIGHT * tallest]
    digits = _join_broken(tall)
    distances = [ndimage.distance_transform_edt(~digit) for digit in digits]
    for component in components:
        if not any(component is other for other in tall):
            gaps = [float(distance[component.mask].min()) for distance in distances]
            nearest = int(np.argmin(gaps))
            if gaps[nearest] <= _MAX_GAP * tallest:
                digits[nearest] = digits[nearest] | component.mask
    return [digit for digit in digits if probability[digit].mean() >= _MIN_MEAN]


def missed_ones(ink: Mask, similar: Mask) -> Mask:
    """Find ones that were taken for lines: upright strokes as tall as two of the digits beside them, or the only one.

    Parameters
    ----------
    ink
        (H, W) bool: the digits that were found.
    similar
        (H, W) bool: what is as dark as their ink.
    """
    found, _ = ndimage.label(ink, CONNECTIVITY)
    rows = [box[0] for box in ndimage.find_objects(found)]
    tallest = max(span.stop - span.start for span in rows)
    rows = [span for span in rows if span.stop - span.start >= _MIN_HEIGHT * tallest]
    labels, _ = ndimage.label(similar & ~ink, CONNECTIVITY)
    ones = [
        number
        for number, (down, across) in enumerate(ndimage.find_objects(labels), start=1)
        if _ONE_HEIGHTS[0] * tallest <= down.stop - down.start <= _ONE_HEIGHTS[1] * tallest
        and across.stop - across.start <= _ONE_WIDTH * (down.stop - down.start)
        and sum(_overlap([down, span]) >= _ONE_HEIGHTS[0] * tallest for span in rows) >= min(2, len(rows))
    ]
    return np.isin(labels, ones)


def _is_frame(component: _Component, others: list[_Component]) -> bool:
    """Return True if a component has a digit inside."""
    rows, columns = component.box
    return any(
        rows.start < other.box[0].start
        and other.box[0].stop < rows.stop
        and columns.start < other.box[1].start
        and other.box[1].stop < columns.stop
        and other.side >= _MIN_FRAMED * component.side
        and other.peak >= _MIN_PEAK
        for other in others
    )


def _join_broken(components: list[_Component]) -> list[Mask]:
    """Join components that are parts of one digit, whose stroke is broken."""
    links = np.zeros((len(components), len(components)), bool)
    for first, component in enumerate(components):
        distance = ndimage.distance_transform_edt(~component.mask)
        for second in range(first + 1, len(components)):
            other = components[second]
            links[first, second] = distance[other.mask].min() <= _largest_break(component, other)
    count, numbers = connected_components(links, directed=False)
    parts = [
        [component.mask for component, other in zip(components, numbers, strict=True) if other == number]
        for number in range(count)
    ]
    return [np.logical_or.reduce(masks) for masks in parts]


def _largest_break(first: _Component, second: _Component) -> float:
    """Return the largest distance of two parts of one digit, which is larger if one is above the other."""
    rows, columns = ([component.box[axis] for component in (first, second)] for axis in (0, 1))
    widths, heights = ([span.stop - span.start for span in spans] for spans in (columns, rows))
    stacked = _overlap(columns) > 0.5 * min(widths)
    stem = _overlap(rows) <= 0 and any(width <= _STEM * height for width, height in zip(widths, heights, strict=True))
    limit = (_MAX_STEM_BREAK if stem else _MAX_BREAK) if stacked else _MIN_SPACE
    return limit * max(first.side, second.side)


def _overlap(spans: list[slice]) -> int:
    return int(min(span.stop for span in spans) - max(span.start for span in spans))
