"""Datasets from files of one's own: folders of images, tables, and NumPy's archives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Self, cast

import numpy as np
from torch import Tensor

from ..storage import StrPath
from .arrays import read_arrays
from .folders import read_folder
from .preprocess import Preprocess
from .tables import read_table


class FromFiles:
    """The constructors of an `ImageDataset` that read files."""

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

        Examples
        --------
        >>> dataset = lenet5.ImageDataset.from_folder("shapes", image_size=32)
        >>> dataset, dataset.classes
        (<ImageDataset: 8 images (1, 32, 32), 2 classes>, ('circle', 'square'))
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

        Examples
        --------
        >>> import pandas as pd
        >>> pixels = pd.DataFrame(np.random.randint(0, 256, (6, 784)))
        >>> pixels.assign(label=["cat", "dog"] * 3).to_csv("own.csv", index=False)
        >>> lenet5.ImageDataset.from_csv("own.csv").classes
        ('cat', 'dog')
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

        Examples
        --------
        >>> np.savez("own.npz", images=np.random.randint(0, 256, (6, 28, 28)), labels=[3, 5, 3, 5, 3, 5])
        >>> lenet5.ImageDataset.from_npz("own.npz").classes
        ('3', '5')
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
        make: Any = cls
        try:
            dataset = make(images, np.array(labels), classes=classes, transform=transform)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if transform is None:
            dataset.transform = dataset.preprocess
        return cast("Self", dataset)
