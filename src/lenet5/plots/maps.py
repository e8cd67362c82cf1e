"""The figure of feature maps: what every layer computes from an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..arguments import as_integer
from .arrays import ArrayOrTensor, as_array
from .classes import class_names
from .display import Figure
from .palette import COLOURS, SMALL
from .stages import Stage, canvas, is_drawn, place, title

_NAMED = 24  # units that have room for a name each


def plot_feature_maps(
    maps: Mapping[str, ArrayOrTensor],
    images: ArrayOrTensor | None = None,
    *,
    index: int = 0,
    classes: Sequence[str] | None = None,
    predicted: int | None = None,
) -> Figure:
    """Plot what every layer computes from an image, laid out as figure 2 of LeCun et al. 1998.

    Maps are stacks that grow smaller from left to right, units are columns. Every layer has its own scale, from its
    lowest value in black to its highest in white. The output of a `LeNet5Original` is distances: its answer is the
    lowest.

    Parameters
    ----------
    maps
        The output (N, ...) of every layer, by name, as `lenet5.feature_maps` returns them.
    images
        (N, C, H, W) or (C, H, W): the images of the maps, to be shown at the left, normalised or not. None for none.
    index
        Index of the image, of N.
    classes
        Names of the units of the last layer. None for their indices.
    predicted
        Index of the unit of the last layer to mark as the answer. None to mark none.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        There are no maps, or no image of this index, or no such unit.

    Examples
    --------
    >>> weights = lenet5.load("mnist_v2")
    >>> maps = lenet5.feature_maps(weights, "pencil.jpg")
    >>> figure = lenet5.plots.plot_feature_maps(maps, weights.prepare("pencil.jpg"), predicted=7)
    >>> figure.savefig("feature_maps.png")
    """
    outputs = {name: _one(f"maps of {name}", output, index) for name, output in maps.items()}
    if not outputs:
        raise ValueError("there are no maps to plot; expected those of at least one layer, as from feature_maps")
    names = _names(list(outputs.values())[-1], classes, predicted)
    if images is not None:
        pixels = as_array("images", images, 3, 4)
        outputs = {"input": _one("images", pixels[None] if pixels.ndim == 3 else pixels, index), **outputs}
    first = next((name for name, output in outputs.items() if output.ndim == 3 and name != "input"), None)
    captions = [title(name, output.shape, first=name == first) for name, output in outputs.items()]
    stages = place(((name, output.shape) for name, output in outputs.items()), captions)
    figure, axes = canvas(stages, captions, right=3.4 * max(map(len, names), default=0))
    for stage, output in zip(stages, outputs.values(), strict=True):
        if is_drawn(stage):
            _draw(axes, stage, output)
    _name_units(axes, stages[-1], names, predicted)
    return figure


def _one(name: str, outputs: ArrayOrTensor, index: int) -> npt.NDArray[Any]:
    """Return the output for one image."""
    array, place_ = as_array(name, outputs), as_integer(index)
    if not array.ndim or place_ is None or not -len(array) <= place_ < len(array):
        raise ValueError(f"index is {index!r}; expected that of one of {len(array) if array.ndim else 0} {name}")
    one: npt.NDArray[Any] = array[place_].astype(np.float64)
    return one


def _names(output: npt.NDArray[Any], classes: Sequence[str] | None, predicted: int | None) -> list[str]:
    """Return the names of the units of the last layer; none if these are not units."""
    if output.ndim != 1:
        return []
    if predicted is not None and (as_integer(predicted) is None or not 0 <= predicted < len(output)):
        raise ValueError(f"predicted is {predicted!r}; expected the index of one of {len(output)} units")
    return class_names(classes, len(output))


def _draw(axes: Axes, stage: Stage, output: npt.NDArray[Any]) -> None:
    """Draw the maps of a layer, or its units, in its own greys."""
    finite = output[np.isfinite(output)]
    low, high = (finite.min(), finite.max()) if finite.size else (0, 1)
    greys: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-12), "aspect": "auto"}
    if stage.name == "input" and len(output) == 3:
        colour = np.nan_to_num((output - low) / max(high - low, 1e-12)).transpose(1, 2, 0)
        _draw_one(axes, stage, 0, colour, greys)
    elif output.ndim == 1:
        left, right, _, top = stage.box(0)
        axes.imshow(output[:, None], extent=(left, right, stage.box(len(output) - 1)[2], top), **greys)
        axes.add_patch(Rectangle((left, top), right - left, -2 * top, fill=False, linewidth=0.5, edgecolor="0.5"))
    else:
        for number, pixels in enumerate(output):
            _draw_one(axes, stage, number, pixels, greys)


def _draw_one(axes: Axes, stage: Stage, number: int, pixels: npt.NDArray[Any], greys: dict[str, Any]) -> None:
    left, right, bottom, top = stage.box(number)
    axes.imshow(pixels, extent=(left, right, bottom, top), zorder=number, **greys)
    frame = Rectangle((left, top), right - left, bottom - top, fill=False, linewidth=0.5, edgecolor="0.5")
    frame.set_zorder(number)
    axes.add_patch(frame)


def _name_units(axes: Axes, stage: Stage, names: list[str], predicted: int | None) -> None:
    """Name the units of the last layer, if there is room, and mark the answer."""
    for number, name in enumerate(names):
        marked = number == predicted
        if marked or len(names) <= _NAMED:
            left, right, bottom, top = stage.box(number)
            weight, colour = ("bold", COLOURS[1]) if marked else ("normal", None)
            axes.text(right + 1.5, (bottom + top) / 2, name, va="center", fontsize=SMALL, weight=weight, color=colour)
            if marked:
                axes.add_patch(
                    Rectangle((left, top), right - left, bottom - top, fill=False, linewidth=2, edgecolor=colour)
                )
