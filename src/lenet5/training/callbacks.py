"""Hooks into a training."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .history import History, Row
    from .state import TrainingState
    from .trainer import Trainer


class Callback:
    """What a Trainer calls as it trains; each method does nothing until a subclass says otherwise.

    A callback stops the training after the current step by setting `trainer.should_stop = True`. Under torchrun every
    process calls its own; `trainer.is_main` tells the first, which is the one to write and to show.
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step, or the first after a resume; `trainer.state` is known."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After each batch; `trainer.state.step` says which comes next, counted from 0."""

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """After each epoch and its validation, before its checkpoint is written."""

    def on_fit_end(self, trainer: Trainer, history: History) -> None:
        """At the end, also after an interrupt or an error."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training must know: tensors, numbers, strings, and lists and dicts of these."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""


class ProgressBar(Callback):
    """A bar on stderr for each epoch; where stderr is not a terminal, one line per epoch."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Look where stderr leads."""
        from tqdm import tqdm

        state = _state(trainer)
        hidden = None if trainer.is_main else True  # None: where stderr is no terminal
        self._bar = tqdm(total=state.num_steps, initial=state.step, unit="step", leave=False, disable=hidden)
        self._describe(trainer)

    def on_step_end(self, trainer: Trainer) -> None:
        """Advance by a step."""
        self._bar.update()

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Leave a line that says how the epoch ended, and begin anew."""
        text = f"epoch {row['epoch']}/{trainer.config.max_epochs}  loss {row['train_loss']:.4f}"
        if "val_loss" in row:
            text += f"  val_loss {row['val_loss']:.4f}  val_accuracy {row['val_accuracy']:.4f}"
        if not trainer.is_main:
            return
        if self._bar.disable:
            sys.stderr.write(f"{text}\n")
        else:
            self._bar.write(text, file=sys.stderr)
            self._bar.reset()
        self._describe(trainer)

    def on_fit_end(self, trainer: Trainer, history: History) -> None:
        """Remove the bar."""
        self._bar.close()

    def _describe(self, trainer: Trainer) -> None:
        self._bar.set_description(f"epoch {_state(trainer).epoch + 1}/{trainer.config.max_epochs}", refresh=False)


def _state(trainer: Trainer) -> TrainingState:
    assert trainer.state is not None
    return trainer.state
