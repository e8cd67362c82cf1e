"""Captum, on the networks of this package, and the saliency that uses it."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lenet5

captum = pytest.importorskip("captum.attr", reason="nox -s tests_bridges installs it")

NAMES = ["mnist_v2", "original_mnist_v1"]


def digits(name: str) -> tuple[Any, Tensor, Tensor]:
    """Return a network, six digits, and the classes that it predicts."""
    pretrained = lenet5.load(name)
    images = pretrained.prepare(lenet5.load_data("digits").test.images[:6])
    return pretrained.model, images, pretrained.model(images).argmax(1)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_saliency_of_captum(name: str) -> None:
    model, images, predicted = digits(name)
    expected = captum.Saliency(model).attribute(images.clone().requires_grad_(), target=predicted)
    torch.testing.assert_close(lenet5.saliency(model, images), expected.detach())


@pytest.mark.parametrize("name", NAMES)
def test_integrated_gradients_sum_to_the_difference_of_the_logits(name: str) -> None:
    model, images, predicted = digits(name)
    result = lenet5.saliency(model, images, method="integrated_gradients")
    expected = captum.IntegratedGradients(model).attribute(images, target=predicted)
    torch.testing.assert_close(result, expected.to(result.dtype))
    logits = model(images) - model(torch.zeros_like(images))
    differences = logits.gather(1, predicted[:, None])[:, 0].detach()
    torch.testing.assert_close(result.sum((1, 2, 3)), differences, rtol=0.05, atol=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_grad_cam_on_c3_has_the_size_of_the_images(name: str) -> None:
    model, images, predicted = digits(name)
    result = lenet5.saliency(model, images, method="grad_cam")
    maps = captum.LayerGradCam(model, model.c3).attribute(images, target=predicted, relu_attributions=True)
    assert maps.shape == (6, 1, 10, 10)
    assert maps.any()
    torch.testing.assert_close(result, functional.interpolate(maps, images.shape[2:], mode="bilinear").detach())


def test_grad_cam_takes_other_layers_with_maps() -> None:
    model = lenet5.CaffeLeNet()
    images = torch.rand(2, 1, 28, 28)
    assert lenet5.saliency(model, images, method="grad_cam", layer="conv2").shape == (2, 1, 28, 28)
    with pytest.raises(ValueError, match="the CaffeLeNet has no layer 'c3'"):
        lenet5.saliency(model, images, method="grad_cam")
    with pytest.raises(ValueError, match=r"expected maps \(N, C, H, W\)"):
        lenet5.saliency(model, images, method="grad_cam", layer="ip1")


@pytest.mark.parametrize("method", ["integrated_gradients", "grad_cam"])
def test_methods_of_captum_leave_no_trace(method: Any) -> None:
    from tests.inspection.networks import unchanged

    model = lenet5.LeNet5().train()
    images = torch.rand(2, 1, 28, 28)
    with unchanged(model), torch.no_grad():
        result = lenet5.saliency(model, images, [3, 4], method=method)
    assert not result.requires_grad
