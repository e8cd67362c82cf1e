"""In-memory datasets: images, targets and class names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..arguments import check_integer
from ..storage import StrPath
from .arrays import read_arrays
from .folders import read_folder
from .images import as_image_batch
from .preprocess import Preprocess
from .splits import as_indices
from .tables import read_table
from .targets import encode_targets
from .transforms import transform_images

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Targets: TypeAlias = "Tensor | npt.ArrayLike | pd.Series[Any]"

_PIXEL_VALUES = np.arange(256) / 255


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """Labelled images in memory. For images that are not uint8, use a `torch.utils.data.TensorDataset`.

    Parameters
    ----------
    images
        (N, C, H, W) uint8, an array or a tensor. Other integers, bool and 16-bit images are converted as in
        `Preprocess`.
    targets
        (N,) indices of classes, from 0 to `len(classes) - 1`, or their names.
    classes
        Class names; numbers become strings. If None, the names that occur in the targets, in natural order, with "2"
        before "10"; or the categories of a pandas categorical; or, for indices, the numbers from 0 to the largest.
    transform
        Callable that maps images (N, C, H, W) uint8 to the network's input, such as a `Preprocess`; see `TensorLoader`.

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
    transform: Any

    def __init__(
        self,
        images: Tensor | npt.ArrayLike,
        targets: Targets,
        *,
        classes: Iterable[object] | None,
        transform: Any | None = None,
    ) -> None:
        self.images, self.transform = as_image_batch(images), transform
        self.targets, self.classes = encode_targets(targets, classes)
        if self.targets.shape != (len(self.images),):
            raise ValueError(f"targets have shape {tuple(self.targets.shape)}; expected ({len(self.images)},)")

    @classmethod
    def from_folder(
        cls,
        path: StrPath,
        *,
        classes: Iterable[object] | None = None,
        image_size: int = 28,
        channels: int = 1,
        transform: Any | None = None,
    ) -> Self:
        """Read a folder with one folder of images per class.

        Images of any size and format are read as by `Preprocess`: turned upright, converted to greyscale, padded with
        black to a square, and resized. Weights that are trained on them prepare an image for prediction by the same
        code. Light and dark stay as they are.

        Parameters
        ----------
        path
            The folder. The images of a class may be in further folders within its own. Files without the suffix of an
            image format, hidden files and folders, and images outside the classes' folders are ignored.
        classes
            Class names, in the order of the targets. None for the names of the folders, in natural order, with "2"
            before "10". Pass the training set's to read a test set.
        image_size, channels
            Height and width, and channels (1 or 3), of the dataset.
        transform
            As for `ImageDataset`. None to normalise by the mean and standard deviation of these images. Pass the
            training set's to read a test set.

        Raises
        ------
        FileNotFoundError
            There is no such folder.
        ValueError
            There are fewer than two classes, a class has no images, or an image cannot be read.
        """
        read = functools.partial(read_folder, path)
        return cls._from_file(read, path, classes, image_size, channels, transform)

    @classmethod
    def from_csv(
        cls,
        path: StrPath,
        *,
        classes: Iterable[object] | None = None,
        image_size: int = 28,
        channels: int = 1,
        transform: Any | None = None,
    ) -> Self:
        """Read a table with one image per row: a label, and its pixels from 0 to 255, row by row.

        Parameters
        ----------
        path
            A .csv file, or one compressed as .csv.gz, with or without a header. The label is in the column named
            "label", "labels", "y", "target", "targets", "class" or "digit", or else in the only one whose name holds no
            number. Without names, it is in the first. The number of pixels is a square (greyscale), or three times a
            square (RGB, the three values of a pixel side by side). Pixels with numbered names are put in order. Columns
            that are named "id" or "index", or have no name, are ignored.
        classes, image_size, channels, transform
            As in `from_folder`; the default classes are the labels that occur.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is damaged, has no labels or has them in a column that no name tells, or has values that are no
            pixels. The message names the row.
        """
        read = functools.partial(read_table, path)
        return cls._from_file(read, path, classes, image_size, channels, transform)

    @classmethod
    def from_npz(
        cls,
        path: StrPath,
        *,
        split: str = "train",
        classes: Iterable[object] | None = None,
        image_size: int = 28,
        channels: int = 1,
        transform: Any | None = None,
    ) -> Self:
        """Read images and labels from a .npz file of numpy.

        Parameters
        ----------
        path
            The file. Its arrays are named as in Keras (`x_train`, `y_train`, `x_test`, `y_test`) or MedMNIST
            (`train_images`, `train_labels`, ...), or `images` and `labels`, `x` and `y`, `data` and `target`, in any
            case. Images are (N, H, W), (N, C, H, W) or (N, H, W, C); labels are (N,) or (N, 1).
        split
            "train", "val" or "test". "train" also stands for arrays whose names mention no split.
        classes, image_size, channels, transform
            As in `from_folder`; the default classes are the labels that occur.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is damaged or holds Python objects, which are never loaded, or the arrays of the split are missing.
        """
        read = functools.partial(read_arrays, path, split)
        return cls._from_file(read, path, classes, image_size, channels, transform)

    @classmethod
    def _from_file(
        cls,
        read: Callable[[Preprocess], tuple[Tensor, list[str]]],
        path: StrPath,
        classes: Iterable[object] | None,
        image_size: int,
        channels: int,
        transform: Any | None,
    ) -> Self:
        images, labels = read(Preprocess(image_size=image_size, channels=channels))
        if classes is None and len(set(labels)) < 2:
            raise ValueError(f"{path} has one class, {labels[0]!r}; expected at least two")
        try:
            dataset = cls(images, np.array(labels), classes=classes, transform=transform)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if transform is None:
            dataset.transform = dataset.preprocess
        return dataset

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return one image (C, H, W), transformed, and its target."""
        image = self.images[index]
        return transform_images(self.transform, image[None])[0], self.targets[index]

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
        from ..plots import plot_images

        num_images = check_integer("num_images", num_images, least=1)
        if not len(self):
            raise ValueError("the dataset is empty; expected at least one image")
        names = [self.classes[target] for target in self.targets[:num_images].tolist()]
        return plot_images(self.images[:num_images].cpu().numpy(), names, repr(self).strip("<>"))

    def select(self, indices: npt.ArrayLike | Tensor | slice) -> ImageDataset:
        """Return the subset at these indices, or of this mask (N,) or slice, with the same classes and transform.

        Raises
        ------
        ValueError
            The indices are neither integers nor a mask of the right length.
        IndexError
            An index is out of range.
        """
        if not isinstance(indices, slice):
            indices = as_indices(indices, len(self))
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

    @property
    def preprocess(self) -> Preprocess:
        """Preprocessing that normalises by the mean and standard deviation of these images."""
        if not self.std:
            raise ValueError(f"all pixels of {self} are {self.mean:.4g}; expected images that differ")
        channels, _, image_size = self.images.shape[1:]
        return Preprocess(image_size=image_size, channels=channels, mean=self.mean, std=self.std)

    @cached_property
    def _histogram(self) -> Tensor:
        """Count the pixels of each value. Integer counts are exact for any number of pixels."""
        if not len(self):
            raise ValueError("the dataset is empty; expected at least one image")
        return torch.bincount(self.images.flatten(), minlength=256).cpu()
