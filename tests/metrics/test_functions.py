import math
from collections.abc import Callable
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sklearn_metrics

from lenet5.metrics import (
    accuracy,
    classification_report,
    confidence_interval,
    confusion_matrix,
    error_rate,
    expected_calibration_error,
    top_k_accuracy,
)

CONTAINERS: list[Callable[[Any], Any]] = [list, np.array, torch.tensor]


@st.composite
def classified(draw: st.DrawFn) -> tuple[Any, Any, int]:
    """Draw targets and predictions, each in some container, and the number of classes."""
    num_classes, size = draw(st.integers(2, 8)), draw(st.integers(1, 60))  # scikit-learn warns about a single class
    rows = st.lists(st.integers(0, num_classes - 1), min_size=size, max_size=size)
    targets, predictions = (draw(st.sampled_from(CONTAINERS))(draw(rows)) for _ in range(2))
    return targets, predictions, num_classes


@st.composite
def scored(draw: st.DrawFn, *, probabilities: bool = False) -> tuple[list[int], Any]:
    """Draw targets and an array of scores with ties, or of probabilities."""
    num_classes, size = draw(st.integers(3, 8)), draw(st.integers(1, 30))
    targets = draw(st.lists(st.integers(0, num_classes - 1), min_size=size, max_size=size))
    if probabilities:
        counts = draw(hnp.arrays("int64", (size, num_classes), elements=st.integers(0, 40)))
        return targets, (counts + 1) / (counts + 1).sum(axis=1, keepdims=True)
    return targets, draw(hnp.arrays("float64", (size, num_classes), elements=st.sampled_from([-1.5, -0.0, 0, 0.1, 7])))


def as_lists(*values: Any) -> list[Any]:
    return [np.asarray(value).tolist() for value in values]


@given(case=classified())
def test_accuracy_equals_scikit_learn(case: tuple[Any, Any, int]) -> None:
    targets, predictions, _ = case
    assert accuracy(targets, predictions) == sklearn_metrics.accuracy_score(*as_lists(targets, predictions))
    assert isinstance(accuracy(targets, predictions), float)


def test_confusion_matrix_accepts_single_class() -> None:
    assert confusion_matrix([0, 0], [0, 0]).tolist() == [[2]]
    assert classification_report([0, 0], [0, 0])["accuracy"] == 1


@given(case=classified())
def test_error_rate_is_exact_fraction(case: tuple[Any, Any, int]) -> None:
    targets, predictions = as_lists(*case[:2])
    expected = Fraction(sum(a != b for a, b in zip(targets, predictions, strict=True)), len(targets))
    assert error_rate(*case[:2]) == float(expected)
    loss = sklearn_metrics.zero_one_loss(targets, predictions)  # 1 - accuracy, which rounds twice
    assert error_rate(*case[:2]) == pytest.approx(loss, abs=2**-52)


@given(case=classified(), more=st.integers(0, 3))
def test_confusion_matrix_equals_scikit_learn(case: tuple[Any, Any, int], more: int) -> None:
    targets, predictions, num_classes = case[0], case[1], case[2] + more
    lists = as_lists(targets, predictions)
    matrix = confusion_matrix(targets, predictions, num_classes=num_classes)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == sklearn_metrics.confusion_matrix(*lists, labels=range(num_classes)).tolist()
    size = max(map(max, lists)) + 1
    assert confusion_matrix(targets, predictions).tolist() == matrix[:size, :size].tolist()


@given(case=classified(), more=st.integers(0, 2))
def test_classification_report_equals_scikit_learn(case: tuple[Any, Any, int], more: int) -> None:
    targets, predictions = as_lists(*case[:2])
    classes = [f"class {n}" for n in range(case[2] + more)]
    assert classification_report(*case[:2], classes=classes) == sklearn_metrics.classification_report(
        targets, predictions, labels=range(len(classes)), target_names=classes, output_dict=True, zero_division=0
    )
    numbers = range(max(map(max, (targets, predictions))) + 1)
    assert classification_report(*case[:2]) == sklearn_metrics.classification_report(
        targets, predictions, labels=numbers, target_names=list(map(str, numbers)), output_dict=True, zero_division=0
    )


@given(case=scored(), data=st.data(), container=st.sampled_from(CONTAINERS), integers=st.sampled_from(CONTAINERS))
def test_top_k_accuracy_equals_scikit_learn(
    case: tuple[list[int], Any], data: st.DataObject, container: Callable[[Any], Any], integers: Callable[[Any], Any]
) -> None:
    targets, scores = case
    num_classes = scores.shape[1]
    k = data.draw(st.integers(1, num_classes - 1))
    expected = sklearn_metrics.top_k_accuracy_score(targets, scores, k=k, labels=range(num_classes))
    assert top_k_accuracy(integers(targets), container(scores.tolist()), k=k) == expected
    assert top_k_accuracy(targets, scores, k=num_classes) == 1


