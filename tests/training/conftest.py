"""Small models, data and runs for the tests of training."""

import operator
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from lenet5 import Augment, Callback, ImageDataset, TensorLoader, Trainer, TrainerConfig, TrainingState


class StepCounter(Callback):
    """Count the steps, across resumes too, and call `end` after step `last`.

    Attributes
    ----------
    first_step
        The global step at which the latest `fit` started.
    """

    def __init__(self, last: int | None, end: Callable[[], object]) -> None:
        self.count, self.last, self.end = 0, last, end
        self.first_step = 0

    def on_fit_start(self, state: TrainingState) -> None:
        self.first_step = state.global_step

    def on_step_end(self, state: TrainingState) -> None:
        self.count += 1
        if self.count == self.last:
            self.end()

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "note": ("kept", 1.5, None, torch.ones(2))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = operator.index(state["count"])  # a callback knows its own state, and checks it
        assert state["note"][:3] == ("kept", 1.5, None)


class NoisyDataset(Dataset[tuple[Tensor, Tensor]]):
    """A dataset that adds noise from every global random generator."""

    def __init__(self, images: ImageDataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, target = self.images[index]
        return image + random.random() + np.random.rand() + torch.rand(()), target  # noqa: NPY002


class Tiny:
    """Makes models, data and settings that train in milliseconds. Images are 6x6, in three classes."""

    @staticmethod
    def model(seed: int = 0, *, dtype: torch.dtype = torch.float32) -> nn.Sequential:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)

    @staticmethod
    def noisy_model() -> nn.Sequential:
        """Make a model that depends on batch statistics and random numbers."""
        torch.manual_seed(5)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))

    @staticmethod
    def examples(count: int = 20, *, dtype: torch.dtype = torch.float32) -> TensorDataset:
        """Make float images and learnable targets."""
        images = torch.randn(count, 1, 6, 6, generator=Generator().manual_seed(1), dtype=dtype)
        return TensorDataset(images, torch.bucketize(images.sum((1, 2, 3)), torch.tensor([-3.0, 3.0])))

    @staticmethod
    def images(count: int = 30) -> ImageDataset:
        pixels = torch.randint(0, 256, (count, 1, 6, 6), generator=Generator().manual_seed(0), dtype=torch.uint8)
        return ImageDataset(pixels, torch.arange(count) % 3, classes="abc", transform=lambda batch: batch.float() / 255)

    def source(self, kind: str) -> Any:
        """Make 30 training images in a given form."""
        if kind == "noisy dataset":
            return NoisyDataset(self.images())
        if kind == "images":
            return self.images()
        augment = Augment() if kind == "augmented" else None
        return TensorLoader(self.images(), batch_size=8, shuffle=augment is not None, augment=augment, seed=2)

    @staticmethod
    def config(**settings: Any) -> TrainerConfig:
        return TrainerConfig(**{"device": "cpu", "batch_size": 8, "max_epochs": 3, "lr": 0.02, **settings})

    def trainer(
        self,
        config: TrainerConfig,
        *,
        stop_after: int | None = None,
        end: Callable[[], object] | None = None,
        callbacks: Sequence[Callback] = (),
        **options: Any,
    ) -> Trainer:
        """Make a Trainer of the noisy model. After `stop_after` steps it calls `end`, or raises InterruptedError."""
        return Trainer(
            self.noisy_model(), config, callbacks=[StepCounter(stop_after, end or interrupt), *callbacks], **options
        )

    @staticmethod
    def first_step(trainer: Trainer) -> int:
        """Return the global step at which the latest `fit` of such a Trainer started."""
        counter = trainer.callbacks[0]
        assert isinstance(counter, StepCounter)
        return counter.first_step

    @staticmethod
    def outcome(trainer: Trainer) -> tuple[Any, ...]:
        """Return everything that an exact resume must reproduce."""
        tensors = {name: tensor.tolist() for name, tensor in trainer.model.state_dict().items()}
        return tensors, trainer.history.rows, trainer.history.best_epoch

    @staticmethod
    def weights(model: nn.Module) -> Tensor:
        """Return all parameters as one vector."""
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    @staticmethod
    def checkpoints(folder: Path) -> list[int]:
        """Return the global steps of the checkpoints in a folder, which must hold nothing else."""
        return sorted(int(path.name.removeprefix("step-")) for path in folder.iterdir())


def interrupt() -> None:
    raise InterruptedError


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    return Tiny()
