"""The kernel of LeNet5 computes what its layers compute; test_library.py asserts that it is built."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from lenet5 import LeNet5, Trainer, TrainerConfig
from lenet5.data import DataSplits
from lenet5.models.kernels import lenet5
from lenet5.models.kernels.library import FEW

pytestmark = pytest.mark.skipif(lenet5.library() is None, reason="the kernel is not built, or the CPU lacks AVX2")

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid)
CONVOLUTIONS = ("c1.conv.weight", "c1.conv.bias", "c3.conv.weight", "c3.conv.bias")


def build(size: int, seed: int = 0, **arguments: Any) -> LeNet5:
    torch.manual_seed(seed)
    return LeNet5(image_size=size, **arguments)


def layer_by_layer(model: LeNet5, images: Tensor) -> Tensor:
    for layer in model.children():
        images = layer(images)
    return images


def logits_and_gradients(model: nn.Module, images: Tensor, weights: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Compute the logits, and the gradients of their weighted sum."""
    logits = model(images)
    return logits.detach(), list(torch.autograd.grad((logits * weights).sum(), list(model.parameters())))


def uses_fused_backward(logits: Tensor) -> bool:
    """Return True if the kernel is in the graph of the logits."""
    names: set[str] = set()
    nodes = [logits.grad_fn]
    while nodes:
        if (node := nodes.pop()) is not None:
            names.add(type(node).__name__)
            nodes += [following for following, _ in node.next_functions]
    return "_ConvolutionsBackward" in names


def clear_of_ties(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor, kind: lenet5.Kind) -> Tensor:
    """Return a mask (N, 16, 5, 5) of the outputs whose gradients do not depend on rounding.

    Where the two largest values of a pooling window nearly tie, or a value before ReLU is nearly 0, rounding decides
    which input gets the gradient. Such a case in S2 excludes the whole image.
    """

    def is_clear(maps: Tensor) -> Tensor:
        windows = nn.functional.unfold(maps.flatten(0, 1)[:, None], 2, stride=2).view(*maps.shape[:2], 4, -1)
        first, second = windows.topk(2, dim=2).values.unbind(2)
        margin = 1e-5 * maps.abs().amax()
        rectified = kind.activation == 0
        if kind.average:
            return (windows.abs() > margin).all(2) if rectified else torch.ones_like(first, dtype=torch.bool)
        distinct = first - second > margin
        return (first < -margin) | ((first > margin) & distinct) if rectified else distinct

    with torch.no_grad():
        c1 = nn.functional.conv2d(images, w1, b1, padding=2 * (images.shape[-1] < 32))
        pool = nn.functional.avg_pool2d if kind.average else nn.functional.max_pool2d
        s2 = pool((torch.relu, torch.tanh, torch.sigmoid)[kind.activation](c1), 2)
        c3 = nn.functional.conv2d(s2, w3, b3)
        return is_clear(c1).flatten(1).all(1).view(-1, 1, 1, 1) & is_clear(c3).view(len(images), 16, 5, 5)


@settings(max_examples=100)
@given(
    count=st.integers(1, 70),
    channels=st.integers(1, 4),
    size=st.sampled_from([28, 32]),
    seed=st.integers(0, 2**20),
    threads=st.integers(1, 3),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
    kind=st.builds(lenet5.Kind, st.booleans(), st.integers(0, 2)),
)
def test_convolutions_and_gradients_equal_those_of_torch(
    count: int, channels: int, size: int, seed: int, threads: int, scale: float, kind: lenet5.Kind
) -> None:
    model = build(size, seed, in_channels=channels)
    images = scale * torch.randn(count, channels, size, size)
    parameters: list[Tensor] = [model.get_parameter(name) for name in CONVOLUTIONS]
    w1, b1, w3, b3 = parameters
    torch.set_num_threads(threads)
    maps = lenet5.convolutions(images, w1, b1, w3, b3, kind)
    expected = lenet5.layer_by_layer(images, w1, b1, w3, b3, kind)
    torch.testing.assert_close(maps, expected, rtol=1e-5, atol=1e-5 * scale if kind.activation == 0 else 1e-5)
    exact_images, w1, b1, w3, b3 = doubles = [tensor.double() for tensor in (images, *parameters)]
    weights = torch.randn_like(expected) * clear_of_ties(exact_images, w1, b1, w3, b3, kind)
    exact_maps = lenet5.layer_by_layer(exact_images, w1, b1, w3, b3, kind)
    exact_gradients = torch.autograd.grad(exact_maps, doubles[1:], weights.double())
    for gradient, exact in zip(torch.autograd.grad(maps, parameters, weights), exact_gradients, strict=True):
        assert (gradient - exact).abs().max() <= 1e-4 * max(float(exact.abs().max()), 1e-6)


