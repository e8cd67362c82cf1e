"""What has to hold on an accelerator; `nox -s tests_cuda` runs these."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lenet5 import Augment, Callback, DataSplits, LeNet5, TensorLoader, Trainer, TrainerConfig

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]


def train(digits: DataSplits, **settings: object) -> Trainer:
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), TrainerConfig(max_epochs=8, batch_size=32, device="cuda", **settings))  # type: ignore[arg-type]
    loader = TensorLoader(digits.train, batch_size=32, shuffle=True, augment=Augment())
    trainer.fit(loader, digits.val)
    return trainer


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_training_on_cuda_learns_digits(digits: DataSplits, precision: str) -> None:
    trainer = train(digits, precision=precision)
    assert trainer.device.type == "cuda"
    assert trainer.evaluate(digits.test).accuracy >= 0.93


def test_answers_on_cuda_and_cpu_agree(digits: DataSplits) -> None:
    model = LeNet5()
    on_cpu = Trainer(model, TrainerConfig(device="cpu")).predict(digits.test).probabilities
    on_cuda = Trainer(model, TrainerConfig(device="cuda")).predict(digits.test).probabilities
    torch.testing.assert_close(on_cuda, on_cpu, rtol=1e-3, atol=1e-4)


def test_what_was_trained_on_cuda_is_loaded_on_the_cpu(
    digits: DataSplits, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("saved") / "trainer"
    trainer = train(digits)
    trainer.save(folder)
    loaded = Trainer.load(folder, device="cpu")
    assert loaded.evaluate(digits.test).accuracy == pytest.approx(trainer.evaluate(digits.test).accuracy, abs=0.01)


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.left = step

    def on_step_end(self, trainer: Trainer) -> None:
        self.left -= 1
        if self.left == 0:
            raise InterruptedError


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_training_on_cuda_that_was_stopped_goes_on_as_if_it_never_was(
    digits: DataSplits, precision: Any, tmp_path: Path
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

    def make(config: TrainerConfig, *callbacks: Callback) -> Trainer:
        torch.manual_seed(0)
        return Trainer(nn.Sequential(LeNet5(16), nn.Dropout(0.3), nn.Linear(16, 10)), config, callbacks=callbacks)

    data = TensorLoader(digits.train, batch_size=32, shuffle=True, augment=Augment())
    undisturbed, resumed = make(replace(config, checkpoint_dir=None)), make(config)
    undisturbed.fit(data, digits.val)
    with pytest.raises(InterruptedError):
        make(config, StopAt(51)).fit(data, digits.val)
    resumed.fit(data, digits.val, resume="auto")
    assert resumed.history.rows == undisturbed.history.rows
    for one, other in zip(resumed.model.parameters(), undisturbed.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_recorded_training_gives_the_weights_of_an_unrecorded_one(digits: DataSplits, precision: Any) -> None:
    recorded, unrecorded = (
        train(digits, precision=precision, deterministic=True, cuda_graph=graph, max_grad_norm=5.0, ema_decay=0.9)
        for graph in (None, False)
    )
    assert [row["train_loss"] for row in recorded.history] == pytest.approx(
        [row["train_loss"] for row in unrecorded.history], rel=0.05
    )
    assert recorded.evaluate(digits.test).accuracy == pytest.approx(unrecorded.evaluate(digits.test).accuracy, abs=0.02)


def test_a_recorded_training_that_was_stopped_goes_on_as_if_it_never_was(digits: DataSplits, tmp_path: Path) -> None:
    config = TrainerConfig(max_epochs=2, batch_size=32, device="cuda", deterministic=True, checkpoint_steps=4)

    def make(config: TrainerConfig, *callbacks: Callback) -> Trainer:
        torch.manual_seed(0)
        return Trainer(LeNet5(), config, callbacks=callbacks)

    data = TensorLoader(digits.train, batch_size=32, shuffle=True, augment=Augment(elastic=1.0))
    undisturbed, resumed = make(config), make(replace(config, checkpoint_dir=tmp_path))
    undisturbed.fit(data, digits.val)
    with pytest.raises(InterruptedError):
        make(replace(config, checkpoint_dir=tmp_path), StopAt(51)).fit(data, digits.val)
    resumed.fit(data, digits.val, resume="auto")
    assert resumed.history.rows == undisturbed.history.rows
    for one, other in zip(resumed.model.parameters(), undisturbed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_layers_that_are_frozen_between_epochs_stay_as_they_were(digits: DataSplits) -> None:
    model = LeNet5()
    conv: Any = model.c1.conv
    found = [conv.weight.clone()]

    class Freeze(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Any) -> None:
            conv.requires_grad_(False)
            found.append(conv.weight.detach().cpu())

    config = TrainerConfig(max_epochs=3, batch_size=32, device="cuda", weight_decay=0.0, restore_best=False)
    Trainer(model, config, callbacks=[Freeze()]).fit(digits.train)
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[3])


def test_what_cannot_be_recorded_is_refused_with_a_way_out(digits: DataSplits) -> None:
    class Waiting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = LeNet5()

        def forward(self, images: Any) -> Any:
            return self.inner(images) * (1.0 if images.sum().item() else 2.0)

    trainer = Trainer(Waiting(), TrainerConfig(max_epochs=1, device="cuda", cuda_graph=True))
    with pytest.raises(RuntimeError, match="Waiting cannot be recorded as a CUDA graph"):
        trainer.fit(digits.train)
    Trainer(Waiting(), TrainerConfig(max_epochs=1, device="cuda")).fit(digits.train)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are fewer than two CUDA devices here")
def test_the_second_device_can_be_named(digits: DataSplits) -> None:
    trainer = Trainer(LeNet5(), TrainerConfig(max_epochs=1, device="cuda:1"))
    trainer.fit(digits.train, digits.val)
    assert {parameter.device for parameter in trainer.model.parameters()} == {torch.device("cuda:1")}
