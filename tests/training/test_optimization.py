"""The optimizer's schedule, half precision, and averages of the weights."""

import math
import warnings
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lenet5 import Callback, Trainer, TrainerConfig
from lenet5.training.optimization import make_schedule

CONFIG = TrainerConfig(max_epochs=3, batch_size=6, device="cpu", lr=0.1)
SGD = {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1)}


def small(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def examples(count: int = 20) -> TensorDataset:
    images = torch.randn(count, 1, 2, 3, generator=torch.Generator().manual_seed(1))
    return TensorDataset(images, torch.arange(count) % 3)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


class Weights(Callback):
    """Keeps the weights after each step, and the scale of the losses."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []
        self.scales: list[float] = []

    def on_step_end(self, trainer: Trainer) -> None:
        assert trainer.state is not None
        self.seen.append(weights(trainer.model))
        self.scales.append(trainer.state.optimization.scaler.get_scale())


# Schedules


def rates(num_updates: int, **changes: Any) -> list[float]:
    optimizer = torch.optim.SGD(small().parameters(), lr=CONFIG.lr)
    schedule = make_schedule(optimizer, replace(CONFIG, **changes), num_updates)
    found = []
    for _ in range(num_updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@given(
    schedule=st.sampled_from(["one_cycle", "cosine", "step", "constant"]),
    num_updates=st.integers(1, 60),
    warmup=st.none() | st.floats(0, 0.9),
)
def test_every_schedule_stays_within_its_bounds(schedule: str, num_updates: int, warmup: float | None) -> None:
    found = rates(num_updates, schedule=schedule, warmup=warmup)
    assert all(0 <= rate <= CONFIG.lr * (1 + 1e-9) for rate in found)
    highest = found.index(max(found))
    assert found[:highest] == sorted(found[:highest])
    assert found[highest:] == sorted(found[highest:], reverse=True)


@pytest.mark.parametrize(("warmup", "num_updates"), [(0, 5), (0.1, 10), (0.5, 2), (0.25, 4), (None, 1)])
def test_one_cycle_takes_every_share_of_warming_up(warmup: float | None, num_updates: int) -> None:
    found = rates(num_updates, warmup=warmup)
    assert len(found) == num_updates
    assert found[-1] < CONFIG.lr or num_updates == 1


def test_a_cosine_rises_in_equal_steps_and_falls_towards_nothing() -> None:
    found = rates(12, schedule="cosine", warmup=0.25)
    assert found[:3] == pytest.approx([0.025, 0.05, 0.075])
    assert found[3:] == pytest.approx([0.05 * (1 + math.cos(math.pi * k / 9)) for k in range(9)])


def test_steps_are_at_a_half_and_at_three_quarters() -> None:
    assert rates(8, schedule="step") == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)


def test_a_constant_rate_warms_up_if_asked() -> None:
    assert rates(5, schedule="constant") == [0.1] * 5
    assert rates(4, schedule="constant", warmup=0.5) == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1])


def test_a_training_follows_the_schedule_of_its_settings() -> None:
    history = Trainer(small(), replace(CONFIG, schedule="step", max_epochs=4)).fit(examples())
    assert [row["lr"] for row in history] == pytest.approx([0.1, 0.1, 0.01, 0.001])


# Averages of the weights


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_exponential_average_follows_the_weights_after_each_optimizer_step(accumulate: int) -> None:
    watch = Weights()
    config = replace(CONFIG, ema_decay=0.8, accumulate_steps=accumulate)
    trainer = Trainer(small(), config, callbacks=[watch])
    trainer.fit(examples())
    after_updates = watch.seen if accumulate == 1 else watch.seen[1::2]
    expected = after_updates[0]
    for seen in after_updates[1:]:
        expected = 0.8 * expected + 0.2 * seen
    torch.testing.assert_close(weights(trainer.model), expected)
    assert not torch.allclose(weights(trainer.model), watch.seen[-1])


def test_the_last_epochs_are_averaged_with_equal_shares() -> None:
    watch = Weights()
    trainer = Trainer(small(), replace(CONFIG, swa_epochs=2), callbacks=[watch])
    trainer.fit(examples())
    torch.testing.assert_close(weights(trainer.model), torch.stack(watch.seen[4:]).mean(0))


def test_more_epochs_than_there_are_may_be_averaged() -> None:
    watch = Weights()
    trainer = Trainer(small(), replace(CONFIG, swa_epochs=9, max_epochs=1), callbacks=[watch])
    trainer.fit(examples())
    torch.testing.assert_close(weights(trainer.model), torch.stack(watch.seen).mean(0))


def test_the_average_is_what_is_validated_and_kept_as_the_best() -> None:
    val = examples(9)
    trainer = Trainer(small(), replace(CONFIG, ema_decay=0.9, monitor="val_loss"))
    history = trainer.fit(examples(), val)
    assert history.best_epoch is not None
    assert trainer.evaluate(val).loss == pytest.approx(history[history.best_epoch - 1]["val_loss"], rel=1e-6)


def test_before_there_is_an_average_the_weights_are_validated() -> None:
    val = examples(9)
    plain = Trainer(small(), CONFIG).fit(examples(), val)
    averaged = Trainer(small(), replace(CONFIG, swa_epochs=1)).fit(examples(), val)
    assert averaged[0] == plain[0]
    assert averaged[-1]["val_loss"] != plain[-1]["val_loss"]


def test_two_averages_are_refused() -> None:
    with pytest.raises(ValueError, match="ema_decay and swa_epochs are both set; expected one average"):
        TrainerConfig(ema_decay=0.9, swa_epochs=2)


# float16


def test_float16_scales_the_losses_and_learns_as_float32_does() -> None:
    seen: list[torch.dtype] = []
    model = small()
    model.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    half, full = Trainer(model, replace(CONFIG, precision="float16"), **SGD), Trainer(small(), CONFIG, **SGD)  # type: ignore[arg-type]
    half.fit(examples())
    full.fit(examples())
    assert set(seen) == {torch.float16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    torch.testing.assert_close(weights(half.model), weights(full.model), rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("options", [{}, SGD])
def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_halved(options: dict[str, Any]) -> None:
    watch = Weights()
    config = replace(CONFIG, precision="float16", max_epochs=1)
    calls: list[int] = []

    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        return nn.functional.cross_entropy(logits, targets) * (1e30 if len(calls) == 1 else 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer = Trainer(small(), config, callbacks=[watch], loss_fn=loss_fn, **options)
        before = weights(trainer.model)
        trainer.fit(examples())
    assert torch.equal(watch.seen[0], before)
    assert not torch.equal(watch.seen[1], before)
    assert watch.scales[0] == 2**15


def test_the_schedule_goes_on_over_steps_that_were_left_out() -> None:
    config = replace(CONFIG, precision="float16", accumulate_steps=4, max_epochs=9)
    trainer = Trainer(small(), config)
    trainer.fit(DataLoader(TensorDataset(*(part.repeat(40, *[1] * (part.ndim - 1)) for part in examples()[:])), 200))
    assert trainer.state is not None
    assert trainer.state.lr < 1e-5


# The loss


def test_label_smoothing_is_trained_with_and_not_validated_with() -> None:
    def train(config: TrainerConfig, loss_fn: nn.Module | None = None) -> Trainer:
        trainer = Trainer(small(), config, loss_fn=loss_fn)
        trainer.fit(examples(), examples(9))
        return trainer

    smoothed, by_hand = (
        train(replace(CONFIG, label_smoothing=0.2)),
        train(CONFIG, nn.CrossEntropyLoss(label_smoothing=0.2)),
    )
    assert [row["train_loss"] for row in smoothed.history] == [row["train_loss"] for row in by_hand.history]
    images, targets = examples(9)[:]
    expected = nn.functional.cross_entropy(smoothed.model(images), targets).item()
    assert smoothed.evaluate(examples(9)).loss == pytest.approx(expected)


def test_a_loss_of_ones_own_is_smoothed_by_its_owner() -> None:
    with pytest.raises(ValueError, match="there are a loss_fn and a label_smoothing; expected one of the two"):
        Trainer(small(), replace(CONFIG, label_smoothing=0.1), loss_fn=nn.CrossEntropyLoss())


# torch's own switches


def test_a_compiled_training_is_the_same_training() -> None:
    plain, compiled = Trainer(small(), CONFIG), Trainer(small(), replace(CONFIG, compile="aot_eager"))
    plain.fit(examples(), examples(9))
    compiled.fit(examples(), examples(9))
    torch.testing.assert_close(weights(compiled.model), weights(plain.model))
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="compile is 'hand'; expected a backend of torch.compile, such as .*inductor"):
        Trainer(small(), replace(CONFIG, compile="hand"))


def test_a_deterministic_training_forbids_other_algorithms_and_gives_the_switches_back() -> None:
    class Switches(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            found.add(
                (
                    torch.are_deterministic_algorithms_enabled(),
                    torch.backends.cudnn.deterministic,
                    torch.backends.cudnn.benchmark,
                )
            )

    found: set[tuple[bool, bool, bool]] = set()
    Trainer(small(), replace(CONFIG, deterministic=True), callbacks=[Switches()]).fit(examples())
    assert found == {(True, True, False)}
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic


# Looking whether it runs, and whether it can learn


def test_two_batches_are_learned_by_heart() -> None:
    class Taken(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            taken.append(index)
            return super().__getitem__(index)  # type: ignore[no-untyped-call]

    taken: list[int] = []
    config = replace(CONFIG, overfit_batches=2, max_epochs=60, schedule="constant", lr=0.05)
    history = Trainer(small(), config).fit(Taken(*examples(30)[:]))
    assert taken == taken[:12] * 60
    assert len(set(taken)) == 12
    assert history[-1]["train_loss"] < 0.05


def test_a_foreign_loader_can_be_cut_short_too() -> None:
    def train() -> list[float]:
        loader = DataLoader(examples(30), batch_size=6, shuffle=True)
        config = replace(CONFIG, overfit_batches=1, max_epochs=2, lr=1e-9)
        return [row["train_loss"] for row in Trainer(small(), config).fit(loader)]

    first, second = train()
    assert first == pytest.approx(second)  # the same batch again
    torch.manual_seed(99)  # outside of the training, and of no consequence
    state = torch.get_rng_state()
    assert train() == [first, second]
    torch.manual_seed(99)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_dev_run_takes_two_steps_validates_two_batches_and_writes_nothing(tmp_path: Any) -> None:
    class Steps(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            steps.append(1)

    steps: list[int] = []
    batches: list[int] = []
    model = small()
    model.register_forward_hook(
        lambda module, _inputs, output: None if module.training else batches.append(len(output))
    )
    config = replace(CONFIG, fast_dev_run=True, checkpoint_dir=tmp_path / "none", max_epochs=50)
    history = Trainer(model, config, callbacks=[Steps()]).fit(examples(), examples(1200))
    assert (len(history), len(steps), batches) == (1, 2, [500, 500])
    assert not list(tmp_path.iterdir())
    assert len(Trainer(small(), config).fit(examples(), resume="auto")) == 1
