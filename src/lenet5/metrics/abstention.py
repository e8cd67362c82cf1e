"""What is gained by leaving doubtful examples unanswered."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .functional import ArrayOrTensor, check_scores


class CoverageCurve(NamedTuple):
    """Accuracy by coverage; three arrays (K,) of float64, a place for each confidence that occurs, highest first."""

    thresholds: npt.NDArray[np.float64]
    """Examples of at least this confidence are answered."""

    coverage: npt.NDArray[np.float64]
    """The share of the examples that are."""

    accuracy: npt.NDArray[np.float64]
    """The share of right answers among them."""


class Abstention(NamedTuple):
    """One place of a coverage curve."""

    threshold: float
    coverage: float
    accuracy: float


def coverage_curve(targets: ArrayOrTensor, probabilities: ArrayOrTensor) -> CoverageCurve:
    """Return how accurate the most confident answers are, for every share of them.

    El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 11, 2010; an example's
    confidence is its highest probability.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes).

    Raises
    ------
    ValueError
        Shapes do not agree, or there is no example.
    """
    classes, array = check_scores(targets, probabilities)
    confidence = array.max(axis=1).astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((array.argmax(axis=1) == classes)[order])
    last = np.flatnonzero(np.diff(confidence[order], append=-np.inf))  # equals are answered together or not at all
    answered: npt.NDArray[Any] = last + 1
    return CoverageCurve(confidence[order][last], answered / len(classes), right[last] / answered)


def abstention(targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, accuracy: float = 0.999) -> Abstention:
    """Return the lowest threshold at which the answers have an accuracy, and the share of examples that get one.

    Parameters
    ----------
    targets, probabilities
        As for `coverage_curve`. A coverage is stated on other examples than those that the threshold was chosen on.
    accuracy
        What is wanted, above 0 and at most 1.

    Raises
    ------
    ValueError
        No threshold gives that accuracy, or it is out of range.
    """
    if not 0 < accuracy <= 1:
        raise ValueError(f"accuracy is {accuracy}; expected a number above 0 and at most 1")
    curve = coverage_curve(targets, probabilities)
    enough = np.flatnonzero(curve.accuracy >= accuracy)
    if not len(enough):
        raise ValueError(f"no threshold gives an accuracy of {accuracy}; the highest is {curve.accuracy.max():.4f}")
    place = enough[-1]
    return Abstention(*(float(values[place]) for values in curve))
