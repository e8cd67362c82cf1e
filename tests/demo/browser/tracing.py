"""Strokes that follow the digits of a dataset, as a hand would trace them."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from strokes import skeletonise

Stroke = list[tuple[float, float]]
_FINE = 6  # upsampling factor before skeletonisation
_EVERY = 12  # fine pixels between two points
_PAD = 280 / 28  # units of the pad per pixel


def trace(image: npt.NDArray[np.uint8]) -> list[Stroke]:
    """Return strokes along the middle of the lines of a digit (28, 28), on a pad of 280x280."""
    fine = ndimage.zoom(image.astype(np.float32), _FINE, order=1, grid_mode=True, mode="grid-constant")
    remaining = {(int(row), int(column)) for row, column in np.argwhere(skeletonise(np.pad(fine > 96, 1)))}
    visited: set[tuple[int, int]] = set()
    strokes = []
    while remaining:
        # begin at an end of a line, or where a line branches from what is drawn
        start = min(remaining, key=lambda pixel: (not _beside(pixel, visited), len(_beside(pixel, remaining)), pixel))
        path = [*_beside(start, visited)[:1], start]
        remaining.remove(start)
        while following := _beside(path[-1], remaining):
            path.append(following[0])
            remaining.remove(following[0])
        visited.update(path)
        points = path[::_EVERY] + path[-1:]
        strokes.append([((column - 0.5) * _PAD / _FINE, (row - 0.5) * _PAD / _FINE) for row, column in points])
    return [stroke for stroke in strokes if len(stroke) > 2 or len(strokes) == 1]


def _beside(pixel: tuple[int, int], pixels: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the neighbours of a pixel among others, those with a common side first."""
    row, column = pixel
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
    return [place for i, j in steps if (place := (row + i, column + j)) in pixels]
