"""Images of one's own in a .npz file of numpy, as Keras and MedMNIST have them."""

import contextlib
import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import storage
from ..storage import StrPath
from .images import array_to_tensor, scale_pixels
from .preprocess import Preprocess
from .splits import split_in, words

_IMAGES = {"x", "image", "images", "imgs", "data"}
_LABELS = {"y", "label", "labels", "target", "targets"}
_HEADER = 1 << 16  # bytes: more than the header of any array of numbers or strings has
_MOST_EXACT = 2**53  # from which on floats skip integers
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
    path = storage.as_path(path)
    shown = storage.shown(path)
    with _open(path) as file:
        images_name, labels_name = _pairs(path, file.files).get(split, ("", ""))
        if not images_name:
            raise ValueError(
                f"{shown} holds {_list(file.files)}; expected images and labels of {split!r}, such as"
                f" x_{split} and y_{split}"
            )
        _check_headers(path, file, images_name, labels_name)  # before any content takes memory
        images, labels = (_read(path, file, name) for name in (images_name, labels_name))
    labels = labels[:, 0] if labels.ndim == 2 else labels
    if labels.dtype.kind == "f":  # as MATLAB and np.loadtxt write integers
        labels = _whole(labels, f"{shown}: {labels_name}")
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in labels.tolist()]
    try:
        return _resize(images[:, None] if images.ndim == 3 else images, preprocess), names
    except ValueError as error:
        raise ValueError(f"{shown}, {storage.shown(images_name)}: {error}") from error


def splits_of(path: Path) -> list[str]:
    """Return which of "train", "val" and "test" a .npz file holds."""
    with _open(path) as file:
        return list(_pairs(path, file.files))


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    shown = storage.shown(path)
    with storage.open_file(path) as content:
        try:
            if not zipfile.is_zipfile(content):
                raise ValueError(f"{shown} is not a readable .npz file; expected images and labels in a zip archive")
            content.seek(0)
            with np.load(content) as file:  # by default, pickles are refused
                yield file
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{shown} is not a readable .npz file: {error}") from error


def _check_headers(path: Path, file: Any, images_name: str, labels_name: str) -> None:
    """Raise ValueError unless two arrays are images and their labels, by the shapes and dtypes that they declare."""
    (images, _), (labels, dtype) = (_header(path, file, name) for name in (images_name, labels_name))
    shown = storage.shown(path)
    flat = len(labels) == 1 or (len(labels) == 2 and labels[1] == 1)
    if not flat or len(images) not in (3, 4) or images[0] != labels[0] or not labels[0]:
        raise ValueError(
            f"{shown}: {images_name} has shape {images} and {labels_name} {labels}; expected (N, H, W),"
            " (N, C, H, W) or (N, H, W, C), and (N,), not empty"
        )
    if dtype.kind not in "bufiUS":
        raise ValueError(f"{shown}: {labels_name} has dtype {dtype}; expected integers or strings")


def _header(path: Path, file: Any, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and the dtype of an array, after comparing them with the size of its content."""
    place = f"{storage.shown(path)}: {storage.shown(name)}"
    try:
        member = f"{name}.npy" if f"{name}.npy" in file.zip.namelist() else name
        with file.zip.open(member) as content:
            start = io.BytesIO(content.read(_HEADER))
        version = np.lib.format.read_magic(start)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(start)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{place} cannot be read: {error}") from error
    if dtype.hasobject:
        raise ValueError(f"{place} holds Python objects, which loading could execute; expected numbers or strings")
    found, expected = file.zip.getinfo(member).file_size - start.tell(), math.prod(shape) * dtype.itemsize
    if found != expected:
        raise ValueError(f"{place} has shape {shape} and {found} bytes of content; expected {expected}")
    return shape, dtype


def _whole(labels: npt.NDArray[Any], place: str) -> npt.NDArray[np.int64]:
    """Return labels as integers; raise ValueError unless they are whole numbers."""
    numbers = labels.astype(np.float64)
    others = numbers[~((np.abs(numbers) < _MOST_EXACT) & (numbers == np.floor(numbers)))]
    if others.size:
        raise ValueError(f"{place} holds {others[0]}; expected integers or strings")
    return numbers.astype(np.int64)


def _list(names: list[str]) -> str:
    return storage.shown(", ".join(names)) or "nothing"


def _pairs(path: Path, names: list[str]) -> dict[str, tuple[str, str]]:
    """Return the names of the images and the labels of each split."""
    pairs: dict[str, tuple[str, str]] = {}
    for split in ("train", "val", "test"):
        own = [name for name in names if (split_in(name) or "train") == split]
        images, labels = ([name for name in own if kinds & set(words(name))] for kinds in (_IMAGES, _LABELS))
        if len(images) > 1 or len(labels) > 1:
            raise ValueError(
                f"{storage.shown(path)} holds {_list(own)}; expected one array of images and one of labels per split"
            )
        if images and labels:
            pairs[split] = images[0], labels[0]
    return pairs


def _read(path: Path, file: Any, name: str) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = file[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{storage.shown(path)}: {storage.shown(name)} cannot be read: {error}") from error
    return array


def _resize(images: npt.NDArray[Any], preprocess: Preprocess) -> Tensor:
    if images.dtype.kind == "u" and images.dtype.itemsize == 2:  # of which all images tell the range
        images = scale_pixels(array_to_tensor(images)).numpy()
    parts = [preprocess.resize(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    return torch.cat([part if part.dtype == torch.uint8 else part.round().to(torch.uint8) for part in parts])
