"""Figures of images: datasets, predictions and mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import PercentFormatter

from ..arguments import check_integer
from .arrays import ArrayOrTensor, as_array
from .display import Figure, new_figure
from .palette import COLOURS, SMALL, literal, percent


def plot_images(images: ArrayOrTensor, labels: Sequence[str] | None = None, title: str = "") -> Figure:
    """Plot images on a grid, each with its label.

    Parameters
    ----------
    images
        (N, C, H, W), integers from 0 to 255 or floats. Images of three channels are colour; of others, the first
        channel is shown.
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
    images = as_array("images", images, 4)
    labels = [""] * len(images) if labels is None else labels
    if len(labels) != len(images):
        raise ValueError(f"there are {len(images)} images and {len(labels)} labels; expected equal numbers")
    num_columns = min(len(images), 10)
    num_rows = math.ceil(len(images) / num_columns)
    num_lines = max(label.count("\n") + 1 for label in labels)
    figure = new_figure(0.8 * max(num_columns, 5), 0.4 + num_rows * (0.85 + 0.15 * num_lines))
    figure.suptitle(literal(title), fontsize=9)
    for axes in figure.subplots(num_rows, num_columns, squeeze=False).flat:
        axes.set_axis_off()
    for axes, image, label in zip(figure.axes, images, labels, strict=False):
        axes.imshow(image.transpose(1, 2, 0) if len(image) == 3 else image[0], cmap="gray", vmin=0, vmax=255)
        lines = (line if len(line) <= 11 else f"{line[:8]}…" for line in label.split("\n"))  # neighbours do not touch
        axes.set_title(literal("\n".join(lines)), fontsize=7)
    return figure


def plot_mistakes(
    images: ArrayOrTensor,
    targets: ArrayOrTensor,
    predictions: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    classes: Sequence[str] | None = None,
    *,
    num_images: int = 100,
) -> Figure:
    """Plot misclassified images, each with its true class, its predicted class and the confidence.

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
        The numbers of images, targets, predictions and probabilities differ, or there are no mistakes.

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
    names = list(map(str, range(scores.shape[1]))) if classes is None else classes
    confidence = np.take_along_axis(scores, answers[:, None], axis=1)[:, 0]
    wrong = np.flatnonzero(answers != truth)
    if not len(wrong):
        raise ValueError(f"all {len(truth)} images are classified correctly; there are no mistakes to plot")
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:num_images]
    labels = [f"{names[truth[i]]}\nas {names[answers[i]]}\n{confidence[i]:.0%}" for i in shown]
    return plot_images(pixels[shown], labels, f"true class as predicted class: {len(shown)} of {len(wrong)} mistakes")


def plot_predictions(
    images: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    inputs: ArrayOrTensor,
    probabilities: ArrayOrTensor,
    classes: Sequence[str],
    threshold: float | None = None,
) -> Figure:
    """Plot one row per image: the image, the network's input, and the predicted probabilities.

    Parameters
    ----------
    images
        N names and images (H, W, 3).
    inputs
        (N, H, W), from 0 to 1.
    probabilities
        (N, num_classes).
    classes
        Class names.
    threshold
        Predictions of a lower probability are marked "low confidence". None to mark none.

    Returns
    -------
    Figure
        The figure, which notebooks display.

    Raises
    ------
    ValueError
        There are no images.

    Examples
    --------
    >>> import PIL.Image
    >>> weights, photograph = lenet5.load("mnist_robust_v1"), PIL.Image.open("pencil.jpg").convert("RGB")
    >>> digit = lenet5.load_digit(photograph)
    >>> probabilities = weights.predict(digit).probabilities
    >>> images = [("pencil.jpg", np.asarray(photograph))]
    >>> figure = lenet5.plots.plot_predictions(images, digit / 255, probabilities, weights.classes)
    """
    inputs, probabilities = as_array("inputs", inputs, 3), as_array("probabilities", probabilities, 2)
    figure = new_figure(8, 2.3 * len(images))
    rows = figure.subplots(len(images), 3, squeeze=False, width_ratios=[1, 1, 1.5])
    row: Any
    for (left, middle, right), (name, image), pixels, row in zip(rows, images, inputs, probabilities, strict=True):
        left.imshow(image)
        left.set_title(literal(name), fontsize=9)
        middle.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        middle.set_title("network input", fontsize=9)
        for axes in (left, middle):
            axes.set(xticks=[], yticks=[])
        best = int(row.argmax())
        unsure = threshold is not None and row[best] < threshold
        colour = COLOURS[1] if unsure else COLOURS[0]
        right.bar(range(len(classes)), row, color=[colour if i == best else "0.7" for i in range(len(classes))])
        right.set_xticks(range(len(classes)), [literal(name) for name in classes])
        right.set_ylim(0, 1)
        answer = f"{classes[best]} ({percent(row[best])}{', low confidence' if unsure else ''})"
        right.set_title(literal(answer), fontsize=9)
        right.yaxis.set_major_formatter(PercentFormatter(1))
        right.tick_params(labelsize=SMALL)
    return figure
