"""The names of the classes that a dataset states."""

from typing import Any

from torch.utils.data import ConcatDataset, DataLoader, Subset

from .batches import TARGET_KEYS
from .datasets import ImageDataset


def class_names(data: Any) -> tuple[str, ...] | None:
    """Return the class names of data, if it states them; None if it does not.

    - `classes`, as in `ImageDataset` and torchvision's datasets, unless a `target_transform` changes the targets.
    - The names of the column of targets of a Hugging Face dataset.
    - Those of what a `DataLoader`, a `Subset` or a `ConcatDataset` reads. Other wrappers may change the targets.

    Raises
    ------
    ValueError
        A `ConcatDataset` holds ImageDatasets of different classes, of which one target would mean several. Other
        datasets may call the same classes differently.
    """
    if type(data) is ConcatDataset:
        names = {class_names(dataset) for dataset in data.datasets}
        if len(names) > 1 and all(isinstance(dataset, ImageDataset) for dataset in data.datasets):
            found = " and ".join(f"({', '.join(map(str, each or ()))})" for each in sorted(names, key=str))
            raise ValueError(f"the datasets of a ConcatDataset have the classes {found}; expected the same in all")
        return names.pop() if len(names) == 1 else None
    if type(data) is Subset or isinstance(data, DataLoader):
        return class_names(data.dataset)
    if getattr(data, "target_transform", None) is not None:
        return None
    return _as_names(getattr(data, "classes", None)) or _column_names(getattr(data, "features", None))


def _column_names(features: Any) -> tuple[str, ...] | None:
    """Return the names of the values of the column of targets, by the features of a Hugging Face dataset."""
    columns = [features[key] for key in TARGET_KEYS if key in features] if isinstance(features, dict) else []
    return _as_names(getattr(columns[0], "names", None)) if len(columns) == 1 else None


def _as_names(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) for name in value):
        return None
    return tuple(value) if len({*value}) == len(value) else None
