"""Render photographs of MNIST's digits, and print how many the weights know by way of `load_digit`, for each kind.

    python benchmarks/photographs.py --root DIR [--split val|test] [--count 200] [--seed 0] [--results FILE.csv]

Each digit's strokes are thinned to their middle line and drawn again with another pen, in another size, on another
ground, and the picture is spoilt as a camera does it. Pictures without a digit should be refused; of those that are
not, the weights should be unsure, as `lenet5 predict` calls it. Nothing here is a real photograph: the numbers compare
versions of `load_digit`, they do not foretell its accuracy. Everything is chosen on the validation split.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from matplotlib import get_data_path
from scipy import ndimage

import lenet5

Array: TypeAlias = npt.NDArray[np.float32]
Random: TypeAlias = np.random.Generator
FINE = 6  # the middle line is found on a grid this much finer than MNIST's

# Strokes of a hand that draws with a mouse, in a box of 1 by 1.4, (x, y) from the upper left corner.
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
    6: [
        [(0.75, 0), (0.3, 0.35), (0.05, 0.9), (0.25, 1.35), (0.65, 1.38), (0.9, 1.05), (0.6, 0.75), (0.25, 0.85)],
    ],
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


# Ink: how much of each pixel it covers, from 0 to 1


def thinned(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Thin strokes to their middle line (Zhang and Suen, Communications of the ACM 27(3), 1984)."""
    mask = mask.copy()
    while True:
        before = mask.sum()
        for first in (True, False):
            ring = [np.roll(mask, shift, (0, 1)) for shift in ((1, 0), (1, -1), (0, -1), (-1, -1))]
            ring += [np.roll(mask, shift, (0, 1)) for shift in ((-1, 0), (-1, 1), (0, 1), (1, 1))]
            north, east, south, west = ring[0::2]
            number = sum(neighbour.astype(int) for neighbour in ring)
            turns = sum((~ring[i] & ring[(i + 1) % 8]).astype(int) for i in range(8))
            sides = ~(north & east & south) & ~(east & south & west) if first else ~(north & east & west)
            sides = sides if first else sides & ~(north & south & west)
            mask &= ~((number >= 2) & (number <= 6) & (turns == 1) & sides)
        if mask.sum() == before:
            return mask


