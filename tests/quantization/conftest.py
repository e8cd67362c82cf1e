from collections.abc import Callable
from typing import Any

import pytest
import torch

from lenet5 import LeNet5, LeNet5Original, Preprocess
from lenet5.data import DataSplits
from lenet5.weights import Pretrained

Build = Callable[..., Pretrained]


@pytest.fixture(scope="session")
def build() -> Build:
    """A network with random weights, and its preprocessing: `build(pooling="avg")`, `build(LeNet5Original)`."""

    def make(network_type: type[Any] = LeNet5, *, preprocess: Preprocess | None = None, **arguments: Any) -> Pretrained:
        torch.manual_seed(0)
        if network_type is LeNet5Original:
            original = LeNet5Original(init="lecun_uniform", **arguments)
            return Pretrained(original.eval(), preprocess or Preprocess.original(), {})
        model = network_type(**arguments)
        size, channels = arguments.get("image_size", 28), arguments.get("in_channels", 1)
        return Pretrained(model.eval(), preprocess or Preprocess(image_size=size, channels=channels), {})

    return make


@pytest.fixture(scope="session")
def images(digits: DataSplits) -> torch.Tensor:
    """A few digits, uint8 (64, 1, 28, 28)."""
    return digits.train.images[:64]
