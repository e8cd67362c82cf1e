import json
import math
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


def small(**options: Any) -> Evaluation:
    return Evaluation(TARGETS, PROBABILITIES, **options)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int], Any]:
    num_classes, size = draw(st.integers(2, 6)), draw(st.integers(1, 40))
    targets = draw(st.lists(st.integers(0, num_classes - 1), min_size=size, max_size=size))
    return targets, draw(hnp.arrays("float64", (size, num_classes), elements=st.floats(0, 1)))


@given(case=answers())
def test_every_number_is_that_of_scikit_learn_or_of_its_function(case: tuple[list[int], Any]) -> None:
    targets, probabilities = case
    labels, indices = probabilities.argmax(axis=1), range(probabilities.shape[1])
    for evaluation in (
        Evaluation(targets, probabilities),
        Evaluation(torch.tensor(targets), torch.tensor(probabilities)),
    ):
        assert evaluation.labels.tolist() == labels.tolist()
        assert evaluation.accuracy == sklearn_metrics.accuracy_score(targets, labels)
        assert evaluation.error_rate == metrics.error_rate(targets, labels)
        matrix = sklearn_metrics.confusion_matrix(targets, labels, labels=indices)
        assert evaluation.confusion_matrix.tolist() == matrix.tolist()
        right = int(np.trace(matrix))
        assert evaluation.accuracy_interval == metrics.confidence_interval(right, len(targets))
        error = metrics.expected_calibration_error(targets, probabilities)
        assert evaluation.expected_calibration_error == error


@given(case=answers())
def test_precision_recall_and_f1_of_each_class_are_those_of_scikit_learn(case: tuple[list[int], Any]) -> None:
    targets, probabilities = case
    evaluation = Evaluation(targets, probabilities)
    options = {"labels": range(probabilities.shape[1]), "average": None, "zero_division": 0}
    columns = [
        score(targets, evaluation.labels, **options).tolist()
        for score in (sklearn_metrics.precision_score, sklearn_metrics.recall_score, sklearn_metrics.f1_score)
    ]
    supports = np.bincount(targets, minlength=probabilities.shape[1]).tolist()
    assert list(evaluation.per_class.values()) == list(zip(*columns, supports, strict=True))
    for right, row, column, found in zip(
        np.diag(evaluation.confusion_matrix),
        evaluation.confusion_matrix.sum(axis=1),
        evaluation.confusion_matrix.sum(axis=0),
        evaluation.per_class.values(),
        strict=True,
    ):
        assert found.precision == (right / column if column else 0)
        assert found.recall == (right / row if row else 0)


def test_a_report_of_five_answers() -> None:
    evaluation = small(classes=["cat", "dog", "none"], loss=0.5)
    assert len(evaluation) == 5
    assert evaluation.labels.tolist() == [0, 1, 1, 0, 1]  # the first among equals
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


def test_classes_without_names_are_numbered() -> None:
    assert small().classes == ("0", "1", "2")
    assert list(small().per_class) == ["0", "1", "2"]
    assert small().loss is None


def test_the_text_has_the_accuracy_the_loss_the_table_and_the_matrix() -> None:
    evaluation = small(classes=["cat", "dog", "a long name"], loss=0.12345)
    low, high = evaluation.accuracy_interval
    lines = str(evaluation).splitlines()
    assert lines[0] == f"accuracy 60.00% of 5 (95 % confidence: {low:.2%} to {high:.2%})"
    assert lines[1] == "loss 0.1235"
    assert lines[3].split() == ["precision", "recall", "f1", "support"]
    assert lines[5].split() == ["dog", "0.6667", "0.6667", "0.6667", "3"]
    assert lines[8:] == [
        "confusion matrix (rows: true classes, columns: labels)",
        "          cat    dog a long",
        "cat         1      1      0",
        "dog         1      2      0",
        "a long      0      0      0",
    ]
    assert "loss" not in str(small())


def test_the_text_of_one_class_and_of_great_counts_stays_aligned() -> None:
    assert str(Evaluation([0], [[1.0]])).splitlines()[-2:] == ["  0", "0 1"]
    many = Evaluation(np.zeros(1200, int), np.tile([1.0, 0.0], (1200, 1)))
    assert str(many).splitlines()[-3:] == ["     0    1", "0 1200    0", "1    0    0"]


def test_the_table_has_a_row_a_class() -> None:
    frame = small(classes=["cat", "dog", "none"]).to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["precision", "recall", "f1", "support"]
    assert list(frame.index) == ["cat", "dog", "none"]
    assert frame.to_dict("index")["cat"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert frame["support"].tolist() == [2, 3, 0]


def test_json_holds_every_metric() -> None:
    evaluation = small(loss=0.5)
    found = json.loads(evaluation.to_json())
    assert found == evaluation.to_dict()
    assert evaluation.to_json().endswith("}\n")
    assert found["accuracy"] == evaluation.accuracy
    assert found["accuracy_interval"] == list(evaluation.accuracy_interval)
    assert found["error_rate"] == evaluation.error_rate
    assert found["expected_calibration_error"] == evaluation.expected_calibration_error
    assert (found["loss"], found["num_examples"], found["classes"]) == (0.5, 5, ["0", "1", "2"])
    assert found["confusion_matrix"] == evaluation.confusion_matrix.tolist()
    assert found["per_class"]["0"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert json.loads(small().to_json())["loss"] is None


def test_the_plot_is_of_the_confusion_matrix() -> None:
    figure = small(classes=["cat", "dog", "none"]).plot()
    assert isinstance(figure, Figure)
    assert figure.axes[0].get_title() == "3 of 5 right (60.00%)"


def test_float32_probabilities_of_a_network_are_taken() -> None:
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(0), requires_grad=True)
    evaluation = Evaluation(torch.arange(50) % 10, logits.softmax(1))
    assert evaluation.labels.tolist() == logits.argmax(1).tolist()
    assert math.isfinite(evaluation.expected_calibration_error)


@pytest.mark.parametrize(
    ("targets", "probabilities", "classes", "message"),
    [
        ([], np.zeros((0, 2)), None, "targets have shape .* expected .* N above 0"),
        ([0, 1], [[1, 0]], None, r"scores have shape \(1, 2\); expected \(2, num_classes\), a row a target"),
        ([0, 2], np.eye(2), None, r"targets lie in \[0, 2\]; expected 0 to 1"),
        ([0, 1], [[1, 0], [math.nan, 0]], None, "scores hold 1 NaN; expected numbers"),
        ([0, 1], np.eye(2), ["a"], "there are 1 names and 2 columns; expected as many"),
        ([0, 1], np.eye(2), ["a", "a"], "names"),
    ],
    ids=["empty", "lengths", "range", "NaN", "names", "equal names"],
)
def test_answers_that_make_no_report_are_refused(
    targets: Any, probabilities: Any, classes: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Evaluation(targets, probabilities, classes=classes)
