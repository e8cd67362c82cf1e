"""Batch loading for datasets in memory."""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Generator, Tensor

from .. import notebook
from ..arguments import check_boolean, check_integer
from .datasets import ImageDataset
from .transforms import Augmentation, as_augmentation, takes_one_image, transform_images


class Batch(NamedTuple):
    """One rank's rows of a batch."""

    images: Tensor  # at least one row
    targets: Tensor
    num_own: int  # rows that count for this rank; 0 if it only has a stand-in row, so that every rank takes the step
    num_all: int  # rows of the whole batch, over all ranks


class IndexedSource:
    """A source whose batches depend on (seed, epoch, step) alone; it can resume at any step without stored state."""

    num_examples: int
    batch_size: int
    shuffle: bool
    seed: int
    limit: int | None = None
    """Maximum number of batches per epoch. If set, every epoch has the same batches."""

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        length = math.ceil(self.num_examples / self.batch_size)
        return length if self.limit is None else min(self.limit, length)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_size={self.batch_size}, shuffle={self.shuffle}, seed={self.seed})"

    def order(self, epoch: int) -> Tensor:
        """Return the shuffled indices of an epoch."""
        return torch.randperm(self.num_examples, generator=Generator().manual_seed(derive_seed(self.seed, epoch)))

    def evaluation_range(self, rank: int, world_size: int) -> range | None:
        """Return the steps that one rank evaluates; None if every rank evaluates all of them."""
        if world_size == 1 or len(self) < world_size:
            return None
        first, last = (number * len(self) // world_size for number in (rank, rank + 1))
        return range(first, last)

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state: resuming in the middle of an epoch needs none."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class TensorLoader(IndexedSource):
    """Loader of an ImageDataset that indexes whole batches; several times as fast as a DataLoader.

    A batch depends on (seed, epoch, step) alone. Resuming in the middle of an epoch needs no state, and the global
    random generators are neither used nor changed. Without shuffling, augmentation and transform, a batch is a view of
    the dataset.

    Parameters
    ----------
    dataset
        The images. Its transform is applied to whole batches, after `augment`. One of torchvision's that draws random
        numbers is applied to each image.
    batch_size
        Images per batch; the last batch of an epoch may be smaller.
    shuffle
        Whether to shuffle the images in every epoch of training; `evaluate` and `predict` keep their order.
    augment
        Callable that maps images (N, C, H, W) uint8 and a generator on their device to images of the same shape and
        dtype, such as an `Augment`. Or a transform of torchvision, which is applied to each image and is much slower;
        or a function of the images alone. `evaluate` and `predict` do not use it.
    device
        Device of the images and the batches. None for the dataset's own device.
    seed
        Seed for shuffling and augmentation; not negative.

    Raises
    ------
    ValueError
        The dataset is empty, or `batch_size` or `seed` is out of range.
    TypeError
        `dataset` is not an ImageDataset, or `augment` cannot be called.

    Examples
    --------
    >>> digits = lenet5.load_data("digits").train
    >>> loader = lenet5.TensorLoader(digits, batch_size=64, shuffle=True, augment=lenet5.Augment())
    >>> images, targets = next(iter(loader))
    >>> images.shape, len(loader)
    (torch.Size([64, 1, 28, 28]), 21)
    """

    dataset: ImageDataset
    num_examples: int
    classes: tuple[str, ...]
    batch_size: int
    shuffle: bool
    seed: int
    augment: Any
    epoch: int
    images: Tensor
    targets: Tensor

    def __init__(
        self,
        dataset: ImageDataset,
        *,
        batch_size: int,
        shuffle: bool = False,
        augment: Augmentation | None = None,
        device: torch.device | str | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(dataset, ImageDataset):
            raise TypeError(f"dataset is {type(dataset).__name__}; expected an ImageDataset")
        if not len(dataset):
            raise ValueError("the dataset is empty; expected at least one image")
        self.dataset, self.num_examples, self.classes = dataset, len(dataset), dataset.classes
        self.batch_size = check_integer("batch_size", batch_size, least=1)
        self.shuffle, self.augment = check_boolean("shuffle", shuffle), augment
        self.seed = check_integer("seed", seed, least=0)
        if augment is not None:
            as_augmentation(augment)  # raises TypeError
        self.epoch = 0
        self.images, self.targets = dataset.images, dataset.targets
        self.to(device)

    def _repr_html_(self) -> str:
        return notebook.fields_html(
            type(self).__name__,
            {
                "dataset": repr(self.dataset),
                "batch_size": self.batch_size,
                "batches per epoch": len(self),
                "shuffle": self.shuffle,
                "augment": self.augment,
                "transform": self.dataset.transform,
                "device": self.images.device,
                "seed": self.seed,
            },
        )

    def to(self, device: torch.device | str | None) -> Self:
        """Move the images and targets to a device, where batches are then prepared; return self."""
        self.images, self.targets = self.images.to(device), self.targets.to(device)
        return self

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate over the next epoch: pairs of images (N, C, H, W), transformed, and int64 targets (N,)."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        return ((batch.images, batch.targets) for batch in self.batches(epoch))

    def batches(
        self, epoch: int, start: int = 0, stop: int | None = None, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one rank's rows of each batch, from step `start` to before step `stop`.

        Each batch is augmented as a whole, so that the rows do not depend on the world size. Small batches, and batches
        on an accelerator, are prepared several at a time, which is faster.
        """
        epoch, end = (epoch if self.limit is None else 0), (len(self) if stop is None else stop)
        device = self.images.device
        augment = None if self.augment is None else as_augmentation(self.augment)
        generator = Generator(device) if augment else None
        order = self.order(epoch).to(device) if self.shuffle else None
        transform = self.dataset.transform
        whole = world_size == 1 or takes_one_image(transform)  # a rank's rows must not depend on the world size
        together = max(1, (32 if device.type == "cpu" else 8192) // self.batch_size)
        for first in range(start - start % together, end, together):
            window = slice(first * self.batch_size, (first + together) * self.batch_size)
            images, targets = (take(rows, window, order) for rows in (self.images, self.targets))
            seed = derive_seed(self.seed, epoch, first)
            if augment and generator:
                images = augment(images, generator.manual_seed(seed))
            if whole:
                images = transform_images(transform, images, seed=derive_seed(seed, 1))
            pairs = zip(*(torch.split(rows, self.batch_size) for rows in (images, targets)), strict=True)
            for images, targets in itertools.islice(pairs, max(start - first, 0), end - first):
                count = len(targets)
                if world_size == 1:
                    yield Batch(images, targets, count, count)
                else:
                    own = take_rows(images, rank, world_size)
                    own = own if whole else transform_images(transform, own)
                    own_targets = take_rows(targets, rank, world_size)
                    yield Batch(own, own_targets, len(range(rank, count, world_size)), count)


def take(rows: Tensor, window: slice, order: Tensor | None) -> Tensor:
    """Return the rows of a window of an order, several times as fast as `rows[order[window]]`; of no order, a view."""
    return rows[window] if order is None else rows.index_select(0, order[window])


def take_rows(rows: Tensor, rank: int, world_size: int) -> Tensor:
    """Return every `world_size`-th row from `rank` on. If there is none, return the first row as a stand-in."""
    return rows[rank::world_size] if rank < len(rows) else rows[:1]


def derive_seed(*numbers: int) -> int:
    """Mix non-negative integers into a 63-bit seed. Unlike a sum, similar integers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1
