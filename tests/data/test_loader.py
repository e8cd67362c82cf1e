import random
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from lenet5 import Augment, ImageDataset, Preprocess, TensorLoader
from lenet5.data.loader import Batch, derive_seed, take_rows


def numbered_dataset(size: int) -> ImageDataset:
    """Make images whose pixels all hold the index of the image, which is also its target."""
    images = torch.arange(size, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 6, 6)
    return ImageDataset(images, torch.arange(size), classes=[str(n) for n in range(max(size, 1))])


def indices(batches: Iterable[Any]) -> list[int]:
    return [int(index) for batch in batches for index in batch[1]]


def equal(first: Iterable[Any], second: Iterable[Any]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(chain(*pairs(first)), chain(*pairs(second)), strict=True))


def pairs(batches: Iterable[Any]) -> list[tuple[Tensor, Tensor]]:
    return [(images, targets) for images, targets, *_ in batches]


@given(
    size=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**64),
    epoch=st.integers(0, 10**6),
)
def test_epoch_has_every_image_once(size: int, batch_size: int, shuffle: bool, seed: int, epoch: int) -> None:
    loader = TensorLoader(numbered_dataset(size), batch_size=batch_size, shuffle=shuffle, seed=seed)
    batches = list(loader.batches(epoch))
    order = indices(batches)
    assert sorted(order) == list(range(size))
    assert shuffle or order == list(range(size))
    assert [int(pixel) for batch in batches for pixel in batch.images[:, 0, 0, 0]] == order
    assert len(batches) == len(loader)
    assert {len(batch.images) for batch in batches[:-1]} <= {batch_size}
    assert 1 <= len(batches[-1].images) <= batch_size
    assert all(batch.num_own == batch.num_all == len(batch.targets) for batch in batches)


@given(start=st.integers(0, 9), epoch=st.integers(0, 100), seed=st.integers(0, 100), shuffle=st.booleans())
def test_epoch_continues_in_the_middle_bit_for_bit(start: int, epoch: int, seed: int, shuffle: bool) -> None:
    def make_loader() -> TensorLoader:
        dataset = numbered_dataset(33)
        dataset.transform = Preprocess(image_size=6)
        return TensorLoader(dataset, batch_size=4, shuffle=shuffle, augment=Augment(), seed=seed)

    batches = list(make_loader().batches(epoch))
    assert equal(make_loader().batches(epoch, start), batches[start:])


@given(start=st.integers(0, 40), count=st.integers(1, 40), world_size=st.integers(1, 3), batch_size=st.integers(1, 20))
def test_augmented_batches_do_not_depend_on_start_or_world_size(
    start: int, count: int, world_size: int, batch_size: int
) -> None:
    dataset = numbered_dataset(77)
    dataset.transform = Preprocess(image_size=6)
    loader = TensorLoader(dataset, batch_size=batch_size, shuffle=True, augment=Augment(elastic=1))
    batches = list(loader.batches(3))
    assert sorted(indices(batches)) == list(range(77))
    stop = min(start + count, len(loader))
    for rank in range(world_size):
        shards = loader.batches(3, start, stop, rank=rank, world_size=world_size)
        for shard, batch in zip(shards, batches[start:stop], strict=True):
            expected = tuple(take_rows(rows, rank, world_size) for rows in (batch.images, batch.targets))
            assert equal([shard], [expected])
            assert isinstance(shard, Batch)
            assert (shard.num_own, shard.num_all) == (len(batch.targets[rank::world_size]), len(batch.targets))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return indices(TensorLoader(numbered_dataset(60), batch_size=7, shuffle=True, seed=seed).batches(epoch))

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(4) for epoch in range(4)}) == 16


def test_each_iteration_is_the_next_epoch() -> None:
    loader = TensorLoader(numbered_dataset(20), batch_size=6, shuffle=True)
    first, second = list(loader), list(loader)
    assert equal(first, loader.batches(0))
    assert equal(second, loader.batches(1))
    assert indices(first) != indices(second)
    assert loader.epoch == 2


