"""One view of everything that a training or an evaluation takes data from."""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from .datasets import ImageDataset, check_targets
from .loader import TensorLoader, derive_seed, share_of

Data: TypeAlias = "ImageDataset | TensorLoader | Dataset[Any] | DataLoader[Any] | Iterable[Any]"

EVALUATION_BATCH_SIZE = 500  # the results do not depend on it, but for rounding


class Batch(NamedTuple):
    """What one process takes a step with."""

    images: Tensor  # its share of the batch, at least one row
    targets: Tensor
    num_own: int  # of examples in the share; 0 if the row is another's, so that every process takes the step
    num_all: int  # of examples in the whole batch


class Source:
    """Batches of a foreign loader: an epoch is taken from its beginning, or from where the loader's own state says."""

    divisible = False
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
        self.sampled = isinstance(getattr(loader, "sampler", None), DistributedSampler)

    def __len__(self) -> int:
        return len(self.loader)

    def __str__(self) -> str:
        return f"a loader ({type(self.loader).__name__})"

    @property
    def resumable(self) -> bool:
        """Whether an epoch can be continued in its middle."""
        return self.divisible or (hasattr(self.loader, "state_dict") and hasattr(self.loader, "load_state_dict"))

    def state_dict(self) -> dict[str, Any]:
        """Return what the loader must know to continue an epoch in its middle."""
        return {} if self.divisible or not self.resumable else self.loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        if state:
            self.loader.load_state_dict(state)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of one epoch from batch `start` on."""
        assert start == 0 or self.resumable
        for owner in (self.loader, getattr(self.loader, "sampler", None)):
            if owner is not None and hasattr(owner, "set_epoch"):
                owner.set_epoch(number)
        if not self.resumable:
            return iter(self.loader)
        with torch.random.fork_rng(devices=[]):  # it may draw seeds, and more of them when it is resumed
            return iter(self.loader)

    def pairs(self, number: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches from `start` to before `stop`, each seen to be images and as many targets."""
        assert stop is None or self.divisible
        for batch in self.epoch(number, start):
            yield check_batch(batch)

    def shares(self, number: int, start: int, *, rank: int, num_replicas: int) -> Iterator[Batch]:  # noqa: ARG002 (a sampler knows it)
        """Yield one process's share of each batch from `start` on.

        Raises
        ------
        ValueError
            There are several processes, and the loader gives each of them the same batches.
        """
        if num_replicas > 1 and not self.sampled:
            raise ValueError(
                f"{type(self.loader).__name__} would give each of the {num_replicas} processes the same batches;"
                " expected the dataset itself, a TensorLoader, or a DataLoader with a DistributedSampler"
            )
        for images, targets in self.pairs(number, start):
            yield Batch(images, targets, len(targets), len(targets) * num_replicas)

    def check_targets(self, targets: Tensor, num_classes: int) -> None:
        """Raise ValueError unless the targets of a batch name classes."""
        check_targets(targets, num_classes)


