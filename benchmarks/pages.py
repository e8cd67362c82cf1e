"""Pages with handwritten digits as cameras and scanners see them, small, with the mask of their ink.

Lines, frames and shadows are functions of the coordinates of the sheet, which is tilted, and strokes are points. Thus
nothing is resampled. A page is drawn at twice its resolution, and then averaged.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
from scipy import ndimage

import lenet5
from drawings import FORMS
from strokes import FINE, Random, skeletonise, spline

OVERSAMPLING = 2
SIDES = (80, 96, 112, 128)  # of a page, in pixels
LABELLED_WIDTH = 1.3  # least width of the strokes in a mask, in pixels
PAPERS = ("plain", "lines", "squares", "dots", "dashed", "dotted", "wall", "board", "drawing")
LONG_STEMS = (1, 4, 7, 9)
LAYOUTS = {"close": 0.27, "single": 0.23, "tight": 0.12, "row": 0.18, "scattered": 0.05, "none": 0.15}
FRACTIONS = {"close": (0.5, 0.75), "single": (0.12, 0.6), "tight": (0.8, 1.04), "scattered": (0.1, 0.25)}
Points: TypeAlias = npt.NDArray[Any]
Field: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, int]
Place: TypeAlias = tuple[float, float]
"""x and y."""

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True)
class Digit:
    """A digit to write: points (N, 2) of its strokes, as x and y, about their middle; the longer side is 1."""

    points: Points
    size: tuple[float, float]
    """Width and height."""


@dataclass(frozen=True)
class Sheet:
    """Coordinates of a tilted sheet of paper, in pixels of the page, for each pixel drawn."""

    x: Field
    y: Field
    shape: Shape
    """Of the page, in pixels."""


class Skeletons:
    """Skeletons of MNIST's digits, as points, by class, and the images."""

    def __init__(self, split: lenet5.ImageDataset, count: int, random: Random) -> None:
        self.points: list[list[Points]] = [[] for _ in range(10)]
        self.images = split.images[:, 0].numpy()
        for index in random.choice(len(split), count, replace=False):
            image = split.images[index, 0].numpy().astype(np.float32)
            fine = ndimage.zoom(image, FINE, order=3, mode="grid-constant", grid_mode=True)
            line = np.argwhere(skeletonise(np.pad(fine > 110, 1)))[:, ::-1].astype(float)
            if len(line) > 2 * FINE:
                self.points[int(split.targets[index])].append(line)

    def choose(self, digit: int, random: Random) -> Points:
        """Choose the skeleton of a digit, or draw it as with a mouse."""
        if random.random() < 0.5:
            return self.points[digit][random.integers(len(self.points[digit]))]
        forms = FORMS[digit]
        strokes = [spline(points, random, 0.03) for points in forms[random.integers(len(forms))]]
        return np.concatenate([densify(np.array(stroke) * 100) for stroke in strokes])


def densify(path: Points, step: float = 0.6) -> Points:
    """Add points (N, 2) to a path, so that none is farther than `step` from the next one."""
    parts = [np.linspace(start, end, max(2, int(np.hypot(*(end - start)) / step) + 1)) for start, end in pairwise(path)]
    return np.concatenate(parts)


def write_digit(skeletons: Skeletons, random: Random) -> Digit:
    """Choose a digit, and write it as one of many writers."""
    digit = int(random.choice([*range(10), 1, 1, 7, 7, 9, 4, 2]))
    points = skeletons.choose(digit, random)
    low, high = points.min(0), points.max(0)
    points = (points - (low + high) / 2) / max(high - low)
    parts = [points]
    top, bottom = points[points[:, 1].argmin()], points[points[:, 1].argmax()]
    if digit == 7 and random.random() < 0.35:
        height = random.uniform(-0.15, 0.15)
        middle = points[np.abs(points[:, 1] - height).argmin(), 0]
        parts.append(segment(middle, height, random.uniform(0.12, 0.3), random.uniform(-0.06, 0.06)))
    if digit == 1 and random.random() < 0.3:
        parts.append(segment(bottom[0], bottom[1], random.uniform(0.1, 0.35), random.uniform(-0.03, 0.03)))
    if digit == 1 and random.random() < 0.4:
        end = np.add(top, [-random.uniform(0.1, 0.35), random.uniform(0.08, 0.4)])
        parts.append(densify(np.stack([top, end]), 0.005))
    if digit == 0 and random.random() < 0.1:
        parts.append(densify(np.array([[-0.3, 0.45], [0.3, -0.45]]) * random.uniform(0.8, 1.1), 0.005))
    points = np.concatenate(parts)
    if digit in LONG_STEMS and random.random() < 0.35:
        points = stretch(points, random.uniform(1.2, 2.6), below=True)
    if digit == 6 and random.random() < 0.2:
        points = stretch(points, random.uniform(1.2, 2), below=False)
    points = points * [np.exp(random.uniform(-0.45, 0.3)), 1]
    slant, angle = random.normal(0, 0.15), random.normal(0, 0.1)
    points = points @ np.array([[1, 0], [slant, 1]]) @ rotation(angle)
    points = points + 0.008 * random.normal() * np.sin(points[:, ::-1] * random.uniform(3, 12) + random.uniform(0, 6))
    low, high = points.min(0), points.max(0)
    scale = max(high - low)
    width, height = (high - low) / scale
    return Digit((points - (low + high) / 2) / scale, (float(width), float(height)))


