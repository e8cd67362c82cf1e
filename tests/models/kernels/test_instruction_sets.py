"""Every instruction set gives the same bits, so that a network computes and trains the same on every processor."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lenet5 import LeNet5, LeNet5Original, MAPLoss, MLELoss
from lenet5.models.kernels import lenet5, library, original
from lenet5.models.kernels.lenet5_gradients import LeNet5Gradients

Outcome = list[Tensor | None]


@contextmanager
def instruction_set(name: str, reload_libraries: Callable[[], None]) -> Iterator[bool]:
    """Use an instruction set; yield False if this processor lacks it, or the library was not built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LENET5_KERNELS", name)
        reload_libraries()
        yield lenet5.library() is not None
    reload_libraries()


def outcome(count: int, size: int, classes: int, seed: int, scale: float, arguments: dict[str, Any]) -> Outcome:
    """Return the logits, the loss, and all gradients, by the fused call and by autograd."""
    torch.manual_seed(seed)
    model = LeNet5(classes, image_size=size, **arguments)
    images = scale * torch.randn(count, model.in_channels, size, size)
    targets = torch.randint(classes, (count,))
    with torch.no_grad():
        logits = lenet5.logits(model, images)
    kernel = LeNet5Gradients(model, nn.CrossEntropyLoss(label_smoothing=0.1))
    loss = kernel(images, targets)
    w1, b1, w3, b3 = parameters = [parameter.detach().requires_grad_() for parameter in list(model.parameters())[:4]]
    plan = lenet5.NETWORKS.get(model)
    assert plan
    maps = lenet5.convolutions(images, w1, b1, w3, b3, lenet5.kind_of(plan.layers))
    return [logits, loss, *kernel.gradients, maps.detach(), *torch.autograd.grad(maps.square().sum(), parameters)]


def on_each(reload_libraries: Callable[[], None], compute: Callable[[], Outcome]) -> list[Outcome]:
    """Return what each instruction set of this processor computes; skip the test if there is only one."""
    outcomes: dict[str, Outcome] = {}
    for name in library.INSTRUCTION_SETS:
        with instruction_set(name, reload_libraries) as is_available:
            if is_available:
                outcomes[name] = compute()
    if len(outcomes) < 2:
        pytest.skip(f"only {', '.join(outcomes) or 'none'} of the instruction sets is available here")
    return list(outcomes.values())


def are_identical(outcomes: list[Outcome]) -> bool:
    """Return True if the outcomes are equal bit for bit."""
    return all(
        one is not None and same is not None and torch.equal(one, same)
        for other in outcomes[1:]
        for one, same in zip(outcomes[0], other, strict=True)
    )


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 40),
    size=st.sampled_from([28, 32]),
    classes=st.integers(1, 128),
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
    arguments=st.fixed_dictionaries(
        {
            "in_channels": st.integers(1, 4),
            "pooling": st.sampled_from(["max", "avg"]),
            "activation": st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid]),
        }
    ),
)
def test_results_are_identical_for_every_instruction_set(
    reload_libraries: Callable[[], None],
    count: int,
    size: int,
    classes: int,
    seed: int,
    scale: float,
    arguments: dict[str, Any],
) -> None:
    outcomes = on_each(reload_libraries, lambda: outcome(count, size, classes, seed, scale, arguments))
    assert are_identical(outcomes)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 70),
    seed=st.integers(0, 2**20),
    loss_fn=st.sampled_from([MAPLoss(), MLELoss(), nn.CrossEntropyLoss()]),
)
def test_results_of_the_original_network_are_identical_for_every_instruction_set(
    reload_libraries: Callable[[], None], count: int, seed: int, loss_fn: nn.Module
) -> None:
    def compute() -> Outcome:
        torch.manual_seed(seed)
        model, images = LeNet5Original(), torch.randn(count, 1, 32, 32)
        targets = torch.randint(10, (count,))
        with torch.no_grad():
            logits = original.logits(model, images)
        kernel = original.OriginalGradients(model, loss_fn)
        return [logits, kernel(images, targets), *kernel.gradients]

    assert are_identical(on_each(reload_libraries, compute))
