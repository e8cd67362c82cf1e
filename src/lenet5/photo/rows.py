"""The order in which several digits are read."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TypeAlias

Corners: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom."""

_STEEPEST = 0.6  # slope of a row
_MAX_PITCH = 2.5  # from one digit to the next, as a multiple of the taller one's height


def reading_order(boxes: Sequence[Corners]) -> list[int]:
    """Return the indices of boxes from left to right, row by row from the top. Rows may be tilted by up to 28°."""
    slope = _slope(boxes)
    level = [
        (top - slope * (left + right) / 2, bottom - slope * (left + right) / 2) for left, top, right, bottom in boxes
    ]
    across = sorted(range(len(boxes)), key=lambda index: boxes[index][0] + boxes[index][2])
    rows = sorted(_rows(level, across), key=lambda row: sum(sum(level[index]) for index in row) / len(row))
    return [index for row in rows for index in row]


def _slope(boxes: Sequence[Corners]) -> float:
    """Return the slope of rows: the median of those from each box to the nearest one on its right, if that is near."""
    middles = [((left + right) / 2, (top + bottom) / 2, bottom - top) for left, top, right, bottom in boxes]
    slopes = []
    for x, y, height in middles:
        steps = [
            (other - x, below - y)
            for other, below, taller in middles
            if 0 < other - x < _MAX_PITCH * max(height, taller)
        ]
        flat = [(dx, dy) for dx, dy in steps if abs(dy) <= _STEEPEST * dx]
        if flat:
            dx, dy = min(flat, key=lambda step: step[0] ** 2 + step[1] ** 2)
            slopes.append(dy / dx)
    return median(slopes) if slopes else 0.0


def _rows(spans: Sequence[tuple[float, float]], across: Sequence[int]) -> Iterator[list[int]]:
    """Yield rows of the indices of spans (top, bottom), which are given from left to right.

    Each continues the row whose last span is at its height, if there is one.
    """
    rows: list[list[int]] = []
    for index in across:
        level = [row for row in rows if _overlap(spans[row[-1]], spans[index]) > 0.4]
        if level:
            max(level, key=lambda row: _overlap(spans[row[-1]], spans[index])).append(index)
        else:
            rows.append([index])
    yield from rows


def _overlap(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Return what two spans have in common, as a fraction of the longer one."""
    common = min(first[1], second[1]) - max(first[0], second[0])
    return common / max(first[1] - first[0], second[1] - second[0])
