"""Callbacks that write down how a training goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .. import storage
from ..training import Callback, History, Trainer
from ..training.history import Row


class CSVLogger(Callback):
    """A table with a row for each epoch, written anew after each: after a resume it is whole, and has no row twice.

    Parameters
    ----------
    path
        The file; the columns are those of `History.to_frame`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:  # noqa: ARG002 (the history has it)
        """Write the table."""
        if trainer.is_main:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            table = trainer.history.to_frame().to_csv(index=False, lineterminator="\n")
            storage.write_file(self.path, table.encode())


class TensorBoardLogger(Callback):
    """Curves for TensorBoard, by torch's own writer: the rows of the history by epoch, the learning rate by step.

    Parameters
    ----------
    directory
        Where the event files go. What is there of steps that a resume repeats is not shown.
    every
        After how many steps the learning rate is written.

    Raises
    ------
    ImportError
        tensorboard is not installed; `pip install tensorboard`, or this package's extra of that name.
    """

    def __init__(self, directory: str | os.PathLike[str], *, every: int = 50) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.directory, self.every = os.fspath(directory), every
        self._make_writer: Any = SummaryWriter
        self._writer: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Open a file."""
        if trainer.is_main:
            taken = _num_steps(trainer)
            self._writer = self._make_writer(self.directory, purge_step=taken + 1 if taken else None)

    def on_step_end(self, trainer: Trainer) -> None:
        """Write the learning rate."""
        if trainer.is_main and trainer.state and (step := _num_steps(trainer)) % self.every == 0:
            self._writer.add_scalar("lr", trainer.state.lr, step)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Write the row."""
        if trainer.is_main:
            for name, value in row.items():
                if name not in {"epoch", "lr"}:
                    self._writer.add_scalar(name, value, _num_steps(trainer))
            self._writer.flush()

    def on_fit_end(self, trainer: Trainer, history: History) -> None:  # noqa: ARG002 (a hook)
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def _num_steps(trainer: Trainer) -> int:
    """Return how many steps the training has taken, over all epochs."""
    assert trainer.state is not None
    return trainer.state.epoch * trainer.state.num_steps + trainer.state.step
