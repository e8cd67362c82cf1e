"""What is known at the start of a run is refused before its first step."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from lenet5 import Callback, ProgressBar, Trainer, TrainerConfig, TrainingState

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


class Stateful(Callback):
    """A callback whose state becomes `value` after `at` epochs."""

    def __init__(self, value: Any, at: int) -> None:
        self.value, self.at, self.epoch, self.steps = value, at, 0, 0

    def on_step_end(self, state: TrainingState) -> None:
        self.steps += 1

    def on_epoch_end(self, state: TrainingState, row: Any) -> None:
        self.epoch = row["epoch"]

    def state_dict(self) -> dict[str, Any]:
        return {"value": [self.value] if self.epoch >= self.at else 0}


# Settings


@pytest.mark.parametrize(
    ("settings", "stored"),
    [
        ({"device": torch.device("cpu")}, {"device": "cpu"}),
        ({"device": None}, {"device": "auto"}),
        (
            {"max_epochs": np.int64(2), "batch_size": torch.tensor(8), "seed": np.uint8(3), "patience": np.float64(2)},
            {"max_epochs": 2, "batch_size": 8, "seed": 3, "patience": 2},
        ),
        ({"lr": np.float32(0.5), "weight_decay": np.int8(0)}, {"lr": 0.5, "weight_decay": 0}),
        ({"restore_best": np.False_, "schedule": np.str_("step")}, {"restore_best": False, "schedule": "step"}),
    ],
)
def test_settings_of_any_type_are_stored_as_python_has_them(
    tiny: Tiny, tmp_path: Path, settings: dict[str, Any], stored: dict[str, Any]
) -> None:
    config = TrainerConfig(**{"max_epochs": 1, **settings}, checkpoint_dir=tmp_path)
    values = {name: getattr(config, name) for name in stored}
    assert values == stored
    assert [type(value) for value in values.values()] == [type(value) for value in stored.values()]
    assert json.loads(json.dumps(config.to_dict()))["device"] == config.device
    Trainer(tiny.model(), config).fit(tiny.examples(), tiny.examples())
    resumed = Trainer(tiny.model(), config)
    assert len(resumed.fit(tiny.examples(), tiny.examples(), resume=True)) == config.max_epochs


def test_resume_true_and_false_mean_auto_and_no(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny.config(checkpoint_dir=tmp_path, max_epochs=1)
    assert len(Trainer(tiny.model(), config).fit(tiny.examples(), resume=True)) == 1
    with pytest.raises(ValueError, match="holds checkpoints of an earlier run"):
        Trainer(tiny.model(), config).fit(tiny.examples(), resume=False)


def test_load_takes_a_torch_device(tiny: Tiny, tmp_path: Path) -> None:
    Trainer(tiny.model(), tiny.config()).save(tmp_path / "saved")
    assert Trainer.load(tmp_path / "saved", model=tiny.model(), device=torch.device("cpu")).config.device == "cpu"


@pytest.mark.parametrize("name", ["WORLD_SIZE", "LOCAL_RANK", "RANK", "TORCHELASTIC_RESTART_COUNT"])
def test_empty_variables_of_torchrun_count_as_unset(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    trainer = Trainer(tiny.model(), tiny.config(max_epochs=1))
    assert trainer.is_main
    assert len(trainer.fit(tiny.examples())) == 1


def test_variable_of_torchrun_that_is_no_number_is_refused(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ValueError, match="the environment variable WORLD_SIZE is 'two'; expected an integer"):
        Trainer(tiny.model(), tiny.config()).fit(tiny.examples())


# Arguments


class WithoutRow(Callback):
    def on_epoch_end(self, state: TrainingState) -> None:  # type: ignore[override]
        """Take too few arguments."""


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"callbacks": [WithoutRow()]}, TypeError, r"WithoutRow.on_epoch_end takes \(state.*; expected \(state, row\)"),
        ({"loss_fn": nn.CrossEntropyLoss}, TypeError, "loss_fn is <class .*; expected a function or an instance"),
        ({"loss_fn": "mse"}, TypeError, "loss_fn is 'mse'; expected a function or an instance"),
        ({"loss_fn": nn.CrossEntropyLoss(reduction="sum")}, ValueError, "loss_fn has reduction='sum'; expected 'mean'"),
        ({"loss_fn": nn.MSELoss(reduction="none")}, ValueError, "loss_fn has reduction='none'; expected 'mean'"),
        ({"optimizer": "sgd"}, TypeError, "optimizer is 'sgd'; expected an instance, or a function that makes one"),
        ({"lr_scheduler": "cosine"}, TypeError, "lr_scheduler is 'cosine'; expected an instance"),
        ({"callbacks": [ProgressBar]}, TypeError, "a callback is <class .*; expected an instance"),
    ],
)
def test_arguments_are_checked_at_once(
    tiny: Tiny, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Trainer(tiny.model(), tiny.config(), **options)


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        (partial(torch.optim.LBFGS, lr=0.1), ValueError, "the optimizer is LBFGS, whose step needs a closure"),
        (lambda parameters: next(iter(parameters)), TypeError, "the optimizer is Parameter; expected a torch.optim"),
    ],
)
def test_optimizer_that_cannot_step_is_refused(
    tiny: Tiny, optimizer: Callable[..., Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Trainer(tiny.model(), tiny.config(), optimizer=optimizer).fit(tiny.examples())


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (torch.optim.lr_scheduler.StepLR, r"lr_scheduler cannot be made of the optimizer alone .*a functools.partial"),
        (lambda _optimizer, num_steps: num_steps, "lr_scheduler made a int; expected a scheduler of torch.optim"),
    ],
)
def test_factory_that_makes_no_scheduler_is_refused(tiny: Tiny, scheduler: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Trainer(tiny.model(), tiny.config(), optimizer=torch.optim.SGD, lr_scheduler=scheduler).fit(tiny.examples())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Flatten(), "none of the 0 parameters of the model requires gradients"),
        (nn.Linear(36, 3).requires_grad_(requires_grad=False), "none of the 2 parameters"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), "the model has lazy layers without parameters"),
    ],
)
def test_model_without_parameters_to_train_is_refused(tiny: Tiny, model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trainer(model, tiny.config()).fit(tiny.examples())


def test_frozen_parameters_keep_their_values(tiny: Tiny) -> None:
    model = tiny.model()
    model[1].requires_grad_(requires_grad=False)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    Trainer(model, tiny.config(weight_decay=0.5)).fit(tiny.examples())
    changed = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])]
    assert changed == ["3.weight", "3.bias"]


# The first checkpoint


def test_state_that_a_checkpoint_cannot_hold_is_refused_before_the_first_step(tiny: Tiny, tmp_path: Path) -> None:
    callback = Stateful({1, 2}, at=0)
    trainer = Trainer(tiny.model(), tiny.config(checkpoint_dir=tmp_path), callbacks=[callback])
    message = r"the state of the callback Stateful\.value\.0 is set, which a checkpoint cannot hold"
    with pytest.raises(TypeError, match=message):
        trainer.fit(tiny.examples())
    assert callback.steps == 0
    assert list(tmp_path.iterdir()) == []


def test_state_that_turns_bad_later_names_the_callback_and_keeps_the_checkpoints(tiny: Tiny, tmp_path: Path) -> None:
    trainer = Trainer(tiny.model(), tiny.config(checkpoint_dir=tmp_path), callbacks=[Stateful(object(), at=2)])
    with pytest.raises(TypeError, match=r"the state of the callback Stateful\.value\.0 is object"):
        trainer.fit(tiny.examples(24))
    assert tiny.checkpoints(tmp_path) == [3]


def test_numbers_of_numpy_in_rows_and_states_are_saved_as_numbers(tiny: Tiny, tmp_path: Path) -> None:
    class Score(Stateful):
        def on_epoch_end(self, state: TrainingState, row: Any) -> None:
            super().on_epoch_end(state, row)
            row["score"] = np.int64(7)

    config = tiny.config(checkpoint_dir=tmp_path)
    Trainer(tiny.model(), config, callbacks=[Score(np.float32(0.5), at=0)]).fit(tiny.examples())
    resumed = Trainer(tiny.model(), config, callbacks=[Score(np.float32(0.5), at=0)])
    assert [row["score"] for row in resumed.fit(tiny.examples(), resume="auto").rows] == [7, 7, 7]


def test_folder_that_cannot_be_written_is_refused_before_the_first_step(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    callback = Stateful(0, at=0)
    trainer = Trainer(tiny.model(), tiny.config(checkpoint_dir=tmp_path / "file" / "runs"), callbacks=[callback])
    with pytest.raises(OSError, match="file"):
        trainer.fit(tiny.examples())
    assert callback.steps == 0


def test_rehearsal_leaves_the_random_generators_as_they_are(tiny: Tiny, tmp_path: Path) -> None:
    outcomes = []
    for folder in (None, tmp_path):
        trainer = tiny.trainer(tiny.config(checkpoint_dir=folder))
        trainer.fit(tiny.images())
        outcomes.append(tiny.outcome(trainer))
    assert outcomes[0] == outcomes[1]


# Wrapped models


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "plain": lambda model: model,
    "torch.compile": lambda model: torch.compile(model, backend="eager"),
    "compile()": compiled_in_place,
    "DataParallel": nn.DataParallel,
    "both": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
}


@pytest.mark.parametrize("first", WRAPPERS)
@pytest.mark.parametrize("second", ["plain", "torch.compile", "DataParallel"])
def test_wrapped_models_resume_from_each_other(tiny: Tiny, tmp_path: Path, first: str, second: str) -> None:
    uninterrupted = Trainer(tiny.model(), tiny.config())
    uninterrupted.fit(tiny.examples(), tiny.examples())
    config = tiny.config(checkpoint_dir=tmp_path)
    stopped = Trainer(WRAPPERS[first](tiny.model()), config)
    stopped.callbacks.append(_StopAfterFirstEpoch())
    with pytest.raises(InterruptedError):
        stopped.fit(tiny.examples(), tiny.examples())
    resumed = Trainer(WRAPPERS[second](tiny.model(1)), config)
    resumed.fit(tiny.examples(), tiny.examples(), resume="auto")
    assert tiny.outcome(resumed) == tiny.outcome(uninterrupted)
    assert type(resumed.model) is nn.Sequential


def test_fit_trains_through_the_wrapper(tiny: Tiny) -> None:
    calls = []

    class Wrapper(nn.DataParallel):  # type: ignore[type-arg]
        def forward(self, *inputs: Any) -> Any:
            calls.append(len(inputs[0]))
            return super().forward(*inputs)

    Trainer(Wrapper(tiny.model()), tiny.config(max_epochs=1)).fit(tiny.examples(24))
    assert calls == [8, 8, 8]


class _StopAfterFirstEpoch(Callback):
    def on_step_end(self, state: TrainingState) -> None:
        if state.epoch == 1:
            raise InterruptedError
