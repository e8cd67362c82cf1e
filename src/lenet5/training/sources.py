"""One view of everything that a Trainer takes data from."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ..data import ImageDataset, TensorLoader
from ..data.datasets import check_targets
from ..data.loader import derive_seed

Data: TypeAlias = "ImageDataset | TensorLoader | Dataset[Any] | DataLoader[Any] | Iterable[Any]"


EVALUATION_BATCH_SIZE = 500  # the results do not depend on it, but for rounding


class Source:
    """Batches of a foreign loader: an epoch of it can only be taken from its beginning."""

    resumable = False
    classes: tuple[str, ...] | None = None

    def __init__(self, loader: Any) -> None:
        if not isinstance(loader, Iterable) or not isinstance(loader, Sized):
            raise TypeError(
                f"data is {type(loader).__name__}; expected an ImageDataset, a TensorLoader, a torch Dataset with a"
                " length, or a DataLoader or other iterable of batches with a length"
            )
        if not len(loader):
            raise ValueError("the data is empty; expected at least one example")
        self.loader: Any = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __str__(self) -> str:
        return f"a loader ({type(self.loader).__name__})"

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of one epoch from batch `start` on."""
        assert start == 0 or self.resumable
        for owner in (self.loader, getattr(self.loader, "sampler", None)):
            if owner is not None and hasattr(owner, "set_epoch"):
                owner.set_epoch(number)
        return iter(self.loader)

    def pairs(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches as `epoch` does, each seen to be images and as many targets."""
        for batch in self.epoch(number, start):
            yield check_batch(batch)

    def check_targets(self, targets: Tensor, num_classes: int) -> None:
        """Raise ValueError unless the targets of a batch name classes."""
        check_targets(targets, num_classes)


class DatasetSource(Source):
    """Batches of a torch Dataset, in an order that depends on (seed, epoch) alone."""

    resumable = True

    def __init__(self, dataset: Any, batch_size: int, shuffle: bool, seed: int) -> None:
        self.sampler = EpochSampler(len(dataset), shuffle=shuffle, seed=seed)
        own = Generator()  # a DataLoader draws a seed each time it begins; not from the generators of the training
        super().__init__(DataLoader(dataset, batch_size, sampler=self.sampler, generator=own) if len(dataset) else ())
        self.batch_size = batch_size

    def __str__(self) -> str:
        sampler = self.sampler
        return f"a dataset (batch_size={self.batch_size}, shuffle={sampler.shuffle}, seed={sampler.seed})"

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of one epoch from batch `start` on."""
        self.sampler.epoch, self.sampler.start = number, start * self.batch_size
        return iter(self.loader)


class TensorSource(Source):
    """Batches of a TensorLoader."""

    resumable = True

    def __init__(self, loader: TensorLoader, device: torch.device) -> None:
        super().__init__(copy.copy(loader).to(device))
        self.classes = loader.dataset.classes
        self._checked = False

    def __str__(self) -> str:
        loader = self.loader
        return f"a TensorLoader (batch_size={loader.batch_size}, shuffle={loader.shuffle}, seed={loader.seed})"

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch from batch `start` on."""
        batches: Iterator[tuple[Tensor, Tensor]] = self.loader.batches(number, start)
        return batches

    pairs = epoch  # a TensorLoader makes nothing else

    def check_targets(self, targets: Tensor, num_classes: int) -> None:  # noqa: ARG002 (all of them, not a batch's)
        """Raise ValueError unless all targets of the set name classes; the later calls cost nothing."""
        if not self._checked:
            check_targets(self.loader.targets, num_classes)
            self._checked = True


class EpochSampler(Sampler[int]):
    """Indices in an order that depends on (seed, epoch) alone, from a given place on."""

    def __init__(self, size: int, *, shuffle: bool, seed: int) -> None:
        self.size, self.shuffle, self.seed = size, shuffle, seed
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = Generator().manual_seed(derive_seed(self.seed, self.epoch))
        order = torch.randperm(self.size, generator=generator) if self.shuffle else torch.arange(self.size)
        return iter(order[self.start :].tolist())


def as_source(
    data: Data, device: torch.device, *, batch_size: int = EVALUATION_BATCH_SIZE, shuffle: bool = False, seed: int = 0
) -> Source:
    """View data as batches; what is no loader yet gets the given batch size, order and seed.

    Raises
    ------
    TypeError
        It is no data.
    ValueError
        It is empty.
    """
    if isinstance(data, ImageDataset):
        data = TensorLoader(data, batch_size=batch_size, shuffle=shuffle, seed=seed)
    if isinstance(data, TensorLoader):
        return TensorSource(data, device)
    if isinstance(data, Dataset) and isinstance(data, Sized):
        return DatasetSource(data, batch_size, shuffle, seed)
    return Source(data)


def check_batch(batch: Any) -> tuple[Tensor, Tensor]:
    """Return a batch's images and targets.

    Raises
    ------
    ValueError
        It is something else, is empty, or their numbers differ.
    """
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
        raise ValueError(f"a batch is {_describe(batch)}; expected two tensors, images and targets")
    images, targets = batch
    if not len(images) or len(images) != len(targets):
        raise ValueError(
            f"a batch has {len(images)} images and {len(targets)} targets; expected equal numbers, above 0"
        )
    return images, targets if targets.is_floating_point() else targets.long()


def check_finite(images: Tensor) -> None:
    """Raise ValueError if a value is NaN or infinite."""
    if images.is_floating_point() and (bad := int((~images.isfinite()).sum())):
        raise ValueError(f"images hold {bad} values that are NaN or infinite; expected finite values")


def warn_unresumable(source: Source) -> None:
    """Say that a checkpoint in the middle of an epoch is impossible."""
    if not source.resumable:
        name = type(source.loader).__name__
        warnings.warn(
            f"an epoch of {name} cannot be continued in its middle, so checkpoints are taken only at its end;"
            " pass the dataset itself, or a TensorLoader",
            stacklevel=3,  # where fit was called
        )


def _describe(batch: Any) -> str:
    if isinstance(batch, tuple | list):
        return f"a {type(batch).__name__} of {', '.join(type(part).__name__ for part in batch) or 'nothing'}"
    return f"a {type(batch).__name__}"
