"""Two groups of runs: the difference of their accuracies, with its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .saved import SavedRun


class Difference(NamedTuple):
    """The difference between the test accuracies of two groups of runs: the second minus the first.

    Examples
    --------
    >>> first, second = (lenet5.runs.read_run(f"seeds/seed-{seed}") for seed in (0, 1))
    >>> difference = lenet5.runs.compare_groups([first], [second])
    >>> difference.low < difference.difference < difference.high
    True
    """

    difference: float
    """As a fraction, such as 0.002."""

    low: float
    """Lower bound of the confidence interval."""

    high: float
    """Upper bound of the confidence interval."""

    p_value: float
    """Probability of a difference at least as large, in either direction, if there is none."""

    method: str
    """"seeds" if the interval is one over the seeds, "images" if it is one over the test images."""


def compare_groups(first: Sequence[SavedRun], second: Sequence[SavedRun], *, confidence: float = 0.95) -> Difference:
    """Compare the test accuracies of two groups of runs.

    Groups of several runs are compared over their seeds, by Welch's t-test. The interval then says what other seeds
    would give on the same test images. Two single runs are compared over the test images, which they share: by the
    interval of Agresti and Min ("Simple improved confidence intervals for comparing matched proportions", Statistics in
    Medicine 24(5), 2005) and the exact test of McNemar. The interval then says what other images would give for the
    same weights, and nothing about the seeds.

    Parameters
    ----------
    first, second
        Runs that differ in nothing but the seed.
    confidence
        Confidence level, between 0 and 1 exclusive.

    Raises
    ------
    ValueError
        The runs do not allow the comparison, or `confidence` is out of range.

    Examples
    --------
    >>> runs = [lenet5.runs.read_run(folder) for folder in lenet5.runs.find_runs("seeds").values()]
    >>> difference = lenet5.runs.compare_groups(runs[:1], runs[1:])
    >>> difference.method  # two single runs are compared over the test images
    'images'
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1")
    sizes = len(first), len(second)
    if min(sizes) < 2 and sizes != (1, 1):
        raise ValueError(
            f"the groups have {sizes[0]} and {sizes[1]} runs; expected at least two seeds in each, or one run in each"
        )
    test_sets = {(run.classes, tuple(run.confusion_matrix.sum(axis=1).tolist())) for run in (*first, *second)}
    if len(test_sets) > 1:
        raise ValueError("the runs were not evaluated on the same test images")
    if sizes == (1, 1):
        return _over_images(first[0], second[0], confidence)
    return _over_seeds([run.accuracy for run in first], [run.accuracy for run in second], confidence)


def _over_seeds(first: Sequence[float], second: Sequence[float], confidence: float) -> Difference:
    from scipy.stats import ttest_ind

    difference = float(np.mean(second) - np.mean(first))
    if np.ptp(first) == 0 and np.ptp(second) == 0:
        raise ValueError("all runs of a group have the same accuracy, so its spread over the seeds is unknown")
    test = ttest_ind(second, first, equal_var=False)
    low, high = test.confidence_interval(confidence)
    return Difference(difference, float(low), float(high), float(test.pvalue), "seeds")


def _over_images(first: SavedRun, second: SavedRun, confidence: float) -> Difference:
    from scipy.stats import binomtest, norm

    one, other = first.evaluation, second.evaluation
    if one is None or other is None:
        raise ValueError("a run of an older version stores no predictions; repeat it, or compare several seeds")
    if not np.array_equal(one.targets, other.targets):
        raise ValueError("the runs were not evaluated on the same test images")
    was_right, is_right = one.predictions == one.targets, other.predictions == other.targets
    lost, gained = int((was_right & ~is_right).sum()), int((is_right & ~was_right).sum())
    total, more, less = len(one) + 2, gained + 0.5, lost + 0.5
    centre = (more - less) / total
    margin = norm.ppf((1 + confidence) / 2) * math.sqrt((more + less) / total - centre**2) / math.sqrt(total)
    p_value = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return Difference(
        (gained - lost) / len(one), float(centre - margin), float(centre + margin), float(p_value), "images"
    )
