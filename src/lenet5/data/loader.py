"""Batches from a set that lies in memory as one tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from torch import Generator, Tensor

from .datasets import ImageDataset

Augmentation: TypeAlias = Callable[[Tensor, Generator], Tensor]
Rows = TypeVar("Rows", Tensor, list[int])


class TensorLoader:
    """Batches of an ImageDataset by indexing one tensor, which is several times as fast as a DataLoader.

    What a batch holds depends on (seed, epoch, step) alone: nothing has to be stored to continue an epoch in its
    middle, and global random state is neither used nor changed. Without shuffling, augmentation and transform a batch
    is a view of the set.

    Parameters
    ----------
    dataset
        The images. Its transform is applied to whole batches, after `augment`.
    batch_size
        Images per batch; the last one of an epoch may be smaller.
    shuffle
        Whether each epoch has an order of its own.
    augment
        Called with uint8 images (N, C, H, W) and a generator on their device; returns images of the same kind.
    device
        Where the set is kept and the batches are made; None for where it lies.
    seed
        Of the order and the augmentation; not negative.

    Raises
    ------
    ValueError
        The dataset is empty, or `batch_size` or `seed` is out of its range.
    """

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
        if not (isinstance(batch_size, int) and isinstance(seed, int) and batch_size >= 1 and seed >= 0):
            raise ValueError(
                f"batch_size is {batch_size} and seed is {seed}; expected integers, at least 1 and at least 0"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.augment = augment
        self.seed = seed
        self.epoch = 0
        self.images, self.targets = dataset.images, dataset.targets
        self.to(device)

    def to(self, device: torch.device | str | None) -> TensorLoader:
        """Move the set to a device, where batches are made from then on; return self."""
        self.images, self.targets = self.images.to(device), self.targets.to(device)
        return self

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the next epoch: images as the network takes them (N, C, H, W), and int64 targets (N,)."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self.batches(epoch)

    def batches(
        self, epoch: int, start: int = 0, stop: int | None = None, *, rank: int = 0, num_replicas: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, counted from 0, from batch `start` to before `stop`.

        Of each batch the process `rank` of `num_replicas` gets its rows, as `share_of` says. A batch is augmented as a
        whole first, so that the rows do not depend on the number of processes. Several are prepared in one go where
        that is faster: on an accelerator, and if they are small.
        """
        device = self.images.device
        generator = Generator(device) if self.augment else None
        order = self._order(epoch).to(device) if self.shuffle else None
        transform = self.dataset.transform or _unchanged
        end = len(self) if stop is None else stop
        together = _steps_together(device, self.batch_size)
        for first in range(start - start % together, end, together):
            window = slice(first * self.batch_size, (first + together) * self.batch_size)
            index = window if order is None else order[window]
            images, targets = self.images[index], self.targets[index]
            if self.augment and generator:
                images = self.augment(images, generator.manual_seed(derive_seed(self.seed, epoch, first)))
            if num_replicas == 1:
                images = transform(images)
            pairs = zip(*(torch.split(rows, self.batch_size) for rows in (images, targets)), strict=True)
            for pair in itertools.islice(pairs, max(start - first, 0), end - first):
                if num_replicas == 1:
                    yield pair
                else:
                    own_images, own_targets = (share_of(rows, rank, num_replicas) for rows in pair)
                    yield transform(own_images), own_targets

    def _order(self, epoch: int) -> Tensor:
        generator = Generator().manual_seed(derive_seed(self.seed, epoch))
        return torch.randperm(len(self.dataset), generator=generator)


def share_of(rows: Rows, rank: int, num_replicas: int) -> Rows:
    """Return every `num_replicas`-th row from `rank` on; if that is none, the first, which then counts for nothing."""
    return rows[rank::num_replicas] if rank < len(rows) else rows[:1]


def derive_seed(*numbers: int) -> int:
    """Mix numbers that are not negative into one seed of 63 bits; unlike a sum, neighbours give unrelated ones."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1


def _steps_together(device: torch.device, batch_size: int) -> int:
    """Return how many batches to prepare in one go: several where Python would take longer than the work."""
    return max(1, (32 if device.type == "cpu" else 8192) // batch_size)


def _unchanged(images: Tensor) -> Tensor:
    return images
