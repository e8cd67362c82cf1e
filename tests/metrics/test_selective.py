import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lenet5 import Predictions, abstention, coverage_curve


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int], list[list[float]]]:
    """Targets and probabilities of three classes, with many equal confidences."""
    count = draw(st.integers(1, 30))
    targets = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    rows = st.permutations([0.5, 0.3, 0.2]) | st.permutations([0.8, 0.15, 0.05]) | st.permutations([1.0, 0.0, 0.0])
    return targets, draw(st.lists(rows, min_size=count, max_size=count))


@given(given_answers=answers())
def test_each_place_of_the_curve_is_what_counting_gives(given_answers: tuple[list[int], list[list[float]]]) -> None:
    targets, probabilities = given_answers
    curve = coverage_curve(targets, probabilities)
    assert curve.thresholds.tolist() == sorted({max(row) for row in probabilities}, reverse=True)
    for threshold, coverage, accuracy in zip(*curve, strict=True):
        kept = [(t, row) for t, row in zip(targets, probabilities, strict=True) if max(row) >= threshold]
        assert coverage == pytest.approx(len(kept) / len(targets))
        assert accuracy == pytest.approx(sum(int(np.argmax(row)) == t for t, row in kept) / len(kept))
    assert curve.coverage[-1] == 1


@given(given_answers=answers(), wanted=st.floats(0.01, 1))
def test_the_threshold_is_the_lowest_that_gives_the_accuracy(
    given_answers: tuple[list[int], list[list[float]]], wanted: float
) -> None:
    curve = coverage_curve(*given_answers)
    if (curve.accuracy < wanted).all():
        with pytest.raises(ValueError, match="no threshold gives an accuracy of"):
            abstention(*given_answers, accuracy=wanted)
        return
    found = abstention(*given_answers, accuracy=wanted)
    assert found.accuracy >= wanted
    assert found.threshold == curve.thresholds[curve.accuracy >= wanted].min()
    probabilities = torch.tensor(given_answers[1], dtype=torch.float64)
    labels = Predictions(probabilities.argmax(1), probabilities).abstain(found.threshold)
    answered = labels >= 0
    assert answered.double().mean().item() == pytest.approx(found.coverage)
    assert (labels == torch.tensor(given_answers[0]))[answered].double().mean().item() == pytest.approx(found.accuracy)


def test_what_is_less_probable_than_the_threshold_has_no_label() -> None:
    predictions = Predictions(torch.tensor([2, 0]), torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]]))
    assert predictions.confidence.tolist() == pytest.approx([0.7, 0.5])
    assert predictions.abstain(0).tolist() == [2, 0]
    assert predictions.abstain(0.6).tolist() == [2, -1]
    assert predictions.abstain(1).tolist() == [-1, -1]
    for threshold in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="expected a probability, from 0 to 1"):
            predictions.abstain(threshold)


@pytest.mark.parametrize("accuracy", [0, -1, 1.5, math.nan])
def test_an_accuracy_out_of_range_is_refused(accuracy: float) -> None:
    with pytest.raises(ValueError, match="expected a number above 0 and at most 1"):
        abstention([0], [[1.0, 0.0]], accuracy=accuracy)
