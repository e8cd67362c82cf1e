"""Figures of what a network has learned, or is built with: kernels, C3's connection table and the prototypes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .arrays import ArrayOrTensor, as_array
from .classes import class_names
from .display import AnyAxes, Figure, GivenAxes, new_figure, panels
from .palette import SMALL, literal

if TYPE_CHECKING:
    import pandas as pd


def plot_filters(filters: Mapping[str, ArrayOrTensor] | ArrayOrTensor) -> Figure:
    """Plot the kernels of convolutions: one column per output map, one row per input map.

    Red is positive, blue negative and white zero; every layer has its own scale.

    Parameters
    ----------
    filters
        The kernels (out_channels, in_channels, height, width) of one convolution; or of several, by name, as
        `lenet5.inspection.filters` returns them.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        There are no kernels, or they do not have four axes.

    Examples
    --------
    >>> kernels = lenet5.inspection.filters(lenet5.load("mnist_v2"))
    >>> figure = lenet5.plots.plot_filters(kernels["c1"])
    """
    named = filters if isinstance(filters, Mapping) else {"": filters}
    layers = {name: as_array(f"filters of {name}".strip(), kernels, 4) for name, kernels in named.items()}
    if not layers:
        raise ValueError("there are no kernels to plot; expected at least one convolution")
    heights = [0.8 + 5.5 * _tiled(kernels).shape[0] / _tiled(kernels).shape[1] for kernels in layers.values()]
    figure = new_figure(6.4, sum(heights))
    rows = figure.subplots(len(layers), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, kernels) in zip(rows, layers.items(), strict=True):
        largest = float(np.nanmax(np.abs(kernels))) or 1
        heatmap = axes.imshow(_tiled(kernels), cmap="RdBu_r", vmin=-largest, vmax=largest)
        outputs, inputs, height, width = kernels.shape
        title = f"{outputs}x{inputs} kernels of {height}x{width}"
        axes.set_title(literal(f"{name.upper()}: {title}" if name else title), fontsize=9)
        axes.set_xticks((width + 1) * np.arange(outputs) + (width - 1) / 2, range(outputs), fontsize=SMALL)
        axes.set_yticks((height + 1) * np.arange(inputs) + (height - 1) / 2, range(inputs), fontsize=SMALL)
        axes.set(xlabel="output map", ylabel="input map")
        figure.colorbar(heatmap, ax=axes, label="weight")
    return figure


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
def plot_connection_table(table: pd.DataFrame | ArrayOrTensor, *, ax: AnyAxes | None = None) -> Figure | AnyAxes:
    """Plot which maps a convolution connects, as in table I of LeCun et al. 1998.

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
    figure, (axes,) = panels(1.2 + 0.3 * num_outputs, 1 + 0.3 * num_inputs, ax=ax)
    axes.set(xlim=(-0.5, num_outputs - 0.5), ylim=(num_inputs - 0.5, -0.5), aspect="equal")
    for row, column in np.argwhere(connected):
        axes.text(column, row, "X", ha="center", va="center", fontsize=9)
    axes.set_xticks(range(num_outputs))
    axes.set_yticks(range(num_inputs))
    axes.set_xticks(np.arange(num_outputs + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(num_inputs + 1) - 0.5, minor=True)
    axes.grid(which="minor", alpha=0.3)
    axes.tick_params(which="both", length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="output map", ylabel="input map")
    return figure if ax is None else ax


def plot_prototypes(prototypes: ArrayOrTensor, classes: Sequence[str] | None = None) -> Figure:
    """Plot the bitmaps that F6 of the original network is trained to show, one per class.

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
    num_columns = min(len(bitmaps), 10)
    num_rows = math.ceil(len(bitmaps) / num_columns)
    figure = new_figure(max(0.6 * num_columns, 2), 0.2 + 1.15 * num_rows)
    largest = float(np.nanmax(np.abs(bitmaps))) or 1
    panels_ = figure.subplots(num_rows, num_columns, squeeze=False).flat
    for axes in panels_:
        axes.set_axis_off()
    for axes, bitmap, name in zip(figure.axes, bitmaps, names, strict=False):
        axes.imshow(bitmap, cmap="gray_r", vmin=-largest, vmax=largest)
        axes.set_title(name, fontsize=9)
    return figure
