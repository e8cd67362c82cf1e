"""The sets: MNIST and what shares its format, and scikit-learn's digits, which need no download."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from . import download as files
from .preprocess import Preprocess
from .splits import stratified_holdout

DatasetName = Literal["mnist", "fashion_mnist", "kmnist", "emnist", "qmnist", "digits"]

_DIGITS_TEST_SIZE = 360  # of 1,797: a fifth


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """Labelled images that lie in memory.

    Parameters
    ----------
    images
        (N, C, H, W) uint8; an array or a tensor.
    targets
        (N,) integers: the class of each image, from 0 to `len(classes) - 1`.
    classes
        The classes' names.
    transform
        Called with uint8 images (N, C, H, W); returns what the network takes. A Preprocess, for instance.

    Attributes
    ----------
    images, targets
        Tensors, uint8 and int64.
    classes
        A tuple of names.
    mean, std
        Of all pixels, as floats, with 0 for black and 1 for white.

    Raises
    ------
    ValueError
        Shapes, lengths or dtypes do not agree, or a target names no class.
    """

    def __init__(
        self,
        images: Tensor | npt.NDArray[Any],
        targets: Tensor | npt.ArrayLike,
        *,
        classes: Sequence[str],
        transform: Any | None = None,
    ) -> None:
        self.images = _tensor(images)
        self.targets = _tensor(targets)
        self.classes = tuple(classes)
        self.transform = transform
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            raise ValueError(
                f"images have shape {tuple(self.images.shape)} and dtype {self.images.dtype};"
                " expected (N, C, H, W) of torch.uint8 (other data: a torch.utils.data.TensorDataset)"
            )
        if self.targets.ndim != 1 or self.targets.is_floating_point() or self.targets.is_complex():
            raise ValueError(
                f"targets have shape {tuple(self.targets.shape)} and dtype {self.targets.dtype}; expected (N,) integers"
            )
        if len(self.images) != len(self.targets):
            raise ValueError(f"there are {len(self.images)} images and {len(self.targets)} targets; expected as many")
        self.targets = self.targets.to(torch.int64)
        check_targets(self.targets, len(self.classes))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return one image (C, H, W), transformed, and its target."""
        image = self.images[index]
        return (self.transform(image[None])[0] if self.transform else image), self.targets[index]

    def __repr__(self) -> str:
        return f"<ImageDataset: {len(self)} images {tuple(self.images.shape[1:])}, {len(self.classes)} classes>"

    def select(self, indices: npt.ArrayLike | Tensor | slice) -> ImageDataset:
        """Return the set of the images at these indices, with the same classes and transform."""
        index = indices if isinstance(indices, slice) else torch.as_tensor(indices)
        if isinstance(index, Tensor) and not len(index):
            index = index.long()  # an empty list has no integers to tell its dtype
        images, targets = self.images[index], self.targets[index]
        return ImageDataset(images, targets, classes=self.classes, transform=self.transform)

    def concat(self, other: ImageDataset) -> ImageDataset:
        """Return the set of these images and then the other's, with the transform of this one.

        Raises
        ------
        ValueError
            The classes differ, or the shapes of the images.
        """
        if self.classes != other.classes or self.images.shape[1:] != other.images.shape[1:]:
            raise ValueError(f"{self} and {other} differ in classes or shape; expected sets of the same kind")
        images, targets = torch.cat([self.images, other.images]), torch.cat([self.targets, other.targets])
        return ImageDataset(images, targets, classes=self.classes, transform=self.transform)

    @property
    def mean(self) -> float:
        """The mean of all pixels, in [0, 1]."""
        return self._statistics[0]

    @property
    def std(self) -> float:
        """The standard deviation of all pixels (of the population, not corrected), in [0, 1]."""
        return self._statistics[1]

    @cached_property
    def _statistics(self) -> tuple[float, float]:
        if not len(self):
            raise ValueError("an empty set has no mean; expected at least one image")
        counts = torch.bincount(self.images.flatten(), minlength=256).cpu().numpy()  # exact, however many pixels
        values = np.arange(256) / 255
        mean = float(np.average(values, weights=counts))
        return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))


class DataSplits(NamedTuple):
    """The three parts of a set; the transform of each normalises by the training part's mean and std."""

    train: ImageDataset
    val: ImageDataset
    test: ImageDataset

    @property
    def preprocess(self) -> Preprocess:
        """What normalises by the training part's mean and std."""
        return Preprocess(image_size=self.train.images.shape[-1], mean=self.train.mean, std=self.train.std)