def rotation(angle: float) -> Points:
    """Return a matrix (2, 2)."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def segment(x: float, y: float, reach: float, rise: float) -> Points:
    """Return the points of a nearly horizontal stroke."""
    return densify(np.array([[x - reach, y + rise], [x + reach * 0.9, y - rise]]), 0.005)


def stretch(points: Points, factor: float, *, below: bool) -> Points:
    """Lengthen the part of a digit below or above its middle, with points between those that move apart."""
    far = points[:, 1] > 0 if below else points[:, 1] < 0
    moved = points.copy()
    moved[far, 1] *= factor
    spacing = 0.012  # of the points, relative to the digit
    fill = [np.add(moved, [0, shift]) for shift in np.linspace(-1, 0, 4) * spacing * (factor - 1)]
    return np.concatenate([moved, *(part[far] for part in fill)])


# Layout


def arrange(skeletons: Skeletons, shape: Shape, random: Random) -> tuple[list[Points], list[Box], float]:
    """Place digits on a page.

    Returns
    -------
    tuple
        Points (N, 2) in pixels of each digit, their boxes (left, top, right, bottom), and their size.
    """
    layout = str(random.choice([*LAYOUTS], p=[*LAYOUTS.values()]))
    if layout == "none":
        return [], [], 40.0
    digits = [write_digit(skeletons, random)]
    if layout == "row":
        digits += [write_digit(skeletons, random) for _ in range(random.integers(1, 6))]
        places, scales = arrange_row(digits, shape, random)
    else:
        size = random.uniform(*FRACTIONS[layout]) * min(
            side / max(part, 0.2) for side, part in zip(shape[::-1], digits[0].size, strict=True)
        )
        size = float(min(size, 1.02 * max(shape)))
        if layout == "scattered":
            digits += [write_digit(skeletons, random) for _ in range(random.integers(1, 7))]
            places = scatter(len(digits), size, shape, random)
        else:
            places = [place_one(digits[0], size, shape, random, spread=0.5 if layout == "single" else 0.25)]
            if layout == "close" and random.random() < 0.25:  # a neighbour in a row, which is cut off
                digits.append(write_digit(skeletons, random))
                away = size * (sum(digit.size[0] for digit in digits) / 2 + random.uniform(0.08, 0.4))
                (x, y), side = places[0], random.choice([-1, 1])
                places.append((x + away * side, y + random.normal(0, 0.06) * size))
        scales = [size] * len(digits)
    drawn = [digit.points * scale + place for digit, scale, place in zip(digits, scales, places, strict=False)]
    boxes: list[Box] = [(*points.min(0), *points.max(0)) for points in drawn]
    return drawn, boxes, max(scales)


def arrange_row(digits: Sequence[Digit], shape: Shape, random: Random) -> tuple[list[Place], list[float]]:
    """Place digits beside each other; return their middles and their sizes."""
    height, width = shape
    gap = random.uniform(0.06, 0.7)
    advance = np.cumsum([digit.size[0] + gap for digit in digits])
    size = float(min(random.uniform(0.4, 0.97) * width / advance[-1], random.uniform(0.15, 0.9) * height))
    left = random.uniform(0, max(1, width - size * advance[-1])) + gap * size / 2
    base, tilt = random.uniform(size / 2, max(size / 2 + 1, height - size / 2)), random.normal(0, 0.04)
    places = []
    for digit, end in zip(digits, advance, strict=True):
        x = float(left + size * (end - gap - digit.size[0] / 2))
        places.append((x, base + tilt * (x - width / 2) + random.normal(0, 0.04) * size))
    return places, [float(scale) for scale in size * random.uniform(0.85, 1.05, len(digits))]


def place_one(digit: Digit, size: float, shape: Shape, random: Random, *, spread: float) -> Place:
    """Choose the middle of a digit, so that it is on the page; `spread` is 0.5 for anywhere."""
    x, y = (
        side / 2 + random.uniform(-spread, spread) * max(0.0, side - part * size)
        for side, part in zip(shape[::-1], digit.size, strict=True)
    )
    return x, y


def scatter(count: int, size: float, shape: Shape, random: Random) -> list[Place]:
    """Choose up to so many places that are far enough apart."""
    places: list[Place] = []
    for _ in range(6 * count):
        x, y = (random.uniform(size / 2, side - size / 2) for side in shape[::-1])
        place = x, y
        if len(places) < count and all(np.hypot(*np.subtract(place, other)) > 1.3 * size for other in places):
            places.append(place)
    return places


def cloud(shape: Shape, cells: int, random: Random) -> Field:
    """Generate smooth noise of variance about 1, with `cells` grid cells along the shorter side.

    `scenes.smooth_noise` takes longer, and the committed results depend on its splines: with it, a page takes 36 ms
    instead of 24.
    """
    cells = min(cells, *shape)
    coarse = random.normal(size=[-(-side * cells // min(shape)) for side in shape]).astype(np.float32)
    size = shape[1], shape[0]
    noise: Field = np.asarray(PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC))
    return 1.4 * noise


# Coverage, from 0 to 1: parts of the pixels that are drawn


def distance_to(points: Sequence[Points], shape: Shape) -> Field:
    """Return the distance to the nearest of some points, in pixels that are drawn."""
    fine = [side * OVERSAMPLING for side in shape]
    free = np.ones(fine, bool)
    for part in points:
        columns, rows = np.floor(part * OVERSAMPLING).astype(int).T
        inside = (rows >= 0) & (rows < fine[0]) & (columns >= 0) & (columns < fine[1])
        free[rows[inside], columns[inside]] = False
    if free.all():
        return np.full(fine, np.inf, np.float32)
    return np.asarray(ndimage.distance_transform_edt(free), np.float32)


def trace(distance: Field, width: float) -> Field:
    """Draw points with a round pen."""
    return np.clip(OVERSAMPLING * width / 2 - distance + 0.5, 0, 1)


def line(distance: Field, width: float) -> Field:
    """Draw a line where the distance is 0; one thinner than a pixel is fainter."""
    reach = 0.5 / OVERSAMPLING
    covered: Field = np.clip((width / 2 - np.abs(distance)) / reach + 0.5, 0, 1)
    return covered * min(1.0, OVERSAMPLING * width)


def lay_sheet(shape: Shape, random: Random) -> Sheet:
    """Tilt a sheet, and bend it a little."""
    height, width = shape
    rows, columns = np.mgrid[: height * OVERSAMPLING, : width * OVERSAMPLING].astype(np.float32) / OVERSAMPLING
    y, x = rows - height / 2, columns - width / 2
    angle = random.normal(0, 0.08) if random.random() < 0.75 else random.uniform(-0.4, 0.4)
    perspective = 1 + (random.normal(0, 0.08) * x + random.normal(0, 0.08) * y) / max(shape)
    bend = random.normal(0, 0.015) * x * x / width + random.normal(0, 0.015) * y * y / height
    cos, sin = np.cos(angle), np.sin(angle)
    return Sheet(
        ((cos * x + sin * y) / perspective + bend).astype(np.float32) + width / 2,
        ((cos * y - sin * x) / perspective + bend).astype(np.float32) + height / 2,
        shape,
    )


def rule(sheet: Sheet, paper: str, size: float, random: Random) -> Field:
    """Draw the ruling of a paper, for digits of a size."""
    step, width = (
        size * random.uniform(0.3, 1.5),
        max(0.25, size * np.exp(random.uniform(np.log(0.005), np.log(0.035)))),
    )
    step = max(step, 5.0, 3 * width)
    y, x = ((place + random.uniform(0, step)) % step - step / 2 for place in (sheet.y, sheet.x))
    if paper == "lines":
        return line(y, width)
    if paper == "squares":
        fine = np.maximum(line(y, width), line(x, width))
        if random.random() < 0.2:  # millimetre paper
            parts = [(place % (step / 5) - step / 10) for place in (sheet.y, sheet.x)]
            return np.maximum(fine, 0.5 * np.maximum(*(line(part, width / 2) for part in parts)))
        return fine
    if paper == "dots":
        return line(np.hypot(x, y), max(2.2 * width, 0.8))
    if paper in ("dashed", "dotted"):
        period = size * (random.uniform(0.1, 0.5) if paper == "dashed" else random.uniform(0.04, 0.12))
        share = random.uniform(0.4, 0.7)
        drawn = line(y, width) * ((sheet.x % max(period, 2.5)) < share * max(period, 2.5))
        if random.random() < 0.4:
            drawn = np.maximum(drawn, line(x, width) * ((sheet.y % max(period, 2.5)) < share * max(period, 2.5)))
        return np.asarray(drawn, np.float32)
    return np.zeros_like(sheet.x)


def frame(sheet: Sheet, boxes: Sequence[Box], size: float, random: Random) -> Field:
    """Draw frames around digits: one around all of them, one around each, or a comb of cells."""
    width = max(0.4, size * np.exp(random.uniform(np.log(0.008), np.log(0.08))))
    gap = width / 2 + size * random.uniform(0.07, 0.45)
    wobble = cloud(sheet.x.shape, 3, random) * size * random.choice([0, 0.012])
    left, top, right, bottom = (
        f(sides) for f, sides in zip((min, min, max, max), zip(*boxes, strict=True), strict=True)
    )
    outer = (left - gap, top - gap, right + gap, bottom + gap)
    style = random.choice(["one", "each", "comb"]) if len(boxes) > 1 else "one"
    if style == "each" and all(second[0] - first[2] > 2.5 * width + 0.06 * size for first, second in pairwise(boxes)):
        drawn = np.zeros_like(sheet.x)
        closest = min(second[0] - first[2] for first, second in pairwise(boxes))
        near = min(gap, 0.45 * closest)
        for box in boxes:
            corners = box[0] - near, top - gap, box[2] + near, bottom + gap
            drawn = np.maximum(drawn, line(distance_to_box(sheet, corners) + wobble, width))
        return drawn
    drawn = line(distance_to_box(sheet, outer) + wobble, width)
    if style == "comb":
        inside = (sheet.y > outer[1]) & (sheet.y < outer[3])
        for first, second in pairwise(boxes):
            if second[0] - first[2] > width + 0.06 * size:
                drawn = np.maximum(drawn, inside * line(sheet.x - (first[2] + second[0]) / 2 + wobble, width))
    return drawn


def distance_to_box(sheet: Sheet, corners: Box) -> Field:
    """Return the signed distance to a rectangle's edge."""
    left, top, right, bottom = corners
    across = np.abs(sheet.x - (left + right) / 2) - (right - left) / 2
    down = np.abs(sheet.y - (top + bottom) / 2) - (bottom - top) / 2
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return np.asarray(outside + np.minimum(np.maximum(across, down), 0), np.float32)


