"""Selective classification: accuracy against coverage."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .functions import ArrayOrTensor, check_scores


class CoverageCurve(NamedTuple):
    """Accuracy and coverage at each confidence threshold: three (K,) float64 arrays, by descending threshold.

    Examples
    --------
    >>> curve = lenet5.coverage_curve([0, 1, 1], [[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    >>> curve.thresholds, curve.accuracy.round(2)
    (array([0.9, 0.7, 0.6]), array([1.  , 1.  , 0.67]))
    """

    thresholds: npt.NDArray[np.float64]
    """Distinct confidences. Examples with at least this confidence are classified."""

    coverage: npt.NDArray[np.float64]
    """Fraction of examples that are classified."""

    accuracy: npt.NDArray[np.float64]
    """Fraction of classified examples that are correct."""


class Abstention(NamedTuple):
    """One point of a coverage curve.

    Examples
    --------
    >>> probabilities = [[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]]
    >>> lenet5.abstention([0, 1, 1], probabilities, accuracy=0.9).threshold
    0.7
    """

    threshold: float
    coverage: float
    accuracy: float


def coverage_curve(targets: ArrayOrTensor, probabilities: ArrayOrTensor) -> CoverageCurve:
    """Compute accuracy against coverage for every confidence threshold.

    The confidence of an example is its highest probability. See El-Yaniv and Wiener, "On the Foundations of Noise-free
    Selective Classification", JMLR 11, 2010.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes).

    Raises
    ------
    ValueError
        The arguments are empty, or their shapes do not match.

    Examples
    --------
    >>> curve = lenet5.coverage_curve([0, 1, 1], [[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    >>> curve.coverage.round(2)
    array([0.33, 0.67, 1.  ])
    """
    targets, probabilities = check_scores(targets, probabilities)
    confidence = probabilities.max(axis=1).astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    num_correct = np.cumsum((probabilities.argmax(axis=1) == targets)[order])
    last = np.flatnonzero(np.diff(confidence[order], append=-np.inf))  # a threshold never separates equal confidences
    return CoverageCurve(confidence[order][last], (last + 1) / len(targets), num_correct[last] / (last + 1))


def abstention(targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, accuracy: float = 0.999) -> Abstention:
    """Find the lowest confidence threshold that reaches an accuracy.

    Choose the threshold on validation data. Report its coverage and accuracy on test data, because they are optimistic
    on the data used for the choice.

    Parameters
    ----------
    targets, probabilities
        As for `coverage_curve`.
    accuracy
        Required accuracy of the classified examples, in (0, 1].

    Raises
    ------
    ValueError
        `accuracy` is out of range, or no threshold reaches it.

    Examples
    --------
    >>> weights, digits = lenet5.load("mnist_v2"), lenet5.load_data("digits")
    >>> probabilities = weights.predict(digits.val.images).probabilities
    >>> chosen = lenet5.abstention(digits.val.targets, probabilities, accuracy=0.99)
    >>> chosen.accuracy >= 0.99
    True
    """
    if not 0 < accuracy <= 1:
        raise ValueError(f"accuracy is {accuracy}; expected a number above 0 and at most 1")
    curve = coverage_curve(targets, probabilities)
    if not (curve.accuracy >= accuracy).any():
        raise ValueError(f"no threshold reaches an accuracy of {accuracy}; the highest is {curve.accuracy.max():.4f}")
    lowest = np.flatnonzero(curve.accuracy >= accuracy)[-1]
    return Abstention(*(float(values[lowest]) for values in curve))