class _OwnSource(Source):
    """Batches in an order that depends on (seed, epoch) alone: any of them, or a process's rows, can be taken."""

    divisible = True

    def __init__(self, loader: Any, num_examples: int, batch_size: int, limit: int | None) -> None:
        super().__init__(loader)
        self.num_examples, self.batch_size, self.limit = num_examples, batch_size, limit

    def __len__(self) -> int:
        length = math.ceil(self.num_examples / self.batch_size)
        return length if self.limit is None else min(self.limit, length)

    def _batches(self, number: int, steps: range, rank: int, num_replicas: int) -> Iterator[Any]:
        raise NotImplementedError

    def _check(self, batch: Any) -> tuple[Tensor, Tensor]:
        return check_batch(batch)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        return self._batches(number, range(start, len(self)), 0, 1)

    def pairs(self, number: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        steps = range(start, len(self) if stop is None else stop)
        return map(self._check, self._batches(number, steps, 0, 1))

    def shares(self, number: int, start: int, *, rank: int, num_replicas: int) -> Iterator[Batch]:
        steps = range(start, len(self))
        number = number if self.limit is None else 0
        for step, batch in zip(steps, self._batches(number, steps, rank, num_replicas), strict=True):
            total = min(self.batch_size, self.num_examples - step * self.batch_size)
            yield Batch(*self._check(batch), len(range(rank, total, num_replicas)), total)


class DatasetSource(_OwnSource):
    """Batches of a torch Dataset."""

    def __init__(self, dataset: Any, batch_size: int, shuffle: bool, seed: int, limit: int | None) -> None:
        self.sampler = EpochSampler(len(dataset), batch_size, shuffle=shuffle, seed=seed)
        own = Generator()  # a DataLoader draws a seed each time it begins; not from the generators of the training
        loader = DataLoader(dataset, batch_sampler=self.sampler, generator=own) if len(dataset) else ()
        super().__init__(loader, len(dataset), batch_size, limit)

    def __str__(self) -> str:
        sampler = self.sampler
        return f"a dataset (batch_size={self.batch_size}, shuffle={sampler.shuffle}, seed={sampler.seed})"

    def _batches(self, number: int, steps: range, rank: int, num_replicas: int) -> Iterator[Any]:
        self.sampler.take(number, steps, rank, num_replicas)
        return iter(self.loader)


class TensorSource(_OwnSource):
    """Batches of a TensorLoader."""

    def __init__(self, loader: TensorLoader, device: torch.device, limit: int | None) -> None:
        super().__init__(copy.copy(loader).to(device), len(loader.dataset), loader.batch_size, limit)
        self.classes = loader.dataset.classes
        self._checked = False

    def __str__(self) -> str:
        loader = self.loader
        return f"a TensorLoader (batch_size={loader.batch_size}, shuffle={loader.shuffle}, seed={loader.seed})"

    def _batches(self, number: int, steps: range, rank: int, num_replicas: int) -> Iterator[Any]:
        batches: Iterator[Any] = self.loader.batches(
            number, steps.start, steps.stop, rank=rank, num_replicas=num_replicas
        )
        return batches

    def _check(self, batch: Any) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = batch  # a TensorLoader makes nothing else
        return found

    def check_targets(self, targets: Tensor, num_classes: int) -> None:  # noqa: ARG002 (all of them, not a batch's)
        """Raise ValueError unless all targets of the set name classes; the later calls cost nothing."""
        if not self._checked:
            check_targets(self.loader.targets, num_classes)
            self._checked = True


class EpochSampler(Sampler[list[int]]):
    """Indices of the rows of batches, in an order that depends on (seed, epoch) alone."""

    def __init__(self, size: int, batch_size: int, *, shuffle: bool, seed: int) -> None:
        self.size, self.batch_size, self.shuffle, self.seed = size, batch_size, shuffle, seed
        self.take(0, range(math.ceil(size / batch_size)), 0, 1)

    def take(self, epoch: int, steps: range, rank: int, num_replicas: int) -> None:
        """Choose what is yielded: of these steps of an epoch, one process's share."""
        self.epoch, self.steps, self.rank, self.num_replicas = epoch, steps, rank, num_replicas

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[int]]:
        generator = Generator().manual_seed(derive_seed(self.seed, self.epoch))
        order = torch.randperm(self.size, generator=generator) if self.shuffle else torch.arange(self.size)
        for step in self.steps:
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield share_of(rows, self.rank, self.num_replicas).tolist()


def as_source(
    data: Data,
    device: torch.device,
    *,
    batch_size: int = EVALUATION_BATCH_SIZE,
    shuffle: bool = False,
    seed: int = 0,
    limit: int | None = None,
) -> Source:
    """View data as batches; what is no loader yet gets the given batch size, order and seed.

    With a limit, every epoch is the same first batches; a foreign loader gives them at once.

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
        return TensorSource(data, device, limit)
    if isinstance(data, Dataset) and isinstance(data, Sized):
        return DatasetSource(data, batch_size, shuffle, seed, limit)
    if limit is None:
        return Source(data)
    whole = Source(data)
    first = Source(list(itertools.islice(whole.loader, limit)))
    first.sampled = whole.sampled
    return first


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