def empty_boxes(shape: Shape, size: float, random: Random) -> list[Box]:
    """Return the boxes of nothing, for one empty frame or a row of them."""
    x, y = (random.uniform(0.3, 0.7) * side for side in shape[::-1])
    half, count = size * random.uniform(0.1, 0.6), 1 if random.random() < 0.5 else int(random.integers(2, 9))
    pitch = 2 * half * random.uniform(1.1, 1.8)
    middles = [x + pitch * (number - (count - 1) / 2) for number in range(count)]
    return [(middle - half, y - half, middle + half, y + half) for middle in middles]


def dry(ink: Field, distance: Field, width: float, random: Random) -> Field:
    """Draw the strokes of a dry or bleeding pen, which are hollow or blurred."""
    if random.random() < 0.5:
        core = np.clip(1 - distance / (OVERSAMPLING * width / 2), 0, 1)
        return np.asarray(ink * (1 - random.uniform(0.2, 0.7) * core), np.float32)
    return np.asarray(ndimage.gaussian_filter(ink, OVERSAMPLING * width * random.uniform(0.1, 0.35)), np.float32)


def blot(sheet: Sheet, random: Random) -> Field:
    """Draw a filled rectangle or ellipse: a thing on the page that is no digit."""
    height, width = sheet.shape
    x, y = (sheet.x - random.uniform(0.1, 0.9) * width), (sheet.y - random.uniform(0.1, 0.9) * height)
    across, down = random.uniform(0.06, 0.35, 2) * min(sheet.shape)
    if random.random() < 0.5:
        return np.asarray(np.clip((1 - np.hypot(x / across, y / down)) * min(across, down) + 0.5, 0, 1), np.float32)
    inside = np.minimum(across - np.abs(x), down - np.abs(y))
    return np.asarray(np.clip(inside + 0.5, 0, 1), np.float32)


