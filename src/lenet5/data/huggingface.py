"""Datasets of Hugging Face's library `datasets`, whose images become the input of a network."""

import functools
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import IterableDataset, Subset

from .batches import IMAGE_KEYS, TARGET_KEYS
from .preprocess import Preprocess

_GREYSCALE = ("1", "L", "I", "F")  # the first letters of PIL's modes


def with_tensors(data: Any) -> Any:
    """Return data that yields tensors: images (C, H, W), normalised by MNIST's mean and standard deviation.

    This concerns Hugging Face datasets with a column of images, in any format but a transform of the user's. Their
    columns of images and targets are renamed to "image" and "label". Other data is returned as it is.
    """
    if type(data) is Subset:
        return Subset(with_tensors(data.dataset), data.indices)
    library = sys.modules.get("datasets")  # whoever has such a dataset has imported it
    if library is None or not isinstance(data, library.Dataset | library.IterableDataset):
        return data
    columns = _columns(data.features or {}, library)
    if "image" not in columns.values() or getattr(data, "format", {}).get("type") == "custom":
        return data
    plain = data.with_format(None)
    if not isinstance(data, library.Dataset):
        return _Stream(plain, columns)
    renamed = {name: new for name, new in columns.items() if name != new}
    return plain.select_columns([*columns]).rename_columns(renamed).with_transform(_convert)


class _Stream(IterableDataset[Any]):
    """The examples of a stream, one by one."""

    features: Any
    stream: Any
    columns: dict[str, str]

    def __init__(self, stream: Any, columns: dict[str, str]) -> None:
        self.stream, self.columns = stream, columns
        self.features = {new: stream.features[name] for name, new in columns.items()}

    def __iter__(self) -> Iterator[Any]:
        for example in self.stream:
            chosen = {new: example[name] for name, new in self.columns.items()}
            yield {**chosen, "image": _to_tensor(chosen["image"])}


def _columns(features: Mapping[str, Any], library: Any) -> dict[str, str]:
    """Return the columns of images and targets, with the names that batches have."""
    images = [name for name, feature in features.items() if isinstance(feature, library.Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, library.ClassLabel)]
    targets = [name for name in features if name in TARGET_KEYS] or labels
    images = images if len(images) == 1 else [name for name in images if name in IMAGE_KEYS]
    chosen = {images[0]: "image"} if len(images) == 1 else {}
    return chosen | ({targets[0]: "label"} if len(targets) == 1 else {name: name for name in targets})


def _convert(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {**columns, "image": [_to_tensor(image) for image in columns["image"]]}


def _to_tensor(image: Any) -> Tensor:
    """Convert a PIL image of any size; it is padded to a square, not resized."""
    mode, size = getattr(image, "mode", "L"), getattr(image, "size", (1,))
    return _preprocess(max(size), 1 if mode.startswith(_GREYSCALE) else 3)(image)


@functools.cache
def _preprocess(image_size: int, channels: int) -> Preprocess:
    return Preprocess(image_size=image_size, channels=channels)
