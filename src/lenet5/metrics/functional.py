"""Metrics as plain functions of arrays or tensors, equal to scikit-learn's to the last digit where it has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

ArrayOrTensor: TypeAlias = "npt.ArrayLike | Tensor"


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


def accuracy(targets: ArrayOrTensor, labels: ArrayOrTensor) -> float:
    """Return the share of labels that equal their targets.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    labels
        (N,) integers: the predicted classes.

    Raises
    ------
    ValueError
        They are empty, differ in length, or are not integers along one axis.
    """
    targets, labels = _pair(targets, labels)
    return float(np.mean(targets == labels))


def error_rate(targets: ArrayOrTensor, labels: ArrayOrTensor) -> float:
    """Return the share of labels that differ from their targets; arguments as for `accuracy`.

    It is counted, where scikit-learn's `zero_one_loss` is 1 minus the accuracy, which can round otherwise.
    """
    targets, labels = _pair(targets, labels)
    return float(np.mean(targets != labels))


def top_k_accuracy(targets: ArrayOrTensor, scores: ArrayOrTensor, *, k: int = 5) -> float:
    """Return the share of examples whose target is among the `k` classes of the highest scores.

    Of equal scores the class of the higher index comes first, as in scikit-learn.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    scores
        (N, num_classes): logits or probabilities.
    k
        How many guesses are granted, from 1 to num_classes.

    Raises
    ------
    ValueError
        Shapes do not agree, `k` is out of range, a target names no class, or a score is NaN.
    """
    targets, scores = check_scores(targets, scores)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k is {k}; expected 1 to {scores.shape[1]}, the number of classes")
    best = np.argsort(scores, axis=1, kind="stable")[:, ::-1][:, :k]
    return float(np.mean((best == targets[:, None]).any(axis=1)))


def confusion_matrix(
    targets: ArrayOrTensor, labels: ArrayOrTensor, *, num_classes: int | None = None
) -> npt.NDArray[np.int64]:
    """Count the examples of each class (row) that were given each label (column).

    Parameters
    ----------
    targets, labels
        As for `accuracy`, none negative.
    num_classes
        Rows and columns; None for one more than the highest class that occurs.

    Returns
    -------
    ndarray
        (num_classes, num_classes) int64.

    Raises
    ------
    ValueError
        As for `accuracy`, or a class is negative or not below `num_classes`.
    """
    targets, labels = _pair(targets, labels)
    low, high = min(targets.min(), labels.min()), max(targets.max(), labels.max())
    size = int(high) + 1 if num_classes is None else num_classes
    if low < 0 or high >= size:
        raise ValueError(f"classes lie in [{low}, {high}]; expected 0 to {size - 1}")
    return np.bincount(targets * size + labels, minlength=size * size).reshape(size, size)


def classification_report(
    targets: ArrayOrTensor, labels: ArrayOrTensor, *, classes: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return scikit-learn's report: precision, recall, F1 and support of each class, and their averages.

    Parameters
    ----------
    targets, labels
        As for `confusion_matrix`.
    classes
        The classes' names; None for their numbers.

    Returns
    -------
    dict
        As `sklearn.metrics.classification_report(..., output_dict=True, zero_division=0)` gives it, over all `classes`.
    """
    from sklearn.metrics import classification_report as report

    targets, labels = _pair(targets, labels)
    size = len(confusion_matrix(targets, labels, num_classes=None if classes is None else len(classes)))
    names = [str(n) for n in range(size)] if classes is None else list(classes)
    indices = range(len(names))
    result: dict[str, Any] = report(
        targets, labels, labels=indices, target_names=names, output_dict=True, zero_division=0
    )
    return result


def expected_calibration_error(targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, num_bins: int = 15) -> float:
    """Return by how much confidence and accuracy differ, on the average over examples.

    The examples are put into bins of equal width by the probability of their label; each bin counts with its share of
    the examples (Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI
    2015; Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3, with bins (low, high]).

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes), in [0, 1].
    num_bins
        How many bins; 15 is what Guo et al. use.

    Raises
    ------
    ValueError
        Shapes do not agree, a probability is out of range, or `num_bins` is less than 1.
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
    """Return Wilson's score interval of an accuracy.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22(158), 1927. It stays
    within [0, 1] and holds near its ends, where the interval of the normal approximation does not.

    Parameters
    ----------
    num_correct, num_examples
        Counts: 0 <= num_correct <= num_examples, and at least one example.
    confidence
        How often such an interval holds the true accuracy, between 0 and 1.

    Raises
    ------
    ValueError
        A count or `confidence` is out of range.
    """
    if not (0 <= num_correct <= num_examples and num_examples > 0 and 0 < confidence < 1):
        raise ValueError(
            f"{num_correct} of {num_examples} at confidence {confidence} is impossible;"
            " expected 0 <= num_correct <= num_examples, an example at least, and 0 < confidence < 1"
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = num_correct / num_examples, z * z / num_examples
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    low = 0.0 if num_correct == 0 else max(0.0, centre - half)
    high = 1.0 if num_correct == num_examples else min(1.0, centre + half)
    return Interval(low, high)


def _pair(targets: ArrayOrTensor, labels: ArrayOrTensor) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    first, second = _classes(targets, "targets"), _classes(labels, "labels")
    if len(first) != len(second):
        raise ValueError(f"there are {len(first)} targets and {len(second)} labels; expected as many")
    return first, second


def check_probabilities(
    targets: ArrayOrTensor, probabilities: ArrayOrTensor
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Return what `check_scores` does, once the scores are seen to be in [0, 1]."""
    classes, array = check_scores(targets, probabilities)
    if array.min() < 0 or array.max() > 1 + 1e-6:  # float32 softmax can round above 1
        raise ValueError(f"probabilities lie in [{array.min():.4g}, {array.max():.4g}]; expected [0, 1]")
    return classes, array


def check_scores(targets: ArrayOrTensor, scores: ArrayOrTensor) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Return targets and scores as arrays, once their shapes and values are seen to agree."""
    classes, array = _classes(targets, "targets"), _array(scores)
    if array.ndim != 2 or len(array) != len(classes):
        raise ValueError(f"scores have shape {array.shape}; expected ({len(classes)}, num_classes), a row a target")
    if np.isnan(array).any():
        raise ValueError(f"scores hold {np.isnan(array).sum()} NaN; expected numbers")
    if classes.min() < 0 or classes.max() >= array.shape[1]:
        raise ValueError(f"targets lie in [{classes.min()}, {classes.max()}]; expected 0 to {array.shape[1] - 1}")
    return classes, array


def _classes(values: ArrayOrTensor, name: str) -> npt.NDArray[np.int64]:
    array = _array(values)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise ValueError(f"{name} have shape {array.shape} and dtype {array.dtype}; expected (N,) integers, N above 0")
    return array.astype(np.int64)


def _array(values: ArrayOrTensor) -> npt.NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # numpy has no bfloat16
    return np.asarray(values)