def stray_lines(sheet: Sheet, boxes: Sequence[Box], size: float, random: Random) -> Field:
    """Draw a margin, an underline, or a fold: straight lines from one side of the page to the other."""
    height, width = sheet.shape
    drawn, thickness = np.zeros_like(sheet.x), max(0.4, size * random.uniform(0.01, 0.06))
    kind = random.choice(["under", "margin", "any"])
    if boxes and kind == "under":
        bottom = max(box[3] for box in boxes)
        return np.maximum(drawn, line(sheet.y - bottom - thickness - size * random.uniform(0.06, 0.3), thickness))
    if boxes and kind == "margin":
        left, right = min(box[0] for box in boxes), max(box[2] for box in boxes)
        away = thickness + size * random.uniform(0.08, 0.6)
        return line(sheet.x - (left - away if random.random() < 0.5 else right + away), thickness)
    angle = random.choice([0, np.pi / 2]) + random.normal(0, 0.2)
    across = (sheet.x - width / 2) * np.sin(angle) + (sheet.y - height / 2) * np.cos(angle)
    return line((across - random.uniform(-0.6, 0.6) * max(sheet.shape)).astype(np.float32), thickness)


# Light


def edge(
    sheet: Sheet, random: Random, *, soft: tuple[float, float], inset: tuple[float, float], wobbly: float = 0.02
) -> Field:
    """Return a half-plane with a wobbly edge, from 0 to 1; it begins so far from a side, relative to the page."""
    height, width = sheet.shape
    angle = random.choice(4) * np.pi / 2 + random.normal(0, 0.25 if random.random() < 0.7 else 1)
    reach = abs(width / 2 * np.cos(angle)) + abs(height / 2 * np.sin(angle))
    across = (sheet.x - width / 2) * np.cos(angle) + (sheet.y - height / 2) * np.sin(angle)
    wobble = cloud(sheet.x.shape, 3, random) * random.choice([0, wobbly]) * max(sheet.shape)
    beyond = across + wobble - reach * (1 - random.uniform(*inset))
    softness = random.uniform(*soft) * max(sheet.shape)
    return np.asarray(1 / (1 + np.exp(-np.clip(beyond / softness, -30, 30))), np.float32)


