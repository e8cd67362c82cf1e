"""Figures of an evaluation by class: the confusion matrix, and precision, recall and F1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from matplotlib.ticker import PercentFormatter

from .arrays import ArrayOrTensor, as_array
from .display import AnyAxes, Figure, GivenAxes, panels
from .palette import COLOURS, SMALL, literal, shortened

if TYPE_CHECKING:
    import pandas as pd

PerClass: TypeAlias = "Mapping[str, Any] | pd.DataFrame"

_LONGEST = 20  # characters of a class name


@overload
def plot_confusion_matrix(
    matrix: ArrayOrTensor, classes: Sequence[str] | None = None, *, ax: None = None
) -> Figure: ...
@overload
def plot_confusion_matrix(
    matrix: ArrayOrTensor, classes: Sequence[str] | None = None, *, ax: GivenAxes
) -> GivenAxes: ...
def plot_confusion_matrix(
    matrix: ArrayOrTensor, classes: Sequence[str] | None = None, *, ax: AnyAxes | None = None
) -> Figure | AnyAxes:
    """Plot a confusion matrix: one row per true class, one column per predicted class.

    Cells contain counts. Colour shows each error as a fraction of its true class. The diagonal is not coloured, because
    it would outshine the errors of an accurate classifier.

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
        The matrix is empty or not square, or the number of names is not that of its rows.

    Examples
    --------
    >>> matrix = lenet5.confusion_matrix([0, 1, 1], [0, 1, 0])
    >>> figure = lenet5.plots.plot_confusion_matrix(matrix, ["cat", "dog"])
    >>> figure.axes[0].get_title()
    '2 of 3 correct (66.67%)'
    """
    matrix = as_array("matrix", matrix, 2)
    size, total, num_correct = len(matrix), matrix.sum(), np.trace(matrix)
    if matrix.shape != (size, size):
        raise ValueError(f"matrix has shape {matrix.shape}; expected (num_classes, num_classes)")
    names = class_names(classes, size)
    figure, (axes,) = panels(2 + 0.45 * size, 1.6 + 0.45 * size, ax=ax)
    errors = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(errors, 0)
    largest = max(float(errors.max()), 0.01)
    heatmap = axes.imshow(errors, cmap="OrRd", vmin=0, vmax=largest)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if errors[row, column] > 0.6 * largest else "black"
            weight = "bold" if row == column else "normal"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, weight=weight, fontsize=SMALL)
    rotation, alignment = (45, "right") if max(map(len, names)) > 3 else (0, "center")
    axes.set_xticks(range(size), names, rotation=rotation, ha=alignment)
    axes.set_yticks(range(size), names)
    title = f"{num_correct} of {total} correct ({num_correct / max(total, 1):.2%})"
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    percent = PercentFormatter(1, decimals=1)
    axes.figure.colorbar(heatmap, ax=axes, label="fraction of the true class", format=percent, shrink=0.8)
    return figure if ax is None else ax


def class_names(classes: Sequence[str] | None, size: int) -> list[str]:
    """Return names as figures show them.

    Raises
    ------
    ValueError
        Their number is not that of the classes.
    """
    names = list(map(str, range(size))) if classes is None else list(classes)
    if len(names) != size:
        raise ValueError(f"there are {len(names)} class names; expected {size}")
    return [literal(shortened(name, _LONGEST)) for name in names]


@overload
def plot_per_class(per_class: PerClass, *, ax: None = None) -> Figure: ...
@overload
def plot_per_class(per_class: PerClass, *, ax: GivenAxes) -> GivenAxes: ...
def plot_per_class(per_class: PerClass, *, ax: AnyAxes | None = None) -> Figure | AnyAxes:
    """Plot precision, recall and F1 score of every class as bars.

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
    names, values = _metrics(per_class)
    figure, (axes,) = panels(6.4, 1 + 0.5 * len(names), ax=ax)
    rows = np.arange(len(names))
    for index, (label, hatch) in enumerate((("precision", ""), ("recall", "//"), ("F1", ".."))):
        place = rows + 0.27 * (index - 1)
        axes.barh(place, 100 * values[:, index], 0.25, color=COLOURS[index], hatch=hatch, label=label, edgecolor="w")
    axes.set_yticks(rows, [literal(shortened(name, _LONGEST)) for name in names])
    axes.invert_yaxis()
    low = np.nanmin(100 * values) if np.isfinite(values).any() else 0
    axes.set(xlabel="precision, recall, F1 score (%)", ylabel="class", xlim=(max(0, low - 0.2 * (100 - low) - 1), 100))
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3, axis="x")
    axes.legend(fontsize=SMALL, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure if ax is None else ax


def _metrics(per_class: PerClass) -> tuple[list[str], Any]:
    """Return the class names, and (num_classes, 3) precision, recall and F1."""
    import pandas as pd

    table: Any = per_class.iterrows() if isinstance(per_class, pd.DataFrame) else per_class.items()
    rows: dict[Any, Any] = dict(table)
    if not rows:
        raise ValueError("there are no classes; expected at least one, as in Evaluation.per_class")
    fields = [row._asdict() if hasattr(row, "_asdict") else dict(row) for row in rows.values()]
    try:
        values = [[row[name] for name in ("precision", "recall", "f1")] for row in fields]
    except KeyError as error:
        raise ValueError(f"the metrics of a class have no {error.args[0]}; expected precision, recall and f1") from None
    return list(map(str, rows)), np.array(values, float)
