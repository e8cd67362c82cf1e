"""The kernel of LeNet5 leaves to the layers what it does not cover."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lenet5 import LeNet5, Trainer, TrainerConfig
from lenet5.models.kernels import lenet5

RunsKernel = Callable[[nn.Module, Tensor], bool]


def build(**arguments: Any) -> LeNet5:
    torch.manual_seed(0)
    return LeNet5(**arguments)


def with_c1(conv: nn.Conv2d) -> tuple[LeNet5, Tensor]:
    """Return a network with a different first convolution, and images for it."""
    model = build()
    model.c1.conv = conv
    return model, torch.rand(2, 1, 28, 28)


def with_activation(activation: nn.Module) -> LeNet5:
    """Return a network with a different activation after C1."""
    model = build()
    model.c1.activation = activation
    return model


def with_s2(pooling: nn.AvgPool2d) -> LeNet5:
    """Return a network with average pooling, and different in S2."""
    model = build(pooling="avg")
    model.s2 = pooling
    return model


UNSUPPORTED: dict[str, Callable[[], tuple[LeNet5, Tensor]]] = {
    "GELU": lambda: (build(activation=nn.GELU), torch.rand(2, 1, 28, 28)),
    "two activations": lambda: (with_activation(nn.Tanh()), torch.rand(2, 1, 28, 28)),
    "overlapping average pooling": lambda: (with_s2(nn.AvgPool2d(3, stride=2, padding=1)), torch.rand(2, 1, 28, 28)),
    "average over a divisor": lambda: (with_s2(nn.AvgPool2d(2, divisor_override=3)), torch.rand(2, 1, 28, 28)),
    "five channels": lambda: (build(in_channels=5), torch.rand(2, 5, 28, 28)),
    "40x40 pixels": lambda: (build(image_size=40), torch.rand(2, 1, 40, 40)),
    "float64": lambda: (build().double(), torch.rand(2, 1, 28, 28).double()),
    "gradient of the images": lambda: (build(), torch.rand(2, 1, 28, 28).requires_grad_()),
    "no bias": lambda: with_c1(nn.Conv2d(1, 6, 5, padding=2, bias=False)),
    "padding mode": lambda: with_c1(nn.Conv2d(1, 6, 5, padding=2, padding_mode="circular")),
    "3x3 kernels": lambda: with_c1(nn.Conv2d(1, 6, 3, padding=1)),
    "tensor subclass": lambda: (build(), torch.rand(2, 1, 28, 28).as_subclass(type("Labelled", (Tensor,), {}))),
    "empty batch": lambda: (build(), torch.rand(0, 1, 28, 28)),
}


@pytest.mark.parametrize("make", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_kernel_does_not_run_for_unsupported_networks_and_images(
    runs_kernel: RunsKernel, make: Callable[[], tuple[LeNet5, Tensor]]
) -> None:
    model, images = make()
    assert not runs_kernel(model, images)
    assert model(images).shape == (len(images), 10)


@pytest.mark.parametrize("arguments", [{"image_size": 20}, {"image_size": 64, "in_channels": 3, "pooling": "avg"}])
def test_networks_of_other_sizes_train_layer_by_layer(arguments: dict[str, Any]) -> None:
    model = build(**arguments)
    assert model.fused_gradients(nn.functional.cross_entropy) is None
    data = TensorDataset(torch.rand(8, *model.image_shape), torch.arange(8))
    assert len(Trainer(model, TrainerConfig(max_epochs=1, batch_size=4, device="cpu")).fit(data)) == 1


def test_kernel_refuses_images_that_fail_the_checks_of_call() -> None:
    model, images = build(), torch.rand(1, 1, 28, 28)
    refused = [images[0], images[:, :, 1:], images.double(), images.to("meta"), torch.rand(1, 3, 28, 28), [[1.0]]]
    with torch.no_grad():
        assert all(lenet5.logits(model, image) is None for image in refused)  # type: ignore[arg-type]
