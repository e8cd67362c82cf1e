"""Callbacks: hooks into a training run."""

import sys
from typing import Any

from .. import notebook
from .history import Row
from .state import TrainingState


class Callback:
    """Base class of callbacks; every hook does nothing by default.

    To stop the run after the current optimizer step, set `state.should_stop = True`. Under torchrun, every rank calls
    its own callbacks, and only the rank where `state.is_main` is True should write or print.
    """

    def on_fit_start(self, state: TrainingState) -> None:
        """Run before the first step of a new or resumed run."""

    def on_step_end(self, state: TrainingState) -> None:
        """Run after each batch; `state.step` is the number of batches so far in this epoch."""

    def on_epoch_end(self, state: TrainingState, row: Row) -> None:
        """Run after each epoch and its validation, before its checkpoint is written."""

    def on_fit_end(self, state: TrainingState) -> None:
        """Run at the end, also after an interrupt or an error."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state to checkpoint: tensors, arrays, numbers, strings, None, lists, tuples and dicts of these."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""


class ProgressBar(Callback):
    """A progress bar on stderr, and one line per epoch. If stderr is not a terminal, only the lines.

    In a notebook, a table with one row per epoch takes the place of the lines. The bar is a widget, which needs
    ipywidgets.
    """

    def on_fit_start(self, state: TrainingState) -> None:
        """Create the bar and, in a notebook, the table."""
        disable = None if state.is_main else True  # None disables it if stderr is not a terminal
        self._bar = notebook.progress_bars()(
            total=state.num_steps, initial=state.step, unit="step", leave=False, disable=disable
        )
        self._table = notebook.display(state.history) if state.is_main and notebook.in_notebook() else None
        self._describe(state)

    def on_step_end(self, state: TrainingState) -> None:
        """Advance the bar."""
        self._bar.update()

    def on_epoch_end(self, state: TrainingState, row: Row) -> None:
        """Print the epoch summary and reset the bar."""
        if not state.is_main:
            return
        if self._table:
            self._table.update(state.history)
        else:
            self._write(state, row)
        self._bar.reset()
        self._describe(state)

    def on_fit_end(self, state: TrainingState) -> None:
        """Remove the bar."""
        self._bar.close()

    def _write(self, state: TrainingState, row: Row) -> None:
        text = f"epoch {row['epoch']}/{state.config.max_epochs}  loss {row['train_loss']:.4f}"
        if "val_loss" in row:
            text += f"  val_loss {row['val_loss']:.4f}"
        if "val_accuracy" in row:
            text += f"  val_accuracy {row['val_accuracy']:.4f}"
        errors = {"train": row.get("train_accuracy"), "test": row.get("test_accuracy")}
        text += "".join(f"  {name}_error {1 - value:.2%}" for name, value in errors.items() if value is not None)
        self._bar.write(text, file=sys.stderr)

    def _describe(self, state: TrainingState) -> None:
        self._bar.set_description(f"epoch {state.epoch + 1}/{state.config.max_epochs}", refresh=False)
