"""Pictures of a training and of its result; figures of their own, which no other plotting can disturb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

if TYPE_CHECKING:
    import pandas as pd


def plot_confusion_matrix(matrix: npt.NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Draw counts, a row for each true class and a column for each label; the shade is the share of the row.

    The right answers fill the diagonal whatever the classifier, so they stay unshaded and the errors are seen.
    """
    size = len(classes)
    figure = Figure(figsize=(2 + 0.45 * size, 1.6 + 0.45 * size), layout="constrained")
    axes = figure.add_subplot()
    errors = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(errors, 0)
    strongest = max(float(errors.max()), 0.01)
    picture = axes.imshow(errors, cmap="OrRd", vmin=0, vmax=strongest)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            dark = errors[row, column] > 0.6 * strongest
            weight = "bold" if row == column else "normal"
            colour = "white" if dark else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, weight=weight, fontsize=8)
    rotation = 45 if max(map(len, classes)) > 3 else 0
    axes.set_xticks(range(size), classes, rotation=rotation, ha="right" if rotation else "center")
    axes.set_yticks(range(size), classes)
    share = np.trace(matrix) / max(matrix.sum(), 1)
    axes.set(xlabel="label", ylabel="true class", title=f"{np.trace(matrix)} of {matrix.sum()} right ({share:.2%})")
    figure.colorbar(picture, ax=axes, label="share of the class", format=PercentFormatter(1, decimals=1), shrink=0.8)
    return figure


def plot_curves(frame: pd.DataFrame, best_epoch: int | None = None) -> Figure:
    """Draw the losses, and the validation accuracy where there is one, by epoch; the frame is a History's."""
    validated = "val_accuracy" in frame
    figure = Figure(figsize=(9 if validated else 5, 3.6), layout="constrained")
    axes = figure.subplots(1, 2 if validated else 1, squeeze=False)[0]
    axes[0].plot(frame["epoch"], frame["train_loss"], marker=".", label="training")
    if validated:
        axes[0].plot(frame["epoch"], frame["val_loss"], marker=".", label="validation")
        axes[1].plot(frame["epoch"], 100 * frame["val_accuracy"], marker=".", color="C1", label="validation")
        axes[1].set(ylabel="accuracy (%)")
    axes[0].set(ylabel="loss")
    if (frame["train_loss"] > 0).all():
        axes[0].set_yscale("log")
    for panel in axes:
        if best_epoch is not None:
            panel.axvline(best_epoch, color="grey", linestyle=":", label=f"best: epoch {best_epoch}")
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        panel.legend()
    return figure


def plot_errors(frame: pd.DataFrame, published: Mapping[str, tuple[int, int, float]]) -> Figure:
    """Draw the errors on the training and the test set by epoch, and what was published of them.

    The frame has "epoch", "train_accuracy" and "test_accuracy". Published are, by set, the first epoch, the last, and
    percent.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for colour, name, column in (("C0", "training", "train_accuracy"), ("C1", "test", "test_accuracy")):
        error = 100 * (1 - frame[column])
        axes.plot(frame["epoch"], error, marker=".", color=colour, label=f"{name}: {error.iloc[-1]:.2f} % at the end")
        if name in published:
            first, last, percent = published[name]
            label = f"{name}, as published: {percent} %"
            axes.plot([first, last], [percent] * 2, color=colour, linestyle="--", marker="x", label=label)
    errors = 100 * (1 - frame[["train_accuracy", "test_accuracy"]].max(axis=1))
    top = min(errors.max(), 4 * max(errors.iloc[-1], 1))  # of the first epochs only what lets the last be seen
    axes.set(xlabel="epoch", ylabel="error (%)", ylim=(0, 1.1 * max(top, 0.1)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def plot_lr_search(lrs: Sequence[float], losses: Sequence[float], suggestion: float) -> Figure:
    """Draw losses by learning rate, on a logarithmic axis."""
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(lrs, losses)
    axes.axvline(suggestion, color="grey", linestyle=":", label=f"steepest: {suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss (smoothed)")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def plot_predictions(
    pictures: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    seen: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
    classes: Sequence[str],
) -> Figure:
    """Draw a row for each picture: its name and itself, what the network saw, and the probabilities as bars.

    Pictures are (H, W, 3), `seen` is (N, H, W) from 0 to 1, probabilities are (N, K).
    """
    figure = Figure(figsize=(8, 2.3 * len(pictures)), layout="constrained")
    rows = figure.subplots(len(pictures), 3, squeeze=False, width_ratios=[1, 1, 1.5])
    for (given, small, bars), (name, picture), image, shares in zip(rows, pictures, seen, probabilities, strict=True):
        given.imshow(picture)
        given.set_title(name, fontsize=9)
        small.imshow(image, cmap="gray", vmin=0, vmax=1)
        small.set_title("what the network saw", fontsize=9)
        for axes in (given, small):
            axes.set(xticks=[], yticks=[])
        best = int(shares.argmax())
        bars.bar(range(len(classes)), shares, color=["C0" if i == best else "0.7" for i in range(len(classes))])
        bars.set_xticks(range(len(classes)), classes)
        bars.set_ylim(0, 1)
        bars.set_title(f"{classes[best]}, with {shares[best]:.1%}", fontsize=9)
        bars.yaxis.set_major_formatter(PercentFormatter(1))
    return figure
