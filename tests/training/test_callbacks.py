from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from lenet5 import Callback, Trainer, TrainingState
from lenet5.training.history import Row

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


class Journal(Callback):
    """Record the calls."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_fit_start(self, state: TrainingState) -> None:
        self.lines.append("start")

    def on_step_end(self, state: TrainingState) -> None:
        self.lines.append(f"step {state.epoch}.{state.step}")

    def on_epoch_end(self, state: TrainingState, row: Row) -> None:
        self.lines.append(f"epoch {row['epoch']}")

    def on_fit_end(self, state: TrainingState) -> None:
        self.lines.append(f"end {len(state.history)}")


def test_hooks_are_called_in_order(tiny: Tiny) -> None:
    journal = Journal()
    trainer = Trainer(tiny.model(), tiny.config(batch_size=10, max_epochs=2), callbacks=[Callback(), journal])
    trainer.fit(tiny.examples())
    assert journal.lines == ["start", "step 0.1", "step 0.2", "epoch 1", "step 1.1", "step 1.2", "epoch 2", "end 2"]


def test_fit_end_is_called_after_an_error_too(tiny: Tiny) -> None:
    journal = Journal()
    with pytest.raises(ValueError, match="targets lie in"):
        Trainer(tiny.model(), tiny.config(), callbacks=[journal]).fit([(torch.rand(2, 1, 6, 6), torch.tensor([0, 9]))])
    assert journal.lines == ["start", "end 0"]


def test_hooks_receive_the_state_of_the_run(tiny: Tiny) -> None:
    class Recorder(Callback):
        def on_fit_start(self, state: TrainingState) -> None:
            states.append(state)
            assert state.config is trainer.config
            assert state.model is trainer.model
            assert (state.device, state.num_steps, state.is_main) == (trainer.device, 3, True)
            assert isinstance(state.optimizer, torch.optim.SGD)

        def on_step_end(self, state: TrainingState) -> None:
            assert state.optimizer is not None
            next_lr = state.optimizer.param_groups[0]["lr"]
            steps.append((state.global_step, state.lr, next_lr))

        def on_epoch_end(self, state: TrainingState, row: Row) -> None:
            assert row is state.history[-1]
            assert row["lr"] == state.lr
            best_epochs.append(state.history.best_epoch)

        def on_fit_end(self, state: TrainingState) -> None:
            assert state.finished
            states.append(state)

    states: list[TrainingState] = []
    steps: list[tuple[int, float, float]] = []
    best_epochs: list[int | None] = []
    trainer = Trainer(
        tiny.model(),
        tiny.config(max_epochs=2),
        callbacks=[Recorder()],
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        lr_scheduler=lambda optimizer, _: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
    )
    trainer.fit(tiny.examples(), tiny.examples())
    assert states == [trainer.state] * 2
    assert steps == [(step, 0.5 ** (step - 1), 0.5**step) for step in range(1, 7)]
    assert best_epochs[0] == 1


def test_metrics_added_by_a_callback_appear_in_the_history(tiny: Tiny) -> None:
    class Measure(Callback):
        def on_epoch_end(self, state: TrainingState, row: Row) -> None:
            row["test_accuracy"] = row["epoch"] / 4

    history = Trainer(tiny.model(), tiny.config(), callbacks=[Measure()]).fit(tiny.examples())
    assert history.to_frame()["test_accuracy"].tolist() == [0.25, 0.5, 0.75]


def test_should_stop_ends_the_run_after_the_current_step(tiny: Tiny) -> None:
    class Stop(Journal):
        def on_step_end(self, state: TrainingState) -> None:
            super().on_step_end(state)
            state.should_stop = state.global_step == 3

    stop = Stop()
    trainer = Trainer(tiny.model(), tiny.config(batch_size=10, max_epochs=9), callbacks=[stop])
    history = trainer.fit(tiny.examples())
    assert stop.lines == ["start", "step 0.1", "step 0.2", "epoch 1", "step 1.1", "end 1"]
    assert len(history) == 1
    assert trainer.state.finished
    assert not history.interrupted
