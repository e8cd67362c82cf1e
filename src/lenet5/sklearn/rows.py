"""Rows of features as images: their shape, their normalisation, and batches of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..arguments import as_integer
from ..data.loader import derive_seed
from ..data.preprocess import fit_square

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, int, int]

_CHANNELS = (1, 3, 4)  # the sizes that identify a channel axis
_IMAGES = "images (N, H, W), (N, C, H, W) or (N, H, W, C)"
_PREDICTED = 64  # images per batch of a prediction


def as_rows(data: Any) -> tuple[Any, Shape | None]:
    """Flatten images to rows of features, channel by channel and row by row; leave rows as they are.

    Parameters
    ----------
    data
        Images (N, H, W), (N, C, H, W) or (N, H, W, C), of any type that numpy can convert, or data of another number of
        dimensions.

    Returns
    -------
    rows
        (N, C * H * W) for images, else the data.
    shape
        (C, H, W) of the images; None for other data.

    Raises
    ------
    ValueError
        There are more dimensions than images have, or no axis can hold the channels.
    """
    if isinstance(data, Tensor):
        data = data.detach().cpu()
        data = (data.float() if data.dtype == torch.bfloat16 else data).numpy()  # which numpy lacks
    dimensions = len(data.shape) if hasattr(data, "shape") else np.asarray(data).ndim
    if dimensions > 4:
        raise ValueError(f"X has {dimensions} dimensions; expected rows (N, num_features) or {_IMAGES}")
    if dimensions not in (3, 4):
        return data, None
    images = _channels_first(np.asarray(data))
    channels, height, width = images.shape[1:]
    return images.reshape(len(images), channels * height * width), (channels, height, width)


def _channels_first(images: Array) -> Array:
    if images.ndim == 3:
        return images[:, None]
    if images.shape[1] in _CHANNELS:
        return images
    if images.shape[3] in _CHANNELS:
        return np.moveaxis(images, 3, 1)
    raise ValueError(f"X has shape {images.shape}; expected {_IMAGES}")


def image_shape_of(num_features: int, given: object, found: Shape | None) -> Shape:
    """Return the shape (C, H, W) of the images that rows hold.

    Parameters
    ----------
    num_features
        Features per row.
    given
        The shape that the user gives, (H, W) or (C, H, W); None if there is none.
    found
        The shape of the images before they were flattened; None for rows.

    Raises
    ------
    ValueError
        The shapes contradict each other, or the number of features.
    """
    if given is None:
        side = math.isqrt(num_features - 1) + 1  # rounded up
        return found or (1, side, side)
    sizes = [as_integer(size) or 0 for size in given] if isinstance(given, tuple | list | np.ndarray) else []
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise ValueError(f"image_shape is {given!r}; expected None, (height, width) or (channels, height, width)")
    channels, height, width = (1, *sizes) if len(sizes) == 2 else sizes
    shape = (channels, height, width)
    if (found or shape) != shape:
        raise ValueError(f"X has images of shape {found}; expected {shape}, the image_shape")
    if math.prod(shape) != num_features:
        raise ValueError(f"X has {num_features} features; expected {math.prod(shape)}, as image_shape={given!r} holds")
    return shape


@dataclass(frozen=True)
class RowPreprocess:
    """Rows of features as the input of the network: normalised, arranged as images, and resized.

    Features that are missing at the end of an image, and the pixels that make it a square, have the value `mean`.
    """

    image_shape: Shape
    """(C, H, W) of the image in a row."""

    image_size: int
    """Height and width of the input of the network."""

    mean: float
    """Subtracted from all features."""

    std: float
    """Divides all features afterwards."""

    @classmethod
    def of(cls, rows: Array, image_shape: Shape, image_size: int) -> Self:
        """Return the preprocessing that normalises these rows (N, num_features) to mean 0 and standard deviation 1.

        All features share one mean and one standard deviation, as pixels do. If all values are equal, they become 0.

        Raises
        ------
        ValueError
            The values are too large for their variance to be a number.
        """
        with np.errstate(over="ignore"):
            mean, std = float(rows.mean(dtype=np.float64)), float(rows.std(dtype=np.float64))
        if not math.isfinite(std):
            raise ValueError(
                f"X has values in [{rows.min():.4g}, {rows.max():.4g}], whose variance overflows; expected smaller ones"
            )
        varies = std > 1e-12 * abs(mean)  # else the differences are rounding errors
        return cls(image_shape, image_size, mean, std if varies else 1.0)

    def __call__(self, rows: Array) -> Tensor:
        """Map rows (N, num_features) of numbers to images (N, C, image_size, image_size) float32."""
        values = (rows.astype(np.float64) - self.mean) / self.std
        images = torch.from_numpy(values.astype(np.float32))
        images = functional.pad(images, (0, math.prod(self.image_shape) - rows.shape[1]))
        return fit_square(images.view(-1, *self.image_shape), self.image_size)


class RowBatches:
    """Batches of images and targets from rows, for `Trainer.fit`.

    A batch depends on (seed, epoch, step) alone.

    Parameters
    ----------
    rows
        (N, num_features) numbers.
    targets
        (N,) int64.
    selected
        (K,) indices of the examples to use.
    preprocess
        Maps rows to images.
    batch_size
        Images per batch; the last batch may be smaller.
    seed
        Seed of the order, which differs in each epoch. None for the order of `selected`.
    """

    rows: Array
    targets: Array
    selected: Array
    preprocess: RowPreprocess
    batch_size: int
    seed: int | None
    epoch: int

    def __init__(
        self,
        rows: Array,
        targets: Array,
        selected: Array,
        preprocess: RowPreprocess,
        batch_size: int,
        seed: int | None = None,
    ) -> None:
        self.rows, self.targets, self.selected, self.preprocess = rows, targets, selected, preprocess
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def __len__(self) -> int:
        return math.ceil(len(self.selected) / self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch whose order the next iteration has."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (N, C, image_size, image_size) and targets (N,)."""
        order = self.selected
        if self.seed is not None:
            generator = Generator().manual_seed(derive_seed(self.seed, self.epoch))
            order = order[torch.randperm(len(order), generator=generator).numpy()]
        for start in range(0, len(order), self.batch_size):
            indices = order[start : start + self.batch_size]
            yield self.preprocess(self.rows[indices]), torch.from_numpy(self.targets[indices])


def prediction_batches(rows: Array, preprocess: RowPreprocess) -> Iterator[Tensor]:
    """Yield the images of rows in batches of one size, of which the last is padded with zeros.

    A matrix product is rounded differently for different numbers of rows. In batches of one size, an image gets the
    same logits, bit for bit, beside any other images.
    """
    for start in range(0, len(rows), _PREDICTED):
        images = preprocess(rows[start : start + _PREDICTED])
        yield functional.pad(images, (0,) * 7 + (_PREDICTED - len(images),))
