"""The order of evaluation: every example once, in the order of the data."""

import copy
from types import NoneType
from typing import Any

from torch import Generator
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, Sampler, SequentialSampler

from .loader import TensorLoader


def in_order(data: Any, *, required: bool) -> Any:
    """Return data that yields each example once, in the order of the data, whatever a loader does for training.

    - A dataset is in order already.
    - A TensorLoader loses `shuffle` and `augment`.
    - A DataLoader loses `shuffle` and `drop_last`. With a sampler of its own, it yields the examples that the sampler
      selects, and their order is unknown.
    - Any other iterable is read in its own order.

    Parameters
    ----------
    data
        Data of any kind.
    required
        Whether the order must be known. If not, a loader whose order is unknown is returned as it is.

    Raises
    ------
    ValueError
        The order is required but unknown, or a loader drops examples that cannot be restored.
    """
    if isinstance(data, TensorLoader):
        loader = copy.copy(data)
        loader.shuffle, loader.augment = False, None
        return loader
    if isinstance(data, DataLoader):
        return _ordered_loader(data, required=required)
    sampler = getattr(data, "sampler", None)
    shuffle = getattr(data, "shuffle", False)  # of a Hugging Face dataset, a method
    if required and ((shuffle and not callable(shuffle)) or type(sampler) not in (SequentialSampler, NoneType)):
        raise _unknown_order(data, "shuffles its examples")
    return data


def _ordered_loader(loader: DataLoader[Any], *, required: bool) -> DataLoader[Any]:
    """Return a DataLoader that yields every example once; the loader itself if it does."""
    batches: Any = loader.batch_sampler
    if not isinstance(batches, BatchSampler | None) or type(batches) not in (BatchSampler, type(None)):
        if required:
            raise _unknown_order(loader, f"has the batch sampler {type(batches).__name__}")
        return loader
    sampler: Any = loader.sampler if batches is None else batches.sampler
    drops, batch_size = (False, None) if batches is None else (batches.drop_last, batches.batch_size)
    iterable = isinstance(loader.dataset, IterableDataset)
    known = iterable or _selects_all(sampler, loader.dataset)
    if required and not known:
        raise _unknown_order(loader, f"has the sampler {type(sampler).__name__}")
    shuffled = known and not iterable and type(sampler) is not SequentialSampler
    if not (drops or shuffled or not getattr(loader, "in_order", True)):
        return loader
    if type(loader).__iter__ is DataLoader.__iter__:
        return _rebuilt(loader, batch_size, None if known else sampler)
    if required or drops:
        raise _unknown_order(loader, "drops its last examples" if drops else "shuffles its examples")
    return loader


def _selects_all(sampler: Any, dataset: Any) -> bool:
    """Return True if a sampler of torch's own, not of a class that inherits from it, selects every example once."""
    if type(sampler) is RandomSampler:
        return not sampler.replacement and len(sampler) == len(dataset)
    return type(sampler) is SequentialSampler and len(sampler) == len(dataset)


def _rebuilt(loader: DataLoader[Any], batch_size: int | None, sampler: Sampler[Any] | None) -> DataLoader[Any]:
    """Return a loader that differs in its sampler alone, and never drops the last batch."""
    return DataLoader(
        loader.dataset,
        batch_size,
        sampler=sampler,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=Generator(),  # so that the seeds of the workers leave the global generator as it is
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )


def _unknown_order(loader: object, reason: str) -> ValueError:
    return ValueError(
        f"the {type(loader).__name__} {reason}, so that the results would not match the data; expected the dataset"
        " itself (for some of its examples, a torch.utils.data.Subset), or a loader that yields it in order"
    )
