from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lenet5 import Callback, Trainer, TrainerConfig, TrainingState
from lenet5.training.optimization import Optimization
from lenet5.training.schedules import make_schedule

if TYPE_CHECKING:
    from tests.training.conftest import Tiny

LR = 0.1
SGD: dict[str, Any] = {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=LR)}


# Schedules


def schedule_lrs(num_updates: int, **settings: Any) -> list[float]:
    """Return the learning rate of each optimizer step."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=LR)
    schedule = make_schedule(TrainerConfig(lr=LR, **settings), optimizer, num_updates)
    lrs = []
    for _ in range(num_updates):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return lrs


@given(
    schedule=st.sampled_from(["one_cycle", "cosine", "step", "constant"]),
    num_updates=st.integers(1, 60),
    warmup=st.none() | st.floats(0, 0.9),
)
def test_schedule_rises_to_at_most_lr_and_then_falls(schedule: str, num_updates: int, warmup: float | None) -> None:
    lrs = schedule_lrs(num_updates, schedule=schedule, warmup=warmup)
    assert all(0 <= lr <= LR * (1 + 1e-9) for lr in lrs)
    peak = lrs.index(max(lrs))
    assert lrs[:peak] == sorted(lrs[:peak])
    assert lrs[peak:] == sorted(lrs[peak:], reverse=True)


@pytest.mark.parametrize(("warmup", "num_updates"), [(0, 5), (0.1, 10), (0.5, 2), (0.25, 4), (None, 1)])
def test_one_cycle_accepts_every_warmup_fraction(warmup: float | None, num_updates: int) -> None:
    lrs = schedule_lrs(num_updates, warmup=warmup)
    assert len(lrs) == num_updates
    assert lrs[-1] < LR or num_updates == 1


def test_cosine_schedule_rises_linearly_and_decays_towards_zero() -> None:
    lrs = schedule_lrs(12, schedule="cosine", warmup=0.25)
    assert lrs[:3] == pytest.approx([0.025, 0.05, 0.075])
    assert lrs[3:] == pytest.approx([0.05 * (1 + math.cos(math.pi * k / 9)) for k in range(9)])


def test_step_schedule_drops_after_one_half_and_three_quarters() -> None:
    assert schedule_lrs(8, schedule="step") == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)


def test_constant_schedule_warms_up_only_on_request() -> None:
    assert schedule_lrs(5, schedule="constant") == [0.1] * 5
    assert schedule_lrs(4, schedule="constant", warmup=0.5) == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1])


def test_run_follows_the_configured_schedule(tiny: Tiny) -> None:
    config = tiny.config(schedule="step", max_epochs=4, lr=0.1)
    history = Trainer(tiny.model(), config).fit(tiny.examples())
    assert [row["lr"] for row in history] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_default_schedule_is_one_cycle_over_all_steps(tiny: Tiny) -> None:
    class Recorder(Callback):
        def on_step_end(self, state: TrainingState) -> None:
            lrs.append(state.lr)

    lrs: list[float] = []
    history = Trainer(tiny.model(), tiny.config(lr=0.01, max_epochs=4), callbacks=[Recorder()]).fit(tiny.examples())
    assert len(lrs) == 12
    assert max(lrs) == pytest.approx(0.01, rel=0.05)
    assert lrs[0] == pytest.approx(0.01 / 25)
    assert lrs[-1] < 1e-6
    assert [row["lr"] for row in history] == lrs[2::3]


# Custom optimizers and schedulers


def test_fit_uses_optimizer_and_scheduler_factories(tiny: Tiny) -> None:
    def make_scheduler(optimizer: torch.optim.Optimizer, num_updates: int) -> torch.optim.lr_scheduler.LRScheduler:
        totals.append(num_updates)
        return torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)

    totals: list[int] = []
    trainer = Trainer(
        tiny.model(),
        tiny.config(max_epochs=2, accumulate_steps=2),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        lr_scheduler=make_scheduler,
    )
    history = trainer.fit(tiny.examples())
    assert totals == [4]  # 3 batches per epoch are 2 optimizer steps
    assert [row["lr"] for row in history] == pytest.approx([1.0, 0.1])


def test_scheduler_factory_may_take_the_optimizer_alone(tiny: Tiny) -> None:
    trainer = Trainer(
        tiny.model(),
        tiny.config(max_epochs=2),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.1),
    )
    assert [row["lr"] for row in trainer.fit(tiny.examples())] == pytest.approx([1.0, 0.1])


def test_custom_optimizer_keeps_its_learning_rate_without_a_scheduler(tiny: Tiny) -> None:
    history = Trainer(tiny.model(), tiny.config(), **SGD).fit(tiny.examples())
    assert [row["lr"] for row in history] == [LR] * 3


def test_fit_rejects_foreign_optimizers_and_schedulers(tiny: Tiny) -> None:
    model = tiny.model()
    own, foreign = (torch.optim.SGD(module.parameters(), lr=1.0) for module in (model, tiny.model()))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"optimizer": foreign}, "optimizer has none of the model's parameters"),
        ({"lr_scheduler": torch.optim.lr_scheduler.StepLR(own, 1)}, "lr_scheduler belongs to a different optimizer"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            Trainer(model, tiny.config(), **options).fit(tiny.examples())


# float16


def test_float16_scales_the_loss_and_learns_like_float32(tiny: Tiny) -> None:
    dtypes: list[torch.dtype] = []
    model = tiny.model()
    model.register_forward_hook(lambda _module, _inputs, output: dtypes.append(output.dtype))
    half, full = Trainer(model, tiny.config(precision="float16"), **SGD), Trainer(tiny.model(), tiny.config(), **SGD)
    half.fit(tiny.examples())
    full.fit(tiny.examples())
    assert set(dtypes) == {torch.float16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    torch.testing.assert_close(tiny.weights(half.model), tiny.weights(full.model), rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("options", [{}, SGD], ids=["AdamW", "SGD"])
def test_float16_skips_a_step_whose_gradients_overflow_and_halves_the_scale(
    tiny: Tiny, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recorder(Callback):
        def on_step_end(self, state: TrainingState) -> None:
            weights.append(tiny.weights(state.model))

    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        return nn.functional.cross_entropy(logits, targets) * (1e30 if len(calls) == 1 else 1)

    def update(optimization: Optimization, divisor: float, epoch: int) -> float:
        lr = original_update(optimization, divisor, epoch)
        scales.append(optimization.scaler.get_scale())
        return lr

    weights: list[Tensor] = []
    scales: list[float] = []
    calls: list[int] = []
    original_update = Optimization.update
    monkeypatch.setattr(Optimization, "update", update)
    config = tiny.config(precision="float16", max_epochs=1)
    trainer = Trainer(tiny.model(), config, callbacks=[Recorder()], loss_fn=loss_fn, **options)
    before = tiny.weights(trainer.model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(tiny.examples())
    assert torch.equal(weights[0], before)
    assert not torch.equal(weights[1], before)
    assert scales[0] == 2**15


def test_schedule_continues_over_skipped_steps(tiny: Tiny) -> None:
    examples = TensorDataset(*(part.repeat(40, *[1] * (part.ndim - 1)) for part in tiny.examples()[:]))
    trainer = Trainer(tiny.model(), tiny.config(precision="float16", accumulate_steps=4, max_epochs=9, lr=0.1))
    trainer.fit(DataLoader(examples, 200))
    assert trainer.state.lr < 1e-5


# The loss


def test_label_smoothing_applies_to_training_and_not_to_validation(tiny: Tiny) -> None:
    def train(config: TrainerConfig, loss_fn: nn.Module | None = None) -> Trainer:
        trainer = Trainer(tiny.model(), config, loss_fn=loss_fn)
        trainer.fit(tiny.examples(), tiny.examples(9))
        return trainer

    smoothed = train(tiny.config(label_smoothing=0.2))
    reference = train(tiny.config(), nn.CrossEntropyLoss(label_smoothing=0.2))
    assert [row["train_loss"] for row in smoothed.history] == [row["train_loss"] for row in reference.history]
    images, targets = tiny.examples(9)[:]
    expected = nn.functional.cross_entropy(smoothed.model(images), targets).item()
    assert smoothed.evaluate(tiny.examples(9)).loss == pytest.approx(expected)
