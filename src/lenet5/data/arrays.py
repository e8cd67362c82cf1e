"""Images of one's own in a .npz file of numpy, as Keras and MedMNIST have them."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..storage import StrPath
from .preprocess import Preprocess
from .splits import split_in, words

_IMAGES = {"x", "image", "images", "imgs", "data"}
_LABELS = {"y", "label", "labels", "target", "targets"}
_BATCH = 1000  # images that are resized at a time


def read_arrays(path: StrPath, split: str, preprocess: Preprocess) -> tuple[Tensor, list[str]]:
    """Read the images and labels of one split; see `ImageDataset.from_npz`.

    Returns
    -------
    images
        (N, channels, image_size, image_size) uint8.
    labels
        The class name of each image.
    """
    path = Path(path).expanduser()
    with _open(path) as file:
        images_name, labels_name = _pairs(path, file.files).get(split, ("", ""))
        if not images_name:
            raise ValueError(
                f"{path} holds {', '.join(file.files) or 'nothing'}; expected images and labels of {split!r}, such as"
                f" x_{split} and y_{split}"
            )
        images, labels = (_read(path, file, name) for name in (images_name, labels_name))
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or images.ndim not in (3, 4) or len(images) != len(labels) or not len(labels):
        raise ValueError(
            f"{path}: {images_name} has shape {images.shape} and {labels_name} {labels.shape}; expected (N, H, W),"
            " (N, C, H, W) or (N, H, W, C), and (N,), not empty"
        )
    if labels.dtype.kind not in "buiUS":
        raise ValueError(f"{path}: {labels_name} has dtype {labels.dtype}; expected integers or strings")
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in labels.tolist()]
    try:
        return _resize(images[:, None] if images.ndim == 3 else images, preprocess), names
    except ValueError as error:
        raise ValueError(f"{path}, {images_name}: {error}") from error


def splits_of(path: Path) -> list[str]:
    """Return which of "train", "val" and "test" a .npz file holds."""
    with _open(path) as file:
        return list(_pairs(path, file.files))


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected a .npz file")
    with path.open("rb") as content:
        try:
            file = np.load(content)  # by default, pickles are refused
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not a readable .npz file: {error}") from error
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError(f"{path} holds a single array; expected a .npz file with images and labels")
        with file:
            yield file


def _pairs(path: Path, names: list[str]) -> dict[str, tuple[str, str]]:
    """Return the names of the images and the labels of each split."""
    pairs: dict[str, tuple[str, str]] = {}
    for split in ("train", "val", "test"):
        own = [name for name in names if (split_in(name) or "train") == split]
        images, labels = ([name for name in own if kinds & set(words(name))] for kinds in (_IMAGES, _LABELS))
        if len(images) > 1 or len(labels) > 1:
            raise ValueError(f"{path} holds {', '.join(own)}; expected one array of images and one of labels per split")
        if images and labels:
            pairs[split] = images[0], labels[0]
    return pairs


def _read(path: Path, file: Any, name: str) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = file[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: {name} cannot be read: {error}") from error
    return array


def _resize(images: npt.NDArray[Any], preprocess: Preprocess) -> Tensor:
    parts = [preprocess.resize(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    return torch.cat([part if part.dtype == torch.uint8 else part.round().to(torch.uint8) for part in parts])
