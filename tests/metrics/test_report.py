import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure
from sklearn import metrics as sklearn_metrics

from lenet5 import Evaluation, metrics
from lenet5.metrics import ClassMetrics

TARGETS = [0, 0, 1, 1, 1]
PROBABILITIES = [[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.2, 0.8, 0.0], [0.5, 0.5, 0.0], [0.3, 0.7, 0.0]]


def evaluate_five(**options: Any) -> Evaluation:
    return Evaluation(TARGETS, PROBABILITIES, **options)


@st.composite
def classified(draw: st.DrawFn) -> tuple[list[int], Any]:
    num_classes, size = draw(st.integers(2, 6)), draw(st.integers(1, 40))
    targets = draw(st.lists(st.integers(0, num_classes - 1), min_size=size, max_size=size))
    scores = draw(hnp.arrays("float64", (size, num_classes), elements=st.floats(0, 1)))
    return targets, scores / np.maximum(scores.sum(axis=1, keepdims=True), 1)


@given(case=classified())
def test_metrics_equal_scikit_learn_and_functions(case: tuple[list[int], Any]) -> None:
    targets, probabilities = case
    predictions, indices = probabilities.argmax(axis=1), range(probabilities.shape[1])
    for evaluation in (
        Evaluation(targets, probabilities),
        Evaluation(torch.tensor(targets), torch.tensor(probabilities)),
    ):
        assert evaluation.predictions.tolist() == predictions.tolist()
        assert evaluation.accuracy == sklearn_metrics.accuracy_score(targets, predictions)
        assert evaluation.error_rate == metrics.error_rate(targets, predictions)
        matrix = sklearn_metrics.confusion_matrix(targets, predictions, labels=indices)
        assert evaluation.confusion_matrix.tolist() == matrix.tolist()
        num_correct = int(np.trace(matrix))
        assert evaluation.accuracy_interval == metrics.confidence_interval(num_correct, len(targets))
        error = metrics.expected_calibration_error(targets, probabilities)
        assert evaluation.expected_calibration_error == error


@given(case=classified())
def test_per_class_metrics_equal_scikit_learn(case: tuple[list[int], Any]) -> None:
    targets, probabilities = case
    evaluation = Evaluation(targets, probabilities)
    options = {"labels": range(probabilities.shape[1]), "average": None, "zero_division": 0}
    columns = [
        score(targets, evaluation.predictions, **options).tolist()
        for score in (sklearn_metrics.precision_score, sklearn_metrics.recall_score, sklearn_metrics.f1_score)
    ]
    supports = np.bincount(targets, minlength=probabilities.shape[1]).tolist()
    assert list(evaluation.per_class.values()) == list(zip(*columns, supports, strict=True))
    for num_correct, num_true, num_predicted, row in zip(
        np.diag(evaluation.confusion_matrix),
        evaluation.confusion_matrix.sum(axis=1),
        evaluation.confusion_matrix.sum(axis=0),
        evaluation.per_class.values(),
        strict=True,
    ):
        assert row.precision == (num_correct / num_predicted if num_predicted else 0)
        assert row.recall == (num_correct / num_true if num_true else 0)


def test_evaluation_of_five_examples() -> None:
    evaluation = evaluate_five(classes=["cat", "dog", "none"], loss=0.5)
    assert len(evaluation) == 5
    assert evaluation.predictions.tolist() == [0, 1, 1, 0, 1]  # the first in case of a tie
    assert evaluation.accuracy == 0.6
    assert evaluation.error_rate == 0.4
    assert evaluation.loss == 0.5
    assert evaluation.confusion_matrix.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert evaluation.per_class == {
        "cat": ClassMetrics(0.5, 0.5, 0.5, 2),
        "dog": ClassMetrics(2 / 3, 2 / 3, 2 / 3, 3),
        "none": ClassMetrics(0.0, 0.0, 0.0, 0),
    }
    assert repr(evaluation) == "<Evaluation: accuracy 0.6000 of 5 examples>"


def test_support_is_integer_if_no_prediction_is_correct() -> None:
    support = [row.support for row in Evaluation([0, 1], [[0.0, 1.0], [1.0, 0.0]]).per_class.values()]
    assert support == [1, 1]
    assert all(isinstance(count, int) for count in support)


def test_classes_default_to_indices() -> None:
    assert evaluate_five().classes == ("0", "1", "2")
    assert list(evaluate_five().per_class) == ["0", "1", "2"]
    assert evaluate_five().loss is None


def test_text_contains_accuracy_loss_table_and_confusion_matrix() -> None:
    evaluation = evaluate_five(classes=["cat", "dog", "a long name"], loss=0.12345)
    low, high = evaluation.accuracy_interval
    lines = str(evaluation).splitlines()
    assert lines[0] == f"accuracy 60.00% of 5 (95 % confidence: {low:.2%} to {high:.2%})"
    assert lines[1] == "loss 0.1235"
    assert lines[3].split() == ["precision", "recall", "f1", "support"]
    assert lines[5].split() == ["dog", "0.6667", "0.6667", "0.6667", "3"]
    assert lines[8:] == [
        "confusion matrix (rows: true classes, columns: predicted classes)",
        "        cat  dog  a long",
        "cat       1    1       0",
        "dog       1    2       0",
        "a long    0    0       0",
    ]
    assert "loss" not in str(evaluate_five())


