"""A checkpoint resumes only the run that wrote it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from lenet5 import Callback, TensorLoader, Trainer, TrainerConfig, TrainingState

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


@pytest.fixture
def stopped(tiny: Tiny, tmp_path: Path) -> TrainerConfig:
    """Return the config of a run that was stopped after 6 steps, with its latest checkpoint after 5."""
    config = tiny.config(checkpoint_dir=tmp_path, checkpoint_steps=1)
    with pytest.raises(InterruptedError):
        tiny.trainer(config, stop_after=6).fit(tiny.images())
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.5}, "lr was 0.02, now 0.5"),
        ({"max_epochs": 9}, "max_epochs was 3, now 9"),
        ({"seed": 1}, "seed was 0, now 1"),
    ],
)
def test_resume_rejects_changed_settings(
    tiny: Tiny, stopped: TrainerConfig, changes: dict[str, Any], message: str
) -> None:
    trainer = tiny.trainer(replace(stopped, **changes))
    before = tiny.outcome(trainer)
    with pytest.raises(ValueError, match=f"the checkpoint belongs to a different run: {message}"):
        trainer.fit(tiny.images(), resume="auto")
    assert tiny.outcome(trainer) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"keep_checkpoints": 5},
        {"checkpoint_steps": 3},
        {"checkpoint_minutes": 9.0},
        {"cuda_graph": False},
        {"progress": True},
    ],
)
def test_resume_accepts_changed_settings_that_do_not_affect_the_result(
    tiny: Tiny, stopped: TrainerConfig, changes: dict[str, Any]
) -> None:
    uninterrupted = tiny.trainer(tiny.config())
    uninterrupted.fit(tiny.images())
    resumed = tiny.trainer(replace(stopped, **changes))
    resumed.fit(tiny.images(), resume="auto")
    assert tiny.first_step(resumed) == 5
    assert tiny.outcome(resumed) == tiny.outcome(uninterrupted)


def test_resume_rejects_a_different_number_of_batches(tiny: Tiny, stopped: TrainerConfig) -> None:
    with pytest.raises(ValueError, match="the number of batches per epoch was 4, now 3"):
        tiny.trainer(stopped).fit(tiny.images(24), resume="auto")


def test_resume_rejects_a_different_order_of_the_data(tiny: Tiny, stopped: TrainerConfig) -> None:
    loader = TensorLoader(tiny.images(), batch_size=8, shuffle=True, seed=7)
    with pytest.raises(ValueError, match="the source of batches was .*seed=0.*, now .*seed=7"):
        tiny.trainer(stopped).fit(loader, resume="auto")


def test_resume_rejects_a_different_model(tiny: Tiny, stopped: TrainerConfig) -> None:
    trainer = tiny.trainer(stopped)
    trainer.model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    with pytest.raises(ValueError, match="the structure of the optimizer was .*6.*, now .*2"):
        trainer.fit(tiny.images(), resume="auto")


def test_resume_rejects_layers_of_different_shapes_and_leaves_the_model_unchanged(
    tiny: Tiny, stopped: TrainerConfig
) -> None:
    trainer = tiny.trainer(stopped)
    trainer.model = nn.Sequential(nn.Flatten(), nn.Linear(36, 9), nn.BatchNorm1d(9), nn.Dropout(0.3), nn.Linear(9, 3))
    before = tiny.outcome(trainer)
    with pytest.raises(ValueError, match="the model was .*out_features=8.*, now .*out_features=9"):
        trainer.fit(tiny.images(), resume="auto")
    assert tiny.outcome(trainer) == before


def test_resume_rejects_a_different_optimizer(tiny: Tiny, tmp_path: Path) -> None:
    def fit(optimizer_class: Any, *, num_groups: int = 1, stop_after: int | None = None) -> None:
        def make_optimizer(parameters: Any) -> torch.optim.Optimizer:
            tensors = list(parameters)
            groups = [tensors] if num_groups == 1 else [tensors[:1], tensors[1:]]
            optimizer: torch.optim.Optimizer = optimizer_class([{"params": group} for group in groups], lr=0.1)
            return optimizer

        config = tiny.config(checkpoint_dir=tmp_path)
        trainer = tiny.trainer(config, stop_after=stop_after, optimizer=make_optimizer)
        before = tiny.outcome(trainer)
        try:
            trainer.fit(tiny.images(), resume="auto")
        except ValueError:
            assert tiny.outcome(trainer) == before
            raise

    with pytest.raises(InterruptedError):
        fit(torch.optim.SGD, stop_after=6)
    message = "the structure of the optimizer was .*SGD.*, now"
    with pytest.raises(ValueError, match=rf"{message} .*'Adam'"):
        fit(torch.optim.Adam)
    with pytest.raises(ValueError, match=rf"{message} .*'groups': \[1, 5\]"):
        fit(torch.optim.SGD, num_groups=2)
    fit(torch.optim.SGD)


def test_callback_that_fails_to_restore_leaves_the_model_unchanged(
    tiny: Tiny, stopped: TrainerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_state: dict[str, Any]) -> None:
        raise KeyError("counter")

    trainer = tiny.trainer(stopped)
    monkeypatch.setattr(trainer.callbacks[0], "load_state_dict", fail)
    before = tiny.outcome(trainer)
    with pytest.raises(ValueError, match=r"state.json does not hold the state of this run: KeyError\(.counter"):
        trainer.fit(tiny.images(), resume="auto")
    assert tiny.outcome(trainer) == before


def test_only_callbacks_with_a_state_must_match(tiny: Tiny, stopped: TrainerConfig) -> None:
    resumed = tiny.trainer(stopped, callbacks=[Callback()])
    assert len(resumed.fit(tiny.images(), resume="auto")) == 3
    message = r"the list of callbacks with a state was \['StepCounter'\], now \[\]"
    with pytest.raises(ValueError, match=message):
        Trainer(resumed.model, stopped).fit(tiny.images(), resume="auto")


def test_saving_in_mid_accumulation_is_rejected(tiny: Tiny, tmp_path: Path) -> None:
    class Save(Callback):
        def on_step_end(self, state: TrainingState) -> None:
            trainer.save(tmp_path / "saved")

    trainer = tiny.trainer(tiny.config(accumulate_steps=2), callbacks=[Save()])
    with pytest.raises(ValueError, match="epoch 1, step 1 of 4 is in the middle of an accumulation; expected a call"):
        trainer.fit(tiny.images())
    assert not (tmp_path / "saved").exists()
