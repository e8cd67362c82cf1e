"""Strokes of a digit, drawn at any size: each function returns the ink coverage of every pixel, from 0 to 1."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from matplotlib import get_data_path
from scipy import ndimage
from scipy.interpolate import CubicHermiteSpline

Array: TypeAlias = npt.NDArray[np.float32]
Random: TypeAlias = np.random.Generator
FINE = 6  # upsampling factor of MNIST's pixels before skeletonisation

# Control points (x, y) of mouse strokes, in a box of 1 by 1.4 with the origin in the upper left corner.
STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [[(0.5, 0), (0.1, 0.3), (0, 0.7), (0.15, 1.2), (0.5, 1.4), (0.85, 1.2), (1, 0.7), (0.85, 0.2), (0.5, 0)]],
    1: [[(0.5, 0), (0.5, 0.5), (0.48, 1), (0.48, 1.4)]],
    2: [[(0.05, 0.35), (0.2, 0.05), (0.6, 0), (0.9, 0.3), (0.7, 0.8), (0, 1.4)], [(0, 1.4), (0.5, 1.36), (1, 1.4)]],
    3: [
        [(0.05, 0.15), (0.5, 0), (0.9, 0.25), (0.75, 0.55), (0.4, 0.65)],
        [(0.4, 0.65), (0.85, 0.8), (0.95, 1.1), (0.5, 1.4), (0, 1.25)],
    ],
    4: [[(0.45, 0), (0.25, 0.45), (0, 0.9)], [(0, 0.9), (0.5, 0.9), (1, 0.88)], [(0.7, 0.4), (0.68, 0.9), (0.68, 1.4)]],
    5: [
        [(0.9, 0), (0.5, 0.02), (0.15, 0)],
        [(0.15, 0), (0.1, 0.6)],
        [(0.1, 0.6), (0.55, 0.5), (0.95, 0.8), (0.8, 1.25), (0.4, 1.4), (0, 1.25)],
    ],
    6: [[(0.75, 0), (0.3, 0.35), (0.05, 0.9), (0.25, 1.35), (0.65, 1.38), (0.9, 1.05), (0.6, 0.75), (0.25, 0.85)]],
    7: [[(0, 0.05), (0.5, 0.03), (0.95, 0)], [(0.95, 0), (0.6, 0.65), (0.4, 1.4)]],
    8: [
        [(0.5, 0.65), (0.15, 0.4), (0.25, 0.05), (0.6, 0), (0.85, 0.25), (0.5, 0.65)],
        [(0.5, 0.65), (0.05, 1), (0.25, 1.38), (0.7, 1.38), (0.95, 1), (0.5, 0.65)],
    ],
    9: [
        [(0.85, 0.35), (0.5, 0.7), (0.1, 0.5), (0.2, 0.1), (0.6, 0), (0.85, 0.35)],
        [(0.85, 0.35), (0.85, 0.8), (0.7, 1.4)],
    ],
}


def skeletonise(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Thin strokes to a width of one pixel (Zhang and Suen, Communications of the ACM 27(3), 1984).

    scikit-image's `skeletonize` leaves spurs on thick strokes; its skeletons would change the committed results.
    """
    mask = mask.copy()
    while True:
        before = mask.sum()
        for first in (True, False):
            ring = [np.roll(mask, shift, (0, 1)) for shift in ((1, 0), (1, -1), (0, -1), (-1, -1))]
            ring += [np.roll(mask, shift, (0, 1)) for shift in ((-1, 0), (-1, 1), (0, 1), (1, 1))]
            north, east, south, west = ring[0::2]
            neighbours = sum(neighbour.astype(int) for neighbour in ring)
            transitions = sum((~ring[i] & ring[(i + 1) % 8]).astype(int) for i in range(8))
            if first:
                removable = ~(north & east & south) & ~(east & south & west)
            else:
                removable = ~(north & east & west) & ~(north & south & west)
            mask &= ~((neighbours >= 2) & (neighbours <= 6) & (transitions == 1) & removable)
        if mask.sum() == before:
            return mask


def redraw(image: Array, size: int, width: float) -> Array:
    """Redraw an MNIST digit from its skeleton.

    Parameters
    ----------
    image
        A digit (28, 28), from 0 to 255.
    size
        Longer side of the bounding box, in pixels.
    width
        Stroke width as a fraction of `size`.
    """
    fine = ndimage.zoom(image, FINE, order=3, mode="grid-constant", grid_mode=True)
    line = skeletonise(np.pad(fine > 110, 1))
    rows, columns = np.nonzero(line)
    line = line[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = size * (1 - width) / max(line.shape)
    line = np.pad(line, int(np.ceil(width * size / scale)) + 3)
    distance = ndimage.zoom(ndimage.distance_transform_edt(~line), scale, order=1, mode="nearest") * scale
    coverage: Array = np.clip(width * size / 2 - distance + 0.5, 0, 1).astype(np.float32)
    return coverage


def spline(points: list[tuple[float, float]], random: Random, jitter: float) -> list[tuple[float, float]]:
    """Interpolate jittered points by a Catmull-Rom spline, with 12 samples per segment."""
    jittered = np.array(points) + random.normal(0, jitter, (len(points), 2))
    extended = np.vstack([2 * jittered[0] - jittered[1], jittered, 2 * jittered[-1] - jittered[-2]])
    segments = np.arange(len(points))
    curve = CubicHermiteSpline(segments, jittered, (extended[2:] - extended[:-2]) / 2)
    samples = (segments[:-1, None] + np.linspace(0, 1, 12)).ravel()
    return [(float(x), float(y)) for x, y in curve(samples)]


def draw_with_mouse(digit: int, random: Random, size: int, width: float, *, smooth: bool) -> Array:
    """Draw a digit as in a painting program; `smooth` antialiases the strokes."""
    factor = 4 if smooth else 1
    stroke = max(1, round(width * size)) * factor
    scale = size * factor / 1.4 * (1 - width)
    slant, aspect = random.uniform(-0.15, 0.15), random.uniform(0.7, 1.1)
    canvas = PIL.Image.new("L", (2 * size * factor, 2 * size * factor))
    draw = PIL.ImageDraw.Draw(canvas)
    for points in STROKES[digit]:
        path = [
            (((x - 0.5) * aspect - (y - 0.7) * slant) * scale + size * factor, (y - 0.7) * scale + size * factor)
            for x, y in spline(points, random, 0.03)
        ]
        draw.line(path, 255, stroke, joint="curve")
        for x, y in path:
            draw.ellipse((x - stroke / 2, y - stroke / 2, x + stroke / 2, y + stroke / 2), 255)
    return np.asarray(canvas.resize((2 * size, 2 * size), PIL.Image.Resampling.BOX), np.float32) / np.float32(255)


def print_digit(digit: int, random: Random, size: int) -> Array:
    """Render a digit in a random font."""
    names = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10"]
    font = PIL.ImageFont.truetype(str(Path(get_data_path(), "fonts/ttf", f"{random.choice(names)}.ttf")), size)
    canvas = PIL.Image.new("L", (2 * size, 2 * size))
    PIL.ImageDraw.Draw(canvas).text((size, size), str(digit), 255, font, anchor="mm")
    return np.asarray(canvas, np.float32) / np.float32(255)
