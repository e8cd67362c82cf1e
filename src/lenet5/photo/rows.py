"""The order in which several digits are read."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

Corners: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom."""


def reading_order(boxes: Sequence[Corners]) -> list[int]:
    """Return the indices of boxes from left to right, row by row from the top. A row may be tilted."""
    rows = sorted(_rows(boxes), key=lambda row: sum(boxes[index][1] + boxes[index][3] for index in row) / len(row))
    return [index for row in rows for index in row]


def _rows(boxes: Sequence[Corners]) -> Iterator[list[int]]:
    """Yield rows from left to right: each box continues the row whose last box is at its height, if there is one."""
    rows: list[list[int]] = []
    for index in sorted(range(len(boxes)), key=lambda index: boxes[index][0] + boxes[index][2]):
        level = [row for row in rows if _overlap(boxes[row[-1]], boxes[index]) > 0.4]
        if level:
            max(level, key=lambda row: _overlap(boxes[row[-1]], boxes[index])).append(index)
        else:
            rows.append([index])
    yield from rows


def _overlap(first: Corners, second: Corners) -> float:
    """Return the height that two boxes have in common, as a fraction of the taller one."""
    common = min(first[3], second[3]) - max(first[1], second[1])
    return common / max(first[3] - first[1], second[3] - second[1])
