"""Layers drawn from left to right, as in figure 2 of LeCun et al. 1998: stacks of maps, and columns of units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes

from .display import Figure, new_figure
from .palette import literal, text_width

TEXT = 9.0
"""The size of all text of the drawing, in points."""

LINE = 9.5
"""The height of one of its lines."""

_INCH = 48  # units of the drawing in an inch
_DRAWN = 500  # maps or units: more are closer than pixels, and slow to draw
_HEIGHT = 128.0  # of the tallest stack
_SIDE = 32.0  # of the largest map: the paper's images
_UNIT = 5.0  # the width of a column of units
_GAP = 6.0
_PAPER = {"input": "INPUT", "output": "OUTPUT"} | {name: name.upper() for name in ("c1", "s2", "c3", "s4", "c5", "f6")}


@dataclass(frozen=True)
class Stage:
    """A layer and its place in the drawing."""

    left: float
    """The left edge of the first map, or of the column of units."""

    width: float
    height: float
    """Of one map, or of one unit; 0 for a layer of neither, which is only named."""

    across: float
    down: float
    """From one map, or unit, to the next."""

    count: int
    """Number of maps or units."""

    maps: bool
    """Whether they are maps."""

    needed: float = 0
    """The width of the text above and below."""

    @property
    def right(self) -> float:
        """The right edge of the last map."""
        return self.left + (self.count - 1) * self.across + self.width

    @property
    def middle(self) -> float:
        """The middle between left and right."""
        return (self.left + self.right) / 2

    @property
    def top(self) -> float:
        """The upper edge of the first map. The middle of the drawing is 0, and lower is positive."""
        return -((self.count - 1) * self.down + self.height) / 2

    def thinned(self) -> Stage:
        """Return the layer with no more maps or units than can be told apart, in the same room."""
        if self.count <= _DRAWN:
            return self
        if self.maps:
            step = (self.count - 1) / (_DRAWN - 1)
            return replace(self, count=_DRAWN, across=step * self.across, down=step * self.down)
        height = self.height * self.count / _DRAWN
        return replace(self, count=_DRAWN, height=height, down=height)

    def box(self, index: int) -> tuple[float, float, float, float]:
        """Return left, right, lower and upper edge of a map or unit."""
        left, top = self.left + index * self.across, self.top + index * self.down
        return left, left + self.width, top + self.height, top


def caption(name: str, shape: Sequence[int] | None, *, first: bool = False) -> str:
    """Return the caption of a layer in the words of the paper, such as "C1: feature maps" over "6@28x28"."""
    title = literal(_PAPER.get(name, name))
    if not shape:
        return title
    if name == "input" and len(shape) == 3 and shape[0] == 1:
        return f"{title}\n{shape[1]}x{shape[2]}"
    if len(shape) == 3:
        kind = "" if name == "input" else ": feature maps" if first else ": f. maps"
        return f"{title}{kind}\n{shape[0]}@{shape[1]}x{shape[2]}"
    return f"{title}{'' if name == 'output' else ': layer'}\n{'x'.join(map(str, shape))}"


def captions(layers: Sequence[tuple[str, Sequence[int] | None]]) -> list[str]:
    """Return the captions of layers, the first maps with the full term."""
    maps = [name for name, shape in layers if shape is not None and len(shape) == 3 and name != "input"]
    return [caption(name, shape, first=name in maps[:1]) for name, shape in layers]


def place(shapes: Iterable[Sequence[int] | None], texts: Iterable[str], left: float = 0) -> list[Stage]:
    """Place layers from left to right, each with room for its text.

    Parameters
    ----------
    shapes
        Of the layers' outputs for one image: (C, H, W) of maps, (N,) of units. Others are not drawn.
    texts
        The text above and below each layer.
    left
        Where the first layer begins.
    """
    sizes = [tuple(shape or ()) for shape in shapes]
    sides = [max(shape[1:]) for shape in sizes if len(shape) == 3]
    units = [shape[0] for shape in sizes if len(shape) == 1]
    scale, unit = _SIDE / max([1, *sides]), _HEIGHT / max([24, *units])
    stages, cursor = [], left
    for shape, text in zip(sizes, texts, strict=True):
        needed = room(*text.split("\n"))
        stage = _stage(shape, scale, unit)
        inner = stage.right - stage.left
        stages.append(replace(stage, left=cursor + max(needed - inner, 0) / 2, needed=needed))
        cursor += max(needed, inner) + _GAP
    return stages


def _stage(shape: tuple[int, ...], scale: float, unit: float) -> Stage:
    """Return the sizes of a layer; a stack is as high as it can be, so that its maps hide little of each other."""
    if len(shape) not in (1, 3) or 0 in shape:
        return Stage(0, 0, 0, 0, 0, 1, maps=False)
    if len(shape) == 1:
        height = min(_HEIGHT / shape[0], 7.5) if shape[0] <= 24 else unit  # few have a name each
        return Stage(0, _UNIT, height, 0, height, shape[0], maps=False)
    count, height, width = shape[0], scale * shape[1], scale * shape[2]
    down = max(min(height + 2, (_HEIGHT - height) / max(count - 1, 1)), 0)
    return Stage(0, width, height, min(0.3 * down, _SIDE / max(count - 1, 1)), down, count, maps=True)


def canvas(stages: Sequence[Stage], titles: Sequence[str], *, right: float = 0, below: int = 0) -> tuple[Figure, Axes]:
    """Return a figure of the size of the drawing, with a title above every layer.

    Parameters
    ----------
    stages, titles
        The layers and their titles.
    right
        Room on the right of the last layer, in units.
    below
        Lines of text below; the first is at `below_drawing`.
    """
    edge = below_drawing(stages) - LINE / 2
    lines = max(title.count("\n") + 1 for title in titles)
    ends = [max(stage.right, stage.middle + stage.needed / 2) for stage in stages]
    width, upper, lower = max(*ends, stages[-1].right + right), edge + LINE * lines, edge + LINE * below
    figure = new_figure((width + 4) / _INCH, (upper + lower) / _INCH)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-2, width + 2), ylim=(lower, -upper))
    for stage, title in zip(stages, titles, strict=True):
        axes.text(stage.middle, -edge, title, ha="center", va="bottom", fontsize=TEXT, linespacing=1.1)
    return figure, axes


def room(*lines: str) -> float:
    """Return the width of the longest line of text, in units."""
    return _INCH * text_width(*lines, points=TEXT) + 3


def below_drawing(stages: Sequence[Stage]) -> float:
    """Return the middle of the first line of text below the drawing."""
    return max(-stage.top for stage in stages) + 3 + LINE / 2
