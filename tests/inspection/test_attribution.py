import sys
from typing import Any

import numpy as np
import pytest
import torch
from tests.inspection.networks import TutorialNet, unchanged
from torch import Tensor, nn

import lenet5
from lenet5 import CaffeLeNet, LeNet5, LeNet5Original, saliency


def images_for(model: Any, count: int = 3) -> Tensor:
    return torch.rand(count, *model.image_shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("network", [LeNet5, LeNet5Original, CaffeLeNet])
def test_saliency_is_the_absolute_gradient_of_each_image_alone(network: Any) -> None:
    model = network().eval()
    images = images_for(model)
    targets = [1, 7, 3]
    result = saliency(model, images, targets)
    assert result.shape == images.shape
    assert not result.requires_grad
    for image, target, row in zip(images, targets, result, strict=True):
        pixels = image[None].clone().requires_grad_()
        model.forward(pixels)[0, target].backward()
        assert pixels.grad is not None
        torch.testing.assert_close(row, pixels.grad[0].abs())


def test_saliency_is_the_change_of_a_linear_network() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    images = torch.rand(2, 1, 2, 2)
    weight = model.get_parameter("1.weight").detach()
    assert torch.equal(saliency(model, images, 1), weight[1].abs().view(1, 1, 2, 2).expand(2, -1, -1, -1))


def test_default_target_is_the_prediction_and_one_integer_is_for_all_images() -> None:
    model = LeNet5().eval()
    images = images_for(model)
    predicted = model(images).argmax(1)
    expected = saliency(model, images, predicted)
    assert torch.equal(saliency(model, images), expected)
    for target in (4, np.int64(4), torch.tensor(4), [4, 4, 4], np.array([4.0, 4.0, 4.0]), torch.tensor([4, 4, 4])):
        assert torch.equal(saliency(model, images, target), saliency(model, images, (4, 4, 4)))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (10, "target is 10; expected classes from 0 to 9, as integers"),
        (-1, "target is -1; expected classes"),
        (1.5, "target is 1.5; expected classes"),
        (True, "target is True; expected classes"),
        ("3", "target is '3'; expected classes"),
        ([1, 2, 12], "expected classes from 0 to 9"),
        ([[1, 2, 3]], "expected classes from 0 to 9"),
        ([1, 2], "there are 2 targets for 3 images; expected one class, or one for each image"),
    ],
)
def test_impossible_target_is_refused(target: Any, message: str) -> None:
    model = LeNet5()
    with unchanged(model), pytest.raises(ValueError, match=message.replace("[", r"\[")):
        saliency(model, images_for(model), target)


@pytest.mark.parametrize("network", [LeNet5, LeNet5Original, CaffeLeNet])
def test_model_and_images_stay_as_they_are(network: Any) -> None:
    model = network().train()
    model.requires_grad_(requires_grad=False)
    next(model.parameters()).requires_grad = True
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    images = images_for(model)
    with unchanged(model):
        saliency(model, images)
    assert not images.requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_saliency_needs_no_mode_with_gradients(mode: Any) -> None:
    model = LeNet5().eval()
    images = images_for(model)
    expected = saliency(model, images)
    with mode():
        result = saliency(model, images + 0)
    assert torch.equal(result, expected)
    assert not result.is_inference()


def test_pretrained_prepares_images_of_any_kind() -> None:
    pretrained = lenet5.load("mnist_v2")
    pixels = lenet5.load_data("digits").test.images[0]
    assert torch.equal(saliency(pretrained, pixels.numpy()), saliency(pretrained.model, pretrained.prepare(pixels)))


def test_compiled_network_has_the_saliency_of_the_network() -> None:
    model = LeNet5().eval()
    images = images_for(model)
    expected = saliency(model, images)
    model.compile()
    assert torch.equal(saliency(model, images), expected)


@pytest.mark.parametrize("network", [LeNet5, TutorialNet])
def test_integer_images_are_refused_with_advice(network: Any) -> None:
    with pytest.raises(ValueError, match="uint8; expected floating point, normalised as in training .Preprocess"):
        saliency(network(), torch.zeros(1, 1, 28, 28, dtype=torch.uint8))


def test_network_without_logits_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the network returned shape \(1, 2, 26, 26\); expected logits"):
        saliency(nn.Sequential(nn.Conv2d(1, 2, 3)), torch.rand(1, 1, 28, 28))


@pytest.mark.parametrize(
    ("method", "hint"), [("gradients", "did you mean 'gradient'"), ("shap", "expected one of: gra")]
)
def test_unknown_method_is_refused(method: Any, hint: str) -> None:
    with pytest.raises(ValueError, match=f"method is '{method}'.*{hint}"):
        saliency(LeNet5(), torch.rand(1, 1, 28, 28), method=method)


@pytest.mark.parametrize("method", ["integrated_gradients", "grad_cam"])
def test_other_methods_name_the_extra_that_they_need(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("captum", "captum.attr"):
        monkeypatch.setitem(sys.modules, name, None)
    model = LeNet5()
    images = images_for(model)
    saliency(model, images)
    with pytest.raises(ImportError, match=r'without the package captum: pip install ".\[captum\]"'):
        saliency(model, images, method=method)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients"])
def test_layer_of_a_method_that_has_none_is_refused(method: Any) -> None:
    model = LeNet5()
    message = f"layer is 'c1', but the method '{method}' has none; expected None, or method='grad_cam'"
    with pytest.raises(ValueError, match=message):
        saliency(model, images_for(model), method=method, layer="c1")
