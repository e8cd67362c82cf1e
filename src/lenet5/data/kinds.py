"""The kinds of data: datasets of examples, and iterables of batches."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

EXPECTED = (
    "an ImageDataset(images, targets, classes=...), a TensorLoader, a torch or Hugging Face dataset, or a DataLoader or"
    " other iterable of batches"
)


def is_map_style(data: object) -> bool:
    """Return True for a dataset of examples by index: torch's, Hugging Face's, or any other such object.

    Lists and tuples hold batches.
    """
    if isinstance(data, Tensor | np.ndarray | list | tuple | str | bytes | Mapping | DataLoader | IterableDataset):
        return False
    return hasattr(data, "__getitem__") and hasattr(data, "__len__") and not is_table(data)


def is_table(data: object) -> bool:
    """Return True for a DataFrame or Series of pandas, whose index need not count the rows."""
    return hasattr(data, "iloc")


def kind_of(data: object) -> str:
    """Name the type of data; of arrays, and of several datasets, say what is wrong with it."""
    advice = ", which holds images or targets alone" if isinstance(data, Tensor | np.ndarray) else ""
    if isinstance(data, Mapping) and data and all(hasattr(part, "features") for part in data.values()):
        advice = f", which holds the datasets {', '.join(map(repr, data))} (pass one of them)"
    return f"{type(data).__name__}{advice}"


def length_of(data: object) -> int | None:
    """Return the length of data, or None if it has none; a DataLoader of an IterableDataset may have none."""
    try:
        return len(data)  # type: ignore[arg-type]
    except TypeError:
        return None


def require_examples(data: object) -> None:
    """Raise ValueError if the length of data is known and 0."""
    if length_of(data) == 0:
        raise ValueError("the data is empty; expected at least one example")
