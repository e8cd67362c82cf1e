from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lenet5 import Callback, History, Trainer, TrainerConfig, TrainingState

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


# The best epoch


class ScriptedModel(nn.Module):
    """A model whose validation accuracy and logit scale follow a script, epoch by epoch."""

    def __init__(self, script: list[tuple[float, float]]) -> None:
        super().__init__()
        self.script = script
        self.epoch = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            return torch.zeros(len(images), 2) + 0 * self.epoch
        accuracy, scale = self.script[round(self.epoch.item()) - 1]
        signs = (torch.arange(len(images)) < accuracy * len(images)).float() * 2 - 1
        return torch.stack([signs, -signs], dim=1) * scale


class Increment(torch.optim.Optimizer):
    """An optimizer that adds 1 to each parameter."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 1.0})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.add_(1)


def train_scripted(script: list[tuple[float, float]], **settings: Any) -> tuple[History, float]:
    """Train a scripted model, and return the history and the epoch of the final weights."""
    data = TensorDataset(torch.zeros(10, 1), torch.zeros(10, dtype=torch.int64))
    config = TrainerConfig(device="cpu", batch_size=10, max_epochs=len(script), **settings)
    model = ScriptedModel(script)
    history = Trainer(model, config, optimizer=Increment).fit(data, data)
    return history, model.epoch.item()


@pytest.mark.parametrize(
    ("script", "monitor", "best"),
    [
        ([(0.5, 1.0), (0.9, 1.0), (0.7, 1.0)], "val_accuracy", 2),
        ([(0.9, 0.5), (0.9, 1.0), (0.9, 2.0)], "val_accuracy", 2),  # equal accuracies: the lowest loss
        ([(0.9, 1.0), (0.9, 1.0), (0.9, 1.0)], "val_accuracy", 1),  # equal epochs: the first
        ([(0.8, 2.0), (0.9, 1.0), (0.9, 9.0)], "val_loss", 2),
        ([(0.8, 0.1), (0.8, 0.1), (0.6, 0.1)], "val_loss", 1),
    ],
)
def test_final_model_has_the_weights_of_the_best_epoch(
    script: list[tuple[float, float]], monitor: Literal["val_accuracy", "val_loss"], best: int
) -> None:
    history, epoch = train_scripted(script, monitor=monitor)
    assert history.best_epoch == best
    assert epoch == best


def test_final_model_keeps_the_last_weights_without_restore_best() -> None:
    history, epoch = train_scripted([(0.9, 1.0), (0.5, 1.0)], restore_best=False)
    assert (history.best_epoch, epoch) == (1, 2)


def test_run_stops_after_patience_epochs_without_improvement() -> None:
    script = [(0.5, 1.0), (0.6, 1.0), (0.6, 1.0), (0.55, 1.0), (0.9, 1.0)]
    history, epoch = train_scripted(script, patience=2)
    assert (len(history), history.best_epoch, epoch) == (4, 2, 2)
    assert not history.interrupted


def test_run_without_validation_has_no_best_epoch(tiny: Tiny) -> None:
    trainer = Trainer(tiny.model(), tiny.config())
    history = trainer.fit(tiny.examples())
    assert history.best_epoch is None
    assert trainer.state.best is None
    assert [sorted(row) for row in history] == [["epoch", "lr", "train_loss"]] * 3


# Divergence


class NaNLoss:
    """Cross-entropy that is NaN at one call."""

    def __init__(self, at: int) -> None:
        self.calls, self.at = 0, at

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.calls += 1
        return nn.functional.cross_entropy(logits, targets) * (math.nan if self.calls == self.at else 1)


def test_nan_loss_stops_the_run_with_epoch_and_step(tiny: Tiny) -> None:
    message = "the loss became NaN or infinite in epoch 2, step 2 of 3; try a lower lr .now 0.0.*. or a max_grad_norm"
    with pytest.raises(FloatingPointError, match=message):
        Trainer(tiny.model(), tiny.config(), loss_fn=NaNLoss(5)).fit(tiny.examples())


def test_nan_loss_on_an_accelerator_is_detected_at_the_next_check(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lenet5.training.state.loss_check_steps", lambda _device: 4)
    message = "NaN or infinite in epoch 1, step 4 of 10, or in one of the 4 previous steps; try a lower lr"
    with pytest.raises(FloatingPointError, match=message):
        Trainer(tiny.model(), tiny.config(batch_size=2), loss_fn=NaNLoss(3)).fit(tiny.examples())


def test_nan_weights_are_neither_validated_nor_saved(tiny: Tiny, tmp_path: Path) -> None:
    class Poison(Callback):
        def on_step_end(self, state: TrainingState) -> None:
            if (state.epoch, state.step) == (1, 3):
                next(state.model.parameters()).data.fill_(math.nan)

    trainer = Trainer(tiny.model(), tiny.config(checkpoint_dir=tmp_path), callbacks=[Poison()])
    with pytest.raises(FloatingPointError, match="a weight became NaN or infinite before epoch 2, step 4; try a lower"):
        trainer.fit(tiny.examples(), tiny.examples())
    assert tiny.checkpoints(tmp_path) == [3]
    assert len(trainer.history) == 1
