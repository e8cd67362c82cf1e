"""Figures of what a network has learned, or is built with: kernels, C3's connection table and the prototypes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from ..arguments import check_integer
from .arrays import ArrayOrTensor, as_array
from .classes import class_names
from .display import AnyAxes, Figure, GivenAxes, new_figure, panels
from .palette import COLOURS, GREY, SMALL, literal, name_ticks, shortened, text_width
from .style import styled

if TYPE_CHECKING:
    import pandas as pd

_WIDTH = 6.4
_KERNELS = 5.0  # inches of that for the kernels, beside the labels


@styled
def plot_filters(filters: Mapping[str, ArrayOrTensor] | ArrayOrTensor, *, num_maps: int = 16) -> Figure:
    """Plot the kernels of convolutions: one column per output map, one row per input map.

    Red is positive, blue is negative and white is zero. Every convolution has its own scale.

    Parameters
    ----------
    filters
        The kernels (out_channels, in_channels, height, width) of one convolution; or of several, by name, as
        `lenet5.inspection.filters` returns them.
    num_maps
        Number of output maps and of input maps to plot, at most.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        There are no kernels, they do not have four axes, or `num_maps` is not a positive integer.

    Examples
    --------
    >>> kernels = lenet5.inspection.filters(lenet5.load("mnist_v2"))
    >>> figure = lenet5.plots.plot_filters(kernels["c1"])
    """
    num_maps = check_integer("num_maps", num_maps, least=1)
    named = filters if isinstance(filters, Mapping) else {"": filters}
    if not named:
        raise ValueError("there are no kernels to plot; expected those of at least one convolution")
    layers = {str(name): as_array(f"filters {name}".strip(), kernels, 4) for name, kernels in named.items()}
    tiled = [_tiled(kernels[:num_maps, :num_maps]) for kernels in layers.values()]
    sizes = [_KERNELS / pixels.shape[1] * pixels.shape[0] for pixels in tiled]
    figure = new_figure(_WIDTH, sum(max(size, 0.3) + 0.85 for size in sizes))
    rows = figure.subplots(len(layers), 1, squeeze=False, height_ratios=[max(size, 0.3) + 0.1 for size in sizes])[:, 0]
    for axes, (name, kernels), pixels in zip(rows, layers.items(), tiled, strict=True):
        _plot_kernels(axes, name, kernels, pixels, num_maps)
    return figure


def _plot_kernels(axes: Axes, name: str, kernels: npt.NDArray[Any], pixels: npt.NDArray[Any], num_maps: int) -> None:
    """Plot the kernels of one convolution, with their scale."""
    outputs, inputs, height, width = kernels.shape
    largest = float(np.nanmax(np.abs(pixels), initial=0)) or 1.0
    heatmap = axes.imshow(pixels, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    counts = [f"{min(count, num_maps)} of {count}" if count > num_maps else str(count) for count in (outputs, inputs)]
    title = f"{counts[0]} output maps, {counts[1]} input map{'s' * (inputs > 1)}, kernels of {height}x{width}"
    axes.set_title(literal(f"{shortened(name, 20)}: {title}" if name else title), fontsize="medium")
    step = _KERNELS * (width + 1) / pixels.shape[1]
    for axis, count, size in ((axes.xaxis, outputs, width), (axes.yaxis, inputs, height)):
        name_ticks(axis, [*map(str, range(min(count, num_maps)))], step)
        axis.set_ticks(
            (size + 1) * axis.get_majorticklocs() + (size - 1) / 2, [t.get_text() for t in axis.get_majorticklabels()]
        )
    axes.tick_params(length=0)
    axes.set(xlabel="output map", ylabel="input map")
    scale = axes.inset_axes((1.02, 0, 0.025, 1))  # as high as the kernels
    bar = axes.figure.colorbar(heatmap, cax=scale, label="weight")
    low = pixels.shape[0] / pixels.shape[1] * _KERNELS < 0.5
    bar.set_ticks([-largest, largest] if low else [-largest, 0, largest], labels=None)
    bar.formatter = StrMethodFormatter("{x:.2g}")
    bar.ax.tick_params(labelsize=SMALL)


def _tiled(kernels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Arrange kernels in one image, with gaps of NaN."""
    outputs, inputs, height, width = kernels.shape
    tiles = np.full((inputs, height + 1, outputs, width + 1), np.nan)
    tiles[:, :height, :, :width] = kernels.transpose(1, 2, 0, 3)
    return tiles.reshape(inputs * (height + 1), outputs * (width + 1))[:-1, :-1]


