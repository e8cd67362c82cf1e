"""Targets of any kind as indices of classes: integers, names and pandas categoricals."""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def encode_targets(targets: object, classes: Iterable[object] | None) -> tuple[Tensor, tuple[str, ...]]:
    """Convert targets to indices of classes.

    Parameters
    ----------
    targets
        (N,) integers, which are indices, or class names: strings or a pandas categorical.
    classes
        Class names. If None: the categories of a categorical; the names that occur, in natural order; or the integers
        from 0 to the largest target.

    Returns
    -------
    targets
        (N,) int64.
    classes
        Class names.

    Raises
    ------
    ValueError
        The targets are neither integers nor strings, or one is out of range.
    """
    names = None if classes is None else _class_names(classes)
    categories = getattr(getattr(targets, "dtype", None), "categories", None)
    array = None if isinstance(targets, Tensor) else _as_array(targets)
    if array is None or (array.dtype.kind in "buifc" and categories is None):
        indices = targets if isinstance(targets, Tensor) else torch.as_tensor(array)
        if not (indices.is_floating_point() or indices.is_complex()):
            indices = indices.long()
            names = tuple(map(str, range(_num_classes(indices)))) if names is None else names
        check_targets(indices, len(names or ()))
        return indices, names or ()
    labels = _names(array, of_category=categories is not None)
    if names is None:
        names = natural_order(set(labels)) if categories is None else tuple(map(str, categories))
    return _indices(labels, names, array.shape), names


def check_targets(targets: Tensor, num_classes: int) -> None:
    """Raise ValueError unless targets are integers from 0 to `num_classes - 1`."""
    if targets.is_floating_point() or targets.is_complex():
        raise ValueError(f"targets have dtype {targets.dtype}; expected integers, the indices of classes")
    low, high = (int(bound) for bound in targets.long().aminmax()) if targets.numel() else (0, 0)
    if low < 0 or high >= num_classes:
        raise ValueError(f"targets lie in [{low}, {high}]; expected 0 to {num_classes - 1}")


def natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names such that numbers in them count as numbers: "2" before "10", "class 2" before "class 10"."""
    return tuple(sorted(names, key=lambda name: (_parts(name), name)))


def _parts(name: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _as_array(targets: object) -> npt.NDArray[Any]:
    """Convert to a writable array in native byte order, of a dtype that torch knows where there is one."""
    if isinstance(targets, np.ma.MaskedArray) and targets.mask.any():
        raise ValueError(f"targets hold {int(targets.mask.sum())} masked values; expected a class of each image")
    if isinstance(targets, list | tuple) and all(
        any(isinstance(value, kind) for value in targets) for kind in (str | bytes, int | float | np.number)
    ):
        raise ValueError("targets hold names and numbers; expected either the names or the indices of classes")
    array = np.asarray(targets)
    if not array.ndim:
        raise ValueError(f"targets are of type {type(targets).__name__}; expected a list, an array or a tensor")
    if array.dtype == object and len(array) and all(isinstance(value, int | np.integer) for value in array.flat):
        array = array.astype(np.int64)  # of a pandas column, for example
    if array.dtype.kind not in "buifc":
        return array
    array = array.astype(np.int64) if array.dtype.kind == "u" and array.dtype.itemsize > 1 else array
    return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])


def _num_classes(indices: Tensor) -> int:
    return max(int(indices.max()) + 1, 0) if indices.numel() else 0


def _names(array: npt.NDArray[Any], *, of_category: bool) -> list[str]:
    names = []
    for value in array.flat:
        name = value.decode() if isinstance(value, bytes) else value
        if not isinstance(name, str) and not (of_category and name == name):  # noqa: PLR0124 (NaN is a missing value)
            raise ValueError(f"targets hold {value!r}, of dtype {array.dtype}; expected integers, or names as strings")
        names.append(str(name))
    return names


def _class_names(classes: object) -> tuple[str, ...]:
    """Return class names in their order, which a set lacks and a mapping does not promise."""
    if isinstance(classes, AbstractSet | Mapping):
        raise ValueError(
            f"classes are of type {type(classes).__name__}; expected a list of names, in order of the targets"
        )
    if not isinstance(classes, Iterable):
        raise ValueError(f"classes is {classes!r}; expected a list of names, such as range({classes})")
    values = classes.tolist() if isinstance(classes, Tensor) else classes
    names = tuple(value.decode() if isinstance(value, bytes) else str(value) for value in values)
    if not names:
        raise ValueError("classes are empty; expected the names of the classes")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"classes hold {twice!r} more than once; expected different names")
    return names


def _indices(labels: list[str], classes: tuple[str, ...], shape: tuple[int, ...]) -> Tensor:
    positions = {name: index for index, name in enumerate(classes)}
    unknown = natural_order({label for label in labels if label not in positions})
    if unknown:
        raise ValueError(f"targets hold {', '.join(map(repr, unknown[:3]))}; expected one of: {', '.join(classes)}")
    return torch.tensor([positions[label] for label in labels], dtype=torch.int64).view(shape)
