"""Tests that need a CUDA device: `nox -s tests_cuda`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lenet5 import (
    Augment,
    Callback,
    DataSplits,
    LeNet5,
    TensorLoader,
    Trainer,
    TrainerConfig,
    TrainingState,
    evaluate,
    predict,
)
from lenet5.training.history import Row

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")]


def train(digits: DataSplits, **settings: Any) -> Trainer:
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), TrainerConfig(max_epochs=8, batch_size=32, device="cuda", **settings))
    loader = TensorLoader(digits.train, batch_size=32, shuffle=True, augment=Augment())
    trainer.fit(loader, digits.val)
    return trainer


def assert_equal_runs(actual: Trainer, expected: Trainer) -> None:
    assert actual.history.rows == expected.history.rows
    for pair in zip(actual.model.parameters(), expected.model.parameters(), strict=True):
        assert torch.equal(*pair)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_training_on_cuda_learns_digits(digits: DataSplits, precision: str) -> None:
    trainer = train(digits, precision=precision)
    assert trainer.device.type == "cuda"
    assert trainer.evaluate(digits.test).accuracy >= 0.93


def test_predictions_on_cuda_and_cpu_agree(digits: DataSplits) -> None:
    model = LeNet5()
    on_cpu = predict(model, digits.test).probabilities
    on_cuda = predict(model, digits.test, device="cuda").probabilities
    torch.testing.assert_close(on_cuda, on_cpu, rtol=1e-3, atol=1e-4)


def test_model_stays_on_cuda_without_a_device(digits: DataSplits) -> None:
    model = LeNet5().cuda()
    assert len(evaluate(model, digits.test)) == len(predict(model, digits.test)) == 360
    assert {parameter.device.type for parameter in model.parameters()} == {"cuda"}


def test_constructor_leaves_the_model_on_the_cpu() -> None:
    trainer = Trainer(LeNet5(), TrainerConfig(device="cuda"))
    assert {parameter.device.type for parameter in trainer.model.parameters()} == {"cpu"}


def test_trainer_saved_on_cuda_loads_on_the_cpu(digits: DataSplits, tmp_path: Path) -> None:
    trainer = train(digits)
    trainer.save(tmp_path / "trainer")
    loaded = Trainer.load(tmp_path / "trainer", device="cpu")
    assert loaded.evaluate(digits.test).accuracy == pytest.approx(trainer.evaluate(digits.test).accuracy, abs=0.01)


# Resuming


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_stopped_run_resumes_exactly(
    digits: DataSplits, stop_after: Callable[[int], Callback], precision: Any, tmp_path: Path
) -> None:
    config = TrainerConfig(
        max_epochs=2,
        batch_size=32,
        device="cuda",
        deterministic=True,
        precision=precision,
        ema_decay=0.9,
        accumulate_steps=2,
        checkpoint_dir=tmp_path,
        checkpoint_steps=4,
    )

    def make_trainer(config: TrainerConfig, *callbacks: Callback) -> Trainer:
        torch.manual_seed(0)
        return Trainer(nn.Sequential(LeNet5(16), nn.Dropout(0.3), nn.Linear(16, 10)), config, callbacks=callbacks)

    data = TensorLoader(digits.train, batch_size=32, shuffle=True, augment=Augment())
    uninterrupted, resumed = make_trainer(replace(config, checkpoint_dir=None)), make_trainer(config)
    uninterrupted.fit(data, digits.val)
    with pytest.raises(InterruptedError):
        make_trainer(config, stop_after(51)).fit(data, digits.val)
    resumed.fit(data, digits.val, resume="auto")
    assert_equal_runs(resumed, uninterrupted)


def test_captured_run_resumes_exactly(
    digits: DataSplits, stop_after: Callable[[int], Callback], tmp_path: Path
) -> None:
    config = TrainerConfig(max_epochs=2, batch_size=32, device="cuda", deterministic=True, checkpoint_steps=4)

    def make_trainer(config: TrainerConfig, *callbacks: Callback) -> Trainer:
        torch.manual_seed(0)
        return Trainer(LeNet5(), config, callbacks=callbacks)

    data = TensorLoader(digits.train, batch_size=32, shuffle=True, augment=Augment(elastic=1.0))
    uninterrupted, resumed = make_trainer(config), make_trainer(replace(config, checkpoint_dir=tmp_path))
    uninterrupted.fit(data, digits.val)
    with pytest.raises(InterruptedError):
        make_trainer(replace(config, checkpoint_dir=tmp_path), stop_after(51)).fit(data, digits.val)
    resumed.fit(data, digits.val, resume="auto")
    assert_equal_runs(resumed, uninterrupted)


# CUDA graphs


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_captured_run_agrees_with_an_uncaptured_run(digits: DataSplits, precision: Any) -> None:
    captured, uncaptured = (
        train(digits, precision=precision, deterministic=True, cuda_graph=enabled, max_grad_norm=5.0, ema_decay=0.9)
        for enabled in (None, False)
    )
    assert [row["train_loss"] for row in captured.history] == pytest.approx(
        [row["train_loss"] for row in uncaptured.history], rel=0.05
    )
    assert captured.evaluate(digits.test).accuracy == pytest.approx(uncaptured.evaluate(digits.test).accuracy, abs=0.02)


def test_layer_frozen_between_epochs_keeps_its_weights(digits: DataSplits) -> None:
    model = LeNet5()
    conv: Any = model.c1.conv
    kernels = [conv.weight.detach().clone()]

    class Freeze(Callback):
        def on_epoch_end(self, state: TrainingState, row: Row) -> None:
            conv.requires_grad_(False)
            kernels.append(conv.weight.detach().cpu())

    config = TrainerConfig(max_epochs=3, batch_size=32, device="cuda", weight_decay=0.0, restore_best=False)
    Trainer(model, config, callbacks=[Freeze()]).fit(digits.train)
    assert not torch.equal(kernels[0], kernels[1])
    assert torch.equal(kernels[1], kernels[3])


def test_model_that_synchronises_is_captured_only_on_request_and_rejected(digits: DataSplits) -> None:
    class Synchronising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = LeNet5()

        def forward(self, images: Tensor) -> Any:
            return self.inner(images) * (1.0 if images.sum().item() else 2.0)

    trainer = Trainer(Synchronising(), TrainerConfig(max_epochs=1, device="cuda", cuda_graph=True))
    with pytest.raises(RuntimeError, match="Synchronising cannot be captured as a CUDA graph; set cuda_graph=False"):
        trainer.fit(digits.train)
    Trainer(Synchronising(), TrainerConfig(max_epochs=1, device="cuda")).fit(digits.train)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are fewer than two CUDA devices")
def test_training_uses_the_named_device(digits: DataSplits) -> None:
    trainer = Trainer(LeNet5(), TrainerConfig(max_epochs=1, device="cuda:1"))
    trainer.fit(digits.train, digits.val)
    assert {parameter.device for parameter in trainer.model.parameters()} == {torch.device("cuda:1")}
