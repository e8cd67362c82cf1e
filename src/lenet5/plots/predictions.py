"""The figure of predictions: images, what the network sees of them, and its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .arrays import ArrayOrTensor, as_array
from .classes import class_names
from .containers import as_sequence, unexpected
from .display import Figure, new_figure
from .palette import COLOURS, SMALL, literal, percent, shortened
from .style import styled

_MOST = 250  # rows of two inches, which are less than the 2^16 pixels that matplotlib can draw
_IMAGES = "pairs of a name and an array (H, W) or (H, W, 3)"
_BARS = 10  # rows of bars that have room for names of any length


@styled
def plot_predictions(
    images: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    inputs: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    classes: Sequence[str] | None = None,
    threshold: float | None = None,
    boxes: ArrayOrTensor | None = None,
) -> Figure:
    """Plot one row per digit: its image, the network's input, and the predicted probabilities.

    Parameters
    ----------
    images
        N names and images (H, W) or (H, W, 3). An image of several digits comes once for each.
    inputs
        (N, H, W), from 0 to 1.
    probabilities
        (N, num_classes). Of more than ten classes, the five most probable are shown.
    classes
        Class names. None for the class indices.
    threshold
        Predictions of a lower probability are marked "low confidence". None to mark none.
    boxes
        (N, 4): left, top, right and bottom of each digit in pixels of its image, such as `Digits.boxes`. They are
        outlined. None for no outlines.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        There are no images, or the numbers of images, inputs, probabilities, names or boxes differ, or there are more
        than 250.

    Examples
    --------
    >>> import PIL.Image
    >>> weights, photograph = lenet5.load("mnist_photo_v1"), np.asarray(PIL.Image.open("postcode.jpg"))
    >>> digits = lenet5.load_digits(photograph)
    >>> probabilities = weights.predict(digits.images).probabilities
    >>> images = [("postcode.jpg", photograph)] * len(digits)
    >>> figure = lenet5.plots.plot_predictions(
    ...     images, digits.images[:, 0] / 255, probabilities, weights.classes, boxes=digits.boxes
    ... )
    """
    inputs, scores = as_array("inputs", inputs, 3), as_array("probabilities", probabilities, 2)
    pairs = [_pair(index, image) for index, image in enumerate(as_sequence("images", images, _IMAGES))]
    if not len(images) == len(inputs) == len(scores):
        found = f"{len(images)} images, {len(inputs)} inputs and {len(scores)} rows of probabilities"
        raise ValueError(f"there are {found}; expected equal numbers")
    if len(images) > _MOST:
        raise ValueError(f"there are {len(images)} images; expected at most {_MOST} in one figure")
    outlines = None if boxes is None else as_array("boxes", boxes, 2)
    if outlines is not None and outlines.shape != (len(images), 4):
        raise ValueError(
            f"boxes have shape {outlines.shape}; expected one row of 4 numbers per image: {(len(images), 4)}"
        )
    names = class_names(classes, scores.shape[1])
    figure = new_figure(6.4, 2 * len(images))
    rows = figure.subplots(len(images), 3, squeeze=False, width_ratios=[1, 1, 1.6])
    for index, (left, middle, right) in enumerate(rows):
        name, image = pairs[index]
        unsure = threshold is not None and scores[index].max() < threshold
        _show(left, shortened(name, 20), image, {"vmin": 0, "vmax": 255})
        if outlines is not None:
            _outline(left, outlines[index], COLOURS[1 if unsure else 0])
        _show(middle, "network input", inputs[index], {"vmin": 0, "vmax": 1})
        _plot_probabilities(right, scores[index], names, unsure=unsure)
    return figure


def _pair(index: int, image: Any) -> tuple[str, npt.NDArray[Any]]:
    """Return name and pixels of an image."""
    if not isinstance(image, tuple | list) or len(image) != 2 or not isinstance(image[0], str):
        raise unexpected(f"image {index}", image, _IMAGES)
    pixels = as_array(f"image {image[0]!r}", image[1], 2, 3)
    if pixels.ndim == 3 and pixels.shape[2] not in (3, 4):
        raise ValueError(f"image {image[0]!r} has shape {pixels.shape}; expected (H, W) or (H, W, 3)")
    return image[0], pixels


def _show(axes: Axes, title: str, pixels: npt.NDArray[Any], greys: dict[str, Any]) -> None:
    axes.imshow(pixels, cmap="gray", **greys)
    axes.set(xticks=[], yticks=[])
    axes.set_title(literal(title), fontsize=SMALL)


def _outline(axes: Axes, box: npt.NDArray[Any], colour: str) -> None:
    """Draw a box on an image, around the pixels that it contains."""
    left, top, right, bottom = (float(edge) - 0.5 for edge in box)  # the middle of a pixel has whole coordinates
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.2))


def _plot_probabilities(axes: Axes, row: npt.NDArray[Any], names: list[str], *, unsure: bool) -> None:
    """Plot the probabilities of the classes as bars, the answer in colour; orange, and in words, if it is unsure."""
    best = int(row.argmax())
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
