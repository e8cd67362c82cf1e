import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lenet5 import Predictions, abstention, coverage_curve


@st.composite
def classified(draw: st.DrawFn) -> tuple[list[int], list[list[float]]]:
    """Draw targets and probabilities of three classes, with many equal confidences."""
    count = draw(st.integers(1, 30))
    targets = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    rows = st.permutations([0.5, 0.3, 0.2]) | st.permutations([0.8, 0.15, 0.05]) | st.permutations([1.0, 0.0, 0.0])
    return targets, draw(st.lists(rows, min_size=count, max_size=count))


@given(case=classified())
def test_coverage_curve_matches_direct_count(case: tuple[list[int], list[list[float]]]) -> None:
    targets, probabilities = case
    curve = coverage_curve(targets, probabilities)
    assert curve.thresholds.tolist() == sorted({max(row) for row in probabilities}, reverse=True)
    for threshold, coverage, accuracy in zip(*curve, strict=True):
        classified_rows = [(t, row) for t, row in zip(targets, probabilities, strict=True) if max(row) >= threshold]
        assert coverage == pytest.approx(len(classified_rows) / len(targets))
        assert accuracy == pytest.approx(
            sum(int(np.argmax(row)) == t for t, row in classified_rows) / len(classified_rows)
        )
    assert curve.coverage[-1] == 1


@given(case=classified(), required=st.floats(0.01, 1))
def test_abstention_returns_lowest_sufficient_threshold(
    case: tuple[list[int], list[list[float]]], required: float
) -> None:
    curve = coverage_curve(*case)
    if (curve.accuracy < required).all():
        with pytest.raises(ValueError, match="no threshold reaches an accuracy of"):
            abstention(*case, accuracy=required)
        return
    chosen = abstention(*case, accuracy=required)
    assert chosen.accuracy >= required
    assert chosen.threshold == curve.thresholds[curve.accuracy >= required].min()
    probabilities = torch.tensor(case[1], dtype=torch.float64)
    labels = Predictions(probabilities.argmax(1), probabilities).abstain(chosen.threshold)
    covered = labels >= 0
    assert covered.double().mean().item() == pytest.approx(chosen.coverage)
    assert (labels == torch.tensor(case[0]))[covered].double().mean().item() == pytest.approx(chosen.accuracy)


def test_predictions_abstain_below_threshold() -> None:
    predictions = Predictions(torch.tensor([2, 0]), torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]]))
    assert predictions.confidence.tolist() == pytest.approx([0.7, 0.5])
    assert predictions.abstain(0).tolist() == [2, 0]
    assert predictions.abstain(0.6).tolist() == [2, -1]
    assert predictions.abstain(1).tolist() == [-1, -1]
    assert predictions.abstain(None).tolist() == [2, 0]
    for threshold in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="expected a probability from 0 to 1"):
            predictions.abstain(threshold)


@pytest.mark.parametrize("accuracy", [0, -1, 1.5, math.nan])
def test_abstention_rejects_accuracy_out_of_range(accuracy: float) -> None:
    with pytest.raises(ValueError, match="expected a number above 0 and at most 1"):
        abstention([0], [[1.0, 0.0]], accuracy=accuracy)
