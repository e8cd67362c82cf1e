"""skorch: the networks as scikit-learn estimators."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lenet5

skorch = pytest.importorskip("skorch", reason="nox -s tests_bridges installs it")


def test_network_is_fitted_and_predicts() -> None:
    data = lenet5.load_data("digits").train
    images = lenet5.Preprocess(mean=data.mean, std=data.std)(data.images)
    torch.manual_seed(0)
    classifier = skorch.NeuralNetClassifier(
        lenet5.LeNet5,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        max_epochs=5,
        batch_size=32,
        verbose=0,
        lr=0.002,
    )
    classifier.fit(images, data.targets)
    assert classifier.score(images, data.targets) > 0.9