def light(sheet: Sheet, random: Random) -> Field:
    """Light a page unevenly."""
    height, width = sheet.shape
    x, y = (sheet.x - width / 2) / width, (sheet.y - height / 2) / height
    depth = random.choice([0.1, 0.3, 0.8])
    level = 1 + random.uniform(-depth, depth) * x + random.uniform(-depth, depth) * y
    level = level + 0.25 * depth * cloud(sheet.x.shape, 3, random)
    if random.random() < 0.35:  # the shadow of a phone, or of a hand, whose edge is wobbly
        shadow = edge(sheet, random, soft=(0.004, 0.08), inset=(0.1, 1.5), wobbly=0.06)
        level = level * (1 - random.uniform(0.1, 0.6) * shadow)
    if random.random() < 0.08:  # a fold: light on one side of a line
        level = level * (1 + random.uniform(-0.15, 0.15) * edge(sheet, random, soft=(0.002, 0.004), inset=(0.3, 1.5)))
    return np.asarray(np.clip(level, 0.3, 1.4), np.float32)


def texture(sheet: Sheet, paper: str, random: Random) -> Field:
    """Return the brightness of a paper, a wall or a board, about 1."""
    shape = sheet.x.shape
    rough = random.uniform(0, 0.02) if paper != "wall" else random.uniform(0.01, 0.08)
    surface = 1 + rough * cloud(shape, int(random.integers(15, 60)), random)
    if paper == "board":
        surface = surface + random.uniform(0, 0.12) * np.abs(cloud(shape, int(random.integers(4, 12)), random))
    if random.random() < 0.15:  # crumpled: the light of many facets
        facets = cloud(shape, int(random.integers(4, 9)), random)
        surface = surface + random.uniform(0.02, 0.12) * np.clip(8 * np.gradient(facets)[random.integers(2)], -1, 1)
    return np.asarray(surface, np.float32)


