"""Pretrained networks with images of digits, for the tools of other projects."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import lenet5
from lenet5.models.classifier import ImageClassifier


class Example(NamedTuple):
    """A network in evaluation mode, with images and labels."""

    model: ImageClassifier
    images: Tensor
    targets: Tensor


def load(name: str) -> Example:
    """Load weights, and the first digits of the test set as their network takes them."""
    pretrained, test = lenet5.load(name), lenet5.load_data("digits").test
    assert isinstance(pretrained.model, ImageClassifier)
    return Example(pretrained.model, pretrained.prepare(test.images[:8]), torch.as_tensor(test.targets[:8]))


@pytest.fixture
def modern() -> Example:
    return load("mnist_v2")


@pytest.fixture
def original() -> Example:
    return load("original_mnist_v1")


@pytest.fixture(params=["mnist_v2", "original_mnist_v1"])
def example(request: pytest.FixtureRequest) -> Example:
    return load(request.param)
