from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest
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
def answers(draw: st.DrawFn) -> tuple[Any, Any, int]:
    """Draw targets, labels and the number of classes, in a container each."""
    num_classes, size = draw(st.integers(2, 8)), draw(st.integers(1, 60))  # of one class scikit-learn warns
    rows = st.lists(st.integers(0, num_classes - 1), min_size=size, max_size=size)
    targets, labels = (draw(st.sampled_from(CONTAINERS))(draw(rows)) for _ in range(2))
    return targets, labels, num_classes


@st.composite
def scored(draw: st.DrawFn, *, probabilities: bool = False) -> tuple[list[int], Any]:
    """Draw targets and an array of scores, with ties, or of probabilities."""
    num_classes, size = draw(st.integers(3, 8)), draw(st.integers(1, 30))
    targets = draw(st.lists(st.integers(0, num_classes - 1), min_size=size, max_size=size))
    if probabilities:
        counts = draw(hnp.arrays("int64", (size, num_classes), elements=st.integers(0, 40)))
        return targets, (counts + 1) / (counts + 1).sum(axis=1, keepdims=True)
    return targets, draw(hnp.arrays("float64", (size, num_classes), elements=st.sampled_from([-1.5, -0.0, 0, 0.1, 7])))


def as_lists(*values: Any) -> list[Any]:
    return [np.asarray(value).tolist() for value in values]


@given(case=answers())
def test_accuracy_is_that_of_scikit_learn_to_the_last_digit(case: tuple[Any, Any, int]) -> None:
    targets, labels, _ = case
    assert accuracy(targets, labels) == sklearn_metrics.accuracy_score(*as_lists(targets, labels))
    assert isinstance(accuracy(targets, labels), float)


def test_one_class_has_a_confusion_matrix_too() -> None:
    assert confusion_matrix([0, 0], [0, 0]).tolist() == [[2]]
    assert classification_report([0, 0], [0, 0])["accuracy"] == 1


@given(case=answers())
def test_the_error_rate_is_the_share_of_wrong_labels_exactly(case: tuple[Any, Any, int]) -> None:
    targets, labels = as_lists(*case[:2])
    wrong = Fraction(sum(a != b for a, b in zip(targets, labels, strict=True)), len(targets))
    assert error_rate(*case[:2]) == float(wrong)
    loss = sklearn_metrics.zero_one_loss(targets, labels)  # 1 - accuracy, which rounds twice
    assert error_rate(*case[:2]) == pytest.approx(loss, abs=2**-52)


@given(case=answers(), more=st.integers(0, 3))
def test_the_confusion_matrix_is_that_of_scikit_learn(case: tuple[Any, Any, int], more: int) -> None:
    targets, labels, num_classes = case[0], case[1], case[2] + more
    lists = as_lists(targets, labels)
    matrix = confusion_matrix(targets, labels, num_classes=num_classes)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == sklearn_metrics.confusion_matrix(*lists, labels=range(num_classes)).tolist()
    size = max(map(max, lists)) + 1
    assert confusion_matrix(targets, labels).tolist() == matrix[:size, :size].tolist()


@given(case=answers(), more=st.integers(0, 2))
def test_the_report_is_that_of_scikit_learn(case: tuple[Any, Any, int], more: int) -> None:
    targets, labels = as_lists(*case[:2])
    classes = [f"class {n}" for n in range(case[2] + more)]
    assert classification_report(*case[:2], classes=classes) == sklearn_metrics.classification_report(
        targets, labels, labels=range(len(classes)), target_names=classes, output_dict=True, zero_division=0
    )
    numbers = range(max(map(max, (targets, labels))) + 1)
    assert classification_report(*case[:2]) == sklearn_metrics.classification_report(
        targets, labels, labels=numbers, target_names=list(map(str, numbers)), output_dict=True, zero_division=0
    )


@given(case=scored(), data=st.data(), container=st.sampled_from(CONTAINERS), integers=st.sampled_from(CONTAINERS))
def test_top_k_accuracy_is_that_of_scikit_learn_to_the_last_digit(
    case: tuple[list[int], Any], data: st.DataObject, container: Callable[[Any], Any], integers: Callable[[Any], Any]
) -> None:
    targets, scores = case
    num_classes = scores.shape[1]
    k = data.draw(st.integers(1, num_classes - 1))
    expected = sklearn_metrics.top_k_accuracy_score(targets, scores, k=k, labels=range(num_classes))
    assert top_k_accuracy(integers(targets), container(scores.tolist()), k=k) == expected
    assert top_k_accuracy(targets, scores, k=num_classes) == 1


