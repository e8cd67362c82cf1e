"""The drawing of a network: its layers with shapes and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .display import Figure
from .palette import COLOURS, SMALL
from .stages import Stage, canvas, is_drawn, place, title

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = ("parameters", "connections", "multiply_adds")
_MARGIN = 52.0


def plot_architecture(table: pd.DataFrame, image_shape: Sequence[int] | None = None) -> Figure:
    """Draw the layers of a network, with the shapes and counts of `lenet5.layer_table`.

    Parameters
    ----------
    table
        One row per layer, with the columns `output_shape` and any of `parameters`, `connections` and `multiply_adds`,
        as `lenet5.layer_table` returns them. A missing count is shown as "?".
    image_shape
        Shape (C, H, W) of the images, to be drawn at the left. None for none.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        The table is empty, or has no shapes.

    Examples
    --------
    >>> model = lenet5.LeNet5Original()
    >>> figure = lenet5.plots.plot_architecture(lenet5.layer_table(model), model.image_shape)
    >>> figure.savefig("architecture.pdf")
    """
    if "output_shape" not in table or not len(table):
        raise ValueError("the table has no layers with an output_shape; expected the result of lenet5.layer_table")
    layers = [(str(name), _shape(shape)) for name, shape in table["output_shape"].items()]
    counts: list[Any] = [row for _, row in table.iterrows()]
    if image_shape is not None:
        layers, counts = [("input", tuple(image_shape)), *layers], [None, *counts]
    first = next((name for name, shape in layers if shape is not None and len(shape) == 3 and name != "input"), None)
    captions = [title(name, shape, first=name == first) for name, shape in layers]
    rows = [name for name in _COUNTS if name in table]
    stages = place([("", None), *layers], ["x" * 14, *captions])
    figure, axes = canvas(stages, ["", *captions], below=9.0 * len(rows) + 6)
    for stage in stages:
        if is_drawn(stage):
            _draw(axes, stage)
    for line, name in enumerate(rows):
        height = 70.0 + 9 * line
        axes.text(0, height, name.replace("_", "-"), fontsize=SMALL, va="center")
        for stage, row in zip(stages[1:], counts, strict=True):
            if row is not None:
                axes.text(
                    (stage.left + stage.right) / 2, height, _count(row[name]), fontsize=SMALL, ha="center", va="center"
                )
    return figure


def _shape(shape: Any) -> tuple[int, ...] | None:
    return tuple(int(size) for size in shape) if isinstance(shape, tuple | list) else None


def _count(value: Any) -> str:
    import pandas as pd

    return "?" if pd.isna(value) else f"{int(value):,}"


def _draw(axes: Axes, stage: Stage) -> None:
    """Draw the maps of a layer as sheets, or its units as cells."""
    colour = COLOURS[0]
    for number in range(stage.count):
        left, right, bottom, top = stage.box(number)
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, facecolor="w", edgecolor=colour, linewidth=0.6)
        )
