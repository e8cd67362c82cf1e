"""In-memory datasets: MNIST, datasets in its format, and scikit-learn's digits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from .. import notebook
from ..arguments import check_integer
from .catalogue import NAMES, SOURCES, IdxFiles
from .download import ensure_files, read_idx
from .preprocess import Preprocess
from .splits import stratified_holdout

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DIGITS_TEST_SIZE = 360  # one fifth of 1,797
_PIXEL_VALUES = np.arange(256) / 255


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """Labelled images in memory. For images that are not uint8, use a `torch.utils.data.TensorDataset`.

    Parameters
    ----------
    images
        (N, C, H, W) uint8, an array or a tensor.
    targets
        (N,) integers: the class of each image, from 0 to `len(classes) - 1`.
    classes
        Class names.
    transform
        Callable that maps images (N, C, H, W) uint8 to the input of the network, such as a `Preprocess`.

    Attributes
    ----------
    images
        (N, C, H, W) uint8 tensor.
    targets
        (N,) int64 tensor.
    classes
        Tuple of class names.
    mean, std
        Mean and standard deviation of all pixels, on a scale from 0 (black) to 1 (white).

    Raises
    ------
    ValueError
        Shapes, lengths or dtypes do not match, or a target is out of range.
    """

    images: Tensor
    targets: Tensor
    classes: tuple[str, ...]

    def __init__(
        self,
        images: Tensor | npt.NDArray[Any],
        targets: Tensor | npt.ArrayLike,
        *,
        classes: Sequence[str],
        transform: Any | None = None,
    ) -> None:
        self.images, self.targets = _as_tensor(images), _as_tensor(targets)
        self.classes = tuple(classes)
        self.transform = transform
        check_images(self.images)
        if self.targets.shape != (len(self.images),):
            raise ValueError(f"targets have shape {tuple(self.targets.shape)}; expected ({len(self.images)},)")
        check_targets(self.targets, len(self.classes))
        self.targets = self.targets.long()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return one image (C, H, W), transformed, and its target."""
        image = self.images[index]
        return (self.transform(image[None])[0] if self.transform else image), self.targets[index]

    def __repr__(self) -> str:
        return f"<ImageDataset: {len(self)} images {tuple(self.images.shape[1:])}, {len(self.classes)} classes>"

    def _repr_png_(self) -> Any:
        if not len(self):
            return None  # the text alone
        figure: Any = self.plot()
        return figure._repr_png_()

    def plot(self, num_images: int = 20) -> Figure:
        """Plot the first images with their class names. Notebooks display the figure.

        Raises
        ------
        ValueError
            The dataset is empty, or `num_images` is not a positive integer.
        """
        from ..plots.figures import plot_images

        num_images = check_integer("num_images", num_images, least=1)
        if not len(self):
            raise ValueError("the dataset is empty; expected at least one image")
        names = [self.classes[target] for target in self.targets[:num_images].tolist()]
        return plot_images(self.images[:num_images].cpu().numpy(), names, repr(self).strip("<>"))

    def select(self, indices: npt.ArrayLike | Tensor | slice) -> ImageDataset:
        """Return the subset at these indices, with the same classes and transform."""
        if not isinstance(indices, slice):
            indices = torch.as_tensor(indices)
            indices = indices if len(indices) else indices.long()  # an empty list becomes a float tensor
        images, targets = self.images[indices], self.targets[indices]
        return ImageDataset(images, targets, classes=self.classes, transform=self.transform)

    def concat(self, dataset: ImageDataset) -> ImageDataset:
        """Concatenate with a second dataset; the result has the transform of this one.

        Raises
        ------
        ValueError
            The datasets differ in their classes or in the shape of their images.
        """
        if self.classes != dataset.classes or self.images.shape[1:] != dataset.images.shape[1:]:
            raise ValueError(f"{self} and {dataset} differ; expected the same classes and image shape")
        images, targets = torch.cat([self.images, dataset.images]), torch.cat([self.targets, dataset.targets])
        return ImageDataset(images, targets, classes=self.classes, transform=self.transform)

    @cached_property
    def mean(self) -> float:
        """Mean of all pixels, in [0, 1]."""
        return float(np.average(_PIXEL_VALUES, weights=self._histogram))

    @cached_property
    def std(self) -> float:
        """Population standard deviation of all pixels, in [0, 1]."""
        return float(np.sqrt(np.average((_PIXEL_VALUES - self.mean) ** 2, weights=self._histogram)))

    @cached_property
    def _histogram(self) -> Tensor:
        """Count the pixels of each value. Integer counts are exact for any number of pixels."""
        if not len(self):
            raise ValueError("the dataset is empty; expected at least one image")
        return torch.bincount(self.images.flatten(), minlength=256).cpu()