def redrawn(image: Array, size: int, width: float) -> Array:
    """Draw one of MNIST's digits with its box `size` pixels high and strokes `width` times that wide."""
    fine = ndimage.zoom(image, FINE, order=3, mode="grid-constant", grid_mode=True)
    line = thinned(np.pad(fine > 110, 1))
    rows, columns = np.nonzero(line)
    line = line[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = size * (1 - width) / max(line.shape)
    line = np.pad(line, int(np.ceil(width * size / scale)) + 3)
    away = ndimage.zoom(ndimage.distance_transform_edt(~line), scale, order=1, mode="nearest") * scale
    return np.clip(width * size / 2 - away + 0.5, 0, 1).astype(np.float32)


def curve(points: list[tuple[float, float]], random: Random, shake: float) -> list[tuple[float, float]]:
    """Return a smooth line by shaken points (Catmull and Rom's spline)."""
    shaken = np.array(points) + random.normal(0, shake, (len(points), 2))
    p = np.vstack([2 * shaken[0] - shaken[1], shaken, 2 * shaken[-1] - shaken[-2]])
    t = np.linspace(0, 1, 12)[:, None]
    pieces = [
        0.5
        * (
            2 * p[i]
            + (p[i + 1] - p[i - 1]) * t
            + (2 * p[i - 1] - 5 * p[i] + 4 * p[i + 1] - p[i + 2]) * t**2
            + (3 * p[i] - p[i - 1] - 3 * p[i + 1] + p[i + 2]) * t**3
        )
        for i in range(1, len(p) - 2)
    ]
    return [(float(x), float(y)) for x, y in np.vstack(pieces)]


def by_mouse(digit: int, random: Random, size: int, width: float, *, smooth: bool) -> Array:
    """Draw a digit from vector strokes, as in a painting program."""
    factor = 4 if smooth else 1
    stroke = max(1, round(width * size)) * factor
    scale = size * factor / 1.4 * (1 - width)
    lean, wide = random.uniform(-0.15, 0.15), random.uniform(0.7, 1.1)
    canvas = PIL.Image.new("L", (2 * size * factor, 2 * size * factor))
    draw = PIL.ImageDraw.Draw(canvas)
    for points in STROKES[digit]:
        path = [
            (((x - 0.5) * wide - (y - 0.7) * lean) * scale + size * factor, (y - 0.7) * scale + size * factor)
            for x, y in curve(points, random, 0.03)
        ]
        draw.line(path, 255, stroke, joint="curve")
        for x, y in path:
            draw.ellipse((x - stroke / 2, y - stroke / 2, x + stroke / 2, y + stroke / 2), 255)
    return np.asarray(canvas.resize((2 * size, 2 * size), PIL.Image.Resampling.BOX), np.float32) / 255


def printed(digit: int, random: Random, size: int) -> Array:
    """Draw a digit of a printed font."""
    names = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10"]
    font = PIL.ImageFont.truetype(Path(get_data_path(), "fonts/ttf", f"{random.choice(names)}.ttf"), size)
    canvas = PIL.Image.new("L", (2 * size, 2 * size))
    PIL.ImageDraw.Draw(canvas).text((size, size), str(digit), 255, font, anchor="mm")
    return np.asarray(canvas, np.float32) / 255


# Grounds, and what a camera makes of them


def smooth_noise(shape: tuple[int, int], cells: int, random: Random) -> Array:
    """Return smooth noise of variance about 1 with so many cells along the shorter side."""
    coarse = random.normal(size=[max(2, -(-side * cells // min(shape))) for side in shape])
    factors = [side / part for side, part in zip(shape, coarse.shape, strict=True)]
    return ndimage.zoom(coarse, factors, order=3, mode="nearest", grid_mode=True)[: shape[0], : shape[1]].astype("f")


def ruled(shape: tuple[int, int], step: float, thick: float, offset: float) -> Array:
    """Return how much of each pixel horizontal lines cover."""
    rows = (np.arange(shape[0]) + offset) % step
    away = np.minimum(rows, step - rows)
    return np.broadcast_to(np.clip(thick / 2 - away + 0.5, 0, 1)[:, None], shape).astype(np.float32)


def placed(ink: Array, shape: tuple[int, int], random: Random) -> Array:
    """Put ink somewhere into a picture, all of it inside."""
    rows, columns = (np.flatnonzero(ink.max(axis) > 0.05) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    room = [shape[i] - ink.shape[i] for i in range(2)]
    top, left = (int(np.clip(random.normal(side / 2, side / 6), 0.06 * side, 0.94 * side)) for side in room)
    picture = np.zeros(shape, np.float32)
    picture[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return picture


def frame(ink: Array, random: Random, share: tuple[float, float]) -> tuple[int, int]:
    """Choose a picture's size such that the ink fills a share of its shorter side."""
    short = min(1000, round(max(ink.shape) / random.uniform(*share)))
    return (round(short * random.uniform(1, 1.4)), short) if random.random() < 0.5 else (short, round(short * 1.33))


def mixed(ground: Array, ink: Array, colour: tuple[float, ...]) -> Array:
    """Lay ink (H, W) of a colour on a ground (H, W, 3)."""
    return ground + ink[..., None] * (np.array(colour, np.float32) - ground)


def tilted(picture: Array, random: Random, degrees: float = 10) -> Array:
    """Rotate, and look from the side."""
    height, width = picture.shape[:2]
    angle = np.deg2rad(random.uniform(-degrees, degrees))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    view = np.eye(3)
    view[2, :2] = random.uniform(-0.12, 0.12, 2) / max(height, width)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    rows, columns = rows - height / 2, columns - width / 2
    matrix = view @ turn
    y, x, z = (matrix[i, 0] * rows + matrix[i, 1] * columns + matrix[i, 2] for i in range(3))
    places = np.stack([y / z + height / 2, x / z + width / 2])
    return np.stack(
        [ndimage.map_coordinates(p, places, order=1, mode="reflect") for p in picture.transpose(2, 0, 1)], -1
    )


def shaded(picture: Array, random: Random, depth: float) -> Array:
    """Light a picture unevenly: a slope, and soft shadows."""
    shape = picture.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    slope = random.uniform(-depth, depth) * rows + random.uniform(-depth, depth) * columns
    return picture * np.clip(1 + slope + 0.3 * depth * smooth_noise(shape, 3, random), 0.15, 1.2)[..., None]


def thumb(picture: Array, random: Random) -> Array:
    """Throw the shadow of a hand or a telephone, with an edge that is neither sharp nor soft."""
    shape = picture.shape[:2]
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = random.uniform(0, 2 * np.pi)
    side = (rows - shape[0] / 2) * np.sin(angle) + (columns - shape[1] / 2) * np.cos(angle)
    side += 0.06 * min(shape) * smooth_noise(shape, 4, random) - random.uniform(-0.3, 0.3) * min(shape)
    edge = random.uniform(0.01, 0.06) * min(shape)
    return picture * (1 - random.uniform(0.25, 0.5) / (1 + np.exp(-side / edge)))[..., None]


def on_table(picture: Array, random: Random) -> Array:
    """Lay the paper on a table, whose edge is in the picture on one or more sides."""
    height, width = picture.shape[:2]
    wood = random.uniform([40, 25, 10], [180, 140, 110])
    grain = ndimage.gaussian_filter(random.normal(size=(height, width)), (1, 25)) * 60
    table = wood + grain[..., None] + 8 * smooth_noise((height, width), 5, random)[..., None]
    rows, columns = np.mgrid[:height, :width]
    cuts = [random.uniform(0.02, 0.09) if random.random() < 0.6 else -1 for _ in range(4)]
    lean = random.uniform(-0.06, 0.06)
    y, x = rows / height + lean * (columns / width - 0.5), columns / width - lean * (rows / height - 0.5)
    paper = (y > cuts[0]) & (y < 1 - cuts[1]) & (x > cuts[2]) & (x < 1 - cuts[3])
    return np.where(paper[..., None], picture, table).astype(np.float32)


def photographed(picture: Array, random: Random) -> PIL.Image.Image:
    """Blur, add noise and compress."""
    size = min(picture.shape[:2])
    blurred = ndimage.gaussian_filter(picture, (*[random.uniform(0.3, max(0.5, size / 500))] * 2, 0))
    noisy = blurred + random.normal(0, random.uniform(1, 7), picture.shape)
    file = io.BytesIO()
    PIL.Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=int(random.integers(40, 95))
    )
    return PIL.Image.open(file)


def paper(shape: tuple[int, int], random: Random) -> Array:
    """Make white to cream paper with its texture."""
    colour = random.uniform([205, 200, 175], [255, 250, 245])
    texture = random.uniform(0, 3) * random.normal(size=shape) + random.uniform(0, 4) * smooth_noise(shape, 40, random)
    return (colour + texture[..., None]).astype(np.float32)


PENS = {
    "ballpoint": ([(25, 35, 120), (20, 20, 25), (160, 25, 35), (30, 60, 150)], (0.03, 0.07)),
    "pencil": ([(95, 95, 100), (120, 118, 118)], (0.018, 0.04)),
    "marker": ([(15, 15, 20), (25, 40, 140), (170, 20, 30), (10, 100, 60)], (0.09, 0.2)),
}


def handwritten(
    image: Array | None,
    random: Random,
    pen: str,
    *,
    share: tuple[float, float] = (0.15, 0.7),
    lines: str = "",
    more: str = "",
) -> PIL.Image.Image:
    """Photograph a digit, or none, on paper, with lines or squares, a hand's shadow or a table if asked for."""
    colours, widths = PENS[pen]
    size = int(random.integers(60, 250))
    width = max(random.uniform(*widths), 1.3 / size)
    ink = np.zeros((size, size), np.float32) if image is None else redrawn(image, size, width)
    shape = frame(ink, random, share)
    picture = paper(shape, random)
    if lines:
        step = size * random.uniform(0.35, 1.3)
        colour = [(150, 180, 220), (190, 190, 190), (120, 150, 200), (200, 150, 150)][random.integers(4)]
        thick = max(1.0, size * random.uniform(0.008, 0.02))
        picture = mixed(picture, ruled(shape, step, thick, random.uniform(0, step)), colour)
        if lines == "squares":
            picture = mixed(picture, ruled(shape[::-1], step, thick, random.uniform(0, step)).T, colour)
    grain = 1 - (0.35 if pen == "pencil" else 0.1) * np.abs(smooth_noise(shape, min(shape) // 3, random))
    ink_on = np.zeros(shape, np.float32) if image is None else placed(ink, shape, random) * np.clip(grain, 0, 1)
    picture = mixed(picture, ink_on * random.uniform(0.75, 1), colours[random.integers(len(colours))])
    picture = on_table(picture, random) if more == "table" else picture
    picture = shaded(tilted(picture, random), random, random.uniform(0, 0.35))
    return photographed(thumb(picture, random) if more == "thumb" else picture, random)


def on_board(image: Array, random: Random, *, chalk: bool) -> PIL.Image.Image:
    """Photograph a digit on a blackboard or a whiteboard."""
    size = int(random.integers(80, 250))
    ink = redrawn(image, size, random.uniform(0.05, 0.12))
    shape = frame(ink, random, (0.15, 0.6))
    on = placed(ink, shape, random)
    if chalk:
        ground = random.uniform([25, 40, 30], [60, 80, 75]) + 10 * np.abs(smooth_noise(shape, 6, random))[..., None]
        gaps = np.clip(1.1 - 0.4 * np.abs(smooth_noise(shape, min(shape) // 4, random)), 0, 1)
        picture = mixed(ground.astype("f"), on * gaps, (235, 235, 220))
    else:
        colours = [(20, 20, 30), (20, 50, 160), (190, 20, 30), (0, 120, 60)]
        picture = mixed(np.full((*shape, 3), 215, np.float32), on * 0.9, colours[random.integers(4)])
        rows, columns = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
        at = random.uniform(-1, 1, 2)
        glare = np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / random.uniform(0.02, 0.15))
        picture += (random.uniform(40, 140) * glare[..., None] * (255 - picture) / 255).astype("f")
    return photographed(shaded(tilted(picture, random), random, random.uniform(0, 0.3)), random)


def scanned(image: Array, random: Random) -> PIL.Image.Image:
    """Scan a form at 300 dots an inch: flat, sharp, grey or of two levels."""
    ink = redrawn(image, int(random.integers(70, 200)), random.uniform(0.04, 0.1))
    on = placed(ink, frame(ink, random, (0.2, 0.8)), random)
    grey = 245 - on * random.uniform(150, 230) + random.normal(0, random.uniform(0, 6), on.shape)
    picture = PIL.Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    return picture.convert("1", dither=PIL.Image.Dither.NONE) if random.random() < 0.3 else picture


def painted(target: int, random: Random, *, dark: bool = False, smooth: bool = True) -> PIL.Image.Image:
    """Draw with a mouse in a painting program."""
    ink = by_mouse(target, random, int(random.integers(60, 300)), random.uniform(0.02, 0.2), smooth=smooth)
    on = 255 * placed(ink, frame(ink[::2, ::2], random, (0.2, 0.8)), random)
    return PIL.Image.fromarray((on if dark else 255 - on).astype(np.uint8))


def postal(image: Array) -> PIL.Image.Image:
    """Cut a digit out of MNIST and fit it into 16 by 16, light on dark and without a margin."""
    rows, columns = (np.flatnonzero(image.max(axis) > 60) for axis in (1, 0))
    cut = PIL.Image.fromarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8))
    scale = 16 / max(cut.size)
    cut = cut.resize([max(1, round(side * scale)) for side in cut.size], PIL.Image.Resampling.BICUBIC)
    canvas = PIL.Image.new("L", (16, 16))
    canvas.paste(cut, ((16 - cut.width) // 2, (16 - cut.height) // 2))
    return canvas


def icon(image: Array, random: Random) -> PIL.Image.Image:
    """Shrink a digit to 8 to 20 pixels, of either polarity."""
    side = int(random.integers(8, 21))
    small = PIL.Image.fromarray(image[3:25, 3:25].astype(np.uint8)).resize((side, side), PIL.Image.Resampling.BOX)
    return small if random.random() < 0.5 else PIL.Image.fromarray(255 - np.asarray(small))


def enlarged(image: Array, random: Random) -> PIL.Image.Image:
    """Enlarge MNIST's own picture, of either polarity."""
    side = int(random.integers(60, 600))
    large = PIL.Image.fromarray(image.astype(np.uint8)).resize((side, side), PIL.Image.Resampling.BICUBIC)
    return large if random.random() < 0.5 else PIL.Image.fromarray(255 - np.asarray(large))


def in_print(target: int, random: Random) -> PIL.Image.Image:
    """Print a digit, black on white."""
    ink = printed(target, random, int(random.integers(40, 200)))
    return PIL.Image.fromarray((255 - 255 * placed(ink, ink.shape, random)).astype(np.uint8))


KINDS: dict[str, Callable[[Array, int, Random], PIL.Image.Image]] = {
    "ballpoint, white paper": lambda image, _, random: handwritten(image, random, "ballpoint"),
    "ballpoint, lined paper": lambda image, _, random: handwritten(image, random, "ballpoint", lines="lines"),
    "ballpoint, squared paper": lambda image, _, random: handwritten(image, random, "ballpoint", lines="squares"),
    "ballpoint, table": lambda image, _, random: handwritten(image, random, "ballpoint", more="table"),
    "ballpoint, squares, table": lambda image, _, random: handwritten(
        image, random, "ballpoint", lines="squares", more="table"
    ),
    "ballpoint, shadow": lambda image, _, random: handwritten(image, random, "ballpoint", more="thumb"),
    "pencil": lambda image, _, random: handwritten(image, random, "pencil"),
    "pencil, squared paper": lambda image, _, random: handwritten(image, random, "pencil", lines="squares"),
    "marker": lambda image, _, random: handwritten(image, random, "marker"),
    "marker, filling the picture": lambda image, _, random: handwritten(image, random, "marker", share=(0.7, 0.95)),
    "small in the picture": lambda image, _, random: handwritten(image, random, "ballpoint", share=(0.1, 0.15)),
    "whiteboard": lambda image, _, random: on_board(image, random, chalk=False),
    "chalk": lambda image, _, random: on_board(image, random, chalk=True),
    "scan": lambda image, _, random: scanned(image, random),
    "mouse, black on white": lambda _, target, random: painted(target, random),
    "mouse, white on black": lambda _, target, random: painted(target, random, dark=True),
    "mouse, not antialiased": lambda _, target, random: painted(target, random, smooth=False),
    "postal, 16x16": lambda image, _target, _random: postal(image),
    "8x8 to 20x20": lambda image, _, random: icon(image, random),
    "MNIST enlarged": lambda image, _, random: enlarged(image, random),
    "printed": lambda _, target, random: in_print(target, random),
}

NONE: dict[str, Callable[[Random], PIL.Image.Image]] = {
    "no digit, white paper": lambda random: handwritten(None, random, "ballpoint"),
    "no digit, lined paper": lambda random: handwritten(None, random, "ballpoint", lines="lines"),
    "no digit, squared paper": lambda random: handwritten(None, random, "ballpoint", lines="squares"),
    "no digit, table": lambda random: handwritten(None, random, "ballpoint", more="table"),
    "no digit, squares, table": lambda random: handwritten(None, random, "ballpoint", lines="squares", more="table"),
    "no digit, shadow": lambda random: handwritten(None, random, "ballpoint", more="thumb"),
}


def renderings(
    kind: str, split: lenet5.ImageDataset, count: int, seed: int
) -> Iterator[tuple[PIL.Image.Image, int | None]]:
    """Yield pictures of a kind, each with its digit if there is one."""
    random = np.random.default_rng([seed, [*KINDS, *NONE].index(kind)])
    for i in random.choice(len(split), count, replace=False):
        if kind in NONE:
            yield NONE[kind](random), None
        else:
            target = int(split.targets[i])
            yield KINDS[kind](split.images[i, 0].numpy().astype(np.float32), target, random), target


def main() -> None:
    """Render, recognise and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--weights", default="MNIST_ROBUST_V1")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    split = getattr(lenet5.load_data("mnist", arguments.root, download=False), arguments.split)
    weights = lenet5.LeNet5_Weights(arguments.weights)
    trainer, preprocess = lenet5.Trainer(lenet5.lenet5(weights=weights)), weights.transforms()
    threshold = weights.meta["abstention"]["threshold"]
    rows = []
    for kind in (*KINDS, *NONE):
        counts = dict.fromkeys(("right", "refused", "unsure"), 0)
        for picture, target in renderings(kind, split, arguments.count, arguments.seed):
            try:
                answer = trainer.predict(preprocess(lenet5.load_digit(picture)))
            except ValueError:
                counts["refused"] += 1
                continue
            counts["right"] += int(answer.labels) == target
            counts["unsure"] += int(answer.abstain(threshold)) < 0
        rows.append({"kind": kind, "count": arguments.count, **counts})
        shares = "  ".join(f"{name} {counts[name] / arguments.count:7.2%}" for name in counts)
        print(f"{kind:30} {shares}", flush=True)
    table = pd.DataFrame(rows)
    digits = table[table.kind.isin(set(KINDS) - {"printed"})]
    print(f"{'mean of what is handwritten':30} right {(digits.right / digits['count']).mean():7.2%}")
    if arguments.results:
        table.to_csv(arguments.results, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