# Pages


def draw_page(
    skeletons: Skeletons, shape: Shape, papers: Sequence[str], random: Random
) -> tuple[Field, npt.NDArray[np.bool_]]:
    """Draw a page of a shape (H, W), on one of some papers: its grey levels, from 0 to 255, and the mask of its ink."""
    if random.random() < 0.06:
        return enlarge(skeletons.images[random.integers(len(skeletons.images))], shape, random)
    points, boxes, size = arrange(skeletons, shape, random)
    paper = str(random.choice(papers, p=shares(papers)))
    sheet = lay_sheet(shape, random)
    ink, mask, darkness = write(points, shape, paper, size, random)
    faintest, darkest = (0.3, 1.5) if random.random() < 0.3 else (0.12, 0.9)  # faint ink on dark lines
    lines = rule(sheet, paper, size, random) * darkness * np.exp(random.uniform(np.log(faintest), np.log(darkest)))
    if not boxes and random.random() < 0.35:
        boxes = empty_boxes(shape, size, random)
        lines = np.maximum(lines, frame(sheet, boxes, size, random) * darkness * random.uniform(0.5, 1.1))
    elif boxes and random.random() < (0.14 if len(boxes) == 1 else 0.18):
        lines = np.maximum(lines, frame(sheet, boxes, size, random) * darkness * random.uniform(0.3, 1.1))
    if not boxes and random.random() < 0.15:
        lines = np.maximum(lines, blot(sheet, random) * random.uniform(0.2, 1))
    if random.random() < 0.15:
        lines = np.maximum(lines, stray_lines(sheet, boxes, size, random) * darkness * random.uniform(0.3, 1))
    drawn = np.clip(1 - np.maximum(ink * darkness, np.clip(lines, 0, 1)), 0, 1)
    if paper == "drawing":
        page = average(drawn)
    else:
        contrast = random.uniform(0.75, 0.97)  # the darkest ink is no black
        page = average(texture(sheet, paper, random) * (1 - contrast * (1 - drawn)) * light(sheet, random))
        page = average_with_table(page, sheet, mask, random)
    white = random.uniform(120, 250) if paper != "drawing" else 255
    page = page * white / max(1.0, float(np.quantile(page, 0.98)))
    if random.random() < (0.6 if paper == "board" else 0.2):
        page = (255 if paper == "drawing" else random.uniform(160, 255)) - page
    return photograph(page, paper, size, random), average(mask) >= 0.5