def test_top_k_accuracy_grants_five_guesses_unless_told() -> None:
    scores = torch.arange(7.0).expand(7, 7)
    assert top_k_accuracy(range(7), scores) == top_k_accuracy(range(7), scores, k=5) == 5 / 7


@given(case=scored(probabilities=True), num_bins=st.sampled_from([1, 2, 3, 10, 15, 16, 25]))
def test_the_calibration_error_is_that_of_a_loop_over_bins(case: tuple[list[int], Any], num_bins: int) -> None:
    targets, probabilities = case
    bins: dict[int, list[tuple[float, bool]]] = {n: [] for n in range(num_bins)}
    for target, row in zip(targets, probabilities.tolist(), strict=True):
        confidence = max(row)
        chosen = next(n for n in bins if n / num_bins < confidence <= (n + 1) / num_bins)
        bins[chosen].append((confidence, row.index(confidence) == target))
    expected = 0.0
    for held in filter(None, bins.values()):
        mean_confidence = sum(confidence for confidence, _ in held) / len(held)
        share_right = sum(right for _, right in held) / len(held)
        expected += len(held) / len(targets) * abs(share_right - mean_confidence)
    for same in (probabilities, probabilities.tolist(), torch.tensor(probabilities)):
        found = expected_calibration_error(torch.tensor(targets), same, num_bins=num_bins)
        assert found == pytest.approx(expected, abs=1e-12)


def test_a_confidence_on_the_edge_of_a_bin_lies_in_the_lower_one() -> None:
    assert expected_calibration_error([0, 1], [[0.28, 0.24], [0.26, 0.24]], num_bins=25) == pytest.approx(0.23)
    for num_bins in (15, 25, 29):
        for edge in range(1, num_bins + 1):
            confidences = [edge / num_bins, (edge - 0.5) / num_bins]
            rows = [[confidence, 0.0] for confidence in confidences]
            found = expected_calibration_error([0, 1], rows, num_bins=num_bins)
            assert found == pytest.approx(abs(1 - sum(confidences)) / 2, abs=1e-12), f"{edge} / {num_bins}"


def test_the_calibration_error_of_certainty_is_the_error_rate() -> None:
    certain = torch.eye(4)
    assert expected_calibration_error([0, 1, 2, 3], certain) == 0
    assert expected_calibration_error([0, 1, 2, 0], certain) == 0.25
    assert expected_calibration_error([0, 1], [[0.0, 0.0], [0.0, 0.0]]) == 0.5


@given(data=st.data(), size=st.integers(1, 20_000), confidence=st.floats(0.01, 0.999))
def test_the_confidence_interval_is_that_of_scipy(data: st.DataObject, size: int, confidence: float) -> None:
    num_correct = data.draw(st.integers(0, size))
    interval = confidence_interval(num_correct, size, confidence=confidence)
    expected = binomtest(num_correct, size).proportion_ci(confidence, method="wilson")
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= interval.low <= num_correct / size <= interval.high <= 1
    wider = confidence_interval(num_correct, size, confidence=(1 + confidence) / 2)
    assert wider.low <= interval.low
    assert wider.high >= interval.high


def test_the_confidence_is_95_percent_unless_told_and_ends_at_0_and_1() -> None:
    assert confidence_interval(990, 1000) == confidence_interval(990, 1000, confidence=0.95)
    assert confidence_interval(0, 5).low == 0
    assert confidence_interval(5, 5).high == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_scores_of_any_floating_point_type_on_a_graph_are_taken(dtype: torch.dtype) -> None:
    scores = torch.eye(3, dtype=dtype, requires_grad=True)
    assert top_k_accuracy(torch.arange(3), scores, k=1) == 1
    assert expected_calibration_error(torch.arange(3), scores) == 0


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "uint64"])
def test_integers_of_any_type_do_not_overflow(dtype: str) -> None:
    labels = np.arange(100, dtype=dtype)
    assert confusion_matrix(labels, labels).tolist() == np.eye(100, dtype=int).tolist()
    assert accuracy(labels, labels[::-1]) == 0


