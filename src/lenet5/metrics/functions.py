"""Classification metrics as plain functions of arrays or tensors."""

from __future__ import annotations  # keeps the alias ArrayOrTensor short in the documentation

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import arguments

ArrayOrTensor: TypeAlias = "npt.ArrayLike | Tensor"
IntArray: TypeAlias = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """Bounds of a confidence interval."""

    low: float
    high: float


def accuracy(targets: ArrayOrTensor, predictions: ArrayOrTensor) -> float:
    """Compute the fraction of predictions that equal their targets.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    predictions
        (N,) integers: the predicted classes.

    Raises
    ------
    ValueError
        The arguments are empty, differ in length, or are not one-dimensional integers.

    Examples
    --------
    >>> lenet5.accuracy([0, 1, 2, 2], [0, 1, 2, 1])
    0.75
    """
    targets, predictions = _check_pair(targets, predictions)
    return float(np.mean(targets == predictions))


def error_rate(targets: ArrayOrTensor, predictions: ArrayOrTensor) -> float:
    """Compute the fraction of predictions that differ from their targets.

    This function counts errors. Scikit-learn's `zero_one_loss` subtracts the accuracy from 1, which can differ in the
    last digit.

    Parameters
    ----------
    targets, predictions
        As for `accuracy`.

    Raises
    ------
    ValueError
        As for `accuracy`.

    Examples
    --------
    >>> lenet5.error_rate([0, 1, 2, 2], [0, 1, 2, 1])
    0.25
    """
    targets, predictions = _check_pair(targets, predictions)
    return float(np.mean(targets != predictions))


def top_k_accuracy(targets: ArrayOrTensor, scores: ArrayOrTensor, *, k: int = 5) -> float:
    """Compute the fraction of examples whose target is among the `k` highest-scoring classes.

    Ties are broken in favour of the higher class index, as in scikit-learn.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    scores
        (N, num_classes): logits or probabilities.
    k
        Number of classes to consider, from 1 to `num_classes`.

    Raises
    ------
    ValueError
        The shapes do not match, `k` or a target is out of range, or a score is NaN.

    Examples
    --------
    >>> scores = [[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]
    >>> lenet5.top_k_accuracy([1, 0], scores, k=2)
    0.5
    """
    targets, scores = check_scores(targets, scores)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k is {k}; expected 1 to {scores.shape[1]}, the number of classes")
    top_k = np.argsort(scores, axis=1, kind="stable")[:, ::-1][:, :k]
    return float(np.mean((top_k == targets[:, None]).any(axis=1)))


def confusion_matrix(targets: ArrayOrTensor, predictions: ArrayOrTensor, *, num_classes: int | None = None) -> IntArray:
    """Count the examples of each true class (row) and predicted class (column).

    Parameters
    ----------
    targets, predictions
        As for `accuracy`, from 0 to `num_classes` - 1.
    num_classes
        Number of rows and columns. None infers it from the highest class.

    Returns
    -------
    ndarray
        (num_classes, num_classes) int64.

    Raises
    ------
    ValueError
        As for `accuracy`, or a class is out of range.

    Examples
    --------
    >>> lenet5.confusion_matrix([0, 1, 2, 2], [0, 1, 2, 1])
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 1]])
    """
    targets, predictions = _check_pair(targets, predictions)
    low, high = min(targets.min(), predictions.min()), max(targets.max(), predictions.max())
    size = int(high) + 1 if num_classes is None else num_classes
    if low < 0 or high >= size:
        raise ValueError(f"classes lie in [{low}, {high}]; expected 0 to {size - 1}")
    return np.bincount(targets * size + predictions, minlength=size * size).reshape(size, size)


def classification_report(
    targets: ArrayOrTensor, predictions: ArrayOrTensor, *, classes: Sequence[str] | None = None
) -> dict[str, Any]:
    """Compute precision, recall, F1 score and support per class, and their averages.

    Parameters
    ----------
    targets, predictions
        As for `confusion_matrix`.
    classes
        Class names. None uses the class indices.

    Returns
    -------
    dict
        The dictionary of `sklearn.metrics.classification_report` over all `classes`, with `zero_division=0`.

    Raises
    ------
    ValueError
        As for `confusion_matrix`.

    Examples
    --------
    >>> report = lenet5.classification_report([0, 1, 1], [0, 1, 0], classes=["cat", "dog"])
    >>> report["dog"]["recall"]
    0.5
    """
    from sklearn.metrics import classification_report as report

    targets, predictions = _check_pair(targets, predictions)
    matrix = confusion_matrix(targets, predictions, num_classes=None if classes is None else len(classes))
    options = {"labels": range(len(matrix)), "target_names": classes, "output_dict": True, "zero_division": 0}
    metrics: dict[str, Any] = report(targets, predictions, **options)
    return metrics


