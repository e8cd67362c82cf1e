from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lenet5.models.original.layers import EuclideanRBF


class RBFNetwork(nn.Module):
    """Layers followed by RBF units with random prototypes of ±1; returns logits."""

    def __init__(self, *layers: nn.Module, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.output = EuclideanRBF(torch.sign(torch.randn(3, features)))

    def forward(self, x: Tensor) -> Tensor:
        distances: Tensor = self.output(self.layers(x))
        return -distances


@pytest.fixture(scope="session")
def rbf_network() -> Callable[..., RBFNetwork]:
    """Return a function that builds an RBFNetwork in float64."""
    return lambda *layers, features: RBFNetwork(*layers, features=features).double()
