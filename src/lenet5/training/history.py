"""The metrics of a training run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Row(TypedDict, total=False):
    """The metrics of one epoch. Validation entries are absent without validation data; callbacks may add entries."""

    epoch: int  # counted from 1
    lr: float  # at the last step of the epoch
    train_loss: float  # mean over the examples of the epoch, each with the weights of its step
    val_loss: float
    val_accuracy: float
    train_accuracy: float  # at the end of the epoch; only in recipes that measure it
    test_accuracy: float  # likewise


class History:
    """The metrics of a training run, one row per epoch.

    Attributes
    ----------
    rows
        One Row per epoch.
    best_epoch
        The best epoch, counted from 1; None without validation data.
    interrupted
        Whether Ctrl-C or SIGTERM ended the run early.
    """

    def __init__(self, rows: list[Row] | None = None, best_epoch: int | None = None) -> None:
        self.rows: list[Row] = rows or []
        self.best_epoch = best_epoch
        self.interrupted = False

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def __repr__(self) -> str:
        return f"<History: {len(self)} epochs, best {self.best_epoch}>"

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per epoch."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def plot(self) -> Figure:
        """Plot the losses and, if available, the validation accuracy.

        Raises
        ------
        ValueError
            The history is empty.
        """
        from ..plots.figures import plot_curves

        if not self.rows:
            raise ValueError("the history is empty; call Trainer.fit first")
        return plot_curves(self.to_frame(), self.best_epoch)
