from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from lenet5 import Callback, ImageDataset, LeNet5, Trainer, TrainerConfig, TrainingState
from lenet5.training.history import Row

if TYPE_CHECKING:
    from tests.training.conftest import Tiny

CONFIG = TrainerConfig(max_epochs=3, batch_size=8, device="cpu")


@pytest.fixture(scope="module")
def train() -> ImageDataset:
    pixels = torch.randint(0, 256, (16, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageDataset(
        pixels, torch.arange(16) % 10, classes="0123456789", transform=lambda batch: batch.float() / 255
    )


@pytest.fixture
def trained(train: ImageDataset) -> Trainer:
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), CONFIG)
    trainer.fit(train, train)
    return trainer


def test_loaded_trainer_has_the_saved_predictions_config_and_history(
    train: ImageDataset, trained: Trainer, tmp_path: Path
) -> None:
    trained.save(tmp_path / "saved")
    loaded = Trainer.load(tmp_path / "saved")
    assert torch.equal(loaded.predict(train).probabilities, trained.predict(train).probabilities)
    assert loaded.config == trained.config
    assert isinstance(loaded.state, TrainingState)
    assert loaded.history is loaded.state.history
    assert (loaded.history.rows, loaded.history.best_epoch) == (trained.history.rows, trained.history.best_epoch)
    assert not loaded.model.training


def test_loaded_trainer_can_be_saved_and_resumed(train: ImageDataset, trained: Trainer, tmp_path: Path) -> None:
    trained.save(tmp_path / "saved")
    loaded = Trainer.load(tmp_path / "saved")
    loaded.save(tmp_path / "copy")
    assert Trainer.load(tmp_path / "copy").history.rows == trained.history.rows
    weights = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    assert loaded.fit(train, train, resume=tmp_path / "saved").rows == trained.history.rows  # the run was complete
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.model.state_dict().items())
    assert loaded.state.finished
    assert not loaded.model.training


def test_loaded_trainer_can_start_a_new_run(train: ImageDataset, trained: Trainer, tmp_path: Path) -> None:
    trained.save(tmp_path / "saved")
    loaded = Trainer.load(tmp_path / "saved")
    history = loaded.fit(train)
    assert len(history) == 3
    loaded.save(tmp_path / "saved")
    assert Trainer.load(tmp_path / "saved").history.rows == history.rows


def test_load_takes_a_folder_of_checkpoints_and_a_device(tiny: Tiny, tmp_path: Path) -> None:
    trainer = tiny.trainer(tiny.config(checkpoint_dir=tmp_path))
    trainer.fit(tiny.images(), tiny.images(12))
    loaded = Trainer.load(tmp_path, model=tiny.noisy_model(), device="cpu")
    assert tiny.outcome(loaded) == tiny.outcome(trainer)
    assert loaded.device.type == "cpu"


def test_model_of_any_class_is_loaded_into_a_given_module(tiny: Tiny, tmp_path: Path) -> None:
    trainer = tiny.trainer(tiny.config())
    trainer.fit(tiny.images())
    trainer.save(tmp_path / "saved")
    with pytest.raises(ValueError, match="names the architecture 'Sequential'; expected one of"):
        Trainer.load(tmp_path / "saved")
    callback = Callback()
    loaded = Trainer.load(tmp_path / "saved", model=tiny.noisy_model(), callbacks=[callback])
    assert tiny.outcome(loaded) == tiny.outcome(trainer)
    assert loaded.callbacks == [callback]


def test_trainer_can_be_saved_before_and_during_a_run(tiny: Tiny, tmp_path: Path) -> None:
    class Save(Callback):
        def on_epoch_end(self, state: TrainingState, row: Row) -> None:
            trainer.save(tmp_path / "saved")
            num_rows.append(len(Trainer.load(tmp_path / "saved", model=tiny.noisy_model()).history))

    num_rows: list[int] = []
    trainer = tiny.trainer(tiny.config(), callbacks=[Save()])
    trainer.save(tmp_path / "saved")
    trainer.fit(tiny.images())
    assert num_rows == [1, 2, 3]


def test_trainer_saved_before_training_has_nothing_to_resume(tiny: Tiny, tmp_path: Path) -> None:
    Trainer(LeNet5(), CONFIG).save(tmp_path / "saved")
    loaded = Trainer.load(tmp_path / "saved")
    assert len(loaded.history) == 0
    message = "holds a Trainer that was never trained; expected a checkpoint of a run"
    with pytest.raises(ValueError, match=message):
        loaded.fit(tiny.images(), resume=tmp_path / "saved")


def test_save_replaces_an_earlier_checkpoint(tmp_path: Path) -> None:
    for seed in (1, 2):
        Trainer(LeNet5(), replace(CONFIG, seed=seed)).save(tmp_path / "saved")
    assert Trainer.load(tmp_path / "saved").config.seed == 2
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    assert json.loads((tmp_path / "saved" / "state.json").read_text(encoding="utf-8"))["format"] == 5


def test_saved_trainer_is_a_weights_folder(tmp_path: Path) -> None:
    model: Any = LeNet5()
    Trainer(model, CONFIG).save(tmp_path / "saved")
    loaded = LeNet5.from_pretrained(tmp_path / "saved")
    assert torch.equal(loaded.output.weight, model.output.weight)


def test_load_rejects_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no valid checkpoint at"):
        Trainer.load(tmp_path / "nothing")
