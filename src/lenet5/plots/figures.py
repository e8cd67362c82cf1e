"""Figures of training runs and their results, independent of pyplot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .display import AnyAxes, new_figure, panels

if TYPE_CHECKING:
    import pandas as pd


def plot_confusion_matrix(matrix: npt.NDArray[np.int64], classes: Sequence[str], ax: Axes | None = None) -> Figure:
    """Plot a confusion matrix: one row per true class, one column per predicted class.

    Cells contain counts. Colour shows each error as a fraction of its true class. The diagonal is not coloured, because
    it would outshine the errors of an accurate classifier.

    Parameters
    ----------
    matrix
        (num_classes, num_classes) counts.
    classes
        Class names.
    ax
        Axes to plot on; None for a new figure.
    """
    size, total, num_correct = len(classes), matrix.sum(), np.trace(matrix)
    figure, (axes,) = panels(2 + 0.45 * size, 1.6 + 0.45 * size, ax=ax)
    errors = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(errors, 0)
    largest = max(float(errors.max()), 0.01)
    heatmap = axes.imshow(errors, cmap="OrRd", vmin=0, vmax=largest)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if errors[row, column] > 0.6 * largest else "black"
            weight = "bold" if row == column else "normal"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, weight=weight, fontsize=8)
    rotation, alignment = (45, "right") if max(map(len, classes)) > 3 else (0, "center")
    names = [_literal(name) for name in classes]
    axes.set_xticks(range(size), names, rotation=rotation, ha=alignment)
    axes.set_yticks(range(size), names)
    title = f"{num_correct} of {total} correct ({num_correct / max(total, 1):.2%})"
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    percent = PercentFormatter(1, decimals=1)
    figure.colorbar(heatmap, ax=axes, label="fraction of the true class", format=percent, shrink=0.8)
    return figure


def plot_curves(
    frame: pd.DataFrame, best_epoch: int | None = None, ax: AnyAxes | None = None, kept_epoch: int | None = None
) -> Figure:
    """Plot the loss and, if available, the validation accuracy by epoch.

    Parameters
    ----------
    frame
        One row per epoch, as returned by `History.to_frame`.
    best_epoch
        Best epoch, to mark.
    ax
        Axes for the losses, or two for the losses and the accuracy; None for a new figure.
    kept_epoch
        Epoch whose weights the model has, to mark.
    """
    validated, epochs = "val_accuracy" in frame, frame["epoch"]
    figure, both = panels(9 if validated else 5, 3.6, 2 if validated else 1, ax)
    both[0].plot(epochs, frame["train_loss"], marker=".", label="training")
    if "val_loss" in frame:
        both[0].plot(epochs, frame["val_loss"], marker=".", label="validation")
    if len(both) > 1:
        both[1].plot(epochs, 100 * frame["val_accuracy"], marker=".", color="C1", label="validation")
    scale = "log" if (frame["train_loss"] > 0).all() else "linear"
    for axes, ylabel, yscale in zip(both, ("loss", "accuracy (%)"), (scale, "linear"), strict=False):
        for epoch, meanings in _marks(best_epoch, kept_epoch).items():
            style = "-" if "weights" in meanings else ":"
            axes.axvline(epoch, color="grey", linestyle=style, label=f"{meanings}: epoch {epoch}")
        _finish(axes, xlabel="epoch", ylabel=ylabel, yscale=yscale)
    return figure


def _marks(best_epoch: int | None, kept_epoch: int | None) -> dict[int, str]:
    """Return the meaning of each epoch to mark."""
    marks = {} if best_epoch is None else {best_epoch: "best"}
    if kept_epoch is not None:
        marks[kept_epoch] = "best, saved weights" if kept_epoch == best_epoch else "saved weights"
    return marks


def plot_errors(frame: pd.DataFrame, published: Mapping[str, tuple[int, int, float]]) -> Figure:
    """Plot training and test error by epoch beside published values.

    Parameters
    ----------
    frame
        One row per epoch, with the columns `epoch`, `train_accuracy` and `test_accuracy`.
    published
        First epoch, last epoch and error in percent, by split: "training" or "test".
    """
    figure, (axes,) = panels(6, 4)
    for colour, name, column in (("C0", "training", "train_accuracy"), ("C1", "test", "test_accuracy")):
        error = 100 * (1 - frame[column])
        axes.plot(frame["epoch"], error, marker=".", color=colour, label=f"{name}: {error.iloc[-1]:.2f} % (final)")
        if name in published:
            first, last, percent = published[name]
            label = f"{name}: {percent} % (published)"
            axes.plot([first, last], [percent] * 2, color=colour, linestyle="--", marker="x", label=label)
    errors = 100 * (1 - frame[["train_accuracy", "test_accuracy"]].max(axis=1))
    top = min(errors.max(), 4 * max(errors.iloc[-1], 1))  # cut off large early errors to keep the last ones legible
    _finish(axes, xlabel="epoch", ylabel="error (%)", ylim=(0, 1.1 * max(top, 0.1)))
    return figure


def plot_lr_search(lrs: Sequence[float], losses: Sequence[float], suggestion: float, ax: Axes | None = None) -> Figure:
    """Plot the loss by learning rate, and mark the suggested learning rate."""
    figure, (axes,) = panels(5, 3.6, ax=ax)
    axes.plot(lrs, losses)
    axes.axvline(suggestion, color="grey", linestyle=":", label=f"steepest: {suggestion:.2g}")
    _finish(axes, xscale="log", xlabel="learning rate", ylabel="loss (smoothed)")
    return figure


def plot_predictions(
    images: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    inputs: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
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
    """
    figure = new_figure(8, 2.3 * len(images))
    rows = figure.subplots(len(images), 3, squeeze=False, width_ratios=[1, 1, 1.5])
    for (left, middle, right), (name, image), pixels, row in zip(rows, images, inputs, probabilities, strict=True):
        left.imshow(image)
        left.set_title(name, fontsize=9)
        middle.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        middle.set_title("network input", fontsize=9)
        for axes in (left, middle):
            axes.set(xticks=[], yticks=[])
        best = int(row.argmax())
        unsure = threshold is not None and row[best] < threshold
        colour = "C1" if unsure else "C0"
        right.bar(range(len(classes)), row, color=[colour if i == best else "0.7" for i in range(len(classes))])
        right.set_xticks(range(len(classes)), classes)
        right.set_ylim(0, 1)
        right.set_title(f"{classes[best]} ({_percent(row[best])}{', low confidence' if unsure else ''})", fontsize=9)
        right.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def plot_images(images: npt.NDArray[np.uint8], labels: Sequence[str], title: str) -> Figure:
    """Plot images on a grid, each with its label.

    Parameters
    ----------
    images
        (N, C, H, W). Images of three channels are colour; of others, the first channel is shown.
    labels
        N labels, of one or several lines. Long lines are cut.
    title
        Title of the figure.
    """
    num_columns = min(len(images), 10)
    num_rows = math.ceil(len(images) / num_columns)
    num_lines = max(label.count("\n") + 1 for label in labels)
    figure = new_figure(0.8 * max(num_columns, 5), 0.4 + num_rows * (0.85 + 0.15 * num_lines))
    figure.suptitle(title, fontsize=9)
    for axes in figure.subplots(num_rows, num_columns, squeeze=False).flat:
        axes.set_axis_off()
    for axes, image, label in zip(figure.axes, images, labels, strict=False):
        axes.imshow(image.transpose(1, 2, 0) if len(image) == 3 else image[0], cmap="gray", vmin=0, vmax=255)
        lines = (line if len(line) <= 11 else f"{line[:8]}…" for line in label.split("\n"))  # neighbours do not touch
        axes.set_title(_literal("\n".join(lines)), fontsize=7)
    return figure


def _literal(text: str) -> str:
    """Escape the dollars of a name, which would make it a formula."""
    return text.replace("$", r"\$")


def _percent(probability: float) -> str:
    """Format a probability, of which only 1 itself is 100 %."""
    return "> 99.9%" if 0.9995 <= probability < 1 else f"{probability:.1%}"


def _finish(axes: Axes, **properties: Any) -> None:
    """Set the properties of a line plot, and add a grid, a legend and integer ticks for epochs."""
    axes.set(**properties)
    if axes.get_xlabel() == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
