"""The figure of predictions: images, what the network sees of them, and its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from .arrays import ArrayOrTensor, as_array
from .classes import class_names
from .display import Figure, new_figure
from .palette import COLOURS, SMALL, literal, percent, shortened
from .style import styled

_BARS = 10  # rows of bars that have room for names of any length


@styled
def plot_predictions(
    images: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    inputs: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    classes: Sequence[str] | None = None,
    threshold: float | None = None,
) -> Figure:
    """Plot one row per image: the image, the network's input, and the predicted probabilities.

    Parameters
    ----------
    images
        N names and images (H, W) or (H, W, 3).
    inputs
        (N, H, W), from 0 to 1.
    probabilities
        (N, num_classes). Of more than ten classes, the five most probable are shown.
    classes
        Class names. None for the class indices.
    threshold
        Predictions of a lower probability are marked "low confidence". None to mark none.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        There are no images, or the numbers of images, inputs, probabilities or names differ.

    Examples
    --------
    >>> import PIL.Image
    >>> weights, photograph = lenet5.load("mnist_robust_v1"), PIL.Image.open("pencil.jpg").convert("RGB")
    >>> digit = lenet5.load_digit(photograph)
    >>> probabilities = weights.predict(digit).probabilities
    >>> images = [("pencil.jpg", np.asarray(photograph))]
    >>> figure = lenet5.plots.plot_predictions(images, digit / 255, probabilities, weights.classes)
    """
    inputs, scores = as_array("inputs", inputs, 3), as_array("probabilities", probabilities, 2)
    if not len(images) == len(inputs) == len(scores):
        found = f"{len(images)} images, {len(inputs)} inputs and {len(scores)} rows of probabilities"
        raise ValueError(f"there are {found}; expected equal numbers")
    names = class_names(classes, scores.shape[1])
    figure = new_figure(6.4, 2 * len(images))
    rows = figure.subplots(len(images), 3, squeeze=False, width_ratios=[1, 1, 1.6])
    for (left, middle, right), (name, image), pixels, row in zip(rows, images, inputs, scores, strict=True):
        _show(left, shortened(name, 20), image, {"vmin": 0, "vmax": 255})
        _show(middle, "network input", pixels, {"vmin": 0, "vmax": 1})
        _plot_probabilities(right, row, names, threshold)
    return figure


def _show(axes: Axes, title: str, pixels: npt.NDArray[Any], greys: dict[str, Any]) -> None:
    axes.imshow(pixels, cmap="gray", **greys)
    axes.set(xticks=[], yticks=[])
    axes.set_title(literal(title), fontsize=SMALL)


def _plot_probabilities(axes: Axes, row: npt.NDArray[Any], names: list[str], threshold: float | None) -> None:
    """Plot the probabilities of the classes as bars, the answer in colour; orange, and in words, if it is unsure."""
    best = int(row.argmax())
    unsure = threshold is not None and row[best] < threshold
    shown = np.arange(len(row)) if len(row) <= _BARS else np.argsort(-row, kind="stable")[:5]
    colours = [COLOURS[1 if unsure else 0] if index == best else "0.7" for index in shown]
    axes.barh(
        range(len(shown)), 100 * row[shown], color=colours, hatch=["//" if unsure and i == best else "" for i in shown]
    )
    axes.set_yticks(range(len(shown)), [names[index] for index in shown], fontsize=SMALL)
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.set(xlim=(0, 100), ylim=(len(shown) - 0.5, -0.5))
    axes.set_xlabel("probability (%)", fontsize=SMALL)
    break_ = "\n" if unsure and len(names[best]) > 8 else " "
    answer = f"{names[best]}{break_}({percent(float(row[best]))}{', low confidence' if unsure else ''})"
    axes.set_title(answer, fontsize=SMALL + 1, weight="bold")
