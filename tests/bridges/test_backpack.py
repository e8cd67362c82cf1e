"""BackPACK: gradients per example and curvature, of the layers as a Sequential."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from tests.bridges.conftest import Example

backpack = pytest.importorskip("backpack", reason="nox -s tests_bridges installs it")
extensions = pytest.importorskip("backpack.extensions", reason="nox -s tests_bridges installs it")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # on hooks that torch deprecates


def test_gradients_per_example_are_those_of_each_example(modern: Example) -> None:
    model, images, targets = modern
    layers = backpack.extend(nn.Sequential(*model.children()))
    loss_fn = backpack.extend(nn.CrossEntropyLoss(reduction="sum"))
    with backpack.backpack(extensions.BatchGrad()):
        loss_fn(layers(images), targets).backward()
    computed = [parameter.grad_batch.clone() for parameter in layers.parameters()]
    plain = nn.Sequential(*model.children())
    for index in range(2):
        loss = functional.cross_entropy(plain(images[index : index + 1]), targets[index : index + 1])
        for gradients, expected in zip(computed, torch.autograd.grad(loss, [*model.parameters()]), strict=True):
            torch.testing.assert_close(gradients[index], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["DiagGGNExact", "DiagHessian", "KFAC", "KFLR", "Variance"])
def test_curvature_of_lenet5_is_computed(modern: Example, name: str) -> None:
    model, images, targets = modern
    layers, loss_fn = backpack.extend(nn.Sequential(*model.children())), backpack.extend(nn.CrossEntropyLoss())
    extension = getattr(extensions, name)()
    with backpack.backpack(extension):
        loss_fn(layers(images), targets).backward()
    assert all(hasattr(parameter, extension.savefield) for parameter in model.parameters())


def test_layers_as_a_sequential_compute_the_logits(modern: Example) -> None:
    model, images, _ = modern
    assert torch.equal(nn.Sequential(*model.children())(images), model.forward(images))
