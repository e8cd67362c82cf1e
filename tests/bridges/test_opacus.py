"""Opacus: training with differential privacy, by gradients per example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from tests.bridges.conftest import Example

opacus = pytest.importorskip("opacus", reason="nox -s tests_bridges installs it")
validators = pytest.importorskip("opacus.validators", reason="nox -s tests_bridges installs it")

pytestmark = pytest.mark.filterwarnings(
    "ignore:Secure RNG turned off:UserWarning",
    "ignore:Optimal order is the:UserWarning",
    "ignore:Full backward hook is firing:UserWarning",
)


def test_validator_finds_nothing_to_replace(example: Example) -> None:
    assert not validators.ModuleValidator.validate(example.model.train())


def test_gradients_per_example_are_those_of_each_example(example: Example) -> None:
    model, images, targets = example
    expected = []
    for image, target in zip(images, targets, strict=True):
        loss = functional.cross_entropy(model(image[None]), target[None])
        expected.append(torch.autograd.grad(loss, [*model.parameters()]))
    wrapped = opacus.GradSampleModule(model.train(), loss_reduction="sum")
    functional.cross_entropy(wrapped(images), targets, reduction="sum").backward()  # type: ignore[no-untyped-call]
    for parameter, *gradients in zip(model.parameters(), *expected, strict=True):
        computed = parameter.grad_sample
        torch.testing.assert_close(computed, torch.stack(gradients), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["hooks", "functorch"])
def test_private_training_changes_every_parameter_and_spends_the_budget(example: Example, mode: str) -> None:
    model, images, targets = example
    before = [parameter.detach().clone() for parameter in model.parameters()]
    engine = opacus.PrivacyEngine()
    private, optimizer, loader = engine.make_private(
        module=model.train(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(TensorDataset(images, targets), batch_size=4),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        poisson_sampling=False,
        grad_sample_mode=mode,
    )
    for batch, labels in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(private(batch), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert not any(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert engine.get_epsilon(1e-5) > 0
