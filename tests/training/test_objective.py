"""Losses and targets of any kind: they train, validate by the loss, or are refused before the first step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset

from lenet5 import Callback, Trainer, TrainingState, evaluate

if TYPE_CHECKING:
    from tests.training.conftest import Tiny

IMAGES = torch.randn(20, 1, 6, 6, generator=Generator().manual_seed(1))
CLASSES = torch.arange(20) % 3
IGNORED = CLASSES.where(torch.arange(20) % 4 != 0, -100)
WEIGHTED = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 0.2]))


def reshaped(*shape: int) -> nn.Module:
    torch.manual_seed(0)
    size = 1
    for side in shape:
        size *= side
    return nn.Sequential(nn.Flatten(), nn.Linear(36, size), nn.Unflatten(1, shape))


class Steps(Callback):
    """Count the steps."""

    count = 0

    def on_step_end(self, state: TrainingState) -> None:
        self.count += 1


OTHER_TARGETS: dict[str, tuple[nn.Module, Any, Tensor]] = {
    "multi-label": (reshaped(3), nn.BCEWithLogitsLoss(), (torch.rand(20, 3) > 0.5).float()),
    "binary": (reshaped(1), nn.BCEWithLogitsLoss(), (torch.rand(20, 1) > 0.5).float()),
    "regression": (reshaped(1), nn.MSELoss(), torch.rand(20, 1)),
    "one number": (nn.Sequential(nn.Flatten(), nn.Linear(36, 1), nn.Flatten(0)), nn.L1Loss(), torch.rand(20)),
    "autoencoder": (reshaped(1, 6, 6), nn.MSELoss(), IMAGES),
    "class probabilities": (reshaped(3), nn.CrossEntropyLoss(), torch.rand(20, 3).softmax(1)),
    "segmentation": (reshaped(3, 2, 2), nn.CrossEntropyLoss(), torch.randint(0, 3, (20, 2, 2))),
    "function": (reshaped(2), lambda outputs, targets: (outputs - targets).square().mean(), torch.rand(20, 2)),
}


@pytest.mark.parametrize(("model", "loss_fn", "targets"), OTHER_TARGETS.values(), ids=OTHER_TARGETS)
def test_targets_that_name_no_classes_are_validated_by_the_loss_alone(
    tiny: Tiny, tmp_path: Path, model: nn.Module, loss_fn: Any, targets: Tensor
) -> None:
    data = TensorDataset(IMAGES, targets)
    config = tiny.config(checkpoint_dir=tmp_path, patience=3, restore_best=False)
    history = Trainer(model, config, loss_fn=loss_fn).fit(data, data)
    assert [set(row) for row in history] == [{"epoch", "lr", "train_loss", "val_loss"}] * 3
    assert history[-1]["val_loss"] == pytest.approx(loss_fn(model(IMAGES), targets).item(), rel=1e-5)
    losses = [row["val_loss"] for row in history]
    assert history.best_epoch == losses.index(min(losses)) + 1
    assert len(history.plot().axes) == 1
    assert len(Trainer(model, config, loss_fn=loss_fn).fit(data, data, resume="auto")) == 3


COUNTED = {
    "class weights": (WEIGHTED, CLASSES),
    "ignore_index": (nn.CrossEntropyLoss(), IGNORED),
    "ignored class": (nn.CrossEntropyLoss(ignore_index=2), CLASSES),
    "own loss": (lambda logits, targets: nn.functional.cross_entropy(logits, targets, WEIGHTED.weight), CLASSES),
    "log-probabilities": (nn.NLLLoss(weight=WEIGHTED.weight), CLASSES),
}


@pytest.mark.parametrize(("loss_fn", "targets"), COUNTED.values(), ids=COUNTED)
@pytest.mark.parametrize("batch_size", [3, 20])
def test_validation_loss_is_the_loss_of_the_whole_set(
    tiny: Tiny, loss_fn: Any, targets: Tensor, batch_size: int
) -> None:
    model, data = tiny.model(), TensorDataset(IMAGES, targets)
    config = tiny.config(restore_best=False, max_epochs=2)
    history = Trainer(model, config, loss_fn=loss_fn).fit(data, DataLoader(data, batch_size, shuffle=True))
    logits = model(IMAGES)
    counted = targets != getattr(loss_fn, "ignore_index", -100)
    assert history[-1]["val_loss"] == pytest.approx(loss_fn(logits, targets).item(), rel=1e-5)
    assert history[-1]["val_accuracy"] == (logits.argmax(1) == targets)[counted].double().mean().item()
    report = evaluate(model, data, loss_fn=loss_fn)
    assert len(report) == counted.sum()
    assert (report.loss, report.accuracy) == pytest.approx((history[-1]["val_loss"], history[-1]["val_accuracy"]))


def test_batch_without_a_target_that_counts_is_refused(tiny: Tiny) -> None:
    batches = [(IMAGES, CLASSES), (IMAGES, torch.full_like(CLASSES, -100))]
    with pytest.raises(ValueError, match="all targets of the batch in step 2 of 2 are the ignore_index of the loss"):
        Trainer(tiny.model(), tiny.config()).fit(batches)


class Two(nn.Module):
    """A model that returns two tensors."""

    def __init__(self, kind: Callable[..., Any]) -> None:
        super().__init__()
        self.layer, self.kind = reshaped(3), kind

    def forward(self, images: Tensor) -> Any:
        return self.kind({"logits": self.layer(images), "features": images})


REFUSED: dict[str, tuple[nn.Module, Any, Tensor, str]] = {
    "(N, 1)": (reshaped(3), None, CLASSES[:, None], r"have shape \(8, 1\); expected \(8,\).*: pass targets.squeeze"),
    "one-hot": (
        reshaped(3), None, nn.functional.one_hot(CLASSES), r"targets have shape \(8, 3\).*one-hot.*targets.argmax\(1\)"
    ),
    "float classes": (reshaped(3), None, CLASSES.float(), "targets have dtype torch.float32; expected integers"),
    "out of range": (reshaped(2), None, CLASSES, r"targets lie in \[0, 2\]; expected 0 to 1"),
    "one logit": (OTHER_TARGETS["one number"][0], None, CLASSES, r"returned shape \(8,\); expected logits"),
    "tuple": (Two(tuple), None, CLASSES, "the model returned a tuple; expected a tensor of logits"),
    "dict": (Two(dict), None, CLASSES, "the model returned a dict; expected a tensor of logits"),
    "loss per example": (
        reshaped(3), lambda logits, targets: nn.functional.cross_entropy(logits, targets, reduction="none"), CLASSES,
        r"loss_fn returned shape \(8,\); expected the mean loss",
    ),
    "loss as a number": (
        reshaped(3), lambda *pair: nn.functional.cross_entropy(*pair).item(), CLASSES, "loss_fn returned a float"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "loss_fn", "targets", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_the_loss_is_refused_in_the_first_step(
    tiny: Tiny, model: nn.Module, loss_fn: Any, targets: Tensor, message: str
) -> None:
    steps, data = Steps(), TensorDataset(IMAGES, targets)
    with pytest.raises(ValueError, match=message):
        Trainer(model, tiny.config(), loss_fn=loss_fn, callbacks=[steps]).fit(data)
    with pytest.raises(ValueError, match=message.replace("8,", "20,")):
        Trainer(model, tiny.config(), loss_fn=loss_fn, callbacks=[steps]).fit(DataLoader(data, 3), data)
    assert steps.count == 0


def test_validation_data_that_do_not_fit_are_refused_before_the_first_step(tiny: Tiny) -> None:
    steps = Steps()
    trainer = Trainer(tiny.model(), tiny.config(), callbacks=[steps])
    for val, error in ((TensorDataset(IMAGES[:, :, :5], CLASSES), RuntimeError), ([(IMAGES, CLASSES + 1)], ValueError)):
        with pytest.raises(error):
            trainer.fit(tiny.examples(), val)
    with pytest.raises(TypeError, match="data is generator, which can be read only once"):
        trainer.fit(tiny.examples(), (batch for batch in [(IMAGES, CLASSES)]))
    assert steps.count == 0


def test_evaluate_refuses_targets_that_name_no_classes() -> None:
    message = r"targets have shape \(20, 3\) and dtype torch.float32, which name no classes; expected integers \(N,\)"
    with pytest.raises(ValueError, match=message):
        evaluate(reshaped(3), TensorDataset(IMAGES, torch.rand(20, 3)), loss_fn=nn.BCEWithLogitsLoss())


# The last batch


@pytest.mark.parametrize(
    "make",
    [
        lambda tiny, count: tiny.images(count),
        lambda tiny, count: tiny.examples(count),
        lambda tiny, count: DataLoader(tiny.examples(count), 8, shuffle=True),
    ],
    ids=["ImageDataset", "Dataset", "DataLoader"],
)
def test_last_batch_of_one_is_refused_before_the_first_step_if_the_model_needs_two(
    tiny: Tiny, make: Callable[[Tiny, int], Any]
) -> None:
    steps = Steps()
    with pytest.raises(ValueError, match=r"the last batch of an epoch has one example.*choose a different batch_size"):
        Trainer(tiny.noisy_model(), tiny.config(), callbacks=[steps]).fit(make(tiny, 17))
    assert steps.count == 0
    Trainer(tiny.noisy_model(), tiny.config(max_epochs=1)).fit(make(tiny, 18))
    Trainer(tiny.model(), tiny.config(max_epochs=1)).fit(make(tiny, 17))


def test_last_batch_of_one_trains_where_batch_norm_takes_it_or_drop_last_drops_it(tiny: Tiny) -> None:
    maps = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 3))
    assert len(Trainer(maps, tiny.config(max_epochs=1)).fit(tiny.examples(17))) == 1
    loader = DataLoader(tiny.examples(17), 8, drop_last=True)
    assert len(Trainer(tiny.noisy_model(), tiny.config(max_epochs=1)).fit(loader)) == 1
    limited = tiny.config(max_epochs=1, overfit_batches=2)
    assert len(Trainer(tiny.noisy_model(), limited).fit(tiny.examples(17))) == 1


# Schedulers of torch's users


def plateau(**settings: Any) -> dict[str, Any]:
    return {
        "optimizer": partial(torch.optim.SGD, lr=0.1),
        "lr_scheduler": partial(ReduceLROnPlateau, patience=0, threshold=10.0, threshold_mode="abs", **settings),
    }


@pytest.mark.parametrize(
    ("settings", "validated"), [({}, True), ({"mode": "max"}, True), ({}, False)], ids=["loss", "accuracy", "training"]
)
def test_plateau_scheduler_advances_after_each_epoch_and_resumes(
    tiny: Tiny, tmp_path: Path, settings: dict[str, Any], validated: bool
) -> None:
    data, val = tiny.examples(), tiny.examples() if validated else None
    uninterrupted = Trainer(tiny.model(), tiny.config(max_epochs=4), **plateau(**settings))
    uninterrupted.fit(data, val)
    assert [row["lr"] for row in uninterrupted.history] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    config = tiny.config(max_epochs=4, checkpoint_dir=tmp_path)
    stopped = tiny.trainer(config, stop_after=8, **plateau(**settings))
    stopped.model = stopped._given_model = tiny.model()
    with pytest.raises(InterruptedError):
        stopped.fit(data, val)
    resumed = tiny.trainer(config, **plateau(**settings))
    resumed.model = resumed._given_model = tiny.model(1)
    resumed.fit(data, val, resume="auto")
    assert tiny.outcome(resumed) == tiny.outcome(uninterrupted)


@pytest.mark.parametrize("val", [None, TensorDataset(IMAGES, torch.rand(20, 3))])
def test_plateau_scheduler_of_an_accuracy_needs_one(tiny: Tiny, val: Any) -> None:
    steps, data = Steps(), TensorDataset(IMAGES, torch.rand(20, 3))
    options = plateau(mode="max")
    with pytest.raises(ValueError, match="ReduceLROnPlateau with mode='max', which watches val_accuracy; expected"):
        Trainer(reshaped(3), tiny.config(), loss_fn=nn.MSELoss(), callbacks=[steps], **options).fit(data, val)
    assert steps.count == 0


def test_partials_of_torchs_schedulers_are_factories(tiny: Tiny) -> None:
    for make, factor in ((partial(StepLR, step_size=3, gamma=0.5), 0.5), (partial(ExponentialLR, gamma=0.5), 0.125)):
        options: dict[str, Any] = {"optimizer": partial(torch.optim.SGD, lr=0.1), "lr_scheduler": make}
        history = Trainer(tiny.model(), tiny.config(max_epochs=2), **options).fit(tiny.examples())
        assert history[1]["lr"] / history[0]["lr"] == pytest.approx(factor)
