"""Every kind of source follows one protocol."""

from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset

from lenet5 import ImageDataset, TensorLoader
from lenet5.data.loader import Batch
from lenet5.data.sources import DatasetSource, LoaderSource, Source, as_source, can_continue, image_batches

CPU = torch.device("cpu")
MakeSource = Callable[..., Source]


class ShuffledLoader:
    """A loader that yields its batches in a different order in each epoch."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches, self.epoch = batches, 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        self.epoch += 1
        order = torch.randperm(len(self.batches), generator=torch.Generator().manual_seed(self.epoch))
        return iter([self.batches[index] for index in order])


def pixels(size: int) -> Tensor:
    """Make images whose pixels hold the index of the image."""
    return torch.arange(size, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 2, 2)


def tensor_source(size: int, batch_size: int, *, shuffle: bool, **_ranks: int) -> Source:
    dataset = ImageDataset(pixels(size), torch.arange(size), classes=[str(n) for n in range(size)])
    return as_source(dataset, CPU, batch_size=batch_size, shuffle=shuffle, seed=3)


def dataset_source(size: int, batch_size: int, *, shuffle: bool, **_ranks: int) -> Source:
    return as_source(
        TensorDataset(pixels(size), torch.arange(size)), CPU, batch_size=batch_size, shuffle=shuffle, seed=3
    )


def loader_source(size: int, batch_size: int, *, shuffle: bool, rank: int = 0, world_size: int = 1) -> Source:
    """Make the source of one rank, from a loader with a DistributedSampler."""
    dataset = TensorDataset(pixels(size), torch.arange(size))
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, world_size, rank, shuffle=shuffle, seed=3)
    return as_source(DataLoader(dataset, batch_size // world_size, sampler=sampler), CPU)


INDEXED = {"TensorLoader": tensor_source, "DatasetSource": dataset_source}
ALL = {**INDEXED, "LoaderSource": loader_source}
each_source = pytest.mark.parametrize("make", ALL.values(), ids=ALL)
each_indexed_source = pytest.mark.parametrize("make", INDEXED.values(), ids=INDEXED)


def targets(batches: Iterator[Batch]) -> list[list[int]]:
    return [batch.targets.tolist() for batch in batches]


@each_source
@given(
    per_rank=st.integers(1, 5),
    world_size=st.integers(1, 4),
    num_batches=st.integers(1, 4),
    remainder=st.integers(0, 19),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_ranks_partition_every_batch(
    make: MakeSource, per_rank: int, world_size: int, num_batches: int, remainder: int, shuffle: bool, epoch: int
) -> None:
    batch_size = per_rank * world_size
    size = num_batches * batch_size + remainder % batch_size
    if make is loader_source:
        size -= size % world_size  # a DistributedSampler would repeat or drop examples
    whole = list(make(size, batch_size, shuffle=shuffle).batches(epoch))
    assert sorted(int(target) for batch in whole for target in batch.targets) == list(range(size))
    ranks = [
        list(
            make(size, batch_size, shuffle=shuffle, rank=rank, world_size=world_size).batches(
                epoch, rank=rank, world_size=world_size
            )
        )
        for rank in range(world_size)
    ]
    for batch, shards in zip(whole, zip(*ranks, strict=True), strict=True):
        for shard in shards:
            assert len(shard.images) == len(shard.targets) == max(shard.num_own, 1)
            assert (shard.images[:, 0, 0, 0] == shard.targets).all()
            assert shard.num_all == batch.num_all == len(batch.targets)
        own = torch.cat([shard.targets[: shard.num_own] for shard in shards])
        assert sorted(own.tolist()) == sorted(batch.targets.tolist())
        assert sum(shard.num_own for shard in shards) == batch.num_all


@each_indexed_source
@given(
    size=st.integers(1, 30),
    batch_size=st.integers(1, 8),
    start=st.integers(0, 8),
    count=st.integers(0, 8),
    shuffle=st.booleans(),
)
def test_range_of_an_epoch_equals_a_slice_of_it(
    make: MakeSource, size: int, batch_size: int, start: int, count: int, shuffle: bool
) -> None:
    source = make(size, batch_size, shuffle=shuffle)
    start, stop = min(start, len(source)), min(start + count, len(source))
    whole = targets(source.batches(2))
    assert len(whole) == len(source)
    assert targets(source.batches(2, start)) == whole[start:]
    assert targets(source.batches(2, start, stop)) == whole[start:stop]


@pytest.mark.parametrize(
    "data",
    [
        ImageDataset(pixels(9), torch.arange(9) % 3, classes="abc"),
        TensorLoader(ImageDataset(pixels(9), torch.arange(9) % 3, classes="abc"), batch_size=2, shuffle=True),
        TensorDataset(pixels(9), torch.arange(9)),
        ShuffledLoader([(pixels(9)[[n]], torch.tensor([n])) for n in range(9)]),
    ],
    ids=["ImageDataset", "TensorLoader", "Dataset", "loader"],
)
def test_limit_gives_the_same_first_batches_in_every_epoch(data: Any) -> None:
    source = as_source(data, CPU, batch_size=2, shuffle=True, limit=3)
    epochs = [[batch.images for batch in source.batches(epoch)] for epoch in range(3)]
    assert len(source) == 3
    for first, *later in zip(*epochs, strict=True):
        assert all(torch.equal(first, images) for images in later)
    assert len(as_source(data, CPU, batch_size=2, limit=99)) == len(as_source(data, CPU, batch_size=2))


@each_indexed_source
@given(size=st.integers(1, 30), world_size=st.integers(1, 4))
def test_evaluation_ranges_cover_every_step_once(make: MakeSource, size: int, world_size: int) -> None:
    source = make(size, 2, shuffle=False)
    ranges = [source.evaluation_range(rank, world_size) for rank in range(world_size)]
    if None in ranges:
        assert ranges == [None] * world_size
        assert world_size == 1 or len(source) < world_size
    else:
        assert [step for steps in ranges if steps is not None for step in steps] == list(range(len(source)))


def test_limit_and_device_leave_the_tensor_loader_unchanged() -> None:
    loader = TensorLoader(ImageDataset(pixels(6), torch.arange(6) % 2, classes="ab"), batch_size=2)
    source = as_source(loader, torch.device("meta"), limit=1)
    assert (len(loader), len(source)) == (3, 1)
    assert loader.images.device.type == "cpu"
    assert source.classes == ("a", "b")


def test_loader_needs_a_distributed_sampler_for_several_ranks() -> None:
    loader = DataLoader(TensorDataset(pixels(4), torch.arange(4)), 2)
    source = as_source(loader, CPU)
    with pytest.raises(ValueError, match="DataLoader would give each of the 2 processes the same batches"):
        next(iter(source.batches(0, rank=1, world_size=2)))
    assert source.evaluation_range(1, 2) is None
    sharded = loader_source(4, 2, shuffle=False, rank=0, world_size=2)
    with pytest.raises(ValueError, match="the loader has a DistributedSampler, which skips or repeats examples"):
        sharded.evaluation_range(0, 2)
    assert sharded.evaluation_range(0, 1) is None


def test_only_stateful_loaders_can_continue_in_the_middle_of_an_epoch() -> None:
    class Stateful(ShuffledLoader):
        def state_dict(self) -> dict[str, Any]:
            return {"epoch": self.epoch}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.epoch = state["epoch"]

    batches = [(pixels(1), torch.tensor([0]))]
    assert not can_continue(as_source(batches, CPU))
    assert can_continue(tensor_source(2, 1, shuffle=True))
    assert can_continue(dataset_source(2, 1, shuffle=True))
    loader = Stateful(batches)
    source = as_source(loader, CPU)
    assert can_continue(source)
    source.load_state_dict({"epoch": 7})
    assert (loader.epoch, source.state_dict()) == (7, {"epoch": 7})


def test_source_repr_describes_the_order() -> None:
    assert repr(tensor_source(2, 1, shuffle=True)) == "TensorLoader(batch_size=1, shuffle=True, seed=3)"
    assert repr(dataset_source(2, 1, shuffle=False)) == "DatasetSource(batch_size=1, shuffle=False, seed=3)"
    assert repr(as_source([(pixels(1), torch.tensor([0]))], CPU)) == "loader of type list"


def test_as_source_returns_a_source_unchanged() -> None:
    for make in (dataset_source, loader_source):
        source = make(4, 2, shuffle=False)
        assert isinstance(source, DatasetSource | LoaderSource)
        assert as_source(source, CPU) is source


class WithoutTargets(Dataset[Tensor]):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Tensor:
        return pixels(5)[index]


@pytest.mark.parametrize(
    "data",
    [
        pixels(5),
        pixels(5).numpy(),
        ImageDataset(pixels(5), [0] * 5, classes="a"),
        TensorDataset(pixels(5), torch.arange(5)),
        WithoutTargets(),
        DataLoader(WithoutTargets(), 2),
        [(pixels(5),)],
        [pixels(5)[:2], pixels(5)[2:]],
    ],
    ids=["tensor", "array", "ImageDataset", "Dataset", "no targets", "DataLoader", "tuples of one", "list"],
)
def test_image_batches_takes_images_with_or_without_targets(data: Any) -> None:
    assert torch.equal(torch.cat(list(image_batches(data, CPU))), pixels(5))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.zeros((0, 1, 2, 2), np.float32), ValueError, "the data is empty; expected at least one example"),
        ([], ValueError, "the data is empty"),
        (torch.full((1, 1, 2, 2), np.inf), ValueError, "images hold 4 values that are NaN or infinite"),
        ("a.png", TypeError, "a batch of images is str; expected a tensor"),
        (5, TypeError, "data is int; expected an ImageDataset"),
    ],
)
def test_image_batches_rejects_invalid_data(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(image_batches(data, CPU))
