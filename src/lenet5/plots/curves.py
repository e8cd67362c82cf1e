"""Figures of one training run, and of the search for its learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from .arrays import as_array
from .containers import check_table
from .display import AnyAxes, Figure, GivenAxes, panels
from .palette import COLOURS, GREY, finish, series, share_legend
from .style import styled

if TYPE_CHECKING:
    import pandas as pd


@overload
def plot_curves(
    frame: pd.DataFrame, best_epoch: int | None = None, *, kept_epoch: int | None = None, ax: None = None
) -> Figure: ...
@overload
def plot_curves(
    frame: pd.DataFrame, best_epoch: int | None = None, *, kept_epoch: int | None = None, ax: GivenAxes
) -> GivenAxes: ...
@styled
def plot_curves(
    frame: pd.DataFrame, best_epoch: int | None = None, *, kept_epoch: int | None = None, ax: AnyAxes | None = None
) -> Figure | AnyAxes:
    """Plot the loss and, if available, the validation accuracy by epoch.

    Parameters
    ----------
    frame
        One row per epoch, as returned by `History.to_frame`, or read from a run's history.csv.
    best_epoch
        Best epoch, to mark.
    kept_epoch
        Epoch whose weights the model has, to mark.
    ax
        Axes of your own: one for the losses, or two for the losses and the accuracy. None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        The table is empty or has no column of losses, or `ax` is no such axes.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.2, 0.4], "val_loss": [0.9, 0.5]})
    >>> figure = lenet5.plots.plot_curves(frame, best_epoch=2)
    """
    check_history(frame)
    validated, epochs = "val_accuracy" in frame, frame["epoch"]
    width = 6.4 if validated else 4.5
    figure, both = panels(width, 3.6, 2 if validated else 1, ax)
    both[0].plot(epochs, frame["train_loss"], label="training", **series(0, len(frame)))
    if "val_loss" in frame:
        both[0].plot(epochs, frame["val_loss"], label="validation", **series(1, len(frame)))
    if len(both) > 1:
        both[1].plot(epochs, 100 * frame["val_accuracy"], label="validation", **series(1, len(frame)))
    scale = "log" if (frame["train_loss"].dropna() > 0).all() else "linear"
    for axes, ylabel, yscale in zip(both, ("loss", "accuracy (%)"), (scale, "linear"), strict=False):
        for epoch, meanings in _marks(best_epoch, kept_epoch).items():
            style = "-" if "weights" in meanings else ":"
            axes.axvline(epoch, color=GREY, linestyle=style, label=f"{meanings}: epoch {epoch}")
        finish(axes, xlabel="epoch", ylabel=ylabel, yscale=yscale, legend=ax is not None)
    if ax is not None:
        return ax
    share_legend(figure, both, width)
    return figure


def check_history(frame: pd.DataFrame) -> None:
    """Raise ValueError unless a table has epochs and losses."""
    check_table("the history", frame, "a table with one row per epoch, as from History.to_frame")
    missing = [name for name in ("epoch", "train_loss") if name not in frame]
    if missing or not len(frame):
        found = f"no column {missing[0]}" if missing else "no row"
        raise ValueError(f"the history has {found}; expected one row per epoch, as in History.to_frame()")


def _marks(best_epoch: int | None, kept_epoch: int | None) -> dict[int, str]:
    """Return the meaning of each epoch to mark."""
    marks = {} if best_epoch is None else {best_epoch: "best"}
    if kept_epoch is not None:
        marks[kept_epoch] = "best, saved weights" if kept_epoch == best_epoch else "saved weights"
    return marks


@overload
def plot_errors(
    frame: pd.DataFrame, published: Mapping[str, tuple[int, int, float]] | None = None, *, ax: None = None
) -> Figure: ...
@overload
def plot_errors(
    frame: pd.DataFrame, published: Mapping[str, tuple[int, int, float]] | None = None, *, ax: GivenAxes
) -> GivenAxes: ...
@styled
def plot_errors(
    frame: pd.DataFrame, published: Mapping[str, tuple[int, int, float]] | None = None, *, ax: AnyAxes | None = None
) -> Figure | AnyAxes:
    """Plot training and test error by epoch beside published values, as in figure 5 of LeCun et al. 1998.

    Parameters
    ----------
    frame
        One row per epoch, with the columns `epoch`, `train_accuracy` and `test_accuracy`.
    published
        First epoch, last epoch and error in percent, by split: "training" or "test".
    ax
        Axes of your own; None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        The table is empty or lacks a column.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"epoch": [1, 2], "train_accuracy": [0.96, 0.97], "test_accuracy": [0.95, 0.96]})
    >>> figure = lenet5.plots.plot_errors(frame)
    """
    check_table("the history", frame, "a table with one row per epoch, as from History.to_frame")
    missing = [name for name in ("epoch", "train_accuracy", "test_accuracy") if name not in frame]
    if missing or not len(frame):
        raise ValueError(f"the history has no {missing[0] if missing else 'row'}; expected one row per epoch")
    figure, (axes,) = panels(5, 3.6, ax=ax)
    for index, (name, column) in enumerate((("training", "train_accuracy"), ("test", "test_accuracy"))):
        error = 100 * (1 - frame[column])
        axes.plot(frame["epoch"], error, label=f"{name}: {error.iloc[-1]:.2f} % (final)", **series(index, len(frame)))
        if published and name in published:
            first, last, percent = published[name]
            label = f"{name}: {percent} % (published)"
            axes.plot([first, last], [percent] * 2, color=COLOURS[index], linestyle="--", marker="x", label=label)
    errors = 100 * (1 - frame[["train_accuracy", "test_accuracy"]].max(axis=1))
    top = min(errors.max(), 4 * max(errors.iloc[-1], 1))  # cut off large early errors to keep the last ones legible
    finish(axes, xlabel="epoch", ylabel="error (%)", ylim=(0, 1.1 * max(top, 0.1)))
    return figure if ax is None else ax


@overload
def plot_lr_search(
    lrs: Sequence[float], losses: Sequence[float], suggestion: float | None = None, *, ax: None = None
) -> Figure: ...
@overload
def plot_lr_search(
    lrs: Sequence[float], losses: Sequence[float], suggestion: float | None = None, *, ax: GivenAxes
) -> GivenAxes: ...
@styled
def plot_lr_search(
    lrs: Sequence[float], losses: Sequence[float], suggestion: float | None = None, *, ax: AnyAxes | None = None
) -> Figure | AnyAxes:
    """Plot the loss by learning rate, and mark the suggested learning rate.

    Parameters
    ----------
    lrs, losses
        The learning rates, and the loss after the step with each.
    suggestion
        Learning rate to mark; None to mark none.
    ax
        Axes of your own; None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        There are no rates, or their number is not that of the losses.

    Examples
    --------
    >>> figure = lenet5.plots.plot_lr_search([1e-3, 1e-2, 1e-1], [2.3, 1.1, 9.0], suggestion=1e-2)
    """
    rates, values = as_array("lrs", lrs, 1), as_array("losses", losses, 1)
    if len(rates) != len(values):
        raise ValueError(f"there are {len(rates)} rates and {len(values)} losses; expected equal numbers")
    figure, (axes,) = panels(4.5, 3.3, ax=ax)
    axes.plot(rates, values, color=COLOURS[0])
    if suggestion is not None:
        axes.plot(
            [suggestion],
            [np.interp(suggestion, rates, values)],
            "o",
            color=COLOURS[1],
            label=f"steepest: {suggestion:.2g}",
        )
        axes.axvline(suggestion, color=GREY, linestyle=":")
    finish(axes, xscale="log", xlabel="learning rate", ylabel="loss (smoothed)", legend=suggestion is not None)
    return figure if ax is None else ax
