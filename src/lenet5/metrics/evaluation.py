"""The report on a classifier's answers to a whole set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import functional
from .functional import ArrayOrTensor

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class ClassMetrics(NamedTuple):
    """What the report says of one class."""

    precision: float
    recall: float
    f1: float
    support: int


class Evaluation:
    """Metrics of a set of answers, each computed once over all of them.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes): the predicted class probabilities; the highest is the label, the first among equals.
    classes
        The classes' names; None for their numbers.
    loss
        The mean loss over the set, if it was computed.

    Raises
    ------
    ValueError
        The set is empty, or shapes do not agree.
    """

    def __init__(
        self,
        targets: ArrayOrTensor,
        probabilities: ArrayOrTensor,
        *,
        classes: Sequence[str] | None = None,
        loss: float | None = None,
    ) -> None:
        self.targets, self.probabilities = functional.check_scores(targets, probabilities)
        self.labels: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        num_classes = self.probabilities.shape[1]
        self.classes = tuple(str(n) for n in range(num_classes)) if classes is None else tuple(classes)
        if len(self.classes) != num_classes:
            raise ValueError(f"there are {len(self.classes)} names and {num_classes} columns; expected as many")
        if len(set(self.classes)) < num_classes:
            raise ValueError(f"the names of the classes are {self.classes}; expected no two equal")
        self.loss = loss

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        return f"<Evaluation: accuracy {self.accuracy:.4f} of {len(self)} examples>"

    def __str__(self) -> str:
        low, high = self.accuracy_interval
        lines = [f"accuracy {self.accuracy:.2%} of {len(self)} (95 % confidence: {low:.2%} to {high:.2%})"]
        if self.loss is not None:
            lines.append(f"loss {self.loss:.4f}")
        table = self.to_frame().to_string(float_format="{:.4f}".format)
        matrix = _matrix_lines(self.confusion_matrix, self.classes)
        return "\n".join([*lines, "", table, "", "confusion matrix (rows: true classes, columns: labels)", *matrix])

    @cached_property
    def accuracy(self) -> float:
        """The share of labels that are right."""
        return functional.accuracy(self.targets, self.labels)

    @cached_property
    def error_rate(self) -> float:
        """The share of labels that are wrong."""
        return functional.error_rate(self.targets, self.labels)

    @cached_property
    def accuracy_interval(self) -> functional.Interval:
        """The 95 % confidence interval of the accuracy (Wilson's)."""
        return functional.confidence_interval(int((self.targets == self.labels).sum()), len(self))

    @cached_property
    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """(num_classes, num_classes) counts: a row for each true class, a column for each label."""
        return functional.confusion_matrix(self.targets, self.labels, num_classes=len(self.classes))

    @cached_property
    def expected_calibration_error(self) -> float:
        """By how much confidence and accuracy differ, in 15 bins."""
        return functional.expected_calibration_error(self.targets, self.probabilities)

    @cached_property
    def per_class(self) -> dict[str, ClassMetrics]:
        """Precision, recall, F1 and support, by the name of the class; 0 where a share is of nothing."""
        from sklearn.metrics import precision_recall_fscore_support

        indices = range(len(self.classes))
        columns = precision_recall_fscore_support(self.targets, self.labels, labels=indices, zero_division=0)
        rows = zip(self.classes, *columns, strict=True)
        return {name: ClassMetrics(float(p), float(r), float(f1), int(support)) for name, p, r, f1, support in rows}

    def to_frame(self) -> pd.DataFrame:
        """Return `per_class` as a table, one row per class."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.per_class, orient="index", columns=list(ClassMetrics._fields))

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics as JSON can hold them."""
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "error_rate": self.error_rate,
            "loss": self.loss,
            "expected_calibration_error": self.expected_calibration_error,
            "num_examples": len(self),
            "classes": list(self.classes),
            "per_class": {name: metrics._asdict() for name, metrics in self.per_class.items()},
            "confusion_matrix": self.confusion_matrix.tolist(),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def plot(self) -> Figure:
        """Draw the confusion matrix."""
        from .plots import plot_confusion_matrix

        return plot_confusion_matrix(self.confusion_matrix, self.classes)


def _matrix_lines(matrix: npt.NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    """Set a confusion matrix as text; names are cut to six characters."""
    names = [name[:6] for name in classes]
    width = max(*map(len, names), len(str(matrix.max()))) + 1
    margin = max(map(len, names))
    head = " " * margin + "".join(name.rjust(width) for name in names)
    rows = zip(names, matrix, strict=True)
    return [head, *(name.ljust(margin) + "".join(str(n).rjust(width) for n in row) for name, row in rows)]