@pytest.mark.parametrize("size", [28, 32])
def test_network_with_the_kernel_has_the_same_logits_and_gradients(
    size: int, remove_kernels: Callable[[], None]
) -> None:
    model, images, weights = build(size), torch.rand(50, 1, size, size), torch.randn(50, 10)
    assert uses_fused_backward(model(images))
    logits, gradients = logits_and_gradients(model, images, weights)
    remove_kernels()
    assert not uses_fused_backward(model(images))
    expected_logits, expected_gradients = logits_and_gradients(model, images, weights)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-5, atol=1e-5)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        assert (gradient - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_training_with_the_kernel_reaches_the_same_accuracy(
    digits: DataSplits, remove_kernels: Callable[[], None]
) -> None:
    def train() -> float:
        trainer = Trainer(build(28), TrainerConfig(max_epochs=8, batch_size=32, device="cpu"))
        trainer.fit(digits.train, digits.val)
        return trainer.evaluate(digits.test).accuracy

    accuracy = train()
    remove_kernels()
    assert accuracy == pytest.approx(train(), abs=0.02)


@pytest.mark.parametrize("frozen", [[], ["c1.conv.bias", "c3.conv.bias"]])
def test_double_backward_equals_that_of_torch(frozen: list[str], remove_kernels: Callable[[], None]) -> None:
    def gradient_of_penalty() -> Tensor:
        model, images = build(28), torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
        for name in frozen:
            model.get_parameter(name).requires_grad_(False)
        c1, c3 = model.get_parameter("c1.conv.weight"), model.get_parameter("c3.conv.weight")
        (gradient,) = torch.autograd.grad(model(images).square().sum(), [c1], create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), [c3])[0]

    result = gradient_of_penalty()
    remove_kernels()
    torch.testing.assert_close(result, gradient_of_penalty(), rtol=1e-4, atol=1e-4)


@settings(max_examples=100)
@given(
    count=st.integers(1, 2 * FEW + 3),
    size=st.sampled_from([28, 32]),
    classes=st.integers(1, 20),
    channels=st.integers(1, 4),
    pooling=st.sampled_from(["max", "avg"]),
    activation=st.sampled_from(ACTIVATIONS),
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
    transposed=st.booleans(),
)
def test_batch_in_a_single_call_has_the_same_logits(
    count: int, size: int, classes: int, channels: int, seed: int, scale: float, transposed: bool, **arguments: Any
) -> None:
    model = build(size, seed, num_classes=classes, in_channels=channels, **arguments)
    images = scale * torch.randn(count, channels, size, size)
    images = images.mT if transposed else images
    with torch.inference_mode():
        logits = lenet5.logits(model, images)
        assert logits is not None
        torch.testing.assert_close(logits, layer_by_layer(model, images), rtol=1e-5, atol=1e-5 * max(scale, 1))


@pytest.mark.parametrize("count", [1, FEW, FEW + 1])
def test_default_dtype_and_device_have_no_effect(count: int) -> None:
    model, images = build(28), torch.rand(count, 1, 28, 28)
    with torch.no_grad():
        expected = layer_by_layer(model, images)
        try:
            torch.set_default_dtype(torch.float64)
            with torch.device("meta"):
                logits = model(images)
        finally:
            torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)


def test_nan_in_an_image_makes_its_logits_nan() -> None:
    model, images = build(28), torch.zeros(3, 1, 28, 28)
    images[1, 0, 14, 14] = torch.nan
    with torch.inference_mode():
        assert model(images).isnan().all(1).tolist() == [False, True, False]