def expected_calibration_error(targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, num_bins: int = 15) -> float:
    """Compute the expected calibration error (ECE).

    The ECE is the absolute difference between confidence and accuracy, averaged over equal-width bins of confidence and
    weighted by the number of examples per bin. The bins are (low, high], as in eq. 3 of Guo et al., "On Calibration of
    Modern Neural Networks", ICML 2017. The measure is due to Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated
    Probabilities Using Bayesian Binning", AAAI 2015.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes), in [0, 1].
    num_bins
        Number of bins. Guo et al. use 15.

    Raises
    ------
    ValueError
        The shapes do not match, a target or a probability is out of range, the probabilities of a row add up to more
        than 1, or `num_bins` is less than 1.

    Examples
    --------
    >>> probabilities = [[0.9, 0.1], [0.8, 0.2]]
    >>> round(lenet5.expected_calibration_error([0, 0], probabilities), 2)
    0.15
    """
    targets, probabilities = check_probabilities(targets, probabilities)
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}; expected at least 1")
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == targets
    bins = np.searchsorted(np.arange(1, num_bins) / num_bins, confidence)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(targets))


def confidence_interval(num_correct: int, num_examples: int, *, confidence: float = 0.95) -> Interval:
    """Compute the Wilson score interval of an accuracy.

    Unlike the normal approximation, the interval stays within [0, 1] and remains accurate near both ends. See
    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22(158), 1927.

    Parameters
    ----------
    num_correct, num_examples
        Counts, with 0 <= `num_correct` <= `num_examples` and `num_examples` >= 1.
    confidence
        Confidence level, between 0 and 1 exclusive.

    Raises
    ------
    ValueError
        A count or `confidence` is out of range.

    Examples
    --------
    >>> low, high = lenet5.confidence_interval(9_922, 10_000)
    >>> f"{low:.2%} to {high:.2%}"
    '99.03% to 99.37%'
    """
    from scipy.stats import binomtest

    if not 0 <= num_correct <= num_examples or num_examples < 1:
        expected = "0 <= num_correct <= num_examples and at least one example"
        raise ValueError(f"{num_correct} of {num_examples} is impossible; expected {expected}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1")
    interval = binomtest(num_correct, num_examples).proportion_ci(confidence, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def check_probabilities(targets: ArrayOrTensor, probabilities: ArrayOrTensor) -> tuple[IntArray, npt.NDArray[Any]]:
    """Convert and check targets and probabilities as `check_scores` does; no row adds up to more than 1."""
    targets, probabilities = check_scores(targets, probabilities)
    arguments.check_probabilities(probabilities)
    return targets, probabilities


def check_scores(targets: ArrayOrTensor, scores: ArrayOrTensor) -> tuple[IntArray, npt.NDArray[Any]]:
    """Convert targets (N,) and scores (N, num_classes) to arrays, and check shapes and values."""
    targets, scores = _check_classes(targets, "targets"), _as_array(scores)
    if scores.ndim != 2 or len(scores) != len(targets):
        raise ValueError(
            f"scores have shape {scores.shape}; expected ({len(targets)}, num_classes), one row per target"
        )
    if np.isnan(scores).any():
        raise ValueError(f"scores contain {np.isnan(scores).sum()} NaN; expected numbers")
    if targets.min() < 0 or targets.max() >= scores.shape[1]:
        raise ValueError(f"targets lie in [{targets.min()}, {targets.max()}]; expected 0 to {scores.shape[1] - 1}")
    return targets, scores


def _check_pair(targets: ArrayOrTensor, predictions: ArrayOrTensor) -> tuple[IntArray, IntArray]:
    targets, predictions = _check_classes(targets, "targets"), _check_classes(predictions, "predictions")
    if len(targets) != len(predictions):
        raise ValueError(f"there are {len(targets)} targets and {len(predictions)} predictions; expected equal counts")
    return targets, predictions


def _check_classes(values: ArrayOrTensor, name: str) -> IntArray:
    array = _as_array(values)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise ValueError(f"{name} have shape {array.shape} and dtype {array.dtype}; expected (N,) integers, N above 0")
    return array.astype(np.int64)


def _as_array(values: ArrayOrTensor) -> npt.NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16
    return np.asarray(values)
