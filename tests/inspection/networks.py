"""A foreign network, and a check that observing one leaves no trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class TutorialNet(nn.Module):
    """A network outside this package: one pool for both convolutions, functions between layers, and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.dense = nn.ModuleList([nn.Linear(256, 84), nn.Linear(84, 10)])

    def forward(self, images: Tensor) -> Tensor:
        x: Tensor = self.pool(self.conv1(images).relu_())
        x = self.pool(self.conv2(x).relu_()).flatten(1)
        for layer in self.dense:
            x = layer(x)
        return x


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Fail unless the mode, the hooks, the gradients and tensors of a model, and the generator, are as before."""

    def state() -> list[Any]:
        tensors = [tensor.clone() for tensor in model.state_dict().values()]
        gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        flags = [p.requires_grad for p in model.parameters()]
        modules = [
            (module.training, *(dict(value) for name, value in vars(module).items() if name.endswith("_hooks")))
            for module in model.modules()
        ]
        return [tensors, gradients, flags, modules, torch.get_rng_state()]

    before = state()
    try:
        yield
    finally:
        assert str(state()) == str(before)
        assert all(map(torch.equal, state()[0], before[0]))
