"""Figures that compare runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .display import panels

if TYPE_CHECKING:
    import pandas as pd


def plot_comparison(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the training loss and, if available, the validation accuracy of several runs by epoch.

    Parameters
    ----------
    histories
        One row per epoch, as returned by `History.to_frame`, by the name of the run.
    """
    validated = any("val_accuracy" in frame for frame in histories.values())
    figure, both = panels(10 if validated else 5, 4, 2 if validated else 1)
    for index, (name, frame) in enumerate(histories.items()):
        style: dict[str, Any] = {"marker": ".", "color": f"C{index % 10}", "label": name.replace("$", r"\$")}
        both[0].plot(frame["epoch"], frame["train_loss"], **style)
        if "val_accuracy" in frame:
            both[1].plot(frame["epoch"], 100 * frame["val_accuracy"], **style)
    if all((frame["train_loss"] > 0).all() for frame in histories.values()):
        both[0].set_yscale("log")
    for axes, ylabel in zip(both, ("training loss", "validation accuracy (%)"), strict=False):
        axes.set(xlabel="epoch", ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    both[0].legend(fontsize=8)
    return figure
