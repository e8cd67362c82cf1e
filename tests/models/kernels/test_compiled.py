"""A frozen network has the logits of the model, and ignores what happens to it later."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import lenet5
from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.models.classifier import ImageClassifier

NETWORKS: list[Callable[[], ImageClassifier]] = [LeNet5, LeNet5Original, CaffeLeNet]


def images_for(model: ImageClassifier, count: int = 3) -> Tensor:
    return torch.rand(count, *model.image_shape, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("network", NETWORKS)
@given(count=st.integers(0, 40))
def test_logits_are_those_of_the_model(network: Callable[[], ImageClassifier], count: int) -> None:
    model = network()
    images = images_for(model, count)
    with torch.no_grad():
        torch.testing.assert_close(lenet5.compiled(model)(images), model(images), rtol=0, atol=0)


@pytest.mark.parametrize("network", NETWORKS)
def test_later_changes_of_the_model_have_no_effect(network: Callable[[], ImageClassifier]) -> None:
    model = network()
    images, classify = images_for(model), lenet5.compiled(model)
    before = classify(images)
    model.register_forward_hook(lambda *_: torch.zeros(1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    del model
    assert torch.equal(classify(images), before)
    assert not before.requires_grad


def test_changed_layer_is_frozen_as_it_is() -> None:
    model = LeNet5()
    model.c1.activation = nn.GELU()
    images = images_for(model)
    with torch.no_grad():
        torch.testing.assert_close(lenet5.compiled(model)(images), model(images))


@pytest.mark.parametrize("network", NETWORKS)
def test_strided_images_are_read_and_wrong_ones_refused(network: Callable[[], ImageClassifier]) -> None:
    model = network()
    images, classify = images_for(model), lenet5.compiled(model)
    with torch.no_grad():
        torch.testing.assert_close(classify(images.mT), model(images.mT), rtol=1e-5, atol=1e-5)
    for wrong in (images[0], images.double(), images[:, :, 1:], torch.zeros(1, 3, 5, 5)):
        with pytest.raises(ValueError, match="images have"):
            classify(wrong)
