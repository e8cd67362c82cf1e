"""What scikit-learn's conventions ask of data and labels, and the validation split."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import check_classification_targets

from ..arguments import as_number
from ..data.splits import stratified_holdout

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn before 1.6

    def validate_data(estimator: Any, *data: Any, **options: Any) -> Any:
        """Validate data as the function of scikit-learn 1.6 does."""
        return estimator._validate_data(*data, **options)  # noqa: SLF001 (what it was called)


__all__ = ["encode_labels", "hold_out", "validate_data"]

Array: TypeAlias = npt.NDArray[Any]


def encode_labels(labels: Array) -> tuple[Array, Array]:
    """Return the sorted classes (num_classes,), and the index (N,) int64 of the class of each label (N,).

    Raises
    ------
    ValueError
        The labels are no classes, or of one class.
    """
    check_classification_targets(labels)
    classes, targets = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has one class, {classes.tolist()[0]!r}; expected at least two")
    return classes, targets.astype(np.int64)


def hold_out(targets: Array, fraction: object) -> Array:
    """Return the indices of the validation split: a stratified fraction of the examples.

    Raises
    ------
    ValueError
        The fraction is not between 0 and 1, or takes all examples of a class.
    """
    number = as_number(fraction)
    if number is None or not 0 < number < 1:
        raise ValueError(f"validation_fraction is {fraction!r}; expected a number between 0 and 1")
    held_out = stratified_holdout(targets, max(1, round(number * len(targets))))
    if len(np.unique(np.delete(targets, held_out))) < len(np.unique(targets)):
        raise ValueError(
            f"a class has no example left beside the validation split of {len(held_out)}; expected more examples of"
            " each class, a smaller validation_fraction, or patience=None"
        )
    return held_out
