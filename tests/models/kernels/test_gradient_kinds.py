"""Gradients through the kernel of LeNet5: of any kind, through any saved tensors, batched and per sample."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from lenet5 import LeNet5
from lenet5.models.classifier import KERNELS
from lenet5.models.kernels import lenet5

pytestmark = pytest.mark.skipif(lenet5.library() is None, reason="the kernel is not built, or the CPU lacks AVX-512")

Kind = Callable[[Tensor], Tensor]


class Labelled(Tensor):
    """A subclass without a behaviour of its own."""


def build() -> LeNet5:
    torch.manual_seed(0)
    return LeNet5()


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for forward in list(KERNELS):
            patch.delitem(KERNELS, forward)
        yield


def gradients(model: LeNet5, images: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(model(images).square().mean(), list(model.parameters())))


def outcome(compute: Callable[[], list[Tensor]]) -> list[Tensor] | type[Exception]:
    """Return the gradients, or the type of the error."""
    try:
        return compute()
    except Exception as error:  # noqa: BLE001 (whatever the layers raise)
        return type(error)


def assert_same(result: object, expected: object) -> None:
    if not isinstance(expected, list):
        assert result is expected
        return
    assert isinstance(result, list), f"{result}; expected the gradients of the layers"
    for one, other in zip(result, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * max(1.0, float(other.abs().max())))


HOOKS: dict[str, Callable[[Tensor], Tensor]] = {
    "the same": lambda tensor: tensor,
    "strided": lambda tensor: torch.stack([tensor, tensor], -1)[..., 0],
    "expanded": lambda tensor: tensor[:1].expand(tensor.shape),
    "doubled": lambda tensor: 2 * tensor if tensor.is_floating_point() else tensor,
    "negated lazily": lambda tensor: torch._neg_view(-tensor) if tensor.is_floating_point() else tensor,
    "float64": lambda tensor: tensor.double() if tensor.is_floating_point() else tensor,
}


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_gradients_of_tensors_that_hooks_saved(hook: Kind) -> None:
    if not hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks"):
        pytest.skip("this version of torch does not tell whether hooks are active")
    model, images = build(), torch.rand(4, 1, 28, 28)

    def compute() -> list[Tensor]:
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, hook):
            return gradients(model, images)

    with without_kernels():
        expected = outcome(compute)
    assert_same(outcome(compute), expected)


@pytest.mark.parametrize("hook", [HOOKS["strided"], HOOKS["negated lazily"], HOOKS["the same"]])
def test_backward_reads_only_what_c_can_read(monkeypatch: pytest.MonkeyPatch, hook: Kind) -> None:
    model, images = build(), torch.rand(4, 1, 28, 28)
    with without_kernels():
        expected = gradients(model, images)
    monkeypatch.setattr("lenet5.models.unmodified.saves_tensors_as_they_are", lambda: True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, hook):
        assert_same(gradients(model, images), expected)


def in_inference_mode(tensor: Tensor) -> Tensor:
    with torch.inference_mode():
        return tensor.clone()


GRADIENTS: dict[str, Kind] = {
    "plain": lambda tensor: tensor,
    "transposed": lambda tensor: tensor.mT.contiguous().mT,
    "expanded": lambda tensor: tensor[..., :1].expand(tensor.shape),
    "inference": in_inference_mode,
    "negated lazily": torch._neg_view,
    "efficient zero": lambda tensor: torch._efficientzerotensor(tensor.shape),
    "subclass": lambda tensor: tensor.as_subclass(Labelled),
}


@pytest.mark.parametrize("kind", GRADIENTS.values(), ids=GRADIENTS)
def test_gradients_of_any_kind_reach_the_convolutions(kind: Kind) -> None:
    model, images = build(), torch.rand(4, 1, 28, 28)
    parameters = list(model.parameters())[:4]  # of C1 and C3
    weights = kind(torch.rand(4, 16, 5, 5))

    def compute(function: Callable[..., Tensor]) -> list[Tensor]:
        return list(torch.autograd.grad(function(images, *parameters), parameters, weights))

    expected = outcome(lambda: compute(lenet5.layer_by_layer))
    assert_same(outcome(lambda: compute(lenet5.convolutions)), expected)


def test_batched_gradients_fall_back_to_the_layers() -> None:
    model, images, weights = build(), torch.rand(3, 1, 28, 28), torch.rand(5, 3, 10)

    def compute() -> list[Tensor]:
        parameters = list(model.parameters())
        return list(torch.autograd.grad(model(images), parameters, weights, is_grads_batched=True))

    with without_kernels():
        expected = compute()
    assert_same(compute(), expected)


def test_functional_call_and_per_sample_gradients() -> None:
    model, images = build(), torch.rand(3, 1, 28, 28)
    parameters = {name: 2 * tensor.detach() for name, tensor in model.named_parameters()}

    def loss(parameters: dict[str, Tensor], image: Tensor) -> Any:
        return torch.func.functional_call(model, parameters, (image[None],)).square().sum()

    def compute() -> list[Tensor]:
        called = torch.func.functional_call(model, parameters, (images,))
        per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, images)
        return [called, *per_sample.values()]

    with without_kernels():
        expected = compute()
    assert_same(compute(), expected)
