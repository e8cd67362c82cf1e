"""Digits written as one stroke: one on paper, or several beside each other."""

from collections.abc import Sequence

import PIL.Image
import PIL.ImageDraw

DIGITS = {
    "1": [(30, 8), (28, 92)],
    "2": [(10, 25), (30, 8), (50, 25), (12, 90), (52, 90)],
    "3": [(10, 10), (48, 10), (25, 42), (50, 66), (34, 92), (8, 84)],
    "5": [(50, 10), (15, 10), (14, 45), (45, 50), (48, 75), (30, 90), (10, 84)],
    "7": [(10, 10), (50, 12), (25, 90)],
}
"""Points (x, y) in 60x100 pixels."""

_STROKES = {**DIGITS, "E": [(50, 10), (12, 10), (12, 48), (45, 50), (12, 48), (12, 90), (52, 90)]}

Box = tuple[float, float, float, float]


def write(
    image: PIL.Image.Image,
    digit: str,
    position: tuple[float, float] = (60, 30),
    *,
    scale: float = 1.0,
    width: float = 6,
    ink: int = 30,
) -> Box:
    """Write a digit on a greyscale image, in place; return its bounding box: left, top, right and bottom."""
    points = [(4 * (position[0] + x * scale), 4 * (position[1] + y * scale)) for x, y in _STROKES[digit]]
    mask = PIL.Image.new("L", (image.width * 4, image.height * 4))
    PIL.ImageDraw.Draw(mask).line(points, 255, round(width * 4), joint="curve")
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    image.paste(ink, mask=mask.resize(image.size, PIL.Image.Resampling.BOX))
    return left / 4, top / 4, right / 4, bottom / 4


def write_row(
    image: PIL.Image.Image, digits: str, scales: Sequence[float], gaps: Sequence[float], *, start: float, middle: float
) -> list[Box]:
    """Write digits from left to right, each after a gap, with their centres at one height; return the boxes."""
    boxes: list[Box] = []
    for digit, scale, gap in zip(digits, scales, gaps, strict=True):
        width = 6 * scale
        inner = min(x for x, _ in _STROKES[digit]) * scale - width / 2
        boxes.append(write(image, digit, (start + gap - inner, middle - 50 * scale), scale=scale, width=width))
        start = boxes[-1][2]
    return boxes
