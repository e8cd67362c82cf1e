"""What determines a run besides its settings may not change on resume."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import TensorDataset

from lenet5 import Trainer

if TYPE_CHECKING:
    from tests.training.conftest import Tiny

DIFFERENT = "the checkpoint belongs to a different run"


def reversed_sgd(parameters: Any) -> SGD:
    return SGD([*parameters][::-1], lr=0.01)


def frozen_model(tiny: "Tiny") -> nn.Module:
    model = tiny.model()
    model[1].requires_grad_(requires_grad=False)
    return model


def resume(tiny: "Tiny", folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    config = tiny.config(checkpoint_dir=folder, max_epochs=1)
    for options in (before, now):
        own = dict(options)
        Trainer(own.pop("model", tiny.model()), config, **own).fit(tiny.images(), resume="auto")


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (partial(SGD, lr=0.01), partial(SGD, lr=0.1), "lr=0.01', now .*lr=0.1'"),
        (partial(SGD, lr=0.01), partial(SGD, lr=0.01, weight_decay=0.5), "weight_decay=0', now .*weight_decay=0.5'"),
        (partial(SGD, lr=0.01), partial(SGD, lr=0.01, momentum=0.9), "momentum=0', now .*momentum=0.9'"),
        (partial(SGD, lr=0.01), reversed_sgd, "1.weight', now .*3.bias'"),
    ],
)
def test_changed_optimizer_is_refused(tiny: "Tiny", tmp_path: Path, before: Any, now: Any, message: str) -> None:
    resume(tiny, tmp_path, {"optimizer": before}, {"optimizer": before})
    with pytest.raises(ValueError, match=f"{DIFFERENT}: the optimizer was .*{message}"):
        resume(tiny, tmp_path, {"optimizer": before}, {"optimizer": now})


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (partial(StepLR, step_size=3), partial(StepLR, step_size=30), "step_size=3', now 'step_size=30'"),
        (
            partial(LambdaLR, lr_lambda=lambda step: 0.9**step),
            partial(LambdaLR, lr_lambda=lambda step: 0.5**step),
            "lr_lambdas at step 1: 0.9', now 'lr_lambdas at step 1: 0.5'",
        ),
        (
            partial(OneCycleLR, max_lr=0.1, total_steps=99),
            partial(OneCycleLR, max_lr=0.2, total_steps=99),
            "initial_lr=0.004.*, now .*0.008",
        ),
        (partial(ReduceLROnPlateau, factor=0.1), partial(ReduceLROnPlateau, factor=0.5), "factor=0.1', now .*=0.5'"),
    ],
)
def test_changed_scheduler_is_refused(tiny: "Tiny", tmp_path: Path, before: Any, now: Any, message: str) -> None:
    own = {"optimizer": partial(SGD, lr=0.01), "lr_scheduler": before}
    resume(tiny, tmp_path, own, own)
    with pytest.raises(ValueError, match=f"{DIFFERENT}: the schedule was .*{message}"):
        resume(tiny, tmp_path, own, {**own, "lr_scheduler": now})


def test_newly_frozen_layer_is_refused(tiny: "Tiny", tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{DIFFERENT}: .*1.weight', now .*1.weight \(frozen\)'"):
        resume(tiny, tmp_path, {}, {"model": frozen_model(tiny)})


def test_other_targets_of_the_same_number_are_refused(tiny: "Tiny", tmp_path: Path) -> None:
    config, data = tiny.config(checkpoint_dir=tmp_path, max_epochs=1), tiny.images()
    Trainer(tiny.model(), config).fit(data)
    data.targets = data.targets.roll(1)
    with pytest.raises(ValueError, match=f"{DIFFERENT}: the data was 'targets of shape .30,. with the checksum"):
        Trainer(tiny.model(), config).fit(data, resume="auto")


def test_other_tensors_of_the_same_shape_are_refused(tiny: "Tiny", tmp_path: Path) -> None:
    config, data = tiny.config(checkpoint_dir=tmp_path, max_epochs=1), tiny.examples()
    Trainer(tiny.model(), config).fit(data)
    images, targets = data.tensors
    with pytest.raises(ValueError, match=f"{DIFFERENT}: the data was 'tensor 0"):
        Trainer(tiny.model(), config).fit(TensorDataset(torch.flip(images, (0,)), targets), resume="auto")


def test_used_optimizer_of_the_same_process_goes_on(tiny: "Tiny", tmp_path: Path) -> None:
    model, config = tiny.model(), tiny.config(checkpoint_dir=tmp_path, max_epochs=1)
    trainer = Trainer(model, config, optimizer=SGD(model.parameters(), lr=0.01, momentum=0.9))
    trainer.fit(tiny.images())
    assert len(trainer.fit(tiny.images(), resume=True)) == 1
