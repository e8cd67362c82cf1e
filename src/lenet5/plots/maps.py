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
from .containers import check_mapping
from .display import Figure
from .palette import COLOURS, GREY
from .stages import TEXT, Stage, canvas, captions, place, room
from .style import styled

_NAMED = 24  # units that have room for a name each
_FRAME: dict[str, Any] = {"fill": False, "linewidth": 0.5, "edgecolor": GREY}


@styled
def plot_feature_maps(
    maps: Mapping[str, ArrayOrTensor],
    images: ArrayOrTensor | None = None,
    *,
    index: int = 0,
    classes: Sequence[str] | None = None,
    predicted: int | None = None,
) -> Figure:
    """Plot what every layer computes from an image, in the layout of figure 2 of LeCun et al. 1998.

    Feature maps are stacks, and units are columns. Every layer has its own scale of greys, from its lowest value in
    black to its highest in white. The units of the last layer have their names and values. Those of a `LeNet5Original`
    are distances, of which the lowest is the answer.

    Parameters
    ----------
    maps
        The output (N, ...) of every layer, by name, as `lenet5.feature_maps` returns them.
    images
        (N, C, H, W) or (C, H, W): the images of the maps, normalised or not, to be shown at the left. None for none.
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
        There are no maps, no image of this index, or no such unit, or the number of names is not that of the units.

    Examples
    --------
    >>> weights = lenet5.load("mnist_v2")
    >>> maps = lenet5.feature_maps(weights, "pencil.jpg")
    >>> figure = lenet5.plots.plot_feature_maps(maps, weights.prepare("pencil.jpg"), predicted=7)
    >>> figure.savefig("feature_maps.png")
    """
    check_mapping("maps", maps, "the output of every layer by name, as from lenet5.feature_maps")
    outputs = [(str(name), _one(f"maps of {name}", output, index)) for name, output in maps.items()]
    if not outputs:
        raise ValueError("there are no maps to plot; expected those of at least one layer, as from feature_maps")
    names = _unit_names(outputs[-1][1], classes, predicted)
    if images is not None:
        pixels = as_array("images", images, 3, 4)
        outputs.insert(0, ("input", _one("images", pixels[None] if pixels.ndim == 3 else pixels, index)))
    titles = captions([(name, output.shape) for name, output in outputs])
    stages = place([output.shape for _, output in outputs], titles)
    figure, axes = canvas(stages, titles, right=1.15 * room("", *names.values()) + 3)
    for stage, (name, output) in zip(stages, outputs, strict=True):
        if stage.height:
            _draw(axes, stage, output, colour=name == "input" and len(output) == 3)
    _name_units(axes, stages[-1], names, predicted)
    return figure


def _one(name: str, outputs: ArrayOrTensor, index: int) -> npt.NDArray[np.float64]:
    """Return the output for one image."""
    array, number = as_array(name, outputs), as_integer(index)
    count = len(array) if array.ndim else 0
    if number is None or not -count <= number < count:
        raise ValueError(f"index is {index!r}; expected that of one of the {count} {name}")
    one: npt.NDArray[np.float64] = array[number].astype(np.float64)
    return one


def _unit_names(output: npt.NDArray[Any], classes: Sequence[str] | None, predicted: int | None) -> dict[int, str]:
    """Return what to write beside the units of the last layer: name and value of all, or of the answer alone."""
    if output.ndim != 1:
        if classes is not None or predicted is not None:
            raise ValueError(
                f"the last maps have shape {output.shape}; expected (num_classes,) to name or mark a class"
            )
        return {}
    marked = None if predicted is None else as_integer(predicted)
    if predicted is not None and (marked is None or not 0 <= marked < len(output)):
        raise ValueError(f"predicted is {predicted!r}; expected the index of one of {len(output)} units")
    names = [f"{name}: {value:.1f}" for name, value in zip(class_names(classes, len(output)), output, strict=True)]
    return {i: name for i, name in enumerate(names) if i == marked or len(names) <= _NAMED}


def _draw(axes: Axes, stage: Stage, output: npt.NDArray[Any], *, colour: bool) -> None:
    """Draw the maps of a layer, or its units, in its own greys, or an image in its colours."""
    finite = output[np.isfinite(output)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    scaled = (output - low) / ((high - low) or 1)
    if colour:
        middle = Stage(stage.left, stage.width, stage.height, 0, 0, 1, maps=True)
        _draw_one(axes, middle.box(0), np.nan_to_num(scaled).clip(0, 1).transpose(1, 2, 0), 0)
    elif not stage.maps:
        left, right, _, top = stage.box(0)
        _draw_one(axes, (left, right, -top, top), scaled[:, None], 0)
    else:
        few = stage.thinned()
        for number, index in enumerate(np.linspace(0, len(scaled) - 1, few.count).astype(int)):
            _draw_one(axes, few.box(number), scaled[index], number)


def _draw_one(axes: Axes, box: tuple[float, float, float, float], pixels: npt.NDArray[Any], order: int) -> None:
    left, right, lower, upper = box
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(pixels, extent=box, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest", zorder=order)
    axes.set(xlim=limits[0], ylim=limits[1])
    axes.add_patch(Rectangle((left, upper), right - left, lower - upper, zorder=order, **_FRAME))


def _name_units(axes: Axes, stage: Stage, names: dict[int, str], predicted: int | None) -> None:
    """Write the names of units beside them, and mark the answer."""
    for number, name in names.items():
        left, right, lower, upper = stage.box(number)
        marked = number == predicted
        style: dict[str, Any] = {"weight": "bold", "color": COLOURS[1]} if marked else {}
        axes.text(right + 2, (lower + upper) / 2, name, va="center", fontsize=TEXT, **style)
        if marked:
            mark = {**_FRAME, "linewidth": 2, "edgecolor": COLOURS[1]}
            axes.add_patch(Rectangle((left, upper), right - left, lower - upper, zorder=3, **mark))
