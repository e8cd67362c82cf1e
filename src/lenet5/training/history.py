"""What a training left behind, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Row(TypedDict, total=False):
    """One epoch. The entries of validation are absent where there was none; callbacks may add some."""

    epoch: int  # counted from 1
    lr: float  # of the epoch's last step
    train_loss: float  # mean over the epoch's examples, each as it was when its step was taken
    val_loss: float
    val_accuracy: float
    train_accuracy: float  # of the weights at the epoch's end, where a recipe asks for it
    test_accuracy: float  # the same


class History:
    """The epochs of a training, in order.

    Attributes
    ----------
    rows
        One Row per epoch.
    best_epoch
        The number of the best epoch, counted from 1; None without validation.
    interrupted
        Whether Ctrl-C or SIGTERM stopped the training before its end.
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
        """Return a table, one row per epoch."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def plot(self) -> Figure:
        """Draw the losses, and the validation accuracy where there is one.

        Raises
        ------
        ValueError
            There is no epoch to draw.
        """
        from ..metrics.plots import plot_curves

        if not self.rows:
            raise ValueError("the history has no epoch yet; call Trainer.fit first")
        return plot_curves(self.to_frame(), self.best_epoch)
