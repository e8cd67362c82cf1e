"""Figures that compare runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from matplotlib.axes import Axes

from .containers import as_sequence, check_mapping, is_table
from .curves import check_history
from .display import AnyAxes, Figure, GivenAxes, panels
from .palette import SMALL, finish, legend_columns, legend_name, series, share_legend
from .style import styled

if TYPE_CHECKING:
    import pandas as pd

Histories: TypeAlias = "Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]]"

_COLUMNS = {"train_loss": (1, "training loss"), "val_accuracy": (100, "validation accuracy (%)")}
_LONGEST = 48  # characters of a run's name


@overload
def plot_comparison(histories: Histories, *, ax: None = None) -> Figure: ...
@overload
def plot_comparison(histories: Histories, *, ax: GivenAxes) -> GivenAxes: ...
@styled
def plot_comparison(histories: Histories, *, ax: AnyAxes | None = None) -> Figure | AnyAxes:
    """Plot the training loss and, if available, the validation accuracy of several runs by epoch.

    Runs of one name, such as those of several seeds, are one line: their mean, in a band of one standard deviation
    (n - 1) on each side. It has the epochs that all of them have, so that every mean is over the same runs.

    Parameters
    ----------
    histories
        By name, a table with one row per epoch, as returned by `History.to_frame`; or several.
    ax
        Axes of your own: one for the losses, or two for the losses and the accuracy. None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        There are no runs, a table is empty or has no losses, or `ax` is no such axes.

    Examples
    --------
    >>> import pandas as pd
    >>> fast = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.2, 0.4]})
    >>> slow = pd.DataFrame({"epoch": [1, 2], "train_loss": [2.1, 1.5]})
    >>> figure = lenet5.plots.plot_comparison({"lr 0.01": fast, "lr 0.001": slow})
    """
    check_mapping("histories", histories, "tables by name of the run, such as {'lr 0.01': history.to_frame()}")
    named = [(name, _frames(name, value)) for name, value in histories.items()]
    groups = [(_label(name, frames), frames) for name, frames in named]
    if not groups:
        raise ValueError("there are no histories to compare; expected at least one")
    validated = any("val_accuracy" in frame for _, frames in groups for frame in frames)
    width = 6.4 if validated else 4.5
    num_lines = math.ceil(len(groups) / legend_columns([label for label, _ in groups], width))
    figure, both = panels(width, 3.3 + 0.17 * num_lines, 2 if validated else 1, ax)
    for axes, (column, (factor, ylabel)) in zip(both, _COLUMNS.items(), strict=False):
        for index, (label, frames) in enumerate(groups):
            present = [factor * frame.set_index("epoch")[column] for frame in frames if column in frame]
            if present:
                _plot_mean(axes, present, index, label)
        positive = all((frame["train_loss"].dropna() > 0).all() for _, frames in groups for frame in frames)
        scale = "log" if positive and column == "train_loss" else "linear"
        finish(axes, xlabel="epoch", ylabel=ylabel, yscale=scale, legend=False)
    if ax is None:
        share_legend(figure, both[:1], width)
        return figure
    both[0].legend(fontsize=SMALL)
    return ax


def _label(name: str, frames: list[pd.DataFrame]) -> str:
    """Return a run's name as the legend shows it: the end of a long one, which distinguishes paths."""
    short = str(name) if len(str(name)) <= _LONGEST else f"…{str(name)[1 - _LONGEST :]}"
    return legend_name(f"{short} (mean ± sd of {len(frames)})" if len(frames) > 1 else short)


def _frames(name: str, value: pd.DataFrame | Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    expected = "a table with one row per epoch, as from History.to_frame, or a list of such"
    frames: list[Any] = [value] if is_table(value) else as_sequence(f"the history of {name!r}", value, expected)
    if not frames:
        raise ValueError(f"there are no histories of {name!r}; expected at least one")
    for frame in frames:
        check_history(frame)
    return frames


def _plot_mean(axes: Axes, values: list[pd.Series[float]], index: int, label: str) -> None:
    """Plot the mean of one column of several runs, and a band of one standard deviation."""
    import pandas as pd

    table = pd.concat(values, axis=1, join="inner")
    style, mean = series(index, len(table)), table.mean(axis=1, skipna=False)
    axes.plot(table.index, mean, label=label, **style)
    if len(values) > 1:
        sd = table.std(axis=1, skipna=False)
        axes.fill_between(table.index, mean - sd, mean + sd, color=style["color"], alpha=0.25, linewidth=0)
