"""What looks at a training, and changes nothing in it."""

import itertools
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lenet5 import (
    Callback,
    CSVLogger,
    DataSplits,
    LeNet5,
    LRSearch,
    Profiler,
    TensorBoardLogger,
    Trainer,
    TrainerConfig,
    find_lr,
)

CONFIG = TrainerConfig(max_epochs=3, batch_size=5, device="cpu")


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3))


def examples(count: int = 20) -> TensorDataset:
    images = torch.randn(count, 1, 2, 3, generator=torch.Generator().manual_seed(1))
    return TensorDataset(images, (images.flatten(1).sum(1) > 0).long())


class StopAfter(Callback):
    def __init__(self, count: int) -> None:
        self.count = count

    def on_step_end(self, trainer: Trainer) -> None:
        self.count -= 1
        if self.count == 0:
            raise InterruptedError


@pytest.mark.parametrize("make", [lambda p: CSVLogger(p / "h.csv"), TensorBoardLogger, Profiler])
def test_no_instrument_changes_the_training(make: Any, tmp_path: Path) -> None:
    plain, watched = Trainer(small(), CONFIG), Trainer(small(), CONFIG, callbacks=[make(tmp_path)])
    assert watched.fit(examples(), examples(9)).rows == plain.fit(examples(), examples(9)).rows
    for one, other in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(one, other)


# Loggers


def test_the_table_is_whole_after_a_resume(tmp_path: Path) -> None:
    config = replace(CONFIG, checkpoint_dir=tmp_path / "checkpoints")
    log = tmp_path / "logs" / "history.csv"
    with pytest.raises(InterruptedError):
        Trainer(small(), config, callbacks=[CSVLogger(log), StopAfter(6)]).fit(examples(), examples(9))
    assert pd.read_csv(log)["epoch"].tolist() == [1]
    history = Trainer(small(), config, callbacks=[CSVLogger(log)]).fit(examples(), examples(9), resume="auto")
    pd.testing.assert_frame_equal(pd.read_csv(log), history.to_frame())
    assert [path.name for path in log.parent.iterdir()] == ["history.csv"]


def test_tensorboard_shows_the_history_and_the_learning_rate(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(CONFIG, checkpoint_dir=tmp_path / "checkpoints")
    with pytest.raises(InterruptedError):
        Trainer(small(), config, callbacks=[TensorBoardLogger(tmp_path / "tb", every=2), StopAfter(7)]).fit(examples())
    logger = TensorBoardLogger(tmp_path / "tb", every=2)
    history = Trainer(small(), config, callbacks=[logger]).fit(examples(), resume="auto")
    found = EventAccumulator(str(tmp_path / "tb"))
    found.Reload()
    assert found.Tags()["scalars"] == ["lr", "train_loss"]
    assert [event.step for event in found.Scalars("lr")] == [2, 4, 6, 8, 10, 12]  # step 6 was taken twice
    assert [event.step for event in found.Scalars("train_loss")] == [4, 8, 12]
    losses = [row["train_loss"] for row in history]
    assert [event.value for event in found.Scalars("train_loss")] == pytest.approx(losses)


# The profiler


def test_the_profiler_writes_a_trace_and_a_table(tmp_path: Path) -> None:
    Trainer(small(), CONFIG, callbacks=[Profiler(tmp_path / "new", skip=2, steps=3)]).fit(examples())
    events = json.loads((tmp_path / "new" / "trace.json").read_text())["traceEvents"]
    assert sum(event.get("name", "").startswith("ProfilerStep#") for event in events) == 3
    assert "aten::addmm" in (tmp_path / "new" / "operators.txt").read_text()


def test_a_training_that_ends_before_leaves_no_profile(tmp_path: Path) -> None:
    Trainer(small(), CONFIG, callbacks=[Profiler(tmp_path, skip=100)]).fit(examples())
    assert not list(tmp_path.iterdir())


def test_a_profile_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="skip is 0 and steps is 5; expected at least 1"):
        Profiler(tmp_path, skip=0, steps=5)


# The search for a learning rate


def test_a_useful_rate_is_found_and_the_trainer_left_as_it_was(digits: DataSplits) -> None:
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), replace(CONFIG, batch_size=32, max_epochs=2))
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    search = find_lr(trainer, digits.train)
    assert all(torch.equal(*pair) for pair in zip(trainer.model.parameters(), before, strict=True))
    assert trainer.state is None
    assert search.lrs[0] == pytest.approx(1e-6)
    ratios = [after / before for before, after in itertools.pairwise(search.lrs)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    assert search.suggestion in search.lrs

    def loss(lr: float) -> float:
        torch.manual_seed(0)
        return Trainer(LeNet5(), replace(trainer.config, lr=lr)).fit(digits.train)[-1]["train_loss"]

    assert loss(search.suggestion) < 0.5 * min(loss(search.suggestion / 100), loss(search.suggestion * 100))


def test_the_search_ends_when_the_loss_has_grown() -> None:
    trainer = Trainer(small(), CONFIG, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0))
    search = find_lr(trainer, examples(200), highest=1e6, num_steps=200)
    assert len(search.lrs) < 200
    assert search.losses[-1] > 4 * min(search.losses)


def test_a_loss_beyond_all_bounds_ends_the_search_too() -> None:
    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, targets) + (math_inf if state["calls"] > 30 else 0)

    state = {"calls": 0}
    math_inf = float("inf")

    class Count(nn.Module):
        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            state["calls"] += 1
            return loss_fn(logits, targets)

    search = find_lr(Trainer(small(), CONFIG, loss_fn=Count()), examples(200))
    assert len(search.lrs) == 30


def test_ctrl_c_ends_the_search() -> None:
    class Press(nn.CrossEntropyLoss):
        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            signal.raise_signal(signal.SIGINT)
            return super().forward(logits, targets)

    with pytest.raises(KeyboardInterrupt):
        find_lr(Trainer(small(), CONFIG, loss_fn=Press()), examples())


def test_a_search_is_a_picture() -> None:
    axes = LRSearch((0.01, 0.1, 1.0), (2.0, 1.0, 3.0), 0.1).plot().axes[0]
    assert (axes.get_xscale(), axes.get_xlabel(), axes.get_ylabel()) == ("log", "learning rate", "loss (smoothed)")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["steepest: 0.1"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowest": 0.0}, "lowest, highest and num_steps are 0.0, 1.0 and 100; expected 0 < lowest < highest"),
        ({"lowest": 2.0}, "lowest, highest and num_steps are 2.0, 1.0 and 100"),
        ({"num_steps": 3}, "and at least 10"),
        ({"lowest": 1e30, "highest": 1e38}, "only . rates gave a finite loss; expected 10 or more: try a lower"),
    ],
)
def test_a_search_without_bounds_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_lr(Trainer(small(), CONFIG), examples(), **options)  # type: ignore[arg-type]


def test_a_search_needs_an_optimizer_for_the_copy() -> None:
    model = small()
    trainer = Trainer(model, CONFIG, optimizer=torch.optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(ValueError, match="the trainer has an optimizer of its model's parameters; expected a function"):
        find_lr(trainer, examples())
