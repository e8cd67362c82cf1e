"""torchmetrics, on the predictions of this package."""

import pytest
import torch

import lenet5

torchmetrics = pytest.importorskip("torchmetrics", reason="nox -s tests_bridges installs it")


def test_metrics_of_predictions_equal_those_of_the_report() -> None:
    test = lenet5.load_data("digits").test
    pretrained = lenet5.load("mnist_v2")
    test.transform = pretrained.preprocess
    report = lenet5.evaluate(pretrained.model, test)
    predictions = pretrained.predict(test.images)
    accuracy = torchmetrics.Accuracy("multiclass", num_classes=10)(predictions.probabilities, test.targets)
    assert accuracy.item() == pytest.approx(report.accuracy)
    matrix = torchmetrics.ConfusionMatrix("multiclass", num_classes=10)(predictions.probabilities, test.targets)
    assert torch.equal(matrix, torch.as_tensor(report.confusion_matrix))
