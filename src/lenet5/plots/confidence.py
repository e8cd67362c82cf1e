"""Figures of what probabilities are worth: the reliability diagram and the coverage curve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ..arguments import check_integer, check_probabilities
from .arrays import ArrayOrTensor, as_array
from .containers import as_sequence, unexpected
from .display import AnyAxes, Figure, GivenAxes, panels
from .palette import COLOURS, GREY, finish, legend_columns, legend_name, series, share_legend, shortened
from .style import styled


class Curve(Protocol):
    """Accuracy against coverage, such as a `CoverageCurve`: arrays of one length, from 0 to 1."""

    @property
    def coverage(self) -> Any:
        """Fraction of examples that are classified."""

    @property
    def accuracy(self) -> Any:
        """Fraction of classified examples that are correct."""


Curves: TypeAlias = Curve | Mapping[str, Curve]

_WIDTH = 4.5
_INSIDE = 8  # curves whose legend has room beside them
_LONGEST = 32  # characters of a curve's name in the legend


@overload
def plot_reliability(
    targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, num_bins: int = 15, ax: None = None
) -> Figure: ...
@overload
def plot_reliability(
    targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, num_bins: int = 15, ax: GivenAxes
) -> GivenAxes: ...
@styled
def plot_reliability(
    targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, num_bins: int = 15, ax: AnyAxes | None = None
) -> Figure | AnyAxes:
    """Plot a reliability diagram: accuracy against confidence, and the number of examples by bin of confidence.

    A calibrated model is on the diagonal: of its predictions with a confidence of 80 %, 80 % are correct. Above it, the
    model is underconfident; below, overconfident. The bins are those of `expected_calibration_error`. See Guo et al.,
    "On Calibration of Modern Neural Networks", ICML 2017, figure 1.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes), in [0, 1], the sum of each row 1 at most.
    num_bins
        Number of bins of equal width.
    ax
        Axes of your own: one for the diagram, or two for the diagram and the counts. None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        The arguments are empty, their shapes do not match, a target is no class, a probability is not in [0, 1], the
        probabilities of a row add up to more than 1, or `num_bins` is less than 1.

    Examples
    --------
    >>> weights, digits = lenet5.load("mnist_v2"), lenet5.load_data("digits").test
    >>> probabilities = weights.predict(digits.images).probabilities
    >>> figure = lenet5.plots.plot_reliability(digits.targets, probabilities)
    """
    num_bins = check_integer("num_bins", num_bins, least=1)
    truth, scores = as_array("targets", targets, 1), as_array("probabilities", probabilities, 2)
    if len(truth) != len(scores):
        raise ValueError(
            f"there are {len(truth)} targets and {len(scores)} rows of probabilities; expected equal numbers"
        )
    check_probabilities(scores)
    size = scores.shape[1]
    if truth.dtype.kind not in "iu" or not 0 <= truth.min() <= truth.max() < size:
        raise ValueError(
            f"targets are {truth.dtype} in [{truth.min()}, {truth.max()}]; expected integers from 0 to {size - 1}"
        )
    counts, confidence, accuracy = _bins(scores.max(axis=1), scores.argmax(axis=1) == truth, num_bins)
    figure, both = panels(4.5, 5, 2, ax, stacked=True)
    both[0].plot([0, 100], [0, 100], color=GREY, linestyle="--", label="calibrated")
    both[0].plot(confidence, accuracy, label="measured", **series(0))
    error = float(np.nansum(np.abs(confidence - accuracy) * counts) / counts.sum())
    limits: dict[str, Any] = {"xlabel": "confidence (%)", "xlim": (0, 101)}
    finish(both[0], ylabel="accuracy (%)", ylim=(0, 103), **limits)
    if ax is None:
        both[0].set_xlabel("")
        both[0].tick_params(labelbottom=False)
    both[0].set_title(f"expected calibration error {error:.2f} %", fontsize="medium")
    if len(both) > 1:
        both[1].bar(
            np.arange(num_bins) * 100 / num_bins,
            counts,
            100 / num_bins,
            align="edge",
            edgecolor="white",
            color=COLOURS[0],
        )
        finish(both[1], ylabel="images", yscale="log", ylim=(0.7, 2 * counts.max()), legend=False, **limits)
    return figure if ax is None else ax


def _bins(
    confidence: npt.NDArray[Any], correct: npt.NDArray[np.bool_], num_bins: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the count, mean confidence and accuracy of each bin, the last two in percent; NaN where it is empty."""
    bins = np.searchsorted(np.arange(1, num_bins) / num_bins, confidence)  # (low, high]
    counts = np.bincount(bins, minlength=num_bins)
    sums = (np.bincount(bins, weights=values, minlength=num_bins) for values in (confidence, correct))
    with np.errstate(invalid="ignore"):
        means = [100 * total / counts for total in sums]
    return counts, means[0], means[1]


