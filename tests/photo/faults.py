"""Photographs that are hard to segment, drawn from a seed: long stems, frames, squares, dots, pencil, tight crops."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
from scipy import ndimage

Random: TypeAlias = np.random.Generator
Path: TypeAlias = list[tuple[float, float]]
Draw: TypeAlias = Callable[[Random], tuple[PIL.Image.Image, int | None]]

SIDE = 320
FACTOR = 3  # of oversampling
STROKES: dict[str, list[Path]] = {
    "0": [[(30, 5), (12, 18), (6, 50), (14, 85), (32, 95), (50, 82), (56, 48), (48, 16), (30, 5)]],
    "1": [[(12, 30), (34, 6), (33, 50), (34, 94)]],
    "|": [[(30, 6), (31, 50), (29, 94)]],
    "2": [[(8, 26), (18, 10), (34, 6), (50, 18), (46, 42), (28, 66), (8, 92), (32, 90), (56, 92)]],
    "3": [[(8, 14), (30, 6), (50, 20), (42, 40), (26, 47), (46, 55), (54, 74), (36, 93), (8, 86)]],
    "4": [[(38, 6), (22, 36), (6, 64), (34, 64), (58, 63)], [(44, 42), (43, 68), (42, 94)]],
    "5": [[(52, 8), (18, 8), (14, 44), (36, 40), (54, 58), (48, 84), (28, 94), (8, 86)]],
    "6": [[(46, 6), (24, 28), (10, 62), (20, 90), (40, 92), (52, 74), (40, 56), (14, 66)]],
    "7": [[(8, 10), (32, 9), (54, 8), (38, 46), (26, 94)]],
    "8": [[(46, 16), (28, 6), (14, 20), (28, 44), (48, 70), (34, 94), (12, 82), (22, 54), (44, 32), (46, 16)]],
    "9": [[(48, 22), (30, 6), (12, 22), (22, 44), (42, 40), (48, 22), (46, 56), (44, 94)]],
}
"""Points (x, y) in 60x100 pixels."""
BARS: dict[str, Path] = {"7": [(20, 52), (52, 49)], "1": [(10, 94), (58, 93)]}


def ink(
    digit: str, random: Random, *, height: float, width: float, stem: float = 1, bar: bool = False
) -> PIL.Image.Image:
    """Draw a digit: white strokes on black, cropped to the ink; `stem` lengthens the lower half."""
    strokes = STROKES[digit] + ([BARS[digit]] if bar else [])
    slant, jitter = random.uniform(-0.15, 0.1), random.normal(0, 1, (12, 2))
    scale = FACTOR * height / (50 + 50 * stem)
    canvas = PIL.Image.new("L", [round(FACTOR * (height + 2 * width)) + 4] * 2)
    pen = PIL.ImageDraw.Draw(canvas)
    for stroke in strokes:
        points = np.array(stroke, float)
        points += jitter[: len(points)] * [1, 0.5]
        points[:, 1] = np.where(points[:, 1] > 50, 50 + (points[:, 1] - 50) * stem, points[:, 1])
        points[:, 0] += slant * (50 - points[:, 1]) + 10
        curve = ndimage.zoom(points, (8, 1), order=1, grid_mode=False, mode="nearest")
        path = [(x * scale + FACTOR * width, y * scale + FACTOR * width) for x, y in curve.tolist()]
        pen.line(path, 255, round(FACTOR * width), joint="curve")
        for x, y in (path[0], path[-1]):
            reach = FACTOR * width / 2
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), 255)
    cropped = canvas.crop(canvas.getbbox())
    return cropped.resize([max(1, round(side / FACTOR)) for side in cropped.size], PIL.Image.Resampling.BOX)


def photograph(
    drawing: PIL.Image.Image | None,
    random: Random,
    *,
    paper: PIL.Image.Image,
    darkness: float = 0.8,
    place: tuple[float, float] = (0.5, 0.5),
) -> PIL.Image.Image:
    """Lay a drawing on a paper, and light it unevenly, with noise."""
    page: npt.NDArray[Any] = np.asarray(paper, np.float32)
    if drawing is not None:
        covered = PIL.Image.new("L", paper.size)
        room = [side - part for side, part in zip(paper.size, drawing.size, strict=True)]
        covered.paste(drawing, (round(room[0] * place[0]), round(room[1] * place[1])))
        page = page * (1 - darkness * np.asarray(covered, np.float32) / 255)
    rows, columns = np.mgrid[-0.5 : 0.5 : page.shape[0] * 1j, -0.5 : 0.5 : page.shape[1] * 1j]
    page = page * (1 + random.uniform(-0.2, 0.2) * rows + random.uniform(-0.2, 0.2) * columns)
    page = ndimage.gaussian_filter(page, 0.7) + random.normal(0, 2, page.shape)
    return PIL.Image.fromarray(page.clip(0, 255).astype(np.uint8))


def sheet(random: Random, kind: str = "plain") -> PIL.Image.Image:
    """Make a sheet: "plain", "squares", "lines", "dots" or "dashes"."""
    page = PIL.Image.new("L", (SIDE, SIDE), int(random.integers(170, 235)))
    pen, step = PIL.ImageDraw.Draw(page), int(random.integers(24, 46))
    level, width = int(random.integers(110, 150)), int(random.integers(1, 3))
    start = int(random.integers(step))
    for place in range(start, SIDE, step):
        if kind in ("squares", "lines"):
            pen.line((0, place, SIDE, place + 4), level, width)
        if kind == "squares":
            pen.line((place, 0, place - 4, SIDE), level, width)
        for other in range(start, SIDE, step):
            if kind == "dots":
                pen.ellipse((place - 2, other - 2, place + 2, other + 2), level)
            if kind == "dashes":
                pen.line((other, place, other + step // 2, place + 1), level, width)
    return page


def long_stem(kind: str) -> Draw:
    """Write a nine, a seven or a one from the top of the image to its bottom."""

    def draw(random: Random) -> tuple[PIL.Image.Image, int]:
        digit = "971"[random.integers(3)]
        stem = 1.0 if digit == "1" else random.uniform(1.5, 2.2)
        drawing = ink(digit, random, height=random.uniform(0.8, 0.96) * SIDE, width=random.uniform(4, 9), stem=stem)
        place = random.uniform(0.2, 0.8), random.uniform(0.2, 0.8)
        return photograph(drawing, random, paper=sheet(random, kind), place=place), int(digit)

    return draw


def crossed(kind: str) -> Draw:
    """Write a seven with a bar or a one with a base line."""

    def draw(random: Random) -> tuple[PIL.Image.Image, int]:
        digit = "71"[random.integers(2)]
        drawing = ink(digit, random, height=random.uniform(90, 200), width=random.uniform(3, 9), bar=True)
        place = random.uniform(0.2, 0.8), random.uniform(0.2, 0.8)
        return photograph(drawing, random, paper=sheet(random, kind), place=place), int(digit)

    return draw


def written(kind: str, *, width: tuple[float, float] = (4, 10), darkness: tuple[float, float] = (0.6, 0.85)) -> Draw:
    """Write any digit on a kind of paper."""

    def draw(random: Random) -> tuple[PIL.Image.Image, int]:
        digit = str(random.integers(10))
        drawing = ink(digit, random, height=random.uniform(80, 200), width=random.uniform(*width))
        place = random.uniform(0.1, 0.9), random.uniform(0.1, 0.9)
        paper = sheet(random, kind)
        return photograph(drawing, random, paper=paper, place=place, darkness=random.uniform(*darkness)), int(digit)

    return draw


def framed(random: Random) -> tuple[PIL.Image.Image, int]:
    """Write a digit in a box whose lines are at least four pixels thick."""
    digit = str(random.integers(10))
    height = random.uniform(70, 150)
    drawing, paper = ink(digit, random, height=height, width=random.uniform(4, 10)), sheet(random)
    gap, line = random.uniform(0.15, 0.5) * height, int(random.integers(4, 9))
    half = max(drawing.size) / 2 + gap if random.random() < 0.5 else None
    across, down = (half or side / 2 + gap for side in drawing.size)
    middle = SIDE / 2
    corners = middle - across - line, middle - down - line, middle + across + line, middle + down + line
    PIL.ImageDraw.Draw(paper).rectangle(corners, outline=int(random.integers(20, 110)), width=line)
    return photograph(drawing, random, paper=paper), int(digit)


def tight(random: Random) -> tuple[PIL.Image.Image, int]:
    """Crop a digit to the bounding box of its ink."""
    digit = str(random.integers(10)) if random.random() < 0.9 else "|"
    drawing = ink(digit, random, height=random.uniform(40, 200), width=random.uniform(4, 14))
    paper = PIL.Image.new("L", drawing.size, int(random.integers(200, 256)))
    return photograph(drawing, random, paper=paper, darkness=random.uniform(0.7, 0.95)), 1 if digit == "|" else int(
        digit
    )


def blank(kind: str) -> Draw:
    """Leave a sheet empty."""
    return lambda random: (photograph(None, random, paper=sheet(random, kind)), None)


def shadowed(random: Random) -> tuple[PIL.Image.Image, None]:
    """Leave a sheet empty, with the shadow of a hand on it or the table beside it."""
    page = np.asarray(photograph(None, random, paper=sheet(random, "squares")), np.float32)
    angle, offset = random.uniform(0, 2 * np.pi), random.uniform(-0.3, 0.4) * SIDE
    rows, columns = np.mgrid[: page.shape[0], : page.shape[1]] - SIDE / 2
    bend = random.uniform(0, 0.08) * SIDE * np.sin((rows - columns) / random.uniform(30, 90))
    distance = rows * np.sin(angle) + columns * np.cos(angle) + bend - offset
    dark = 1 / (1 + np.exp(-np.clip(distance / random.uniform(0.3, 20), -30, 30)))
    return PIL.Image.fromarray((page * (1 - random.uniform(0.4, 0.85) * dark)).astype(np.uint8)), None


KINDS: dict[str, Draw] = {
    "long stem": long_stem("plain"),
    "long stem, squares": long_stem("squares"),
    "crossed or based": crossed("plain"),
    "crossed or based, squares": crossed("squares"),
    "pencil": written("plain", width=(2, 4), darkness=(0.25, 0.5)),
    "pencil, squares": written("squares", width=(3, 5), darkness=(0.45, 0.6)),
    "dots": written("dots"),
    "dashes": written("dashes"),
    "frame": framed,
    "tight crop": tight,
    "blank": blank("plain"),
    "blank, squares": blank("squares"),
    "blank, lines": blank("lines"),
    "blank, dots": blank("dots"),
    "blank, dashes": blank("dashes"),
    "blank, shadow or table": shadowed,
}


def draw_many(kind: str, count: int) -> Iterator[tuple[PIL.Image.Image, int | None]]:
    """Yield photographs of one kind, each with its digit or None."""
    for seed in range(count):
        yield KINDS[kind](np.random.default_rng([*kind.encode(), seed]))
