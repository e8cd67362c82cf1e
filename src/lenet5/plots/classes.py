"""Figures of an evaluation by class: the confusion matrix, and precision, recall and F1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from .arrays import ArrayOrTensor, as_array
from .containers import as_names, check_mapping, is_table, unexpected
from .display import AnyAxes, Figure, GivenAxes, panels
from .palette import GREY, SMALL, literal, name_ticks, series, shortened, text_width
from .style import styled

if TYPE_CHECKING:
    import pandas as pd

PerClass: TypeAlias = "Mapping[str, Any] | pd.DataFrame"

_LONGEST = 20  # characters of a class name
_UNCOUNTABLE = 2**53  # beyond, floats skip integers
_METRICS = {"precision": "precision", "recall": "recall", "f1": "F1 score"}


@overload
def plot_confusion_matrix(
    matrix: ArrayOrTensor, classes: Sequence[str] | None = None, *, ax: None = None
) -> Figure: ...
@overload
def plot_confusion_matrix(
    matrix: ArrayOrTensor, classes: Sequence[str] | None = None, *, ax: GivenAxes
) -> GivenAxes: ...
@styled
def plot_confusion_matrix(
    matrix: ArrayOrTensor, classes: Sequence[str] | None = None, *, ax: AnyAxes | None = None
) -> Figure | AnyAxes:
    """Plot a confusion matrix: one row per true class, one column per predicted class.

    Cells contain counts, where they have room for them. Colour shows each error as a fraction of its true class. The
    diagonal is not coloured, because it would outshine the errors of an accurate classifier.

    Parameters
    ----------
    matrix
        (num_classes, num_classes) counts.
    classes
        Class names. None for the class indices.
    ax
        Axes of your own; None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        The matrix is empty, not square or holds no counts, or the number of names is not that of its rows.

    Examples
    --------
    >>> matrix = lenet5.confusion_matrix([0, 1, 1], [0, 1, 0])
    >>> figure = lenet5.plots.plot_confusion_matrix(matrix, ["cat", "dog"])
    >>> figure.axes[0].get_title()
    '2 of 3 correct (66.67%)'
    """
    counts = as_array("matrix", matrix, 2)
    size = len(counts)
    if counts.shape != (size, size):
        raise ValueError(f"matrix has shape {counts.shape}; expected counts of shape (num_classes, num_classes)")
    counts = counts.astype(np.float64) if counts.dtype.kind == "f" else counts  # sums of float16 overflow
    if not ((counts >= 0) & (counts < _UNCOUNTABLE)).all():
        raise ValueError(
            f"matrix has values from {counts.min()} to {counts.max()}; expected counts, finite and not negative"
        )
    names = class_names(classes, size)
    named, counted = text_width(*names), text_width(f"{counts.max():g}", points=SMALL + 1)  # some are bold
    figure, axes, cell = _square_panel(size, counted + 0.06, named, ax)
    errors = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(errors, 0)
    largest = max(float(errors.max()), 0.01)
    heatmap = axes.imshow(errors, cmap="OrRd", vmin=0, vmax=largest)
    if cell >= counted:
        _write_counts(axes, counts, errors > 0.6 * largest)
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right"} if named > 0.8 * cell else {}
    name_ticks(axes.xaxis, names, cell, **(slanted if cell >= 0.3 else {"rotation": 90}))
    name_ticks(axes.yaxis, names, cell)
    total, num_correct = counts.sum(), np.trace(counts)
    title = f"{num_correct} of {total} correct ({num_correct / max(total, 1):.2%})"
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(title, fontsize="medium")
    percent = PercentFormatter(1, decimals=1)
    axes.figure.colorbar(heatmap, ax=axes, label="fraction of the true class", format=percent, shrink=0.8)
    return figure if ax is None else ax


def _square_panel(size: int, counted: float, named: float, ax: AnyAxes | None) -> tuple[Figure, Axes, float]:
    """Return figure, axes and the side of a cell of a matrix.

    Parameters
    ----------
    size
        Number of rows, and of columns.
    counted, named
        The widths in inches of a count and of the names of the rows.
    ax
        Axes of the user, or None.
    """
    room = 7.5 - named  # for the cells; figures of more than nine inches are scaled down where they are shown
    cell = min(max(0.36, counted, 2.4 / size), max(room / size, 0.36)) if size <= 20 else min(0.17, room / size)
    figure, (axes,) = panels(max(size * cell + named + 1.8, 3.6), size * cell + 0.7 * named + 1, ax=ax)
    if ax is not None:
        box = axes.get_window_extent()
        cell = min(box.width, box.height) / axes.figure.dpi / size
    return figure, axes, cell


def _write_counts(axes: Axes, counts: npt.NDArray[Any], dark: npt.NDArray[np.bool_]) -> None:
    """Write the counts other than zero into their cells."""
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour, weight = "white" if dark[row, column] else "black", "bold" if row == column else "normal"
            text: dict[str, Any] = {"ha": "center", "va": "center", "color": colour, "weight": weight}
            axes.text(column, row, f"{count:g}" if counts.dtype.kind == "f" else str(count), fontsize=SMALL, **text)


def class_names(classes: Sequence[str] | None, size: int) -> list[str]:
    """Return names as figures show them.

    Raises
    ------
    ValueError
        Their number is not that of the classes.
    """
    names = list(map(str, range(size))) if classes is None else as_names("classes", classes)
    if len(names) != size:
        raise ValueError(f"there are {len(names)} class names; expected {size}")
    return [literal(shortened(name, _LONGEST)) for name in names]


@overload
def plot_per_class(per_class: PerClass, *, ax: None = None) -> Figure: ...
@overload
def plot_per_class(per_class: PerClass, *, ax: GivenAxes) -> GivenAxes: ...
@styled
def plot_per_class(per_class: PerClass, *, ax: AnyAxes | None = None) -> Figure | AnyAxes:
    """Plot precision, recall and F1 score of every class as dots.

    The axis starts shortly below the lowest value, because those of an accurate classifier differ little. Bars would
    have to start at 0.

    Parameters
    ----------
    per_class
        The metrics by class name, such as `Evaluation.per_class` or that of a run's report.json; or a table with the
        columns `precision`, `recall` and `f1`, such as `Evaluation.to_frame()`.
    ax
        Axes of your own; None for a new figure.

    Returns
    -------
    Figure or Axes
        The new figure, which notebooks display, or `ax`.

    Raises
    ------
    ValueError
        There are no classes, or a metric is missing.

    Examples
    --------
    >>> probabilities = [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]
    >>> evaluation = lenet5.Evaluation([0, 1, 1], probabilities, classes=["cat", "dog"])
    >>> figure = lenet5.plots.plot_per_class(evaluation.per_class)
    """
    labels, values = _scores(per_class)
    size = len(labels)
    step = 0.36 if size <= 12 else 0.26 if size <= 30 else 0.18
    figure, (axes,) = panels(5.4, 1.1 + step * size, ax=ax)
    rows = np.arange(size)
    for index, label in enumerate(_METRICS.values()):
        dots = {**series(index), "linestyle": "none", "markersize": 5, "clip_on": False, "zorder": 3}  # whole at 100 %
        axes.plot(100 * values[:, index], rows + 0.25 * (index - 1), label=label, **dots)
    if ax is not None:
        step = axes.get_window_extent().height / axes.figure.dpi / size
    name_ticks(axes.yaxis, [literal(shortened(name, _LONGEST)) for name in labels], step)
    lowest = 100 * np.nanmin(values) if np.isfinite(values).any() else 0
    start = max(lowest - 0.1 * (100 - lowest) - 0.5, 0)
    axes.set(xlabel="score (%)", ylabel="class", ylim=(size - 0.5, -0.5), xlim=(start, 100))
    axes.hlines(np.arange(1, size) - 0.5, start, 100, color=GREY, linewidth=0.5, alpha=0.5)  # between the classes
    axes.set_axisbelow(True)
    axes.grid(visible=True, alpha=0.3, axis="x")
    axes.legend(fontsize=SMALL, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure if ax is None else ax


def _scores(per_class: PerClass) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the class names, and (num_classes, 3) precision, recall and F1."""
    table: Any = per_class
    if not is_table(table):
        check_mapping("per_class", table, "metrics by class name, or a table, as from Evaluation.per_class or to_frame")
    rows: list[tuple[Any, Any]] = list(table.iterrows() if is_table(table) else table.items())
    if not rows:
        raise ValueError("there are no classes; expected at least one, as in Evaluation.per_class")
    fields = [_fields(name, row) for name, row in rows]
    missing = [name for row in fields for name in _METRICS if name not in row]
    if missing:
        raise ValueError(f"the metrics of a class have no {missing[0]}; expected precision, recall and f1")
    scores = as_array("per_class", [[row[name] for name in _METRICS] for row in fields], 2).astype(float)
    if np.isinf(scores).any():
        raise ValueError("the metrics of a class are infinite; expected numbers from 0 to 1, or NaN")
    return [str(name) for name, _ in rows], scores


def _fields(name: object, row: Any) -> dict[str, Any]:
    """Return the metrics of one class by name: of a ClassMetrics, a mapping or a row of a table."""
    if hasattr(row, "_asdict"):
        return dict(row._asdict())
    if not isinstance(row, Mapping) and not hasattr(row, "to_dict"):
        raise unexpected(f"per_class of {name!r}", row, "precision, recall and f1 by name")
    return dict(row)
