"""Figures that compare runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, overload

from .curves import check_history
from .display import AnyAxes, Figure, GivenAxes, panels
from .palette import finish, literal, series

if TYPE_CHECKING:
    import pandas as pd

Histories: TypeAlias = "Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]]"


@overload
def plot_comparison(histories: Histories, *, ax: None = None) -> Figure: ...
@overload
def plot_comparison(histories: Histories, *, ax: GivenAxes) -> GivenAxes: ...
def plot_comparison(histories: Histories, *, ax: AnyAxes | None = None) -> Figure | AnyAxes:
    """Plot the training loss and, if available, the validation accuracy of several runs by epoch.

    Runs of one name, such as those of several seeds, are one line, their mean, in a band of one standard deviation
    on each side. It ends at the last epoch that all of them have, so that every mean is over the same runs.

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
        There are no runs, a table is empty, or `ax` is no such axes.

    Examples
    --------
    >>> import pandas as pd
    >>> fast = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.2, 0.4]})
    >>> slow = pd.DataFrame({"epoch": [1, 2], "train_loss": [2.1, 1.5]})
    >>> figure = lenet5.plots.plot_comparison({"lr 0.01": fast, "lr 0.001": slow})
    """
    groups = {name: _frames(name, value) for name, value in histories.items()}
    if not groups:
        raise ValueError("there are no histories to compare; expected at least one")
    validated = any("val_accuracy" in frame for frames in groups.values() for frame in frames)
    figure, both = panels(7 if validated else 4.5, 3.6, 2 if validated else 1, ax)
    for axes, column, factor, ylabel in zip(
        both, ("train_loss", "val_accuracy"), (1, 100), ("training loss", "validation accuracy (%)"), strict=False
    ):
        for index, (name, frames) in enumerate(groups.items()):
            present = [factor * frame.set_index("epoch")[column] for frame in frames if column in frame]
            if present:
                _plot_mean(axes, present, index, name)
        finish(axes, xlabel="epoch", ylabel=ylabel, legend=False)
    if all((frame["train_loss"].dropna() > 0).all() for frames in groups.values() for frame in frames):
        both[0].set_yscale("log")
    both[0].legend(fontsize=8)
    return figure if ax is None else ax


def _frames(name: str, value: pd.DataFrame | Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    import pandas as pd

    frames = [value] if isinstance(value, pd.DataFrame) else list(value)
    if not frames:
        raise ValueError(f"there are no histories of {name!r}; expected at least one")
    for frame in frames:
        check_history(frame)
    return frames


def _plot_mean(axes: object, values: list[pd.Series[float]], index: int, name: str) -> None:
    """Plot the mean of one column of several runs, and a band of one standard deviation."""
    import pandas as pd

    table = pd.concat(values, axis=1, join="inner")
    style, mean = series(index), table.mean(axis=1, skipna=False)
    label = literal(name) if len(values) == 1 else f"{literal(name)} (mean ± sd of {len(values)})"
    axes.plot(table.index, mean, label=label, **style)  # type: ignore[attr-defined]
    if len(values) > 1:
        sd = table.std(axis=1, skipna=False)
        axes.fill_between(table.index, mean - sd, mean + sd, color=style["color"], alpha=0.2, linewidth=0)  # type: ignore[attr-defined]
