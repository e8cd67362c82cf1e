"""In-memory datasets: images, targets and class names."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..arguments import check_integer
from .files import FromFiles
from .images import as_image_batch
from .preprocess import Preprocess
from .splits import as_indices
from .targets import encode_targets
from .transforms import transform_images

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Targets: TypeAlias = "Tensor | npt.ArrayLike | pd.Series[Any]"

_PIXEL_VALUES = np.arange(256) / 255


class ImageDataset(FromFiles, Dataset[tuple[Tensor, Tensor]]):
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
    TypeError
        The transform is not callable.

    Examples
    --------
    >>> images = np.random.randint(0, 256, (6, 28, 28), dtype=np.uint8)
    >>> dataset = lenet5.ImageDataset(images[:, None], ["cat", "dog"] * 3, classes=None)
    >>> dataset
    <ImageDataset: 6 images (1, 28, 28), 2 classes>
    >>> dataset.targets
    tensor([0, 1, 0, 1, 0, 1])
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
        if not (transform is None or callable(transform)):
            raise TypeError(f"transform is {transform!r}; expected None or a callable, such as a Preprocess")
        self.images, self.transform = as_image_batch(images), transform
        self.targets, self.classes = encode_targets(targets, classes)
        if self.targets.shape != (len(self.images),):
            raise ValueError(f"targets have shape {tuple(self.targets.shape)}; expected ({len(self.images)},)")

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
        """Plot the first images of every class with their class names. Notebooks display the figure.

        Raises
        ------
        ValueError
            The dataset is empty, or `num_images` is not a positive integer.

        Examples
        --------
        >>> figure = lenet5.load_data("digits").train.plot(num_images=10)
        >>> figure.savefig("digits.png")
        """
        from ..plots import plot_images

        num_images = check_integer("num_images", num_images, least=1)
        if not len(self):
            raise ValueError("the dataset is empty; expected at least one image")
        chosen = _first_of_every_class(self.targets.cpu().numpy(), num_images)
        names = [self.classes[target] for target in self.targets[chosen].tolist()]
        return plot_images(self.images[chosen].cpu().numpy(), names, repr(self).strip("<>"))

    def select(self, indices: npt.ArrayLike | Tensor | slice) -> ImageDataset:
        """Return the subset at these indices, or of this mask (N,) or slice, with the same classes and transform.

        Raises
        ------
        ValueError
            The indices are neither integers nor a mask of the right length.
        IndexError
            An index is out of range.

        Examples
        --------
        >>> digits = lenet5.load_data("digits").train
        >>> digits.select(digits.targets < 5)
        <ImageDataset: 648 images (1, 28, 28), 10 classes>
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

        Examples
        --------
        >>> digits = lenet5.load_data("digits")
        >>> digits.train.concat(digits.val)
        <ImageDataset: 1437 images (1, 28, 28), 10 classes>
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


def _first_of_every_class(targets: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Return the indices of the first image of every class, then those of the second, and so on."""
    by_class = np.argsort(targets, kind="stable")
    ordered = targets[by_class]
    place = np.arange(len(targets)) - np.searchsorted(ordered, ordered)  # within the class
    return by_class[np.argsort(place, kind="stable")[:count]]
