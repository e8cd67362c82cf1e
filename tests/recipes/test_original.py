import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lenet5 import SDLM, Callback, LeNet5Original, MAPLoss, MLELoss, Preprocess, SDLMSchedule, Trainer, TrainerConfig
from lenet5.data import DataSplits, ImageDataset
from lenet5.models.original.curvature import gauss_newton_diagonal
from lenet5.recipes.original import PUBLISHED_LRS, published_schedule, slow_schedule
from lenet5.training import TrainingState

CONFIG = TrainerConfig(max_epochs=2, batch_size=1, device="cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Use one thread: torch's threads spin between steps of a single image."""
    torch.set_num_threads(1)


def patterns(digits: DataSplits, count: int = 40) -> ImageDataset:
    subset = digits.train.select(slice(count))
    subset.transform = Preprocess.original()
    return subset


class StepSizes(Callback):
    """Record the learning rate and the step sizes of the first step of each epoch."""

    def __init__(self) -> None:
        self.lrs: list[float] = []
        self.sizes: list[dict[Tensor, Tensor]] = []

    def on_step_end(self, state: TrainingState) -> None:
        assert isinstance(state.optimizer, SDLM)
        if state.step == 1:
            self.lrs.append(state.optimizer.param_groups[0]["lr"])
            self.sizes.append(state.optimizer.step_sizes())


class StopAt(Callback):
    def __init__(self, epoch: int, step: int) -> None:
        self.position = (epoch, step)

    def on_step_end(self, state: TrainingState) -> None:
        if (state.epoch, state.step) == self.position:
            raise InterruptedError


def test_schedule_sets_the_lr_and_estimates_anew_before_each_epoch(digits: DataSplits) -> None:
    train, recorder = patterns(digits), StepSizes()
    torch.manual_seed(0)
    model = LeNet5Original(init="lecun_uniform")
    schedule = SDLMSchedule(train, [3e-5, 1e-5], num_patterns=40, loss_fn=MLELoss())
    assert train.transform is not None
    diagonal = gauss_newton_diagonal(model, MLELoss(), train.transform(train.images), train.targets)
    config = replace(CONFIG, max_epochs=3)
    trainer = Trainer(model, config, loss_fn=MAPLoss(), optimizer=SDLM, callbacks=[schedule, recorder])
    history = trainer.fit(train)
    assert recorder.lrs == [row["lr"] for row in history] == [3e-5, 1e-5, 1e-5]
    for parameter, second_derivative in diagonal.items():  # of all 40 patterns, as the first estimate of the schedule
        expected = 3e-5 / (0.02 + second_derivative)
        torch.testing.assert_close(recorder.sizes[0][parameter], expected, rtol=1e-4, atol=0)
    weight = model.get_parameter("f6.linear.weight")
    assert not torch.equal(recorder.sizes[1][weight], recorder.sizes[2][weight])


@pytest.mark.parametrize("seed", [0, 1])
def test_drawn_patterns_depend_on_the_seed(digits: DataSplits, seed: int) -> None:
    def first_sizes(seed: int) -> Tensor:
        torch.manual_seed(0)
        model, recorder, train = LeNet5Original(init="lecun_uniform"), StepSizes(), patterns(digits)
        schedule = SDLMSchedule(train, [1e-5], num_patterns=5)
        config = replace(CONFIG, max_epochs=1, seed=seed)
        trainer = Trainer(model, config, loss_fn=MAPLoss(), optimizer=SDLM, callbacks=[schedule, recorder])
        trainer.fit(train.select(slice(1)))
        return recorder.sizes[0][model.get_parameter("f6.linear.weight")]

    assert torch.equal(first_sizes(seed), first_sizes(0)) == (seed == 0)


@pytest.mark.parametrize("stop", [(0, 7), (0, 20), (1, 1), (1, 9)])
def test_resumed_run_equals_an_uninterrupted_one(digits: DataSplits, tmp_path: Path, stop: tuple[int, int]) -> None:
    def fit(folder: Path, *callbacks: Callback, resume: str | None = None) -> LeNet5Original:
        torch.manual_seed(0)
        model, train = LeNet5Original(init="lecun_uniform"), patterns(digits, 20)
        config = replace(CONFIG, checkpoint_dir=folder, checkpoint_steps=1)
        schedule = SDLMSchedule(train, [1e-4, 1e-5], num_patterns=10)
        trainer = Trainer(model, config, loss_fn=MAPLoss(), optimizer=SDLM, callbacks=[schedule, *callbacks])
        trainer.fit(train, resume=resume)
        return model

    whole = fit(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        fit(tmp_path / "parts", StopAt(*stop))
    resumed = fit(tmp_path / "parts", resume="auto")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_schedule_requires_sdlm(digits: DataSplits) -> None:
    train = patterns(digits)
    trainer = Trainer(LeNet5Original(), CONFIG, callbacks=[SDLMSchedule(train, [1e-4])])
    with pytest.raises(TypeError, match="the optimizer is AdamW; expected SDLM"):
        trainer.fit(train)


def test_schedule_requires_a_loss_if_labels_are_smoothed(digits: DataSplits) -> None:
    train, config = patterns(digits), replace(CONFIG, max_epochs=1, label_smoothing=0.1)
    schedule = SDLMSchedule(train, [1e-4])
    with pytest.raises(ValueError, match="label_smoothing is set, but loss_fn is None; expected the loss"):
        Trainer(LeNet5Original(), config, optimizer=SDLM, callbacks=[schedule]).fit(train)


def test_schedule_rejects_the_state_of_a_different_schedule(digits: DataSplits) -> None:
    train = patterns(digits)
    schedule = SDLMSchedule(train, [1e-4])
    schedule.load_state_dict(SDLMSchedule(train, [1e-4]).state_dict())
    with pytest.raises(ValueError, match="the checkpoint has a different schedule"):
        schedule.load_state_dict(SDLMSchedule(train, [1e-3]).state_dict())


@pytest.mark.parametrize("lr", [-1.0, math.nan, math.inf])
def test_schedule_rejects_learning_rates_out_of_range(digits: DataSplits, lr: float) -> None:
    with pytest.raises(ValueError, match="expected finite numbers of at least 0"):
        SDLMSchedule(patterns(digits), [lr])


@pytest.mark.parametrize(("lrs", "num_patterns"), [([], 5), ([1e-4], 0)])
def test_schedule_requires_learning_rates_and_patterns(digits: DataSplits, lrs: list[float], num_patterns: int) -> None:
    with pytest.raises(ValueError, match="expected at least one of each"):
        SDLMSchedule(patterns(digits), lrs, num_patterns=num_patterns)


def test_published_and_slow_schedules_follow_the_published_rates(digits: DataSplits) -> None:
    train = patterns(digits)
    (published,), (slow,) = published_schedule(train), slow_schedule(train)
    assert isinstance(published, SDLMSchedule)
    assert isinstance(slow, SDLMSchedule)
    assert published.lrs == PUBLISHED_LRS
    assert slow.lrs[::2] == slow.lrs[1::2] == tuple(lr / 5 for lr in PUBLISHED_LRS)