def write(
    points: Sequence[Points], shape: Shape, paper: str, size: float, random: Random
) -> tuple[Field, Field, float]:
    """Draw digits with one pen; return the coverage of its ink, that of their mask, and how dark the ink is."""
    width = max(0.35, size * np.exp(random.uniform(np.log(0.012), np.log(0.2))))
    distance = distance_to(points, shape)
    ink, mask = trace(distance, width), trace(distance, max(width, LABELLED_WIDTH))
    darkness = float(np.exp(random.uniform(np.log(0.15), 0)))
    if width < 1:
        darkness = max(darkness, min(1.0, 0.3 / width))
    if paper != "drawing" and random.random() < 0.5:  # pencil and chalk leave gaps
        grain = np.clip(1 - random.uniform(0, 0.5) * np.abs(cloud(ink.shape, max(shape) // 2, random)), 0, 1)
        ink = ink * grain
        if width > 2 and random.random() < 0.3:
            ink = dry(ink, distance, width, random)
    return ink, mask, darkness


def enlarge(image: npt.NDArray[np.uint8], shape: Shape, random: Random) -> tuple[Field, npt.NDArray[np.bool_]]:
    """Enlarge an image (28, 28) of MNIST, or a smaller one, cropped more or less tightly, to a page and its mask."""
    rows, columns = (np.flatnonzero(image.max(axis) > 60) for axis in (1, 0))
    crop = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    margins = np.full((2, 2), random.integers(0, 3)) if random.random() < 0.5 else random.integers(0, 6, (2, 2))
    original = PIL.Image.fromarray(np.pad(crop, margins))
    factor = random.uniform(6, 20) / max(crop.shape) if random.random() < 0.5 else 1.0
    size = [max(1, round(side * min(1, factor))) for side in original.size]
    small = np.asarray(original.resize(size, PIL.Image.Resampling.BOX), np.float32)
    height, width = shape
    zoom = min(height / small.shape[0], width / small.shape[1])
    large = max(1, round(small.shape[1] * zoom)), max(1, round(small.shape[0] * zoom))
    page, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    top, left = (int(random.integers(side - part + 1)) for side, part in zip(shape, large[::-1], strict=True))
    inside = slice(top, top + large[1]), slice(left, left + large[0])
    page[inside] = np.clip(np.asarray(PIL.Image.fromarray(small).resize(large, PIL.Image.Resampling.BICUBIC)), 0, 255)
    mask[inside] = np.asarray(original.resize(large, PIL.Image.Resampling.BICUBIC)) > 110
    page = page * random.uniform(0.4, 1)
    if random.random() < 0.5:
        page = 255 - page
    return np.clip(page + random.normal(0, random.choice([0, 3]), shape), 0, 255).astype(np.float32), mask


def shares(papers: Sequence[str]) -> Points:
    """Return how often each paper is chosen."""
    weights = {
        "plain": 0.2,
        "squares": 0.28,
        "lines": 0.12,
        "drawing": 0.15,
        "dots": 0.06,
        "dashed": 0.05,
        "dotted": 0.04,
    }
    chosen = np.array([weights.get(paper, 0.08) for paper in papers])
    return np.asarray(chosen / chosen.sum())


def average(fine: Field) -> Field:
    """Average the pixels that were drawn to the pixels of the page."""
    height, width = (side // OVERSAMPLING for side in fine.shape)
    return np.asarray(fine.reshape(height, OVERSAMPLING, width, OVERSAMPLING).mean((1, 3), dtype=np.float32))


def average_with_table(page: Field, sheet: Sheet, mask: Field, random: Random) -> Field:
    """Show the table beside the paper on some sides, or a finger, where there is no ink."""
    covered = ndimage.binary_dilation(average(mask) > 0, iterations=3)
    for chance, levels, soft in ((0.25, (0.1, 1.3), (0.001, 0.006)), (0.1, (0.3, 0.9), (0.003, 0.02))):
        if random.random() < chance:
            for _ in range(int(random.integers(1, 4))):
                inset = (0.02, 0.25)
                beyond = average(edge(sheet, random, soft=soft, inset=inset))
                if not (covered & (beyond > 0.1)).any():
                    grain = 1 + random.uniform(0, 0.15) * cloud(sheet.shape, int(random.integers(5, 40)), random)
                    page = page + beyond * (random.uniform(*levels) * grain - page)
    return page


def photograph(page: Field, paper: str, size: float, random: Random) -> Field:
    """Blur a page and add noise, at a lower resolution for some, as a camera does."""
    if paper == "drawing":
        if random.random() < 0.4:
            page = ndimage.gaussian_filter(page, random.uniform(0, 0.6))
    else:
        page = ndimage.gaussian_filter(page, random.uniform(0.2, 0.7) if random.random() < 0.8 else 0.015 * size + 0.3)
        page = page + random.normal(0, np.exp(random.uniform(-1.5, 1.6)), page.shape)
    if random.random() < 0.14:  # a small image, enlarged
        small = PIL.Image.fromarray(np.clip(page, 0, 255).astype(np.uint8))
        factor = np.exp(random.uniform(np.log(min(1, 10 / size)), 0))
        small = small.resize([max(8, round(side * factor)) for side in small.size], PIL.Image.Resampling.BOX)
        page = np.asarray(small.resize(page.shape[::-1], PIL.Image.Resampling.BICUBIC), np.float32)
    if paper != "drawing" and random.random() < 0.3:
        file = io.BytesIO()
        PIL.Image.fromarray(np.clip(page, 0, 255).astype(np.uint8)).save(
            file, "JPEG", quality=int(random.integers(35, 95))
        )
        page = np.asarray(PIL.Image.open(file), np.float32)
    return np.clip(page, 0, 255).astype(np.float32)
