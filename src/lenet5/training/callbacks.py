"""Callbacks: hooks into a training run."""

from typing import Any

from .history import Row
from .state import TrainingState


class Callback:
    """Base class of callbacks; every hook does nothing by default.

    To stop the run after the current optimizer step, set `state.should_stop = True`. Under torchrun, every rank calls
    its own callbacks, and only the rank where `state.is_main` is True should write or print.

    Examples
    --------
    >>> class StopAtLowLoss(lenet5.Callback):
    ...     def on_epoch_end(self, state, row):
    ...         if row["train_loss"] < 1:
    ...             state.should_stop = True
    >>> trainer = lenet5.Trainer(lenet5.LeNet5(), callbacks=[StopAtLowLoss()])
    >>> history = trainer.fit(lenet5.load_data("digits").train)
    >>> len(history) < trainer.config.max_epochs
    True
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