def load_data(
    name: DatasetName | str = "mnist",
    root: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
    val_size: int = 5000,
) -> DataSplits:
    """Load a set, its training images parted into training and validation by `stratified_holdout`.

    Parameters
    ----------
    name
        "mnist", "fashion_mnist", "kmnist", "qmnist" (with its full test set of 60,000), "emnist" (its digits, upright)
        or "digits" (scikit-learn's 1,797 digits of 8x8 pixels, enlarged to 20x20 and centred in 28x28, as MNIST's are;
        the same rule holds out 360 to test).
    root
        The folder that holds `MNIST/raw` and the like, as for torchvision. None is `lenet5` in torch's cache,
        `~/.cache/torch` unless TORCH_HOME says otherwise. "digits" needs none.
    download
        Whether files that are missing are fetched. Those that are there are used as they lie.
    val_size
        Images for validation; of "digits", never more than a tenth of what is not for testing.

    Returns
    -------
    DataSplits
        `(train, val, test)`: uint8 images (N, 1, 28, 28), int64 targets (N,).

    Raises
    ------
    ValueError
        The name is unknown, `val_size` is out of range, or a file is not what it should be.
    FileNotFoundError
        A file is missing and was not or could not be fetched.
    """
    if name == "digits":
        train, test = _digits()
        val_size = min(val_size, len(train) // 10)
    elif name in files.SOURCES:
        train, test = _read(files.SOURCES[name], _cache() if root is None else Path(root), download)
    else:
        raise ValueError(f"no set is named {name!r}; expected one of: digits, {', '.join(files.SOURCES)}")
    held_out = stratified_holdout(train.targets.numpy(), val_size)
    kept = np.setdiff1d(np.arange(len(train)), held_out)
    splits = DataSplits(train.select(kept), train.select(held_out), test)
    for split in splits:
        split.transform = splits.preprocess
    return splits


def check_targets(targets: Tensor, num_classes: int) -> None:
    """Raise ValueError unless every target names one of the classes."""
    if targets.is_floating_point():
        raise ValueError(f"targets have dtype {targets.dtype}; expected integers, the numbers of classes")
    low, high = (int(bound) for bound in targets.aminmax()) if len(targets) else (0, 0)
    if low < 0 or high >= num_classes:
        raise ValueError(f"targets lie in [{low}, {high}]; expected 0 to {num_classes - 1}")


def _tensor(values: Tensor | npt.ArrayLike) -> Tensor:
    """View values as a tensor; only an array that may not be written to is copied."""
    return values if isinstance(values, Tensor) else torch.as_tensor(np.require(values, requirements="W"))


def _digits() -> tuple[ImageDataset, ImageDataset]:
    """Read scikit-learn's digits: training and test images, enlarged to 20x20 and centred in 28x28, as MNIST's are."""
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    small = torch.from_numpy(pixels.astype(np.float32)).view(-1, 1, 8, 8) * (255 / 16)  # their pixels count to 16
    large = functional.interpolate(small, (20, 20), mode="bilinear", align_corners=False).round().to(torch.uint8)
    digits = ImageDataset(functional.pad(large, (4, 4, 4, 4)), targets, classes=[str(digit) for digit in range(10)])
    held_out = stratified_holdout(targets, _DIGITS_TEST_SIZE)
    return digits.select(np.setdiff1d(np.arange(len(digits)), held_out)), digits.select(held_out)


def _read(source: files.IdxFiles, root: Path, download: bool) -> tuple[ImageDataset, ImageDataset]:
    """Read the training and test images of a set that lies in IDX files."""
    tensors = [files.read_idx(path) for path in files.ensure(source, root, download=download)]
    train, test = (_labelled(source, images, targets) for images, targets in (tensors[:2], tensors[2:]))
    return train, test


def _labelled(source: files.IdxFiles, images: Tensor, targets: Tensor) -> ImageDataset:
    upright = images.mT.contiguous() if source.transposed else images
    labels = targets[:, 0] if targets.ndim == 2 else targets  # QMNIST's other columns tell of the writer
    return ImageDataset(upright[:, None], labels, classes=source.classes)


def _cache() -> Path:
    return Path(torch.hub.get_dir()).parent / "lenet5"