def test_text_aligns_single_class_and_large_counts() -> None:
    assert str(Evaluation([0], [[1.0]])).splitlines()[-2:] == ["   0", "0  1"]
    many = Evaluation(np.zeros(1200, int), np.tile([1.0, 0.0], (1200, 1)))
    assert str(many).splitlines()[-3:] == ["      0  1", "0  1200  0", "1     0  0"]


def test_frame_has_one_row_per_class() -> None:
    frame = evaluate_five(classes=["cat", "dog", "none"]).to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["precision", "recall", "f1", "support"]
    assert list(frame.index) == ["cat", "dog", "none"]
    assert frame.to_dict("index")["cat"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert frame["support"].tolist() == [2, 3, 0]


def test_json_contains_every_metric() -> None:
    evaluation = evaluate_five(loss=0.5)
    report = json.loads(evaluation.to_json())
    assert report == evaluation.to_dict()
    assert evaluation.to_json().endswith("}\n")
    assert report["accuracy"] == evaluation.accuracy
    assert report["accuracy_interval"] == list(evaluation.accuracy_interval)
    assert report["error_rate"] == evaluation.error_rate
    assert report["expected_calibration_error"] == evaluation.expected_calibration_error
    assert (report["loss"], report["num_examples"], report["classes"]) == (0.5, 5, ["0", "1", "2"])
    assert report["confusion_matrix"] == evaluation.confusion_matrix.tolist()
    assert report["per_class"]["0"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert json.loads(evaluate_five().to_json())["loss"] is None


def test_plot_shows_confusion_matrix() -> None:
    figure = evaluate_five(classes=["cat", "dog", "none"]).plot()
    assert isinstance(figure, Figure)
    assert figure.axes[0].get_title() == "3 of 5 correct (60.00%)"


def test_evaluation_accepts_float32_tensor_with_gradient() -> None:
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(0), requires_grad=True)
    evaluation = Evaluation(torch.arange(50) % 10, logits.softmax(1))
    assert evaluation.predictions.tolist() == logits.argmax(1).tolist()
    assert math.isfinite(evaluation.expected_calibration_error)


@pytest.mark.parametrize(
    ("targets", "probabilities", "classes", "message"),
    [
        ([], np.zeros((0, 2)), None, "targets have shape .* expected .* N above 0"),
        ([0, 1], [[1, 0]], None, r"scores have shape \(1, 2\); expected \(2, num_classes\), one row per target"),
        ([0, 2], np.eye(2), None, r"targets lie in \[0, 2\]; expected 0 to 1"),
        ([0, 1], [[1, 0], [math.nan, 0]], None, "scores contain 1 NaN; expected numbers"),
        ([0, 1], np.eye(2), ["a"], "there are 1 class names; expected 2, one per column"),
        ([0, 1], np.eye(2), ["a", "a"], r"the class names are \('a', 'a'\); expected unique names"),
    ],
    ids=["empty", "lengths", "range", "NaN", "names", "equal names"],
)
def test_evaluation_rejects_invalid_arguments(
    targets: Any, probabilities: Any, classes: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Evaluation(targets, probabilities, classes=classes)


def test_accuracy_needs_neither_scipy_nor_scikit_learn_nor_pandas_nor_matplotlib() -> None:
    program = (
        "import sys; from lenet5.metrics import Evaluation, coverage_curve;"
        "assert Evaluation([0, 1], [[1, 0], [1, 0]]).accuracy == 0.5;"
        "print(sys.modules.keys() & {'scipy', 'sklearn', 'pandas', 'matplotlib'})"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_abstention_is_the_function_after_lazy_imports() -> None:
    assert callable(metrics.coverage_curve)
    assert metrics.abstention([0], [[1.0, 0.0]]).coverage == 1


def test_mistakes_are_plotted_with_the_most_confident_first() -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 5, 5), np.uint8)
    probabilities = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]
    report = Evaluation([0, 0, 0, 1], np.array(probabilities), classes=["cat", "dog"])
    figure = report.plot_mistakes(images)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["dog (80.0%)\ntrue: cat", "dog (60.0%)\ntrue: cat"]
    assert [round(255 * np.asarray(axes.images[0].get_array())[0, 0]) for axes in figure.axes] == [2, 1]
    assert len(report.plot_mistakes(images, 1).axes) == 1
    with pytest.raises(ValueError, match="there are 3 images and 4 targets"):
        report.plot_mistakes(images[:3])
    with pytest.raises(ValueError, match="all 1 images are classified correctly"):
        Evaluation([0], np.array([[0.9, 0.1]])).plot_mistakes(images[:1])
