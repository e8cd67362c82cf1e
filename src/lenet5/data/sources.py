"""The protocol of batch sources for training, evaluation and prediction, and adapters to it."""

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, IterableDataset, Subset

from .batches import as_tensor, batch_images, check_batch, collate
from .datasets import ImageDataset
from .huggingface import with_tensors
from .images import check_finite
from .kinds import EXPECTED, is_map_style, is_table, kind_of, length_of, require_examples
from .loader import Batch, IndexedSource, TensorLoader, take_rows
from .names import class_names
from .order import in_order

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
    """A source of batches from a dataset with a length, whose examples are pairs or dicts: see `check_batch`."""

    classes: tuple[str, ...] | None
    dataset: Any
    num_examples: int
    batch_size: int
    shuffle: bool
    seed: int
    limit: int | None

    def __init__(self, dataset: Any, batch_size: int, *, shuffle: bool, seed: int, limit: int | None) -> None:
        require_examples(dataset)
        self.dataset, self.num_examples, self.classes = dataset, len(dataset), class_names(dataset)
        self.batch_size, self.shuffle, self.seed, self.limit = batch_size, shuffle, seed, limit

    def batches(
        self, epoch: int, start: int = 0, stop: int | None = None, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one rank's rows of each batch; see `Source`."""
        order = self.order(epoch if self.limit is None else 0) if self.shuffle else torch.arange(self.num_examples)
        batches = torch.split(order, self.batch_size)[start : len(self) if stop is None else stop]
        indices = [take_rows(rows, rank, world_size).tolist() for rows in batches]
        # a separate generator, because the DataLoader draws a seed, which must not advance the global generator
        loader = DataLoader(self.dataset, batch_sampler=indices, collate_fn=collate, generator=Generator())
        for rows, batch in zip(batches, loader, strict=True):
            yield Batch(*check_batch(batch), len(range(rank, len(rows), world_size)), len(rows))


class LoaderSource:
    """A source of batches from a DataLoader or any other iterable of batches; only training needs its length."""

    classes: tuple[str, ...] | None
    has_state: bool
    is_sharded: bool

    def __init__(self, loader: Any) -> None:
        if not isinstance(loader, Iterable) or isinstance(loader, Tensor | np.ndarray | Mapping) or is_table(loader):
            raise TypeError(f"data is {kind_of(loader)}; expected {EXPECTED}")
        require_examples(loader)
        self.loader: Any = loader
        self.classes = class_names(loader)
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
    """Adapt data to the `Source` protocol, for training.

    `batch_size`, `shuffle` and `seed` apply only to data that is not a loader. With a limit, every epoch has the same
    first batches.

    Raises
    ------
    TypeError
        The data is of an unsupported type.
    ValueError
        The data is empty.
    """
    source = _adapted(data, device, batch_size, seed, shuffle=shuffle, limit=limit)
    if isinstance(source, LoaderSource) and length_of(source.loader) is None:
        raise TypeError(
            f"data is {kind_of(data)} without a length; expected {EXPECTED}, with a length, from which the"
            " learning-rate schedule follows"
        )
    return source


def evaluation_source(data: Data, device: torch.device, *, limit: int | None = None, repeated: bool = False) -> Source:
    """Adapt data to the `Source` protocol, for evaluation: each example once, in order where it is known.

    With `repeated`, the source can be read more than once. Errors are as in `as_source` and `in_order`.
    """
    if repeated and isinstance(data, Iterator):
        raise TypeError(f"data is {kind_of(data)}, which can be read only once; expected {EXPECTED}")
    return _adapted(in_order(data, required=False), device, EVALUATION_BATCH_SIZE, 0, shuffle=False, limit=limit)


def image_batches(data: Tensor | npt.NDArray[Any] | Data, device: torch.device) -> Iterator[Tensor]:
    """Yield batches of images, in the order of the data; targets are optional and ignored.

    Raises
    ------
    TypeError
        The data is of an unsupported type, or a batch has no tensor of images.
    ValueError
        There are no images, a value is NaN or infinite, or the order of the data is unknown: see `in_order`.
    """
    images, batches = as_tensor(data), None
    if images is not None:
        require_examples(images)
        batches = torch.split(images, EVALUATION_BATCH_SIZE)
    for batch in _raw_batches(in_order(data, required=True), device) if batches is None else batches:
        content = batch_images(batch)
        check_finite(content)
        yield content


def can_continue(source: Source) -> bool:
    """Return True if a source can resume in the middle of an epoch."""
    return not isinstance(source, LoaderSource) or source.has_state


def ends_with_one_example(source: Source) -> bool:
    """Return True if the last batch of an epoch has a single example, and the others have more."""
    if isinstance(source, IndexedSource):
        complete = source.limit is None or source.limit * source.batch_size > source.num_examples
        return complete and source.batch_size > 1 and source.num_examples % source.batch_size == 1
    batches: Any = getattr(getattr(source, "loader", None), "batch_sampler", None)
    if type(batches) is not BatchSampler or batches.drop_last or not isinstance(batches.sampler, Sized):
        return False
    return batches.batch_size > 1 and len(batches.sampler) % batches.batch_size == 1


def _adapted(
    data: Any, device: torch.device, batch_size: int, seed: int, *, shuffle: bool, limit: int | None
) -> Source:
    data = with_tensors(data)
    if type(data) is Subset and isinstance(data.dataset, ImageDataset):
        data = data.dataset.select(torch.as_tensor(data.indices))
    if isinstance(data, ImageDataset):
        data = TensorLoader(data, batch_size=batch_size, shuffle=shuffle, seed=seed)
    if isinstance(data, TensorLoader):
        loader = copy.copy(data).to(device)
        loader.limit = data.limit if limit is None else limit
        return loader
    if isinstance(data, DatasetSource | LoaderSource):
        return data
    if is_map_style(data):
        return DatasetSource(data, batch_size, shuffle=shuffle, seed=seed, limit=limit)
    if isinstance(data, IterableDataset):  # of examples, as in torch
        data = DataLoader(data, batch_size, collate_fn=collate, generator=Generator())
    source = LoaderSource(data)
    if limit is None:
        return source
    first = LoaderSource(list(itertools.islice(source.loader, limit)))
    first.is_sharded = source.is_sharded
    return first


def _raw_batches(data: Any, device: torch.device) -> Iterable[Any]:
    """Return the batches of data whose targets are optional."""
    source = _adapted(data, device, EVALUATION_BATCH_SIZE, 0, shuffle=False, limit=None)
    if isinstance(source, DatasetSource):
        return DataLoader(source.dataset, source.batch_size, collate_fn=collate, generator=Generator())
    return source.iterate(0) if isinstance(source, LoaderSource) else source.batches(0)
