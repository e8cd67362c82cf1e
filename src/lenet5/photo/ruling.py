"""Removal of the lines of ruled and squared paper."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .pixels import Grey, Mask

Indices: TypeAlias = npt.NDArray[np.int_]

_SLOPES = np.linspace(-0.25, 0.25, 51)  # paper is rarely tilted by more than 14 degrees
_MIN_COVERAGE = 0.7  # fraction of the image's width that a line must cover; strokes of a digit cover less
_MAX_THICKNESS = 0.06  # as a fraction of the image's longer side
_MAX_LINES = 60  # per direction


def remove_lines(excess: Grey, marked: Mask) -> Grey | None:
    """Remove straight lines that cross the whole image.

    Parameters
    ----------
    excess
        (H, W) float32: how far each pixel differs from the background, positive in the direction of ink.
    marked
        (H, W) bool: pixels that may be ink or line.

    Returns
    -------
    ndarray or None
        The excess without lines, except where ink crosses them. None if there are no lines.
    """
    excess = excess.copy()
    lines = [(view, *line) for view, mask in ((excess, marked), (excess.T, marked.T)) for line in _lines(mask)]
    for view, rows, margin in lines:
        _erase(view, rows, margin)
    return excess if lines else None


def _lines(marked: Mask) -> Iterator[tuple[Indices, int]]:
    """Yield nearly horizontal lines: the row in each column, and half the thickness."""
    height, width = marked.shape
    if marked.any(0).mean() < _MIN_COVERAGE:
        return
    paths = np.rint(_SLOPES[:, None] * (np.arange(width) - width / 2)).astype(int)
    coverage = _coverage(marked, paths)
    for _ in range(_MAX_LINES):
        slope, row = (int(index) for index in np.unravel_index(coverage.argmax(), coverage.shape))
        if coverage[slope, row] < _MIN_COVERAGE:
            return
        gaps = np.concatenate([[-1], np.flatnonzero(coverage[slope] < 0.5), [height]])
        below = np.searchsorted(gaps, row)
        top, bottom = int(gaps[below - 1]) + 1, int(gaps[below])
        half = (bottom - 1 - top) // 2 + 1
        if 2 * half <= _MAX_THICKNESS * max(height, width):
            yield (top + bottom - 1) // 2 + paths[slope], half
        coverage[:, max(0, top - half - 2) : bottom + half + 2] = 0


def _coverage(marked: Mask, paths: Indices) -> Grey:
    """Compute the marked fraction of each line, by slope and by row at the middle column (a Hough transform)."""
    height, width = marked.shape
    pad = int(np.abs(paths).max()) + 1
    thick = np.pad(marked, ((pad, pad), (0, 0)))
    thick[1:-1] |= thick[:-2] | thick[2:]  # a line between two slopes is at most one pixel off
    columns = np.arange(0, width, 2)
    rows = np.arange(height)[:, None] + pad
    return np.stack([thick[rows + path[columns], columns].mean(1, dtype=np.float32) for path in paths])


def _erase(excess: Grey, rows: Indices, half: int) -> None:
    """Erase one line in place, except pixels that exceed the line or have ink on both sides of it."""
    height, width = excess.shape
    columns = np.arange(width)
    above, below = (excess[(rows + shift).clip(0, height - 1), columns] for shift in (-half - 1, half + 1))
    for shift in range(-half, half + 1):
        inside = (rows + shift >= 0) & (rows + shift < height)
        if inside.any():
            line = (rows + shift)[inside], columns[inside]
            level = max(0.0, float(np.median(excess[line])))
            excess[line] = np.maximum(excess[line] - 1.5 * level, np.minimum(above, below)[inside])