@overload
def plot_connection_table(table: pd.DataFrame | ArrayOrTensor, *, ax: None = None) -> Figure: ...
@overload
def plot_connection_table(table: pd.DataFrame | ArrayOrTensor, *, ax: GivenAxes) -> GivenAxes: ...
@styled
def plot_connection_table(table: pd.DataFrame | ArrayOrTensor, *, ax: AnyAxes | None = None) -> Figure | AnyAxes:
    """Plot which maps a convolution connects, as in table I of LeCun et al. 1998.

    A cross marks that the input map of the row is connected to the output map of the column.

    Parameters
    ----------
    table
        (in_channels, out_channels) of bool, as `lenet5.inspection.connection_table` returns it.
    ax
        Axes of your own; None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        The table is empty or does not have two axes.

    Examples
    --------
    >>> table = lenet5.inspection.connection_table(lenet5.LeNet5Original())
    >>> figure = lenet5.plots.plot_connection_table(table)
    """
    connected = as_array("table", table, 2).astype(bool)
    num_inputs, num_outputs = connected.shape
    step = min(0.3, 7 / max(connected.shape))
    figure, (axes,) = panels(max(1 + step * num_outputs, 2), max(0.75 + step * num_inputs, 1.1), ax=ax)
    axes.set(xlim=(-0.5, num_outputs - 0.5), ylim=(num_inputs - 0.5, -0.5), aspect="equal")
    rows, columns = np.nonzero(connected)
    axes.plot(
        columns, rows, "x", color=COLOURS[0], markersize=min(22 * step, 7), markeredgewidth=1.5 if step > 0.2 else 0.8
    )
    if ax is not None:
        step = axes.get_window_extent().width / axes.figure.dpi / num_outputs
    for axis, count in ((axes.xaxis, num_outputs), (axes.yaxis, num_inputs)):
        name_ticks(axis, [*map(str, range(count))], step)
    for lines, length in ((axes.vlines, connected.shape), (axes.hlines, connected.shape[::-1])):
        lines(np.arange(1, length[1]) - 0.5, -0.5, length[0] - 0.5, color=GREY, linewidth=0.5, alpha=0.5)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="output map", ylabel="input map")
    return figure if ax is None else ax


@styled
def plot_prototypes(prototypes: ArrayOrTensor, classes: Sequence[str] | None = None) -> Figure:
    """Plot the bitmaps that F6 of the original network is trained to show, one per class.

    See figure 3 of LeCun et al. 1998. The highest value is black, and its negative is white.

    Parameters
    ----------
    prototypes
        (num_classes, height, width), as `lenet5.inspection.prototypes` returns them. 1 is ink and -1 background.
    classes
        Class names. None for the class indices.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        There are no prototypes, or the number of names is not theirs.

    Examples
    --------
    >>> bitmaps = lenet5.inspection.prototypes(lenet5.LeNet5Original())
    >>> figure = lenet5.plots.plot_prototypes(bitmaps)
    """
    bitmaps = as_array("prototypes", prototypes, 3)
    names = class_names(classes, len(bitmaps))
    column = max(text_width(*names, points=SMALL + 1) + 0.15, 0.6)
    num_columns = min(len(bitmaps), max(int(_WIDTH / column), 1), 10)
    num_rows = math.ceil(len(bitmaps) / num_columns)
    ratio = min(bitmaps.shape[1] / bitmaps.shape[2], 2)
    figure = new_figure(max(column * num_columns, 1.5), (0.25 + 0.55 * ratio) * num_rows + 0.1)
    largest = float(np.nanmax(np.abs(bitmaps), initial=0)) or 1.0
    grid = figure.subplots(num_rows, num_columns, squeeze=False).flat
    for axes in grid[len(bitmaps) :]:
        axes.set_axis_off()
    for axes, bitmap, name in zip(grid, bitmaps, names, strict=False):
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(color=GREY, linewidth=0.8)
        axes.imshow(bitmap, cmap="gray_r", vmin=-largest, vmax=largest)
        axes.set_title(name, fontsize=SMALL + 1, pad=3)
    return figure
