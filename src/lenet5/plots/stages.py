"""Layers drawn from left to right, as in figure 2 of LeCun et al. 1998: stacks of maps, and columns of units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from .display import Figure, new_figure
from .palette import SMALL, literal

_INCH = 48  # units of the drawing in an inch; one of text is 1.5 points
_HEIGHT = 128.0  # of the tallest stack
_SIDE = 32.0  # of the largest map: the paper's images
_CHARACTER = 3.4  # the mean width of a character of the smallest text
_GAP = 10.0
_PAPER = {"input": "INPUT", "output": "OUTPUT"} | {name: name.upper() for name in ("c1", "s2", "c3", "s4", "c5", "f6")}


@dataclass(frozen=True)
class Stage:
    """A layer and its place in the drawing."""

    name: str
    shape: tuple[int, ...] | None
    """Of the output for one image: (C, H, W) of maps, (N,) of units; other shapes are only named."""

    left: float
    """The left edge of the first map, or of the column of units."""

    width: float
    height: float
    """Of one map, or of one unit."""

    across: float
    down: float
    """From one map, or unit, to the next."""

    count: int

    @property
    def right(self) -> float:
        """The right edge of the last map."""
        return self.left + (self.count - 1) * self.across + self.width

    @property
    def top(self) -> float:
        """The upper edge of the first map; the middle of the drawing is 0, and lower is positive."""
        return -((self.count - 1) * self.down + self.height) / 2

    def box(self, index: int) -> tuple[float, float, float, float]:
        """Return left, right, lower and upper edge of a map or unit."""
        left, top = self.left + index * self.across, self.top + index * self.down
        return left, left + self.width, top + self.height, top


def title(name: str, shape: Sequence[int] | None, *, first: bool = False) -> str:
    """Return the caption of a layer in the words of the paper, such as "C1: feature maps" and "6@28x28"."""
    paper = _PAPER.get(name, name)
    if shape is None:
        return literal(paper)
    if name == "input":
        channels = "" if shape[0] == 1 else f"{shape[0]}@"
        return f"INPUT\n{channels}{shape[-2]}x{shape[-1]}"
    if len(shape) == 3:
        kind = "feature maps" if first else "f. maps"
        return literal(f"{paper}: {kind}\n{shape[0]}@{shape[1]}x{shape[2]}")
    size = "x".join(map(str, shape))
    return literal(f"{paper}\n{size}" if name == "output" else f"{paper}: layer\n{size}")


def place(layers: Iterable[tuple[str, tuple[int, ...] | None]], captions: Iterable[str]) -> list[Stage]:
    """Place layers from left to right, with room for their captions."""
    layers = list(layers)
    sides = [max(shape[1:]) for _, shape in layers if shape is not None and len(shape) == 3]
    units = [shape[0] for _, shape in layers if shape is not None and len(shape) == 1]
    scale, unit = _SIDE / max(sides, default=1), _HEIGHT / max([*units, 24])
    stages, cursor = [], 0.0
    for (name, shape), caption in zip(layers, captions, strict=True):
        width, height, across, down, count = _sizes(shape, scale, unit)
        inner = (count - 1) * across + width
        needed = _CHARACTER * max(map(len, caption.split("\n")))
        left = cursor + max(needed - inner, 0) / 2
        stages.append(Stage(name, shape, left, width, height, across, down, count))
        cursor += max(needed, inner) + _GAP
    return stages


def _sizes(shape: tuple[int, ...] | None, scale: float, unit: float) -> tuple[float, float, float, float, int]:
    """Return width and height of a map or unit, the steps to the next, and their number."""
    if shape is None or len(shape) not in (1, 3) or 0 in shape:
        return 0.0, 0.0, 0.0, 0.0, 1
    if len(shape) == 1:
        height = max(unit, min(_HEIGHT / shape[0], 5.5) if shape[0] <= 24 else unit)
        return 5.0, height, 0.0, height, shape[0]
    count, height, width = shape[0], scale * shape[1], scale * shape[2]
    down = min(height + 2, (_HEIGHT - height) / (count - 1)) if count > 1 else 0.0
    across = min(0.3 * down, 32 / max(count - 1, 1))
    return width, height, across, max(down, 0.0), count


def canvas(
    stages: Sequence[Stage], captions: Sequence[str], *, below: float = 0, right: float = 0
) -> tuple[Figure, Axes]:
    """Return a figure of the size of the drawing, with a caption above every layer.

    Parameters
    ----------
    stages, captions
        The layers and their captions.
    below, right
        Room below and on the right, in units.
    """
    half = max(_HEIGHT / 2, *(-stage.top for stage in stages)) + 2
    lines = max(caption.count("\n") + 1 for caption in captions)
    extent = (
        max(
            max(stage.right, (stage.left + stage.right + _CHARACTER * max(map(len, caption.split("\n")))) / 2)
            for stage, caption in zip(stages, captions, strict=True)
        )
        + right
    )
    upper = half + 8.5 * lines
    figure = new_figure((extent + 4) / _INCH, (upper + half + below) / _INCH)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-2, extent + 2), ylim=(half + below, -upper), aspect="equal")
    for stage, caption in zip(stages, captions, strict=True):
        middle = (stage.left + stage.right) / 2
        axes.text(middle, -half, caption, ha="center", va="bottom", fontsize=SMALL, linespacing=1.1)
    return figure, axes


def is_drawn(stage: Stage) -> bool:
    """Return True if the layer has maps or units to draw."""
    return stage.height > 0 and math.isfinite(stage.height)
