"""The metrics of a training run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias, overload

from .. import notebook

if TYPE_CHECKING:
    import pandas as pd

    from ..plots.display import Figure, GivenAxes

Row: TypeAlias = dict[str, float]
"""The metrics of one epoch. Validation entries are absent without validation data; callbacks may add entries."""

METRICS = (
    "epoch",  # counted from 1
    "lr",  # at the last step of the epoch
    "train_loss",  # mean over the examples of the epoch, each with the weights of its step
    "val_loss",
    "val_accuracy",
    "train_accuracy",  # at the end of the epoch; only in recipes that measure it
    "test_accuracy",  # likewise
)


class History:
    """The metrics of a training run, one row per epoch.

    Attributes
    ----------
    rows
        One Row per epoch.
    best_epoch
        The best epoch, counted from 1; None without validation data.
    kept_epoch
        The epoch whose weights the model has, once the run has finished: the best, or the last without validation data
        or without `restore_best`. None before.
    interrupted
        Whether Ctrl-C or SIGTERM ended the run early.
    shown_in
        The number of the notebook's cell that already shows the run as a live table, or None.

    Examples
    --------
    >>> digits = lenet5.load_data("digits")
    >>> trainer = lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=2))
    >>> history = trainer.fit(digits.train, digits.val)
    >>> history.to_frame().columns.tolist()
    ['epoch', 'lr', 'train_loss', 'val_loss', 'val_accuracy']
    >>> history.plot().savefig("curves.png")
    """

    shown_in: int | None

    def __init__(self, rows: list[Row] | None = None, best_epoch: int | None = None) -> None:
        self.rows: list[Row] = rows or []
        self.best_epoch = best_epoch
        self.kept_epoch: int | None = None
        self.interrupted = False
        self.shown_in = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def __repr__(self) -> str:
        return f"<History: {len(self)} epochs, best {self.best_epoch}>"

    def finish(self, *, restore_best: bool) -> None:
        """Record which epoch the weights of the finished model are from."""
        self.kept_epoch = self.best_epoch if restore_best and self.best_epoch is not None else len(self.rows)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per epoch."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    @overload
    def plot(self) -> Figure: ...
    @overload
    def plot(self, *, ax: GivenAxes) -> GivenAxes: ...
    def plot(self, *, ax: GivenAxes | None = None) -> Figure | GivenAxes:
        """Plot the losses and, if available, the validation accuracy.

        Parameters
        ----------
        ax
            Axes of your own: one for the losses, or two for the losses and the accuracy. None for a new figure.

        Returns
        -------
        Figure or Axes
            The new figure, which notebooks display, or `ax`.

        Raises
        ------
        ValueError
            The history is empty, or `ax` is no such axes.
        """
        from ..plots import plot_curves

        if not self.rows:
            raise ValueError("the history is empty; call Trainer.fit first")
        return plot_curves(self.to_frame(), self.best_epoch, ax=ax, kept_epoch=self.kept_epoch)

    def _repr_html_(self) -> str | None:
        """Return the table; None in a cell whose live table shows the same, so that the notebook shows the text."""
        if self.shown_in is not None and self.shown_in == notebook.current_cell():
            return None
        best = "" if self.best_epoch is None else f", best epoch {self.best_epoch}"
        frame = self.to_frame()
        return notebook.table_html(f"{len(self)} epochs{best}", frame.set_index("epoch") if "epoch" in frame else frame)