def test_augmentation_has_a_seed_per_batch_and_precedes_the_transform() -> None:
    seeds, dtypes = [], []

    def augment(images: Tensor, generator: Generator) -> Tensor:
        seeds.append(generator.initial_seed())
        dtypes.append(images.dtype)
        return images + 1

    dataset = numbered_dataset(80)
    dataset.transform = Preprocess(image_size=6)
    loader = TensorLoader(dataset, batch_size=32, augment=augment, seed=3)
    batches = list(loader) + list(loader)
    assert seeds == [derive_seed(3, epoch, step) for epoch in (0, 1) for step in (0, 1, 2)]
    assert len(set(seeds)) == 6
    assert set(dtypes) == {torch.uint8}
    assert torch.equal(batches[1][0], dataset.transform(dataset.images[32:64] + 1))


def test_small_batches_are_augmented_together() -> None:
    sizes = []

    def augment(images: Tensor, generator: Generator) -> Tensor:
        sizes.append(len(images))
        return images + torch.randint(0, 9, (len(images), 1, 1, 1), generator=generator, dtype=torch.uint8)

    loader = TensorLoader(numbered_dataset(80), batch_size=1, augment=augment)
    images = torch.cat([images for images, _ in loader])
    assert sizes == [32, 32, 16]
    assert torch.equal(images[:32], augment(loader.images[:32], Generator().manual_seed(derive_seed(0, 0, 0))))


def test_global_random_generators_are_neither_used_nor_changed() -> None:
    loader = TensorLoader(numbered_dataset(20), batch_size=6, shuffle=True, augment=Augment())
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = list(loader.batches(0))
        torch.manual_seed(2)
        states = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
        assert equal(loader.batches(0), before)
        assert torch.equal(torch.get_rng_state(), states[0])
        assert random.getstate() == states[1]
        assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], states[2])  # noqa: NPY002


def test_dataset_stays_unchanged_when_its_batches_are_modified() -> None:
    dataset = numbered_dataset(9)
    images = dataset.images.clone()
    dataset.transform = Preprocess(image_size=6)
    for batch, _ in TensorLoader(dataset, batch_size=4, augment=Augment()):
        batch.zero_()
    for batch, _ in TensorLoader(dataset, batch_size=4):
        batch.zero_()
    assert torch.equal(dataset.images, images)


def test_to_moves_the_data_and_returns_the_loader() -> None:
    loader = TensorLoader(numbered_dataset(3), batch_size=2, device="cpu")
    assert loader.to("meta") is loader
    assert {tensor.device.type for tensor in (loader.images, loader.targets)} == {"meta"}
    assert [images.device.type for images, _ in loader] == ["meta", "meta"]
    assert loader.dataset.images.device.type == "cpu"


@pytest.mark.parametrize(
    ("size", "batch_size", "seed", "message"),
    [
        (0, 1, 0, "the dataset is empty; expected at least one image"),
        (1, 0, 0, "batch_size is 0; expected an integer of at least 1"),
        (1, 1, -1, "seed is -1; expected an integer of at least 0"),
    ],
)
def test_loader_rejects_arguments_out_of_range(size: int, batch_size: int, seed: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TensorLoader(numbered_dataset(size), batch_size=batch_size, seed=seed)


def test_loader_rejects_a_torch_dataset() -> None:
    dataset: Any = torch.utils.data.TensorDataset(torch.zeros(2))
    with pytest.raises(TypeError, match="dataset is TensorDataset; expected an ImageDataset"):
        TensorLoader(dataset, batch_size=1)


@given(numbers=st.lists(st.integers(0, 2**64), min_size=1, max_size=3))
def test_derived_seed_has_63_bits_and_never_changes(numbers: list[int]) -> None:
    assert 0 <= derive_seed(*numbers) < 2**63
    assert derive_seed(*numbers) == derive_seed(*numbers)
    assert (derive_seed(0), derive_seed(1, 2, 3)) == (7896617691693857887, 6498626229777268288)


def test_numbers_of_numpy_are_numbers() -> None:
    loader = TensorLoader(numbered_dataset(5), batch_size=np.int64(2), seed=np.uint8(3))  # type: ignore[arg-type]
    assert repr(loader) == "TensorLoader(batch_size=2, shuffle=False, seed=3)"
    assert len(loader) == 3
