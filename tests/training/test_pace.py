"""The throughput and the time left, by a clock that the tests set."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lenet5 import TrainerConfig
from lenet5.training.pace import Pace


class Clock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)


def state(epoch: int, step: int, *, num_seen: int, max_epochs: int = 4) -> Any:
    return SimpleNamespace(
        epoch=epoch,
        step=step,
        num_steps=10,
        num_seen=num_seen,
        global_step=epoch * 10 + step,
        config=TrainerConfig(max_epochs=max_epochs),
        loss_sum=torch.tensor(num_seen / 2),
        processes=SimpleNamespace(world_size=1),
    )


def test_pace_is_that_of_the_steps_and_the_time_left_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pace = Pace(state(0, 0, num_seen=0))
    clock.now += 5
    assert pace.describe_step(state(0, 5, num_seen=20_000)) == "loss 0.5000  4,000 images/s  00:05 left (00:35 in all)"
    clock.now += 5
    pace.describe_step(state(0, 10, num_seen=40_000))
    clock.now += 2  # of validation
    assert pace.end_epoch(state(1, 0, num_seen=0)) == 12
    assert pace.throughput() == "4,000 images/s"
    assert pace.left(state(1, 0, num_seen=0)) == 36


def test_pace_of_a_resumed_run_counts_its_own_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pace = Pace(state(2, 5, num_seen=50))
    clock.now += 3
    assert pace.describe_step(state(2, 6, num_seen=60)) == "loss 0.5000  3.33 images/s  00:12 left (00:42 in all)"
    only = state(0, 6, num_seen=60, max_epochs=1)
    assert "in all" not in Pace(state(0, 5, num_seen=50, max_epochs=1)).describe_step(only)
