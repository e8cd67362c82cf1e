"""The protocol of batch sources for training, evaluation and prediction, and adapters to it."""

import copy
import itertools
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from .datasets import ImageDataset
from .loader import Batch, IndexedSource, TensorLoader, take_rows
from .preprocess import check_finite

EVALUATION_BATCH_SIZE = 500  # affects results by rounding only


class Source(Protocol):
    """A source of batches, epoch by epoch: a TensorLoader, or an adapter of a dataset or loader."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The class names, if known."""

    def __len__(self) -> int:
        """Return the number of batches per epoch."""

    def batches(
        self, epoch: int, start: int = 0, stop: int | None = None, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one rank's rows of each batch, from step `start` to before step `stop`."""

    def evaluation_range(self, rank: int, world_size: int) -> range | None:
        """Return the steps that one rank evaluates; None if every rank evaluates all of them."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state needed to resume in the middle of an epoch."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""


Data: TypeAlias = ImageDataset | TensorLoader | Dataset[Any] | DataLoader[Any] | Iterable[Any] | Source


class DatasetSource(IndexedSource):
    """A source of batches from a torch Dataset."""

    classes = None

    def __init__(self, dataset: Any, batch_size: int, *, shuffle: bool, seed: int, limit: int | None) -> None:
        _require_examples(dataset)
        self.dataset, self.num_examples = dataset, len(dataset)
        self.batch_size, self.shuffle, self.seed, self.limit = batch_size, shuffle, seed, limit

    def batches(
        self, epoch: int, start: int = 0, stop: int | None = None, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one rank's rows of each batch; see `Source`."""
        order = self.order(epoch if self.limit is None else 0) if self.shuffle else torch.arange(self.num_examples)
        batches = torch.split(order, self.batch_size)[start : len(self) if stop is None else stop]
        indices = [take_rows(rows, rank, world_size).tolist() for rows in batches]
        # a separate generator, because the DataLoader draws a seed, which must not advance the global generator
        loader = DataLoader(self.dataset, batch_sampler=indices, generator=Generator())
        for rows, batch in zip(batches, loader, strict=True):
            yield Batch(*check_batch(batch), len(range(rank, len(rows), world_size)), len(rows))


class LoaderSource:
    """A source of batches from a DataLoader or any other sized iterable."""

    classes = None

    def __init__(self, loader: Any) -> None:
        if not isinstance(loader, Iterable) or not isinstance(loader, Sized):
            raise TypeError(
                f"data is {type(loader).__name__}; expected an ImageDataset, a TensorLoader, a torch Dataset with a"
                " length, or a DataLoader or other iterable of batches with a length"
            )
        _require_examples(loader)
        self.loader: Any = loader
        self.has_state = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")
        self.is_sharded = isinstance(getattr(loader, "sampler", None), DistributedSampler)

    def __len__(self) -> int:
        return len(self.loader)

    def __repr__(self) -> str:
        return f"loader of type {type(self.loader).__name__}"

    def iterate(self, epoch: int) -> Iterator[Any]:
        """Iterate over the loader, after setting the epoch of the loader and its sampler."""
        for part in (self.loader, getattr(self.loader, "sampler", None)):
            if part is not None and hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        if not self.has_state:
            return iter(self.loader)
        with torch.random.fork_rng(devices=[]):  # a resumed loader may draw more seeds than an uninterrupted one
            return iter(self.loader)

    def batches(
        self, epoch: int, start: int = 0, stop: int | None = None, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield the batches; a loader that resumes in the middle of an epoch tracks its own position.

        Raises
        ------
        ValueError
            There are several ranks, and the loader gives all of them the same batches.
        """
        assert start == 0 or self.has_state
        assert stop is None
        assert rank < world_size
        if world_size > 1 and not self.is_sharded:
            raise ValueError(
                f"{type(self.loader).__name__} would give each of the {world_size} processes the same batches;"
                " expected the dataset itself, a TensorLoader, or a DataLoader with a DistributedSampler"
            )
        for batch in self.iterate(epoch):
            images, targets = check_batch(batch)
            yield Batch(images, targets, len(targets), len(targets) * world_size)

    def evaluation_range(self, rank: int, world_size: int) -> range | None:
        """Return None: each rank evaluates all batches.

        Raises
        ------
        ValueError
            The loader has a DistributedSampler.
        """
        assert rank < world_size
        if self.is_sharded and world_size > 1:
            raise ValueError(
                "the loader has a DistributedSampler, which skips or repeats examples; expected the dataset itself,"
                " or a loader without one, for evaluation"
            )
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the loader's state, if it has one."""
        return self.loader.state_dict() if self.has_state else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the loader's state."""
        if state:
            self.loader.load_state_dict(state)


def as_source(
    data: Data,
    device: torch.device,
    batch_size: int = EVALUATION_BATCH_SIZE,
    seed: int = 0,
    *,
    shuffle: bool = False,
    limit: int | None = None,
) -> Source:
    """Adapt data to the `Source` protocol.

    `batch_size`, `shuffle` and `seed` apply only to data that is not a loader. With a limit, every epoch has the same
    first batches.

    Raises
    ------
    TypeError
        The data is of an unsupported type.
    ValueError
        The data is empty.
    """
    if isinstance(data, ImageDataset):
        data = TensorLoader(data, batch_size=batch_size, shuffle=shuffle, seed=seed)
    if isinstance(data, TensorLoader):
        loader = copy.copy(data).to(device)
        loader.limit = data.limit if limit is None else limit
        return loader
    if isinstance(data, DatasetSource | LoaderSource):
        return data
    if isinstance(data, Dataset) and isinstance(data, Sized):
        return DatasetSource(data, batch_size, shuffle=shuffle, seed=seed, limit=limit)
    source = LoaderSource(data)
    if limit is None:
        return source
    first = LoaderSource(list(itertools.islice(source.loader, limit)))
    first.is_sharded = source.is_sharded
    return first


def image_batches(data: Tensor | npt.NDArray[Any] | Data, device: torch.device) -> Iterator[Tensor]:
    """Yield batches of images; targets are optional and ignored.

    Raises
    ------
    TypeError
        The data is of an unsupported type, or a batch has no tensor of images.
    ValueError
        There are no images, or a value is NaN or infinite.
    """
    batches: Iterable[Any]
    if isinstance(data, ImageDataset | TensorLoader):
        batches = as_source(data, device).batches(0)
    elif isinstance(data, Tensor | np.ndarray):
        _require_examples(data)
        batches = torch.split(torch.as_tensor(data), EVALUATION_BATCH_SIZE)
    elif isinstance(data, Dataset) and isinstance(data, Sized):
        _require_examples(data)
        batches = DataLoader(data, EVALUATION_BATCH_SIZE, generator=Generator())
    else:
        batches = LoaderSource(data).iterate(0)
    for batch in batches:
        images = batch[0] if isinstance(batch, tuple | list) and batch else batch
        if not isinstance(images, Tensor):
            raise TypeError(f"a batch of images is {type(images).__name__}; expected a tensor (N, C, H, W)")
        check_finite(images)
        yield images


def check_batch(batch: Any) -> tuple[Tensor, Tensor]:
    """Return the images and targets of a batch.

    Raises
    ------
    ValueError
        The batch is not a pair of tensors, is empty, or has unequal lengths.
    """
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
        content = ""
        if isinstance(batch, tuple | list):
            content = f" of {', '.join(type(part).__name__ for part in batch) or 'nothing'}"
        raise ValueError(f"a batch is a {type(batch).__name__}{content}; expected two tensors, images and targets")
    images, targets = batch
    if not len(images) or len(images) != len(targets):
        raise ValueError(
            f"a batch has {len(images)} images and {len(targets)} targets; expected equal numbers, above 0"
        )
    return images, targets if targets.is_floating_point() else targets.long()


def can_continue(source: Source) -> bool:
    """Return True if a source can resume in the middle of an epoch."""
    return not isinstance(source, LoaderSource) or source.has_state


def _require_examples(data: Sized) -> None:
    if not len(data):
        raise ValueError("the data is empty; expected at least one example")
