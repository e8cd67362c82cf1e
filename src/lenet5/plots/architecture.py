"""The drawing of a network: its layers with shapes and counts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from ..arguments import as_integer
from .containers import as_sequence, check_table
from .display import Figure
from .palette import COLOURS, GREY
from .stages import LINE, TEXT, Stage, below_drawing, canvas, captions, place, room
from .style import styled

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = {"parameters": "parameters", "connections": "connections", "multiply_adds": "multiply-adds"}
_SHEET: dict[str, Any] = {"facecolor": "#dcebf6", "edgecolor": COLOURS[0], "linewidth": 0.7}


@styled
def plot_architecture(table: pd.DataFrame, image_shape: Sequence[int] | None = None) -> Figure:
    """Draw the layers of a network with their shapes and counts, in the layout of figure 2 of LeCun et al. 1998.

    Parameters
    ----------
    table
        One row per layer, with the columns `output_shape` and any of `parameters`, `connections` and `multiply_adds`,
        as `lenet5.layer_table` returns them. A count that is missing is shown as "?". Of more than 500 maps
        or units, the drawing shows 500.
    image_shape
        Shape (C, H, W) of the images, to be drawn at the left, such as `model.image_shape`. None for none.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        The table is empty or has no shapes, or `image_shape` is not three positive integers.

    Examples
    --------
    >>> model = lenet5.LeNet5Original()
    >>> figure = lenet5.plots.plot_architecture(lenet5.layer_table(model), model.image_shape)
    >>> figure.savefig("architecture.pdf")
    """
    check_table("table", table, "the result of lenet5.layer_table")
    if "output_shape" not in table or not len(table):
        raise ValueError("the table has no layers with an output_shape; expected the result of lenet5.layer_table")
    if image_shape is not None:
        _check_image_shape(image_shape)
    layers = [(str(name), _as_shape(shape)) for name, shape in table["output_shape"].items()]
    counts = [[_shown(value) for value in table[column]] for column in _COUNTS if column in table]
    totals = [_shown(table[column].sum(skipna=False)) for column in _COUNTS if column in table]
    rows = [[*values, total] for values, total in zip(counts, totals, strict=True)]
    if image_shape is not None:
        layers, rows = [("input", _as_shape(image_shape)), *layers], [["", *row] for row in rows]
    titles = [*captions(layers), "total" if rows else ""]
    texts = ["\n".join((title, *(row[i] for row in rows))) for i, title in enumerate(titles)]
    labels = [label for column, label in _COUNTS.items() if column in table]
    stages = place([*(shape for _, shape in layers), None], texts, left=room("", *labels))
    figure, axes = canvas(stages, titles, below=len(rows))
    _draw_layers(axes, [stage.thinned() for stage in stages[:-1]])
    for number, (label, row) in enumerate(zip(labels, rows, strict=True)):
        height = below_drawing(stages) + number * LINE
        axes.text(0, height, label, fontsize=TEXT, va="center")
        for stage, text in zip(stages, row, strict=True):
            axes.text(stage.middle, height, text, fontsize=TEXT, ha="center", va="center")
    return figure


def _check_image_shape(shape: Any) -> None:
    """Raise ValueError unless a shape is one of images."""
    sizes = [as_integer(size) for size in as_sequence("image_shape", shape, "(C, H, W)")]
    if len(sizes) != 3 or any(size is None or size < 1 for size in sizes):
        raise ValueError(f"image_shape is {tuple(shape)}; expected (C, H, W), three positive integers")


def _as_shape(shape: Any) -> tuple[int, ...] | None:
    """Return a shape; None for that of a layer that has computed nothing."""
    return tuple(int(size) for size in shape) if isinstance(shape, Sequence) else None


def _shown(count: Any) -> str:
    import pandas as pd

    return "?" if pd.isna(count) else f"{int(count):,}"


def _draw_layers(axes: Axes, stages: Sequence[Stage]) -> None:
    """Draw maps as sheets and units as cells, and what each layer sees of the one before it."""
    for stage in stages:
        for number in range(stage.count if stage.height else 0):
            left, right, lower, upper = stage.box(number)
            axes.add_patch(Rectangle((left, upper), right - left, lower - upper, zorder=number, **_SHEET))
    drawn = [stage for stage in stages if stage.height]
    for before, after in itertools.pairwise(drawn):
        _connect(axes, before, after)


def _connect(axes: Axes, before: Stage, after: Stage) -> None:
    """Draw lines from a window of the last map to a unit of the next maps; or from all units to all units."""
    style: dict[str, Any] = {"color": GREY, "linewidth": 0.7, "zorder": before.count + after.count}
    left, right, lower, upper = before.box(before.count - 1)
    if not after.maps:
        ends = [(before.top, after.top), (-before.top, -after.top)]
        starts = [before.left + before.width, before.right]
        for start, (one, other) in zip(starts, ends, strict=True):
            axes.plot([start, after.left], [one, other], **style)
        return
    side = 0.3 * min(right - left, lower - upper)
    x, y = left + 0.6 * (right - left), upper + 0.35 * (lower - upper)
    window = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
    axes.add_patch(Polygon(window, fill=False, edgecolor=GREY, linewidth=0.7, zorder=style["zorder"]))
    target = after.box(after.count - 1)
    point = target[0] + 0.2 * (target[1] - target[0]), (target[2] + target[3]) / 2
    for corner in (window[1], window[2]):
        axes.plot([corner[0], point[0]], [corner[1], point[1]], **style)