@overload
def plot_coverage(curves: Curves, *, ax: None = None) -> Figure: ...
@overload
def plot_coverage(curves: Curves, *, ax: GivenAxes) -> GivenAxes: ...
@styled
def plot_coverage(curves: Curves, *, ax: AnyAxes | None = None) -> Figure | AnyAxes:
    """Plot accuracy against coverage: the fraction of examples that are classified, the most confident first.

    Parameters
    ----------
    curves
        The result of `lenet5.coverage_curve`; or several, by name.
    ax
        Axes of your own; None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        There is no curve, or an empty one.

    Examples
    --------
    >>> digits = lenet5.load_data("digits").test
    >>> curves = {}
    >>> for name in ("mnist_v1", "mnist_v2"):
    ...     probabilities = lenet5.load(name).predict(digits.images).probabilities
    ...     curves[name] = lenet5.coverage_curve(digits.targets, probabilities)
    >>> figure = lenet5.plots.plot_coverage(curves)
    """
    named = curves if isinstance(curves, Mapping) else {"": curves}
    for name, curve in named.items():
        _check_curve(f"the curve {name!r}" if name else "curves", curve)
    if not named or not all(len(curve.coverage) for curve in named.values()):
        raise ValueError("there is no curve to plot; expected at least one, as from lenet5.coverage_curve")
    labels = {name: legend_name(shortened(name, _LONGEST)) for name in named}
    below = ax is None and len(named) > _INSIDE
    num_lines = math.ceil(len(named) / legend_columns([*labels.values()], _WIDTH)) if below else 0
    figure, (axes,) = panels(_WIDTH, 3.3 + 0.17 * num_lines, ax=ax)
    for index, (name, curve) in enumerate(named.items()):
        coverage, accuracy = 100 * np.asarray(curve.coverage, float), 100 * np.asarray(curve.accuracy, float)
        axes.plot(coverage, accuracy, label=labels[name], **{**series(index), "markevery": _spread(coverage, index)})
    finish(
        axes,
        xlabel="coverage: images classified (%)",
        ylabel="accuracy of these (%)",
        xlim=(0, 101),
        legend=any(named) and not below,
    )
    if below:
        share_legend(figure, [axes], _WIDTH)
    return figure if ax is None else ax


def _check_curve(name: str, curve: Any) -> None:
    """Raise ValueError unless a curve has coverage and accuracy of one length."""
    expected = "a curve, as from lenet5.coverage_curve"
    if not hasattr(curve, "coverage") or not hasattr(curve, "accuracy"):
        raise unexpected(name, curve, f"{expected}, or several by name")
    sizes = [len(as_sequence(name, values, expected)) for values in (curve.coverage, curve.accuracy)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"{name} has {sizes[0]} coverages and {sizes[1]} accuracies; expected equal numbers")


def _spread(coverage: npt.NDArray[np.float64], index: int) -> list[int]:
    """Return the points to mark: one in ten percent, elsewhere for each curve."""
    places = np.searchsorted(coverage, np.arange(5 + 2 * (index % 5), 101, 10))
    return sorted({min(int(place), len(coverage) - 1) for place in places})
