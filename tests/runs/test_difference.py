"""Two groups of runs: the difference of their accuracies, with an interval that says over what."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lenet5 import Evaluation
from lenet5.runs import SavedRun, compare_groups, read_run


@pytest.fixture(scope="module")
def template(runs: Path) -> SavedRun:
    return read_run(runs / "max" / "seed-9")


def with_correct(run: SavedRun, correct: Sequence[bool], targets: int = 0) -> SavedRun:
    """Return a run of two classes that is right for the given images."""
    truth = np.full(len(correct), targets)
    predictions = np.where(correct, truth, 1 - truth)
    evaluation = Evaluation(truth, np.eye(2)[predictions])
    matrix = evaluation.confusion_matrix
    return dataclasses.replace(run, classes=evaluation.classes, confusion_matrix=matrix, evaluation=evaluation)


def with_accuracies(run: SavedRun, counts: Sequence[int]) -> list[SavedRun]:
    """Return runs with these numbers of correct predictions among 100."""
    return [with_correct(run, [index < count for index in range(100)]) for count in counts]


def test_seeds_are_compared_by_welch(template: SavedRun) -> None:
    first, second = (with_accuracies(template, counts) for counts in ([90, 92, 94], [95, 96, 98, 99]))
    result = compare_groups(first, second, confidence=0.9)
    expected = stats.ttest_ind([0.95, 0.96, 0.98, 0.99], [0.90, 0.92, 0.94], equal_var=False)
    assert result.method == "seeds"
    assert result.difference == pytest.approx(0.97 - 0.92)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert result[1:3] == pytest.approx(tuple(expected.confidence_interval(0.9)))
    reverse = compare_groups(second, first, confidence=0.9)
    assert reverse[:3] == pytest.approx((-result.difference, -result.high, -result.low))


def test_single_runs_are_compared_image_by_image(template: SavedRun) -> None:
    first = [True] * 80 + [True] * 4 + [False] * 12 + [False] * 4
    second = [True] * 80 + [False] * 4 + [True] * 12 + [False] * 4
    result = compare_groups([with_correct(template, first)], [with_correct(template, second)])
    assert result.method == "images"
    assert result.difference == pytest.approx(0.08)
    assert result.p_value == pytest.approx(stats.binomtest(4, 16).pvalue)
    # Agresti and Min 2005, equation for the Wald interval with half a pair added to each cell
    centre, scale = (12.5 - 4.5) / 102, np.sqrt(12.5 + 4.5 - (12.5 - 4.5) ** 2 / 102) / 102
    assert result[1:3] == pytest.approx((centre - 1.959964 * scale, centre + 1.959964 * scale), abs=1e-6)


def test_equal_predictions_have_an_interval_around_zero(template: SavedRun) -> None:
    run = with_correct(template, [True] * 50 + [False] * 2)
    difference, low, high, p_value, _ = compare_groups([run], [run])
    assert (difference, p_value) == (0, 1)
    assert low == pytest.approx(-high)
    assert high > 0


def test_intervals_over_the_images_cover_the_truth(template: SavedRun) -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        first = random.random(300) < 0.9
        second = np.where(random.random(300) < 0.1, ~first, first)  # true difference: 0.1 * (0.1 - 0.9)
        result = compare_groups([with_correct(template, first)], [with_correct(template, second)])  # type: ignore[arg-type]
        covered += result.low <= -0.08 <= result.high
    assert covered >= 184  # 95 % of 200, minus 2.5 standard deviations


def test_comparisons_that_would_mislead_are_refused(template: SavedRun) -> None:
    one, other = (with_correct(template, [True, False] * 10, targets) for targets in (0, 1))
    with pytest.raises(ValueError, match="1 and 2 runs; expected at least two seeds in each, or one run in each"):
        compare_groups([one], [one, other])
    with pytest.raises(ValueError, match="not evaluated on the same test images"):
        compare_groups([one], [other])
    with pytest.raises(ValueError, match="not evaluated on the same test images"):
        compare_groups([one, one], [other, other])
    with pytest.raises(ValueError, match="all runs of a group have the same accuracy"):
        compare_groups([one, one], [one, one])
    with pytest.raises(ValueError, match="stores no predictions"):
        compare_groups([one], [dataclasses.replace(one, evaluation=None)])
    with pytest.raises(ValueError, match="confidence is 95; expected a number between 0 and 1"):
        compare_groups([one], [one], confidence=95)