def test_top_k_accuracy_defaults_to_five() -> None:
    scores = torch.arange(7.0).expand(7, 7)
    assert top_k_accuracy(range(7), scores) == top_k_accuracy(range(7), scores, k=5) == 5 / 7


@given(case=scored(probabilities=True), num_bins=st.sampled_from([1, 2, 3, 10, 15, 16, 25]))
def test_calibration_error_matches_loop_over_bins(case: tuple[list[int], Any], num_bins: int) -> None:
    targets, probabilities = case
    bins: dict[int, list[tuple[float, bool]]] = {n: [] for n in range(num_bins)}
    for target, row in zip(targets, probabilities.tolist(), strict=True):
        confidence = max(row)
        index = next(n for n in bins if n / num_bins < confidence <= (n + 1) / num_bins)
        bins[index].append((confidence, row.index(confidence) == target))
    expected = 0.0
    for members in filter(None, bins.values()):
        mean_confidence = sum(confidence for confidence, _ in members) / len(members)
        bin_accuracy = sum(correct for _, correct in members) / len(members)
        expected += len(members) / len(targets) * abs(bin_accuracy - mean_confidence)
    for container in (probabilities, probabilities.tolist(), torch.tensor(probabilities)):
        error = expected_calibration_error(torch.tensor(targets), container, num_bins=num_bins)
        assert error == pytest.approx(expected, abs=1e-12)


def test_calibration_bins_include_upper_edge() -> None:
    assert expected_calibration_error([0, 1], [[0.28, 0.24], [0.26, 0.24]], num_bins=25) == pytest.approx(0.23)
    for num_bins in (15, 25, 29):
        for edge in range(1, num_bins + 1):
            confidences = [edge / num_bins, (edge - 0.5) / num_bins]
            rows = [[confidence, 0.0] for confidence in confidences]
            error = expected_calibration_error([0, 1], rows, num_bins=num_bins)
            assert error == pytest.approx(abs(1 - sum(confidences)) / 2, abs=1e-12), f"{edge} / {num_bins}"


def test_calibration_error_of_certain_predictions_is_error_rate() -> None:
    certain = torch.eye(4)
    assert expected_calibration_error([0, 1, 2, 3], certain) == 0
    assert expected_calibration_error([0, 1, 2, 0], certain) == 0.25
    assert expected_calibration_error([0, 1], [[0.0, 0.0], [0.0, 0.0]]) == 0.5


@given(data=st.data(), size=st.integers(1, 20_000), confidence=st.floats(0.01, 0.999))
def test_confidence_interval_inverts_score_test(data: st.DataObject, size: int, confidence: float) -> None:
    num_correct = data.draw(st.integers(0, size))
    interval = confidence_interval(num_correct, size, confidence=confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    for bound in interval:  # the score test at each bound has exactly the critical value z
        assert abs(num_correct / size - bound) == pytest.approx(z * math.sqrt(bound * (1 - bound) / size), abs=1e-9)
    assert 0 <= interval.low <= num_correct / size <= interval.high <= 1
    wider = confidence_interval(num_correct, size, confidence=(1 + confidence) / 2)
    assert wider.low <= interval.low
    assert wider.high >= interval.high


def test_confidence_interval_defaults_to_95_percent_and_ends_at_0_and_1() -> None:
    assert confidence_interval(990, 1000) == confidence_interval(990, 1000, confidence=0.95)
    assert confidence_interval(0, 5).low == 0
    assert confidence_interval(5, 5).high == 1
    assert [f"{bound:.2%}" for bound in confidence_interval(9963, 10_000)] == ["99.49%", "99.73%"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_metrics_accept_floating_point_tensors_with_gradients(dtype: torch.dtype) -> None:
    scores = torch.eye(3, dtype=dtype, requires_grad=True)
    assert top_k_accuracy(torch.arange(3), scores, k=1) == 1
    assert expected_calibration_error(torch.arange(3), scores) == 0


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "uint64"])
def test_metrics_accept_integers_of_any_type(dtype: str) -> None:
    predictions = np.arange(100, dtype=dtype)
    assert confusion_matrix(predictions, predictions).tolist() == np.eye(100, dtype=int).tolist()
    assert accuracy(predictions, predictions[::-1]) == 0


