"""Figures of images: datasets and mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import check_integer
from .arrays import ArrayOrTensor, as_array
from .containers import as_names, unexpected
from .display import Figure, new_figure
from .palette import SMALL, literal, percent, shortened, text_width
from .style import styled

_WIDTH = 6.6
_LONGEST = 16  # characters of a line of a label


@styled
def plot_images(images: ArrayOrTensor, labels: Sequence[str] | None = None, title: str = "") -> Figure:
    """Plot images on a grid, each with its label: up to ten in a row, or as many as long labels let side by side.

    Parameters
    ----------
    images
        (N, C, H, W): integers from 0 to 255. Floats, and other integers, are scaled to the range of all of them. Images
        of three channels are colour; of others, the first channel is shown.
    labels
        N labels, of one or several lines. Long lines are cut. None for no labels.
    title
        Title of the figure.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        There are no images, or the number of labels differs from theirs.

    Examples
    --------
    >>> digits = lenet5.load_data("digits").test
    >>> figure = lenet5.plots.plot_images(digits.images[:10], [f"digit {target}" for target in digits.targets[:10]])
    """
    pixels = _displayed(as_array("images", images, 4))
    if not isinstance(title, str):
        raise unexpected("title", title, 'a text; "" for none')
    labels = None if labels is None else as_names("labels", labels)
    if labels is not None and len(labels) != len(pixels):
        raise ValueError(f"there are {len(pixels)} images and {len(labels)} labels; expected equal numbers")
    texts = [_cut(label) for label in labels] if labels is not None else [""] * len(pixels)
    lines = [line for text in texts for line in text.split("\n")]
    fitting = min(max(int(_WIDTH / (text_width(*lines) + 0.08)), 1), 10)
    num_columns = min(fitting, len(pixels))
    num_rows, side = math.ceil(len(pixels) / num_columns), _WIDTH / max(num_columns, 5)
    labelled = 0.14 * max(text.count("\n") + 1 for text in texts) if any(lines) else 0
    width = max(num_columns * max(side, text_width(*lines) + 0.08), text_width(title, points=10) + 0.3)
    figure = new_figure(width, (0.35 if title else 0.1) + num_rows * (side - 0.03 + labelled))
    if title:
        figure.suptitle(literal(title), fontsize="medium")
    grid = figure.subplots(num_rows, num_columns, squeeze=False).flat
    for axes in grid:
        axes.set_axis_off()
    for axes, image, text in zip(figure.axes, pixels, texts, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(literal(text), fontsize=SMALL, pad=2)
    return figure


def _displayed(images: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return images (N, H, W) or (N, H, W, 3) from 0 to 1."""
    values = images[np.isfinite(images)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if images.dtype.kind in "iu" and 0 <= low <= high <= 255:
        low, high = 0.0, 255.0
    elif low == high:  # one grey, which says nothing of the range
        low, high = 0.0, 1.0
    scaled = (images - low) / (high - low)
    scaled = np.nan_to_num(scaled).clip(0, 1)
    return scaled.transpose(0, 2, 3, 1) if images.shape[1] == 3 else scaled[:, 0]


def _cut(label: str) -> str:
    """Cut the lines of a label, so that neighbours do not touch."""
    return "\n".join(shortened(line, _LONGEST + 6) for line in str(label).split("\n"))


@styled
def plot_mistakes(
    images: ArrayOrTensor,
    targets: ArrayOrTensor,
    predictions: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    classes: Sequence[str] | None = None,
    *,
    num_images: int = 100,
) -> Figure:
    """Plot misclassified images, each with the predicted class, its probability, and the true class.

    The most confident mistakes come first.

    Parameters
    ----------
    images
        (N, C, H, W), such as `ImageDataset.images`.
    targets, predictions
        (N,) integers: the true and the predicted classes.
    probabilities
        (N, num_classes): the predicted probabilities.
    classes
        Class names. None for the class indices.
    num_images
        Number of images to plot, at most.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        The numbers of images, targets, predictions, probabilities or names differ, or there are no mistakes.

    Examples
    --------
    >>> digits = lenet5.load_data("digits").test
    >>> predictions = lenet5.load("mnist_v2").predict(digits.images)
    >>> results = digits.targets, predictions.labels, predictions.probabilities
    >>> figure = lenet5.plots.plot_mistakes(digits.images, *results, digits.classes, num_images=10)
    """
    num_images = check_integer("num_images", num_images, least=1)
    pixels, truth = as_array("images", images, 4), as_array("targets", targets, 1)
    answers, scores = as_array("predictions", predictions, 1), as_array("probabilities", probabilities, 2)
    if len(pixels) != len(truth):
        raise ValueError(f"there are {len(pixels)} images and {len(truth)} targets; expected equal numbers")
    if not len(truth) == len(answers) == len(scores):
        found = f"{len(truth)} targets, {len(answers)} predictions and {len(scores)} rows of probabilities"
        raise ValueError(f"there are {found}; expected equal numbers")
    names = [*map(str, range(scores.shape[1]))] if classes is None else as_names("classes", classes)
    indices = np.concatenate([truth, answers])
    if (
        len(names) != scores.shape[1]
        or indices.dtype.kind not in "iu"
        or not 0 <= indices.min() <= indices.max() < len(names)
    ):
        found = f"{len(names)} class names, and targets and predictions from {indices.min()} to {indices.max()}"
        raise ValueError(f"there are {found}; expected {scores.shape[1]} names, and integers below this number")
    wrong = np.flatnonzero(answers != truth)
    if not len(wrong):
        raise ValueError(f"all {len(truth)} images are classified correctly; there are no mistakes to plot")
    confidence = scores[wrong, answers[wrong]]
    order = np.argsort(-confidence, kind="stable")[:num_images]
    short = [shortened(name, _LONGEST) for name in names]
    joined = max(map(len, short)) <= 4
    labels = [
        f"{short[answers[i]]}{' ' if joined else chr(10)}({percent(share)})\ntrue: {short[truth[i]]}"
        for i, share in zip(wrong[order], confidence[order], strict=True)
    ]
    which = f"all {len(wrong)} mistakes" if len(order) == len(wrong) else f"{len(order)} of {len(wrong)} mistakes"
    return plot_images(pixels[wrong[order]], labels, f"{which} in {len(truth)} images, the most confident first")
