"""Callbacks that log the metrics of a training run."""

import os
from pathlib import Path
from typing import Any

from .. import storage
from ..storage import StrPath
from ..training.callbacks import Callback
from ..training.history import Row
from ..training.state import TrainingState


class CSVLogger(Callback):
    """A callback that writes the history to a CSV file after each epoch, without duplicate rows in a resumed run.

    Parameters
    ----------
    path
        The CSV file, with the columns of `History.to_frame`.

    Examples
    --------
    >>> config = lenet5.TrainerConfig(max_epochs=2)
    >>> trainer = lenet5.Trainer(lenet5.LeNet5(), config, callbacks=[lenet5.CSVLogger("history.csv")])
    >>> history = trainer.fit(*lenet5.load_data("digits")[:2])
    >>> import pandas as pd
    >>> list(pd.read_csv("history.csv"))
    ['epoch', 'lr', 'train_loss', 'val_loss', 'val_accuracy']
    """

    path: Path

    def __init__(self, path: StrPath) -> None:
        self.path = storage.as_path(path)

    def on_fit_start(self, state: TrainingState) -> None:
        """Write the rows of earlier epochs, so that a file that cannot be written is found before the first step."""
        self._write(state)

    def on_epoch_end(self, state: TrainingState, row: Row) -> None:  # noqa: ARG002 (the history has the row)
        """Write the table."""
        self._write(state)

    def _write(self, state: TrainingState) -> None:
        if state.is_main:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            storage.write_file(self.path, state.history.to_frame().to_csv(index=False, lineterminator="\n").encode())


class TensorBoardLogger(Callback):
    """A callback that logs to TensorBoard: metrics by epoch, and the learning rate by step.

    Parameters
    ----------
    directory
        Folder for the event files. TensorBoard hides steps that a resumed run repeats.
    every
        Number of steps between two values of the learning rate, at least 1.

    Raises
    ------
    ImportError
        TensorBoard is not installed. The extra `tensorboard` of this package installs it.

    Examples
    --------
    >>> logger = lenet5.TensorBoardLogger("logs", every=10)
    >>> trainer = lenet5.Trainer(lenet5.LeNet5(), callbacks=[logger])
    """

    directory: str
    every: int

    def __init__(self, directory: StrPath, *, every: int = 50) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if every < 1:
            raise ValueError(f"every is {every}; expected at least 1")
        self.directory, self.every = os.fspath(storage.as_path(directory)), every
        self._make_writer: Any = SummaryWriter
        self._writer: Any = None

    def on_fit_start(self, state: TrainingState) -> None:
        """Open an event file."""
        if state.is_main:
            step = state.global_step
            self._writer = self._make_writer(self.directory, purge_step=step + 1 if step else None)

    def on_step_end(self, state: TrainingState) -> None:
        """Log the learning rate."""
        if state.is_main and state.global_step % self.every == 0:
            self._writer.add_scalar("lr", state.lr, state.global_step)

    def on_epoch_end(self, state: TrainingState, row: Row) -> None:
        """Log the metrics of the epoch."""
        if state.is_main:
            for name, value in row.items():
                if name not in {"epoch", "lr"}:
                    self._writer.add_scalar(name, value, state.global_step)
            self._writer.flush()

    def on_fit_end(self, state: TrainingState) -> None:  # noqa: ARG002 (the signature of the hook)
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