class DataSplits(NamedTuple):
    """Training, validation and test sets, as returned by `load_data`."""

    train: ImageDataset
    val: ImageDataset
    test: ImageDataset

    def _repr_html_(self) -> str:
        import pandas as pd

        columns = ["images", "shape", "classes"]
        rows = [(len(split), tuple(split.images.shape[1:]), len(split.classes)) for split in self]
        return notebook.table_html("DataSplits", pd.DataFrame(rows, list(self._fields), columns))

    @property
    def preprocess(self) -> Preprocess:
        """Preprocessing that normalises by the mean and standard deviation of the training set."""
        return Preprocess(image_size=self.train.images.shape[-1], mean=self.train.mean, std=self.train.std)


def load_data(
    name: str = "mnist", root: str | os.PathLike[str] | None = None, *, download: bool = True, val_size: int = 5000
) -> DataSplits:
    """Load a dataset, and split a validation set from its training images (see `stratified_holdout`).

    The transform of each split normalises by the mean and standard deviation of the training set.

    Parameters
    ----------
    name
        One of:

        - "mnist", "fashion_mnist", "kmnist";
        - "qmnist", with its full test set of 60,000 images;
        - "emnist", the digits only, turned upright;
        - "digits", scikit-learn's 1,797 images of 8x8 pixels, enlarged to 20x20 and centred in 28x28 as in MNIST,
          with 360 images held out for testing.
    root
        Data folder, with the files of MNIST in `MNIST/raw`, as in torchvision. None for the folder `lenet5` in torch's
        cache, which is `~/.cache/torch` unless TORCH_HOME is set. "digits" needs no folder.
    download
        Whether to download missing files.
    val_size
        Number of validation images. For "digits", at most a tenth of the training images.

    Returns
    -------
    DataSplits
        `(train, val, test)`, with images (N, 1, 28, 28) uint8 and targets (N,) int64.

    Raises
    ------
    ValueError
        `name` is unknown, `val_size` is out of range, or a file is corrupt.
    FileNotFoundError
        A file is missing, and `download` is False or every mirror failed.
    """
    if name not in NAMES:
        raise ValueError(f"name is {name!r}; expected one of: {', '.join(NAMES)}")
    if name == "digits":
        train, test = _load_digits()
        val_size = min(val_size, len(train) // 10)
    else:
        folder = Path(torch.hub.get_dir()).parent / "lenet5" if root is None else Path(root)
        source = SOURCES[name]
        paths = ensure_files(source, folder, download=download)
        train, test = _read(source, *paths[:2]), _read(source, *paths[2:])
    train, val = _hold_out(train, val_size)
    splits = DataSplits(train, val, test)
    for split in splits:
        split.transform = splits.preprocess
    return splits


def check_images(images: Tensor) -> None:
    """Raise ValueError unless images are uint8 (N, C, H, W)."""
    if images.ndim != 4 or images.dtype != torch.uint8:
        raise ValueError(
            f"images have shape {tuple(images.shape)} and dtype {images.dtype}; expected uint8 (N, C, H, W)"
        )


def check_targets(targets: Tensor, num_classes: int) -> None:
    """Raise ValueError unless targets are integers from 0 to `num_classes - 1`."""
    if targets.is_floating_point() or targets.is_complex():
        raise ValueError(f"targets have dtype {targets.dtype}; expected integers, the indices of classes")
    low, high = (int(bound) for bound in targets.long().aminmax()) if len(targets) else (0, 0)
    if low < 0 or high >= num_classes:
        raise ValueError(f"targets lie in [{low}, {high}]; expected 0 to {num_classes - 1}")


def _as_tensor(values: Tensor | npt.ArrayLike) -> Tensor:
    """Convert to a tensor that shares memory, unless the values are a list or a read-only array."""
    return values if isinstance(values, Tensor) else torch.as_tensor(np.require(values, requirements="W"))


def _hold_out(dataset: ImageDataset, size: int) -> tuple[ImageDataset, ImageDataset]:
    """Split a dataset into the remaining examples and `size` held-out ones."""
    held_out = stratified_holdout(dataset.targets.numpy(), size)
    return dataset.select(np.setdiff1d(np.arange(len(dataset)), held_out)), dataset.select(held_out)


def _load_digits() -> tuple[ImageDataset, ImageDataset]:
    """Load the training and test sets of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    small = torch.from_numpy(pixels.astype(np.float32)).view(-1, 1, 8, 8) * (255 / 16)  # the pixels range from 0 to 16
    large = functional.interpolate(small, (20, 20), mode="bilinear", align_corners=False).round().to(torch.uint8)
    images = functional.pad(large, (4, 4, 4, 4))
    return _hold_out(ImageDataset(images, targets, classes=[str(digit) for digit in range(10)]), _DIGITS_TEST_SIZE)


def _read(source: IdxFiles, images_path: Path, targets_path: Path) -> ImageDataset:
    images, targets = read_idx(images_path), read_idx(targets_path)
    if source.transposed:
        images = images.mT.contiguous()
    if targets.ndim == 2:
        targets = targets[:, 0]  # the other columns of QMNIST describe the writer
    return ImageDataset(images[:, None], targets, classes=source.classes)
