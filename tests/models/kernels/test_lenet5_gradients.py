"""The kernel of LeNet5 in training computes the loss and gradients that the layers compute, for any number of threads.

Without the kernel, most of these tests hold trivially.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lenet5 import LeNet5, Trainer, TrainerConfig
from lenet5.data import DataSplits
from lenet5.models.kernels import lenet5
from lenet5.models.kernels.lenet5_gradients import LeNet5Gradients, gradients

IS_AVAILABLE = lenet5.library() is not None
Change = Callable[[LeNet5, Tensor, Tensor], tuple[Tensor, Tensor]]


def build(seed: int = 0, **arguments: Any) -> LeNet5:
    torch.manual_seed(seed)
    return LeNet5(**arguments)


def batch(count: int, size: int = 28, classes: int = 10, channels: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    images = torch.randn(count, channels, size, size, generator=generator)
    return images, torch.randint(classes, (count,), generator=generator)


def expected(model: LeNet5, images: Tensor, targets: Tensor, loss_fn: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """Return the loss and the gradients, layer by layer."""
    loss = loss_fn(model.forward(images), targets)
    return loss, list(torch.autograd.grad(loss, list(model.parameters())))


def computed(model: LeNet5, images: Tensor, targets: Tensor, loss_fn: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """Return the loss and the gradients of the kernel."""
    kernel = LeNet5Gradients(model, loss_fn)
    loss = kernel(images, targets)
    assert loss is not None
    return loss, [gradient.clone() for gradient in kernel.gradients]


@pytest.mark.skipif(not IS_AVAILABLE, reason="the kernel is not available on this machine")
@given(
    count=st.integers(1, 100),
    size=st.sampled_from([28, 32]),
    classes=st.sampled_from([1, 2, 10, 26, 128]),
    channels=st.integers(1, 4),
    pooling=st.sampled_from(["max", "avg"]),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid]),
    smoothing=st.sampled_from([0, 0.05, 1]),
)
def test_loss_and_gradients_are_those_of_the_layers(
    count: int, size: int, classes: int, channels: int, smoothing: float, **arguments: Any
) -> None:
    model = build(num_classes=classes, image_size=size, in_channels=channels, **arguments)
    images, targets = batch(count, size, classes, channels)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=smoothing)
    loss, grads = computed(model, images, targets, loss_fn)
    loss_of_layers, grads_of_layers = expected(model, images, targets, loss_fn)
    torch.testing.assert_close(loss, loss_of_layers.detach(), rtol=1e-5, atol=1e-6)
    for gradient, of_layers in zip(grads, grads_of_layers, strict=True):
        # rounding decides which of two nearly equal values of a pooling window gets its gradient
        assert (gradient - of_layers).norm() <= 5e-3 * of_layers.norm() + 1e-7


@pytest.mark.skipif(not IS_AVAILABLE, reason="the kernel is not available on this machine")
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_gradients_are_exact_to_rounding(activation: type[nn.Module], pooling: str) -> None:
    model, (images, targets) = build(activation=activation, pooling=pooling), batch(3)
    _, grads = computed(model, images, targets, nn.CrossEntropyLoss())
    _, grads_of_layers = expected(model, images, targets, nn.CrossEntropyLoss())
    for gradient, of_layers in zip(grads, grads_of_layers, strict=True):
        torch.testing.assert_close(gradient, of_layers, rtol=1e-4, atol=1e-4 * float(of_layers.abs().max()))


@pytest.mark.skipif(not IS_AVAILABLE, reason="the kernel is not available on this machine")
@given(count=st.integers(1, 300), threads=st.integers(2, 9), pooling=st.sampled_from(["max", "avg"]))
def test_results_are_identical_for_any_number_of_threads(count: int, threads: int, pooling: str) -> None:
    model, (images, targets) = build(pooling=pooling), batch(count)
    before, results = torch.get_num_threads(), []
    for number in (1, threads):
        torch.set_num_threads(number)
        loss, grads = computed(model, images, targets, nn.CrossEntropyLoss())
        with torch.no_grad():
            logits = model(images)
        w1, b1, w3, b3 = list(model.parameters())[:4]
        maps = lenet5.convolutions(images, w1, b1, w3, b3, lenet5.Kind(average=pooling == "avg"))
        torch.autograd.backward(maps.sum())
        of_maps = [parameter.grad for parameter in list(model.parameters())[:4]]
        model.zero_grad()
        results.append([loss, *grads, logits, maps, *of_maps])
    torch.set_num_threads(before)
    assert all(torch.equal(one, many) for one, many in zip(*results, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_images_that_are_not_finite_or_too_large_give_the_loss_of_the_layers(value: float) -> None:
    model, (images, targets) = build(), batch(20)
    images[3, 0, 10, 10] = value
    kernel = gradients(model, nn.CrossEntropyLoss())
    loss = None if kernel is None else kernel(images, targets)
    of_layers = nn.functional.cross_entropy(model.forward(images), targets)
    if loss is not None:
        torch.testing.assert_close(loss, of_layers.detach(), equal_nan=True, rtol=1e-4, atol=0)


def frozen(model: LeNet5, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    model.c1.requires_grad_(False)
    return images, targets


def with_gradients(model: LeNet5, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    model.output.bias.grad = torch.ones(10)
    return images, targets


CHANGES: dict[str, Change] = {
    "a frozen layer": frozen,
    "gradients to add to": with_gradients,
    "images that need a gradient": lambda _, images, targets: (images.requires_grad_(), targets),
    "images that are strided": lambda _, images, targets: (images.mT, targets),
    "images of a different dtype": lambda _, images, targets: (images.double(), targets),
    "an ignored target": lambda _, images, targets: (images, targets.index_fill(0, torch.tensor([1]), -100)),
    "a target that is no class": lambda _, images, targets: (images, targets + 1),
    "targets of a different dtype": lambda _, images, targets: (images, targets.int()),
    "probabilities as targets": lambda _, images, targets: (images, nn.functional.one_hot(targets, 10).float()),
    "no images": lambda _, images, targets: (images[:0], targets[:0]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_kernel_leaves_unsupported_batches_to_the_layers_and_changes_nothing(change: str) -> None:
    model, (images, targets) = build(), batch(5)
    targets[0] = 9
    images, targets = CHANGES[change](model, images, targets)
    before = [parameter.grad for parameter in model.parameters()]
    kernel = LeNet5Gradients(model, nn.CrossEntropyLoss())
    assert kernel(images, targets) is None
    assert [parameter.grad for parameter in model.parameters()] == before


@pytest.mark.parametrize(
    "loss_fn",
    [
        nn.CrossEntropyLoss(weight=torch.ones(10)),
        nn.CrossEntropyLoss(reduction="sum"),
        nn.NLLLoss(),
        nn.functional.cross_entropy,
    ],
)
def test_kernel_does_not_apply_to_other_losses(loss_fn: Any) -> None:
    assert build().fused_gradients(loss_fn) is None


def test_training_takes_the_same_path_with_and_without_the_kernel(
    digits: DataSplits, remove_kernels: Callable[[], None]
) -> None:
    def fit() -> tuple[LeNet5, list[float]]:
        model = build()
        config = TrainerConfig(max_epochs=2, batch_size=50, lr=1e-3, device="cpu", label_smoothing=0.1)
        history = Trainer(model, config).fit(digits.train.select(slice(220)))
        return model, [row["train_loss"] for row in history]

    model, losses = fit()
    remove_kernels()
    of_layers, losses_of_layers = fit()
    assert losses == pytest.approx(losses_of_layers, rel=1e-3)
    for parameter, of_layer in zip(model.parameters(), of_layers.parameters(), strict=True):
        torch.testing.assert_close(parameter, of_layer, rtol=1e-2, atol=2e-3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_process_computes_with_threads_of_its_own() -> None:
    torch.set_num_threads(3)
    model, (images, _) = build(), batch(64)
    with torch.no_grad():
        logits = model(images)
        child = os.fork()
        if child == 0:
            os._exit(0 if torch.equal(model(images), logits) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