@pytest.mark.parametrize("metric", [accuracy, error_rate, confusion_matrix, classification_report])
@pytest.mark.parametrize(
    ("targets", "labels", "message"),
    [
        ([], [], r"targets have shape \(0,\) and dtype float64; expected \(N,\) integers, N above 0"),
        ([0, 1], [0, 1, 1], "there are 2 targets and 3 labels; expected as many"),
        ([[0], [1]], [0, 1], r"targets have shape \(2, 1\) and dtype int64; expected \(N,\) integers"),
        ([0, 1], [0.0, 1.0], r"labels have shape \(2,\) and dtype float64; expected \(N,\) integers"),
        ([0, 1], [False, True], r"labels have shape \(2,\) and dtype bool; expected \(N,\) integers"),
        ([0, 1], torch.eye(2), r"labels have shape \(2, 2\) and dtype float32; expected \(N,\) integers"),
        (3, 3, r"targets have shape \(\) and dtype int64; expected \(N,\) integers"),
    ],
    ids=["empty", "lengths", "rank", "float", "bool", "logits", "number"],
)
def test_targets_and_labels_that_do_not_agree_are_refused(
    metric: Callable[[Any, Any], Any], targets: Any, labels: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(targets, labels)


@pytest.mark.parametrize("metric", [top_k_accuracy, expected_calibration_error])
@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        ([], np.zeros((0, 5)), "targets have shape .* expected .*, N above 0"),
        ([0, 1], np.zeros((3, 5)), r"scores have shape \(3, 5\); expected \(2, num_classes\), a row a target"),
        ([0, 1], [0.5, 0.5], r"scores have shape \(2,\); expected \(2, num_classes\), a row a target"),
        ([0, 1], np.array([[0, np.nan, 0, 0, 0], [np.nan] * 5]), "scores hold 6 NaN; expected numbers"),
        ([0, 5], np.zeros((2, 5)), r"targets lie in \[0, 5\]; expected 0 to 4"),
        ([0, -1], np.zeros((2, 5)), r"targets lie in \[-1, 0\]; expected 0 to 4"),
    ],
    ids=["empty", "lengths", "rank", "NaN", "high", "low"],
)
def test_targets_and_scores_that_do_not_agree_are_refused(
    metric: Callable[[Any, Any], Any], targets: Any, scores: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(targets, scores)


@pytest.mark.parametrize(
    ("labels", "num_classes", "message"),
    [
        ([0, 3], 3, r"classes lie in \[0, 3\]; expected 0 to 2"),
        ([0, -2], 3, r"classes lie in \[-2, 1\]; expected 0 to 2"),
        ([0, -2], None, r"classes lie in \[-2, 1\]; expected 0 to 1"),
    ],
)
def test_classes_out_of_range_have_no_place_in_a_confusion_matrix(
    labels: list[int], num_classes: int | None, message: str
) -> None:
    for targets, answered in ((labels, [0, 1]), ([0, 1], labels)):
        with pytest.raises(ValueError, match=message):
            confusion_matrix(targets, answered, num_classes=num_classes)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 2], ["a", "b"], r"classes lie in \[0, 2\]; expected 0 to 1"),
        ([0, -1], None, r"classes lie in \[-1, 1\]; expected 0 to 1"),
    ],
    ids=["high", "low"],
)
def test_classes_out_of_range_have_no_place_in_a_report(
    labels: list[int], classes: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        classification_report([0, 1], labels, classes=classes)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_a_number_of_guesses_out_of_range_is_refused(k: int) -> None:
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
def test_what_are_no_probabilities_have_no_calibration(probabilities: Any, num_bins: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expected_calibration_error([0], probabilities, num_bins=num_bins)


def test_a_probability_that_rounding_lifts_above_1_is_taken() -> None:
    assert expected_calibration_error([0], [[1 + 1e-7, 0]]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("num_correct", "num_examples", "confidence"),
    [(-1, 5, 0.9), (6, 5, 0.9), (0, 0, 0.9), (1, 5, 0.0), (1, 5, 1.0), (1, 5, float("nan"))],
)
def test_an_impossible_confidence_interval_is_refused(num_correct: int, num_examples: int, confidence: float) -> None:
    message = f"{num_correct} of {num_examples} at confidence {confidence} is impossible; expected 0 <= num_correct"
    with pytest.raises(ValueError, match=message):
        confidence_interval(num_correct, num_examples, confidence=confidence)
