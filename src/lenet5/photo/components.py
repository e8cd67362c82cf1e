"""Connected components, and the choice of those that form a digit."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .pixels import Box, Grey, Mask, border, longer_side

CONNECTIVITY = np.ones((3, 3), bool)  # eight neighbours: pixels that touch at a corner are connected
_MIN_SIDE = 0.05  # as a fraction of the image's longer side


class Candidate(NamedTuple):
    """Components that may form a digit."""

    mask: Mask
    polarity: int  # 1 for light ink on dark, -1 for dark ink on light
    score: float
    plausibility: float  # from 0 to 1: how well the shape fits a drawing of strokes
    num_rivals: int  # other components that could be digits


class _Component(NamedTuple):
    number: int  # in the order of the labels
    box: Box
    score: float
    plausibility: float
    touches_border: bool


def find_digit(excess: Grey, ink: Mask, polarity: int) -> Candidate | None:
    """Find the component that most resembles a digit, add the components that belong to it, and count its rivals.

    Parameters
    ----------
    excess
        (H, W) float32: how far each pixel differs from the background, positive in the direction of ink.
    ink
        (H, W) bool: the pixels to take components from.
    polarity
        1 for light ink on dark, -1 for dark ink on light.

    Returns
    -------
    Candidate or None
        None if there is no component of sufficient size.
    """
    labels, _ = ndimage.label(ink, CONNECTIVITY)
    boxes, areas = ndimage.find_objects(labels), np.bincount(labels.ravel())[1:]
    large = [i for i in np.argsort(areas)[::-1][:30] if longer_side(boxes[i]) >= _MIN_SIDE * max(ink.shape)]
    components = {i: _measure(int(i), boxes[i], labels, excess) for i in large}
    if not components:
        return None
    main = max(components.values(), key=lambda component: component.score)
    members, num_rivals = [main.number], 0
    for index in np.flatnonzero(areas >= 0.02 * areas[main.number]):
        component = components.get(index)
        if index == main.number or (component and component.touches_border and not main.touches_border):
            continue
        near = _gap(main.box, boxes[index]) <= 0.2 * longer_side(main.box)
        if component and not component.touches_border and _is_rival(component, main, near=near):
            num_rivals += 1
        elif near:
            members.append(int(index))
    return Candidate(np.isin(labels, np.array(members) + 1), polarity, main.score, main.plausibility, num_rivals)


def _measure(number: int, box: Box, labels: npt.NDArray[np.int32], excess: Grey) -> _Component:
    """Score a component: digits have long thin strokes and high contrast, and lie away from the image's border."""
    mask, edge = labels[box] == number + 1, border(labels)
    area, side, contact = int(mask.sum()), max(mask.shape), int((edge == number + 1).sum())
    prior = float(np.clip(3 - 5 * (edge > 0).mean(), 0.02, 1))  # the border of the image is mostly background
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))
    length = area / (4 * distance[distance > 0].mean())  # a bar's mean distance to its edge is a quarter of its width
    thinness = np.clip((0.3 - distance.max() / side) / 0.1, 0.02, 1)
    solidity = area / mask.size * min(1, 1.6 * min(mask.shape) / side)  # high for paper, low for an upright 1
    thinness *= np.clip((0.75 - solidity) / 0.15, 0.02, 1)
    simplicity = np.clip((6 - length / side) / 1.5, 0.1, 1)  # strokes are 1 to 5 times as long as the digit's box
    shadow = contact > 1.2 * side and distance.max() > 0.2 * side  # broad, and along the border
    plausibility = float(thinness * simplicity * prior) * (0.02 if shadow else max(0.1, 1 - contact / side))
    eccentricity = float(np.hypot(*((a.start + a.stop) / b - 1 for a, b in zip(box, excess.shape, strict=True))))
    contrast = min(float(excess[box][mask].mean()), 60.0)  # higher contrast adds nothing
    score = contrast * length * plausibility * (0.5 if contact else 1) * (1 - 0.35 * eccentricity)
    return _Component(number, box, score, plausibility, contact > 0)


def _is_rival(component: _Component, main: _Component, *, near: bool) -> bool:
    """Return True if a component is a second digit: similar in score and size or, if near, as tall and beside it."""
    if not near:
        return component.score > 0.35 * main.score and longer_side(component.box) > 0.4 * longer_side(main.box)
    (rows, columns), (main_rows, main_columns) = component.box, main.box
    height = max(rows.stop, main_rows.stop) - min(rows.start, main_rows.start)
    beside = columns.start >= main_columns.stop or main_columns.start >= columns.stop
    return bool(beside and min(rows.stop - rows.start, main_rows.stop - main_rows.start) > 0.75 * height)


def _gap(first: Box, second: Box) -> float:
    """Return the distance between two boxes."""
    return float(np.hypot(*(max(0, b.start - a.stop, a.start - b.stop) for a, b in zip(first, second, strict=True))))