@pytest.mark.parametrize("metric", [accuracy, error_rate, confusion_matrix, classification_report])
@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([], [], r"targets have shape \(0,\) and dtype float64; expected \(N,\) integers, N above 0"),
        ([0, 1], [0, 1, 1], "there are 2 targets and 3 predictions; expected equal counts"),
        ([[0], [1]], [0, 1], r"targets have shape \(2, 1\) and dtype int64; expected \(N,\) integers"),
        ([0, 1], [0.0, 1.0], r"predictions have shape \(2,\) and dtype float64; expected \(N,\) integers"),
        ([0, 1], [False, True], r"predictions have shape \(2,\) and dtype bool; expected \(N,\) integers"),
        ([0, 1], torch.eye(2), r"predictions have shape \(2, 2\) and dtype float32; expected \(N,\) integers"),
        (3, 3, r"targets have shape \(\) and dtype int64; expected \(N,\) integers"),
    ],
    ids=["empty", "lengths", "rank", "float", "bool", "logits", "number"],
)
def test_metrics_reject_mismatched_targets_and_predictions(
    metric: Callable[[Any, Any], Any], targets: Any, predictions: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(targets, predictions)


@pytest.mark.parametrize("metric", [top_k_accuracy, expected_calibration_error])
@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        ([], np.zeros((0, 5)), "targets have shape .* expected .*, N above 0"),
        ([0, 1], np.zeros((3, 5)), r"scores have shape \(3, 5\); expected \(2, num_classes\), one row per target"),
        ([0, 1], [0.5, 0.5], r"scores have shape \(2,\); expected \(2, num_classes\), one row per target"),
        ([0, 1], np.array([[0, np.nan, 0, 0, 0], [np.nan] * 5]), "scores contain 6 NaN; expected numbers"),
        ([0, 5], np.zeros((2, 5)), r"targets lie in \[0, 5\]; expected 0 to 4"),
        ([0, -1], np.zeros((2, 5)), r"targets lie in \[-1, 0\]; expected 0 to 4"),
    ],
    ids=["empty", "lengths", "rank", "NaN", "high", "low"],
)
def test_metrics_reject_mismatched_targets_and_scores(
    metric: Callable[[Any, Any], Any], targets: Any, scores: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(targets, scores)


@pytest.mark.parametrize(
    ("classes", "num_classes", "message"),
    [
        ([0, 3], 3, r"classes lie in \[0, 3\]; expected 0 to 2"),
        ([0, -2], 3, r"classes lie in \[-2, 1\]; expected 0 to 2"),
        ([0, -2], None, r"classes lie in \[-2, 1\]; expected 0 to 1"),
    ],
)
def test_confusion_matrix_rejects_classes_out_of_range(
    classes: list[int], num_classes: int | None, message: str
) -> None:
    for targets, predictions in ((classes, [0, 1]), ([0, 1], classes)):
        with pytest.raises(ValueError, match=message):
            confusion_matrix(targets, predictions, num_classes=num_classes)


@pytest.mark.parametrize(
    ("predictions", "classes", "message"),
    [
        ([0, 2], ["a", "b"], r"classes lie in \[0, 2\]; expected 0 to 1"),
        ([0, -1], None, r"classes lie in \[-1, 1\]; expected 0 to 1"),
    ],
    ids=["high", "low"],
)
def test_classification_report_rejects_classes_out_of_range(
    predictions: list[int], classes: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        classification_report([0, 1], predictions, classes=classes)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_top_k_accuracy_rejects_k_out_of_range(k: int) -> None:
    with pytest.raises(ValueError, match=f"k is {k}; expected 1 to 3, the number of classes"):
        top_k_accuracy([0], [[1, 2, 3]], k=k)


@pytest.mark.parametrize(
    ("probabilities", "num_bins", "message"),
    [
        ([[2.0, -1.0]], 15, r"probabilities lie in \[-1, 2\]; expected \[0, 1\]"),
        ([[1.01, 0.0]], 15, r"probabilities lie in \[0, 1.01\]; expected \[0, 1\]"),
        ([[1.0, 0.0]], 0, "num_bins is 0; expected at least 1"),
    ],
)
def test_calibration_error_rejects_invalid_arguments(probabilities: Any, num_bins: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expected_calibration_error([0], probabilities, num_bins=num_bins)


def test_calibration_error_accepts_probability_rounded_above_1() -> None:
    assert expected_calibration_error([0], [[1 + 1e-7, 0]]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("num_correct", "num_examples", "confidence", "message"),
    [
        (-1, 5, 0.9, "-1 of 5 is impossible; expected 0 <= num_correct <= num_examples"),
        (6, 5, 0.9, "6 of 5 is impossible"),
        (0, 0, 0.9, "0 of 0 is impossible"),
        (1, 5, 0.0, "confidence is 0.0; expected a number between 0 and 1"),
        (1, 5, 1.0, "confidence is 1.0"),
        (1, 5, math.nan, "confidence is nan"),
    ],
)
def test_confidence_interval_rejects_invalid_arguments(
    num_correct: int, num_examples: int, confidence: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        confidence_interval(num_correct, num_examples, confidence=confidence)
