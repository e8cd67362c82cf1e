from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from lenet5 import Callback, Trainer, TrainingState

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


class WeightRecorder(Callback):
    """Record the weights after each step."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        self.weights: list[Tensor] = []

    def on_step_end(self, state: TrainingState) -> None:
        self.weights.append(self.tiny.weights(state.model))


@pytest.mark.parametrize("accumulate_steps", [1, 2])
def test_ema_averages_the_weights_after_each_optimizer_step(tiny: Tiny, accumulate_steps: int) -> None:
    recorder = WeightRecorder(tiny)
    config = tiny.config(batch_size=6, ema_decay=0.8, accumulate_steps=accumulate_steps)
    trainer = Trainer(tiny.model(), config, callbacks=[recorder])
    trainer.fit(tiny.examples())
    expected, *later = recorder.weights[accumulate_steps - 1 :: accumulate_steps]
    for weights in later:
        expected = 0.8 * expected + 0.2 * weights
    torch.testing.assert_close(tiny.weights(trainer.model), expected)
    assert not torch.allclose(tiny.weights(trainer.model), recorder.weights[-1])


@pytest.mark.parametrize(("swa_epochs", "max_epochs", "num_averaged"), [(2, 3, 6), (9, 1, 3)])
def test_swa_averages_the_weights_of_the_final_epochs_equally(
    tiny: Tiny, swa_epochs: int, max_epochs: int, num_averaged: int
) -> None:
    recorder = WeightRecorder(tiny)
    config = tiny.config(swa_epochs=swa_epochs, max_epochs=max_epochs)
    trainer = Trainer(tiny.model(), config, callbacks=[recorder])
    trainer.fit(tiny.examples())
    expected = torch.stack(recorder.weights[-num_averaged:]).mean(0)
    torch.testing.assert_close(tiny.weights(trainer.model), expected)


def test_validation_and_the_best_weights_use_the_average(tiny: Tiny) -> None:
    val = tiny.examples(9)
    trainer = Trainer(tiny.model(), tiny.config(ema_decay=0.9, monitor="val_loss"))
    history = trainer.fit(tiny.examples(), val)
    assert history.best_epoch is not None
    assert trainer.evaluate(val).loss == pytest.approx(history[history.best_epoch - 1]["val_loss"], rel=1e-6)


def test_validation_uses_the_plain_weights_before_averaging_starts(tiny: Tiny) -> None:
    val = tiny.examples(9)
    plain = Trainer(tiny.model(), tiny.config()).fit(tiny.examples(), val)
    averaged = Trainer(tiny.model(), tiny.config(swa_epochs=1)).fit(tiny.examples(), val)
    assert averaged[0] == plain[0]
    assert averaged[-1]["val_loss"] != plain[-1]["val_loss"]
