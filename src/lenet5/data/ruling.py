"""Take the lines of ruled and squared paper out of a picture's ink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Grey: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Places: TypeAlias = npt.NDArray[np.int_]

_SLOPES = np.linspace(-0.25, 0.25, 51)  # paper is held straighter than 14 degrees
_COVER = 0.7  # a line is drawn on that much of its way through the picture, and a digit's bar on less
_THICKEST = 0.06  # of the picture; what is thicker is no line
_MOST = 60  # lines of one direction


def without_lines(excess: Grey, marked: Mask) -> Grey | None:
    """Take straight lines that go through the whole picture out.

    Parameters
    ----------
    excess
        (H, W) float32; how much each pixel differs from the ground in the direction of ink.
    marked
        (H, W) bool; what may be ink or line.

    Returns
    -------
    ndarray or None
        The excess without the lines, and with the ink that crosses them; None if there are none.
    """
    excess, found = excess.copy(), False
    for view, mask in ((excess, marked), (excess.T, marked.T)):
        for rows, half in _lines(mask):
            _erase(view, rows, half)
            found = True
    return excess if found else None


def _lines(marked: Mask) -> Iterator[tuple[Places, int]]:
    """Yield lines that are nearly horizontal: the row in each column, and half the thickness."""
    height, width = marked.shape
    if marked.any(0).mean() < _COVER:
        return
    paths = np.rint(_SLOPES[:, None] * (np.arange(width) - width / 2)).astype(int)
    cover = _cover(marked, paths)
    for _ in range(_MOST):
        slope, row = (int(index) for index in np.unravel_index(cover.argmax(), cover.shape))
        if cover[slope, row] < _COVER:
            return
        least = cover[slope] < 0.5
        above, below = np.flatnonzero(least[:row]), np.flatnonzero(least[row:])
        top = int(above[-1]) + 1 if above.size else 0
        bottom = row + int(below[0]) if below.size else height
        half = (bottom - 1 - top) // 2 + 1
        if 2 * half <= _THICKEST * max(height, width):
            yield (top + bottom - 1) // 2 + paths[slope], half
        cover[:, max(0, top - half - 2) : bottom + half + 2] = 0


def _cover(marked: Mask, paths: Places) -> Grey:
    """Return for each slope and each row of the middle column how much of the line there is marked, as Hough (1962)."""
    height, width = marked.shape
    pad = int(np.abs(paths).max()) + 1
    thick = np.pad(marked, ((pad, pad), (0, 0)))
    thick[1:-1] |= thick[:-2] | thick[2:]  # between two slopes a line is at most a pixel off
    columns = np.arange(0, width, 2)
    rows = np.arange(height)[:, None] + pad
    return np.stack([thick[rows + path[columns], columns].mean(1, dtype=np.float32) for path in paths])


def _erase(excess: Grey, rows: Places, half: int) -> None:
    """Take one line out, in place: what stays is darker than the line, or has ink above and below it."""
    height, width = excess.shape
    columns = np.arange(width)
    above, below = (excess[(rows + shift).clip(0, height - 1), columns] for shift in (-half - 1, half + 1))
    for shift in range(-half, half + 1):
        inside = (rows + shift >= 0) & (rows + shift < height)
        if inside.any():
            at = (rows + shift)[inside], columns[inside]
            level = max(0.0, float(np.median(excess[at])))
            excess[at] = np.maximum(excess[at] - 1.5 * level, np.minimum(above, below)[inside])
