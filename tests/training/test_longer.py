"""A run can become longer where it would have been the same so far; then the result is that of the longer run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR, OneCycleLR, StepLR

from lenet5 import Augment, Callback, TensorLoader, Trainer, TrainingState

if TYPE_CHECKING:
    from tests.training.conftest import Tiny

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
LONGER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "constant": ({"schedule": "constant"}, {}),
    "last weights": ({"schedule": "constant", "restore_best": False}, {}),
    "moving average": ({"schedule": "constant", "ema_decay": 0.5}, {}),
    "accumulation": ({"schedule": "constant", "accumulate_steps": 3}, {}),
    "own optimizer": ({}, {"optimizer": SGD}),
    "own scheduler": ({}, {"optimizer": SGD, "lr_scheduler": partial(StepLR, step_size=5)}),
    "function": (
        {}, {"optimizer": SGD, "lr_scheduler": lambda optimizer, _: LambdaLR(optimizer, lambda step: 0.9**step)}
    ),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "options"), LONGER.values(), ids=LONGER)
@pytest.mark.parametrize("kind", ["augmented", "noisy dataset"])
@pytest.mark.parametrize("validated", [True, False])
def test_finished_run_that_becomes_longer_equals_the_longer_run(
    tiny: Tiny, tmp_path: Path, settings: dict[str, Any], options: dict[str, Any], kind: str, validated: bool
) -> None:
    val = tiny.images(12) if validated else None
    whole = tiny.trainer(tiny.config(max_epochs=5, **settings), **options)
    whole.fit(tiny.source(kind), val)
    for max_epochs in (2, 3, 5):
        part = tiny.trainer(tiny.config(max_epochs=max_epochs, checkpoint_dir=tmp_path, **settings), **options)
        assert len(part.fit(tiny.source(kind), val, resume="auto")) == max_epochs
    assert tiny.outcome(part) == tiny.outcome(whole)


def test_run_that_stopped_for_lack_of_patience_goes_on_with_more_of_it(tiny: Tiny, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 12, "monitor": "val_loss", "lr": 0.3}
    whole = tiny.trainer(tiny.config(**settings, patience=4))
    whole.fit(tiny.images(), tiny.images(12))
    first = tiny.trainer(tiny.config(**settings, patience=1, checkpoint_dir=tmp_path))
    assert len(first.fit(tiny.images(), tiny.images(12))) < len(whole.history)
    second = tiny.trainer(tiny.config(**settings, patience=4, checkpoint_dir=tmp_path))
    second.fit(tiny.images(), tiny.images(12), resume="auto")
    assert tiny.outcome(second) == tiny.outcome(whole)
    third = tiny.trainer(tiny.config(**settings, patience=2, checkpoint_dir=tmp_path))
    with pytest.raises(ValueError, match="a different run: patience was 4, now 2"):
        third.fit(tiny.images(), tiny.images(12), resume="auto")


def test_finished_run_resumed_with_the_same_settings_stays_finished(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny.config(checkpoint_dir=tmp_path)
    trainer = tiny.trainer(config)
    trainer.fit(tiny.images(), tiny.images(12))
    again = tiny.trainer(config)
    again.fit(tiny.images(), tiny.images(12), resume="auto")
    assert tiny.outcome(again) == tiny.outcome(trainer)
    again.save(tmp_path / "saved")
    assert tiny.first_step(again) == 12


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one_cycle": ({}, {}),
    "cosine": ({"schedule": "cosine"}, {}),
    "step": ({"schedule": "step"}, {}),
    "warm-up": ({"schedule": "constant", "warmup": 0.5}, {}),
    "stochastic average": ({"schedule": "constant", "swa_epochs": 1}, {}),
    "OneCycleLR": (
        {}, {"optimizer": SGD, "lr_scheduler": lambda optimizer, num: OneCycleLR(optimizer, 0.1, total_steps=num)}
    ),
    "CosineAnnealingLR": ({}, {"optimizer": SGD, "lr_scheduler": lambda opt, num: CosineAnnealingLR(opt, T_max=num)}),
    "MultiStepLR": ({}, {"optimizer": SGD, "lr_scheduler": lambda opt, num: MultiStepLR(opt, [num * 2])}),
    "function": (
        {},
        {"optimizer": SGD, "lr_scheduler": lambda opt, num: LambdaLR(opt, lambda step: 1 - step / (num + 1))},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "options"), REFUSED.values(), ids=REFUSED)
def test_run_whose_start_depends_on_its_length_cannot_become_longer(
    tiny: Tiny, tmp_path: Path, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    tiny.trainer(tiny.config(checkpoint_dir=tmp_path, **settings), **options).fit(tiny.images())
    longer = tiny.trainer(tiny.config(max_epochs=4, checkpoint_dir=tmp_path, **settings), **options)
    before = tiny.outcome(longer)
    message = r"max_epochs was 3, now 4, .*; expected 3\. Runs with schedule='constant' .* Trainer\.load\(path\)\.model"
    with pytest.raises(ValueError, match=message):
        longer.fit(tiny.images(), resume="auto")
    assert tiny.outcome(longer) == before


def test_step_schedule_can_become_longer_before_its_first_drop(tiny: Tiny, tmp_path: Path) -> None:
    whole = tiny.trainer(tiny.config(max_epochs=8, schedule="step"))
    whole.fit(tiny.images())
    stopped = tiny.trainer(tiny.config(max_epochs=4, schedule="step", checkpoint_dir=tmp_path), stop_after=7)
    with pytest.raises(InterruptedError):
        stopped.fit(tiny.images())
    longer = tiny.trainer(tiny.config(max_epochs=8, schedule="step", checkpoint_dir=tmp_path))
    longer.fit(tiny.images(), resume="auto")
    assert tiny.outcome(longer) == tiny.outcome(whole)


def test_run_cannot_become_shorter_than_it_is(tiny: Tiny, tmp_path: Path) -> None:
    tiny.trainer(tiny.config(schedule="constant", checkpoint_dir=tmp_path)).fit(tiny.images())
    with pytest.raises(ValueError, match="a different run: max_epochs was 3, now 2"):
        tiny.trainer(tiny.config(max_epochs=2, schedule="constant", checkpoint_dir=tmp_path)).fit(
            tiny.images(), resume="auto"
        )


def test_scheduler_that_ends_before_the_run_is_refused_before_the_first_step(tiny: Tiny) -> None:
    model = tiny.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = OneCycleLR(optimizer, 0.1, total_steps=8)
    trainer = Trainer(model, tiny.config(), optimizer=optimizer, lr_scheduler=scheduler)
    with pytest.raises(ValueError, match="lr_scheduler ends after 8 optimizer steps; expected at least 9"):
        trainer.fit(tiny.examples())


# What else determines a run


def pooled(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(kind(2), nn.Flatten(), nn.Linear(9, 3))


CHANGED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "pooling": (
        {"model": nn.MaxPool2d}, {"model": nn.AvgPool2d}, r"the model was '\(0\): MaxPool2d.*, now '\(0\): AvgPool2d"
    ),
    "label smoothing of the loss": (
        {"loss_fn": nn.CrossEntropyLoss(label_smoothing=0.1)}, {}, "the loss was .*'label_smoothing': 0.1.*, now .*0.0"
    ),
    "class weights": (
        {"loss_fn": nn.CrossEntropyLoss(torch.ones(3))},
        {"loss_fn": nn.CrossEntropyLoss(torch.arange(3.0))},
        r"the loss was .*\[1.0, 1.0, 1.0\].*, now .*\[0.0, 1.0, 2.0\]",
    ),
    "loss": (
        {"loss_fn": nn.functional.cross_entropy}, {"loss_fn": nn.functional.multi_margin_loss},
        "the loss was 'cross_entropy', now 'multi_margin_loss'",
    ),
    "settings of a loss": (
        {"loss_fn": partial(nn.functional.cross_entropy, label_smoothing=0.1)},
        {"loss_fn": partial(nn.functional.cross_entropy, label_smoothing=0.2)},
        "the loss was .*'0.1'.*, now .*'0.2'",
    ),
    "augmentation": (
        {"augment": Augment(degrees=5)}, {"augment": Augment(degrees=9)},
        "the source of batches was .*degrees=5.*, now .*degrees=9",
    ),
    "no augmentation": ({"augment": Augment()}, {}, "the source of batches was .*augment=Augment.*, now "),
}  # fmt: skip


@pytest.mark.parametrize(("first", "second", "message"), CHANGED.values(), ids=CHANGED)
def test_resume_refuses_a_run_with_a_different_model_loss_or_augmentation(
    tiny: Tiny, tmp_path: Path, first: dict[str, Any], second: dict[str, Any], message: str
) -> None:
    def fit(*, model: type[nn.Module] = nn.MaxPool2d, loss_fn: Any = None, augment: Any = None) -> None:
        trainer = Trainer(pooled(model), tiny.config(checkpoint_dir=tmp_path), loss_fn=loss_fn)
        loader = TensorLoader(tiny.images(), batch_size=8, shuffle=True, augment=augment)
        trainer.fit(loader, resume="auto")

    fit(**first)
    fit(**first)
    with pytest.raises(ValueError, match=f"the checkpoint belongs to a different run: {message}"):
        fit(**second)


def test_loss_that_counts_its_calls_does_not_hinder_the_resume(tiny: Tiny, tmp_path: Path) -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return nn.functional.cross_entropy(outputs, targets)

    class Stop(Callback):
        def on_step_end(self, state: TrainingState) -> None:
            if state.epoch:
                raise InterruptedError

    config = tiny.config(checkpoint_dir=tmp_path)
    with pytest.raises(InterruptedError):
        Trainer(tiny.model(), config, loss_fn=Counting(), callbacks=[Stop()]).fit(tiny.images())
    assert len(Trainer(tiny.model(), config, loss_fn=Counting()).fit(tiny.images(), resume="auto")) == 3
