from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lenet5 import DataSplits, LeNet5, Predictions, Trainer, TrainerConfig, TrainingState, evaluate, load_data, predict
from lenet5.training.history import Row

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


# Learning


def test_fit_learns_digits(digits: DataSplits) -> None:
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), TrainerConfig(device="cpu", max_epochs=12, batch_size=32))
    history = trainer.fit(digits.train, digits.val)
    assert trainer.evaluate(digits.test).accuracy >= 0.95
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 10


def test_fit_learns_mnist_in_one_epoch(mnist_root: Path) -> None:
    train, val, test = load_data("mnist", mnist_root, download=False)
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), TrainerConfig(device="cpu", max_epochs=1, batch_size=128))
    trainer.fit(train.select(slice(20_000)), val)
    assert trainer.evaluate(test).accuracy >= 0.95


# Determinism


def test_equal_seeds_give_identical_weights_and_history(tiny: Tiny) -> None:
    def train(seed: int) -> tuple[Tensor, list[Row]]:
        model = tiny.noisy_model()
        history = Trainer(model, tiny.config(seed=seed)).fit(tiny.examples(), tiny.examples())
        return tiny.weights(model), history.rows

    (first, rows), (repeated, repeated_rows), (different, _) = train(3), train(3), train(4)
    assert torch.equal(first, repeated)
    assert rows == repeated_rows
    assert not torch.equal(first, different)


def test_fit_restores_the_global_random_generators(tiny: Tiny) -> None:
    def random_state() -> tuple[Any, ...]:
        return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002

    model = tiny.noisy_model()
    before = random_state()
    Trainer(model, tiny.config()).fit(tiny.source("noisy dataset"))
    assert random_state() == before


# The constructor


def test_constructor_leaves_model_loss_and_config_unchanged(tiny: Tiny, tmp_path: Path) -> None:
    model, loss_fn = tiny.model().to("meta"), nn.CrossEntropyLoss(torch.ones(3, device="meta"))
    tensors = list(model.parameters())
    config = tiny.config(fast_dev_run=True, checkpoint_dir=tmp_path)
    settings = dataclasses.replace(config)
    trainer = Trainer(model, config, loss_fn=loss_fn)
    assert trainer.model is model
    assert all(tensor is parameter for tensor, parameter in zip(tensors, model.parameters(), strict=True))
    assert {tensor.device.type for tensor in (*model.parameters(), *loss_fn.buffers())} == {"meta"}
    assert model.training
    assert trainer.config is config
    assert config == settings


def test_fit_keeps_the_config(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny.config(fast_dev_run=True, checkpoint_dir=tmp_path)
    settings = dataclasses.replace(config)
    trainer = Trainer(tiny.model(), config)
    trainer.fit(tiny.examples())
    assert trainer.config is config
    assert config == settings


def test_fit_joins_the_process_group_and_the_constructor_does_not(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    trainer = Trainer(tiny.model(), tiny.config())
    message = "WORLD_SIZE is 2, but RANK, MASTER_ADDR, MASTER_PORT is not set; expected a launch by torchrun"
    with pytest.raises(ValueError, match=message):
        trainer.fit(tiny.examples())
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": None}, "model and config are NoneType and NoneType; expected a torch.nn.Module"),
        ({"config": {"lr": 1}}, "model and config are Sequential and dict; expected .* a TrainerConfig"),
    ],
)
def test_constructor_rejects_wrong_types(tiny: Tiny, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Trainer(**{"model": tiny.model(), **arguments})


def test_constructor_rejects_unknown_compile_backend(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match="compile is 'hand'; expected a backend of torch.compile, such as .*inductor"):
        Trainer(tiny.model(), tiny.config(compile="hand"))


def test_constructor_rejects_label_smoothing_with_a_custom_loss(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match="loss_fn and label_smoothing are both set; expected at most one of them"):
        Trainer(tiny.model(), tiny.config(label_smoothing=0.1), loss_fn=nn.CrossEntropyLoss())


# The state


def test_state_exists_before_and_after_fit(tiny: Tiny) -> None:
    trainer = Trainer(tiny.model(), tiny.config())
    state = trainer.state
    assert isinstance(state, TrainingState)
    assert (state.epoch, state.step, state.global_step, len(state.history)) == (0, 0, 0, 0)
    assert (state.model, state.config, state.device) == (trainer.model, trainer.config, trainer.device)
    assert (state.optimizer, state.best, state.finished, state.should_stop) == (None, None, False, False)
    assert trainer.history is state.history

    history = trainer.fit(tiny.examples(), tiny.examples())
    state = trainer.state
    assert (state.epoch, state.step, state.num_steps, state.global_step) == (3, 0, 3, 9)
    assert state.finished
    assert not trainer.model.training
    assert isinstance(state.optimizer, torch.optim.AdamW)
    assert trainer.history is state.history is history


def test_second_fit_starts_a_new_run_from_the_current_weights(tiny: Tiny) -> None:
    trainer = Trainer(tiny.model(), tiny.config())
    first = trainer.fit(tiny.examples())
    state = trainer.state
    second = trainer.fit(tiny.examples())
    assert trainer.state is not state
    assert [len(history) for history in (first, second)] == [3, 3]
    assert second[0]["train_loss"] < first[0]["train_loss"]


def test_fit_ignores_gradients_left_by_earlier_use(tiny: Tiny) -> None:
    clean, used = tiny.model(), tiny.model()
    used(tiny.examples()[:][0]).sum().backward()
    for model in (clean, used):
        Trainer(model, tiny.config(max_grad_norm=0.1)).fit(tiny.examples())
    assert torch.equal(tiny.weights(clean), tiny.weights(used))


# Evaluation and prediction


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_evaluate_and_predict_equal_the_free_functions(tiny: Tiny, precision: Any) -> None:
    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.multi_margin_loss(logits.float(), targets)

    model, data = tiny.model(), tiny.examples()
    trainer = Trainer(model, tiny.config(precision=precision), loss_fn=loss_fn)
    report = evaluate(model, data, precision=precision, loss_fn=loss_fn)
    assert trainer.evaluate(data).to_dict() == report.to_dict()
    predictions = trainer.predict(data)
    assert isinstance(predictions, Predictions)
    assert torch.equal(predictions.probabilities, predict(model, data, precision=precision).probabilities)


def test_evaluate_uses_a_custom_loss(tiny: Tiny) -> None:
    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        return 7 + 0 * logits.sum() * targets.sum()

    trainer = Trainer(tiny.model(), tiny.config(), loss_fn=loss_fn)
    assert [row["train_loss"] for row in trainer.fit(tiny.examples())] == [7, 7, 7]
    assert trainer.evaluate(tiny.examples()).loss == 7
