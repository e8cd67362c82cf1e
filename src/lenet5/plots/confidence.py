"""Figures of what probabilities are worth: the reliability diagram and the coverage curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ..arguments import check_integer
from .arrays import ArrayOrTensor, as_array
from .display import AnyAxes, Figure, GivenAxes, panels
from .palette import COLOURS, GREY, finish, literal, series


class Curve(Protocol):
    """Accuracy against coverage, such as a `CoverageCurve`: arrays of one length, from 0 to 1."""

    @property
    def coverage(self) -> Any:
        """Fraction of examples that are classified."""

    @property
    def accuracy(self) -> Any:
        """Fraction of classified examples that are correct."""


Curves: TypeAlias = Curve | Mapping[str, Curve]


@overload
def plot_reliability(
    targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, num_bins: int = 15, ax: None = None
) -> Figure: ...
@overload
def plot_reliability(
    targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, num_bins: int = 15, ax: GivenAxes
) -> GivenAxes: ...
def plot_reliability(
    targets: ArrayOrTensor, probabilities: ArrayOrTensor, *, num_bins: int = 15, ax: AnyAxes | None = None
) -> Figure | AnyAxes:
    """Plot a reliability diagram: accuracy against confidence, and the number of examples by bin of confidence.

    On the diagonal, the probabilities are calibrated: of the predictions with a confidence of 80 %, 80 % are correct.
    See Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, figure 1.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes), in [0, 1].
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
        The arguments are empty, their shapes do not match, or `num_bins` is less than 1.

    Examples
    --------
    >>> weights, digits = lenet5.load("mnist_v2"), lenet5.load_data("digits").test
    >>> probabilities = weights.predict(digits.images).probabilities
    >>> figure = lenet5.plots.plot_reliability(digits.targets, probabilities)
    """
    num_bins = check_integer("num_bins", num_bins, least=1)
    targets, probabilities = as_array("targets", targets, 1), as_array("probabilities", probabilities, 2)
    if len(targets) != len(probabilities):
        raise ValueError(f"there are {len(targets)} targets and {len(probabilities)} rows of probabilities")
    counts, confidence, accuracy = _bins(targets, probabilities, num_bins)
    figure, both = panels(4.5, 5, 2, ax, stacked=True)
    both[0].plot([0, 100], [0, 100], color=GREY, linestyle="--", label="calibrated")
    both[0].plot(confidence, accuracy, label="model", **series(0))
    error = float(np.nansum(np.abs(confidence - accuracy) * counts) / counts.sum())
    title = f"expected calibration error: {error:.2f} %"
    finish(both[0], xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 101), ylim=(0, 101), title=title)
    if len(both) > 1:
        width = 100 / num_bins
        both[1].bar(np.arange(num_bins) * width, counts, width, align="edge", color=COLOURS[0], edgecolor="w")
        finish(both[1], xlabel="confidence (%)", ylabel="images", yscale="log", xlim=(0, 101), legend=False)
    return figure if ax is None else ax


def _bins(
    targets: npt.NDArray[Any], probabilities: npt.NDArray[Any], num_bins: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return count, mean confidence and accuracy of each bin, the last two in percent; NaN where a bin is empty."""
    highest = probabilities.max(axis=1).astype(np.float64)
    bins = np.searchsorted(np.arange(1, num_bins) / num_bins, highest)  # (low, high], as the calibration error has them
    counts = np.bincount(bins, minlength=num_bins)
    means = [
        np.bincount(bins, weights=values, minlength=num_bins) / np.where(counts, counts, np.nan)
        for values in (highest, probabilities.argmax(axis=1) == targets)
    ]
    return counts, 100 * means[0], 100 * means[1]


@overload
def plot_coverage(curves: Curves, *, ax: None = None) -> Figure: ...
@overload
def plot_coverage(curves: Curves, *, ax: GivenAxes) -> GivenAxes: ...
def plot_coverage(curves: Curves, *, ax: AnyAxes | None = None) -> Figure | AnyAxes:
    """Plot the accuracy of the most confident predictions against their fraction, the coverage.

    Parameters
    ----------
    curves
        The result of `coverage_curve`; or several, by name.
    ax
        Axes of your own; None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        There is no curve.

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
    if not named or not all(len(curve.coverage) for curve in named.values()):
        raise ValueError("there is no curve to plot; expected at least one, as from coverage_curve")
    figure, (axes,) = panels(4.5, 3.3, ax=ax)
    for index, (name, curve) in enumerate(named.items()):
        style = {**series(index), "marker": None}
        axes.plot(100 * np.asarray(curve.coverage), 100 * np.asarray(curve.accuracy), label=literal(name), **style)
    finish(axes, xlabel="coverage (%)", ylabel="accuracy (%)", xlim=(0, 101), legend=any(named))
    return figure if ax is None else ax
