"""The evaluation report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from .. import notebook
from . import functions
from .functions import ArrayOrTensor
from .selective import coverage_curve

if TYPE_CHECKING:
    import pandas as pd

    from ..plots.display import Figure, GivenAxes


class ClassMetrics(NamedTuple):
    """Metrics of one class.

    Examples
    --------
    >>> evaluation = lenet5.Evaluation([0, 1, 1], [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    >>> evaluation.per_class["1"]
    ClassMetrics(precision=1.0, recall=0.5, f1=0.6666666666666666, support=2)
    """

    precision: float
    recall: float
    f1: float
    support: int


class Evaluation:
    """Metrics of a classifier, computed once over a whole dataset.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes): predicted probabilities. The most probable class is predicted; ties go to the lowest index.
    classes
        Class names. None uses the class indices.
    loss
        Mean loss over the dataset, if known.

    Attributes
    ----------
    targets
        (N,) int64: the true classes.
    probabilities
        (N, num_classes): the predicted probabilities.
    predictions
        (N,) int64: the predicted classes.

    Raises
    ------
    ValueError
        The dataset is empty, the shapes do not match, a target is out of range, a probability is NaN, or the class
        names are not unique.

    Examples
    --------
    >>> probabilities = [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]
    >>> evaluation = lenet5.Evaluation([0, 1, 1], probabilities, classes=["cat", "dog"])
    >>> evaluation.confusion_matrix
    array([[1, 0],
           [1, 1]])
    >>> f"{evaluation.accuracy:.2%}"
    '66.67%'
    >>> confusions, dots = evaluation.plot(), evaluation.plot_per_class()
    >>> diagram, curve = evaluation.plot_reliability(num_bins=5), evaluation.plot_coverage()
    >>> evaluation.to_dict()["classes"], evaluation.to_json()[0]
    (['cat', 'dog'], '{')
    """

    targets: npt.NDArray[np.int64]
    probabilities: npt.NDArray[Any]
    classes: tuple[str, ...]

    def __init__(
        self,
        targets: ArrayOrTensor,
        probabilities: ArrayOrTensor,
        *,
        classes: Sequence[str] | None = None,
        loss: float | None = None,
    ) -> None:
        self.targets, self.probabilities = functions.check_scores(targets, probabilities)
        self.predictions: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        self.loss = loss
        num_classes = self.probabilities.shape[1]
        self.classes = tuple(map(str, range(num_classes)) if classes is None else classes)
        if len(self.classes) != num_classes:
            raise ValueError(f"there are {len(self.classes)} class names; expected {num_classes}, one per column")
        if len(set(self.classes)) < num_classes:
            raise ValueError(f"the class names are {self.classes}; expected unique names")

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        return f"<Evaluation: accuracy {self.accuracy:.4f} of {len(self)} examples>"

    def __str__(self) -> str:
        import pandas as pd

        loss = "" if self.loss is None else f"\nloss {self.loss:.4f}"
        table = self.to_frame().to_string(float_format="{:.4f}".format)
        names = [name[:6].rstrip() for name in self.classes]  # so that ten columns fit on a line of a terminal
        matrix = pd.DataFrame(self.confusion_matrix, names, names).to_string()
        caption = "confusion matrix (rows: true classes, columns: predicted classes)"
        return f"{self._summary}{loss}\n\n{table}\n\n{caption}\n{matrix}"

    def _repr_html_(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return notebook.table_html(f"{self._summary}{loss}", self.to_frame())

    @property
    def _summary(self) -> str:
        low, high = self.accuracy_interval
        return f"accuracy {self.accuracy:.2%} of {len(self)} (95 % confidence: {low:.2%} to {high:.2%})"

    @cached_property
    def accuracy(self) -> float:
        """Fraction of correct predictions."""
        return functions.accuracy(self.targets, self.predictions)

    @cached_property
    def error_rate(self) -> float:
        """Fraction of incorrect predictions."""
        return functions.error_rate(self.targets, self.predictions)

    @cached_property
    def accuracy_interval(self) -> functions.Interval:
        """95 % confidence interval of the accuracy (Wilson score interval)."""
        return functions.confidence_interval(int((self.targets == self.predictions).sum()), len(self))

    @cached_property
    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """(num_classes, num_classes) counts: one row per true class, one column per predicted class."""
        return functions.confusion_matrix(self.targets, self.predictions, num_classes=len(self.classes))

    @cached_property
    def expected_calibration_error(self) -> float:
        """Expected calibration error (ECE) with 15 bins."""
        return functions.expected_calibration_error(self.targets, self.probabilities)

    @cached_property
    def per_class(self) -> dict[str, ClassMetrics]:
        """Precision, recall, F1 score and support by class name. An undefined ratio is 0."""
        from sklearn.metrics import precision_recall_fscore_support

        indices = range(len(self.classes))
        *ratios, support = precision_recall_fscore_support(
            self.targets, self.predictions, labels=indices, zero_division=0
        )
        counts = support.astype(int).tolist()  # scikit-learn returns floats if no prediction is correct
        rows = zip(*(ratio.tolist() for ratio in ratios), counts, strict=True)
        return dict(zip(self.classes, map(ClassMetrics._make, rows), strict=True))

    def to_frame(self) -> pd.DataFrame:
        """Return `per_class` as a table with one row per class.

        Examples
        --------
        >>> probabilities = [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]
        >>> lenet5.Evaluation([0, 1, 1], probabilities, classes=["cat", "dog"]).to_frame().round(2)
             precision  recall    f1  support
        cat        0.5     1.0  0.67        1
        dog        1.0     0.5  0.67        2
        """
        import pandas as pd

        return pd.DataFrame(list(self.per_class.values()), index=list(self.classes))

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics as JSON-serialisable values."""
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

    @overload
    def plot(self) -> Figure: ...
    @overload
    def plot(self, *, ax: GivenAxes) -> GivenAxes: ...
    def plot(self, *, ax: GivenAxes | None = None) -> Figure | GivenAxes:
        """Plot the confusion matrix; see `lenet5.plots.plot_confusion_matrix`.

        Parameters
        ----------
        ax
            Axes of your own; None for a new figure.

        Returns
        -------
        Figure or Axes
            The new figure, which notebooks display, or `ax`.
        """
        from ..plots import plot_confusion_matrix

        return plot_confusion_matrix(self.confusion_matrix, self.classes, ax=ax)

    @overload
    def plot_per_class(self) -> Figure: ...
    @overload
    def plot_per_class(self, *, ax: GivenAxes) -> GivenAxes: ...
    def plot_per_class(self, *, ax: GivenAxes | None = None) -> Figure | GivenAxes:
        """Plot precision, recall and F1 score of every class; see `lenet5.plots.plot_per_class`."""
        from ..plots import plot_per_class

        return plot_per_class(self.per_class, ax=ax)

    @overload
    def plot_reliability(self, *, num_bins: int = 15) -> Figure: ...
    @overload
    def plot_reliability(self, *, num_bins: int = 15, ax: GivenAxes) -> GivenAxes: ...
    def plot_reliability(self, *, num_bins: int = 15, ax: GivenAxes | None = None) -> Figure | GivenAxes:
        """Plot accuracy against confidence, the reliability diagram; see `lenet5.plots.plot_reliability`."""
        from ..plots import plot_reliability

        return plot_reliability(self.targets, self.probabilities, num_bins=num_bins, ax=ax)

    @overload
    def plot_coverage(self) -> Figure: ...
    @overload
    def plot_coverage(self, *, ax: GivenAxes) -> GivenAxes: ...
    def plot_coverage(self, *, ax: GivenAxes | None = None) -> Figure | GivenAxes:
        """Plot accuracy against the fraction of predictions that are accepted; see `lenet5.plots.plot_coverage`."""
        from ..plots import plot_coverage

        return plot_coverage(coverage_curve(self.targets, self.probabilities), ax=ax)

    def plot_mistakes(self, images: ArrayOrTensor, num_images: int = 100) -> Figure:
        """Plot misclassified images, in order of decreasing confidence; see `lenet5.plots.plot_mistakes`.

        Parameters
        ----------
        images
            (N, C, H, W) uint8: the images of the dataset, in its order, such as `ImageDataset.images`.
        num_images
            Number of images to plot, at most.

        Raises
        ------
        ValueError
            The number of images differs from the number of targets, or there are no mistakes.

        Examples
        --------
        >>> weights, digits = lenet5.load("mnist_v2"), lenet5.load_data("digits").test
        >>> digits.transform = weights.preprocess
        >>> evaluation = lenet5.evaluate(weights.model, digits)
        >>> evaluation.plot_mistakes(digits.images, num_images=10).savefig("mistakes.png")
        """
        from ..plots import plot_mistakes

        return plot_mistakes(
            images, self.targets, self.predictions, self.probabilities, self.classes, num_images=num_images
        )
