"""The forms of a batch: a pair, or a dict, of images and targets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

IMAGE_KEYS = ("image", "images", "img", "pixel_values")
TARGET_KEYS = ("label", "labels", "target", "targets")


def check_batch(batch: Any) -> tuple[Tensor, Tensor]:
    """Return the images and targets of a batch; targets that are not floating-point become int64.

    Parameters
    ----------
    batch
        A pair of images and targets, or a dict with one of `IMAGE_KEYS` and one of `TARGET_KEYS`, as Hugging Face's
        datasets yield. Both are tensors or arrays.

    Raises
    ------
    ValueError
        The batch has a different form, is empty, or has unequal lengths.
    """
    parts = batch
    if isinstance(batch, Mapping):
        parts = [_entry(batch, IMAGE_KEYS), _entry(batch, TARGET_KEYS)]
    if not (isinstance(parts, tuple | list) and len(parts) == 2):
        content = f" of {_types(batch)}" if isinstance(batch, tuple | list) else ""
        raise ValueError(f"a batch is a {type(batch).__name__}{content}; expected two tensors, images and targets")
    images, targets = (as_tensor(part) for part in parts)
    if images is None or targets is None:
        if images is not None and (name := _first_string(parts[1])) is not None:
            raise ValueError(f"the targets of a batch are strings, such as {name!r}; expected the indices of classes")
        raise ValueError(
            f"a batch is a {type(batch).__name__} of {_types(parts)}; expected two tensors, images and targets"
        )
    if not images.ndim or not targets.ndim or not len(images) or len(images) != len(targets):
        counts = (len(part) if part.ndim else "no row of" for part in (images, targets))
        raise ValueError("a batch has {} images and {} targets; expected equal numbers, above 0".format(*counts))
    return images, targets if targets.is_floating_point() else targets.long()


def batch_images(batch: Any) -> Tensor:
    """Return the images of a batch, whose targets are optional and ignored.

    Raises
    ------
    TypeError
        The batch has no images.
    """
    content = batch
    if isinstance(batch, Mapping):
        content = _entry(batch, IMAGE_KEYS)
    elif isinstance(batch, tuple | list) and batch:
        content = batch[0]
    images = as_tensor(content)
    if images is None:
        raise TypeError(f"a batch of images is {type(content).__name__}; expected a tensor or an array (N, C, H, W)")
    return images


def collate(examples: Sequence[Any]) -> Any:
    """Stack examples to a batch, as torch's `default_collate` does.

    Raises
    ------
    TypeError
        An example is of a type that cannot be stacked, such as a PIL image.
    ValueError
        The examples differ in their shapes.
    """
    try:
        return default_collate(list(examples))
    except TypeError as error:
        found = str(error).rpartition("found ")[2]
        raise TypeError(
            f"an example of the dataset holds {found}; expected tensors, arrays and numbers: give the dataset a"
            " transform, such as a lenet5.Preprocess or torchvision.transforms.ToTensor()"
        ) from error
    except RuntimeError as error:
        raise ValueError(
            f"the examples of a batch differ in shape ({error}); expected equal shapes: give the dataset a transform"
            " that resizes the images, such as a lenet5.Preprocess"
        ) from error


def as_tensor(value: Any) -> Tensor | None:
    """Convert an array of numbers to a tensor; return None if the value is neither an array nor a tensor."""
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return None
    native = np.require(value, value.dtype.newbyteorder("="), ["C", "W"])  # torch knows no other layouts
    return torch.as_tensor(native)


def _entry(batch: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    found = [key for key in keys if key in batch]
    if len(found) != 1:
        names = ", ".join(map(repr, batch))
        raise ValueError(f"a batch is a dict with the keys {names}; expected one of {', '.join(map(repr, keys))}")
    return batch[found[0]]


def _first_string(values: Any) -> str | None:
    first = values[0] if isinstance(values, list | tuple | np.ndarray) and len(values) else None
    return str(first) if isinstance(first, str) else None


def _types(parts: Sequence[Any]) -> str:
    return ", ".join(type(part).__name__ for part in parts) or "nothing"
