"""A small model, data and settings for the tests of the instruments."""

import pytest
import torch
from torch import Generator, nn
from torch.utils.data import TensorDataset

from lenet5 import TrainerConfig


class Tiny:
    """Makes models and data that train in milliseconds."""

    config = TrainerConfig(max_epochs=3, batch_size=5, device="cpu")

    @staticmethod
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3))

    @staticmethod
    def examples(count: int = 20) -> TensorDataset:
        images = torch.randn(count, 1, 2, 3, generator=Generator().manual_seed(1))
        return TensorDataset(images, (images.flatten(1).sum(1) > 0).long())


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()
