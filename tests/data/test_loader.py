import random
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from lenet5 import Augment, ImageDataset, Preprocess, TensorLoader
from lenet5.data.loader import derive_seed, share_of


def numbered_set(size: int) -> ImageDataset:
    """Make images that each hold their own number, which is also their target."""
    images = torch.arange(size, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 6, 6)
    return ImageDataset(images, torch.arange(size), classes=[str(n) for n in range(max(size, 1))])


def numbers(batches: Any) -> list[int]:
    return [int(number) for _, targets in batches for number in targets]


def same(first: Any, second: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(chain(*first), chain(*second), strict=True))


@given(
    size=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**64),
    epoch=st.integers(0, 10**6),
)
def test_an_epoch_holds_every_image_once(size: int, batch_size: int, shuffle: bool, seed: int, epoch: int) -> None:
    loader = TensorLoader(numbered_set(size), batch_size=batch_size, shuffle=shuffle, seed=seed)
    batches = list(loader.batches(epoch))
    found = numbers(batches)
    assert sorted(found) == list(range(size))
    assert shuffle or found == list(range(size))
    assert [int(number) for images, _ in batches for number in images[:, 0, 0, 0]] == found
    assert len(batches) == len(loader)
    assert {len(images) for images, _ in batches[:-1]} <= {batch_size}
    assert 1 <= len(batches[-1][0]) <= batch_size


@given(start=st.integers(0, 9), epoch=st.integers(0, 100), seed=st.integers(0, 100), shuffle=st.booleans())
def test_an_epoch_continues_in_its_middle_bit_for_bit(start: int, epoch: int, seed: int, shuffle: bool) -> None:
    def loader() -> TensorLoader:
        dataset = numbered_set(33)
        dataset.transform = Preprocess(image_size=6)
        return TensorLoader(dataset, batch_size=4, shuffle=shuffle, augment=Augment(), seed=seed)

    whole = list(loader().batches(epoch))
    assert same(loader().batches(epoch, start), whole[start:])


@given(start=st.integers(0, 16), count=st.integers(1, 17), num_replicas=st.integers(1, 3), together=st.integers(2, 9))
def test_batches_that_are_prepared_together_are_the_same_from_any_start_and_for_any_number_of_processes(
    start: int, count: int, num_replicas: int, together: int
) -> None:
    dataset = numbered_set(33)
    dataset.transform = Preprocess(image_size=6)
    loader = TensorLoader(dataset, batch_size=2, shuffle=True, augment=Augment(elastic=1))
    stop = min(start + count, len(loader))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lenet5.data.loader._steps_together", lambda *_: together)
        whole = list(loader.batches(3))
        assert sorted(numbers(whole)) == list(range(33))
        parts = [
            list(loader.batches(3, start, stop, rank=rank, num_replicas=num_replicas)) for rank in range(num_replicas)
        ]
    for step, shares in zip(range(start, stop), zip(*parts, strict=True), strict=True):
        for rank, share in enumerate(shares):
            expected = (share_of(rows, rank, num_replicas) for rows in whole[step])
            assert same([share], [expected])


def test_the_seed_and_the_epoch_alone_choose_the_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return numbers(TensorLoader(numbered_set(60), batch_size=7, shuffle=True, seed=seed).batches(epoch))

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(4) for epoch in range(4)}) == 16


def test_each_pass_is_the_next_epoch() -> None:
    loader = TensorLoader(numbered_set(20), batch_size=6, shuffle=True)
    first, second = list(loader), list(loader)
    assert same(first, loader.batches(0))
    assert same(second, loader.batches(1))
    assert numbers(first) != numbers(second)
    assert loader.epoch == 2


def test_every_batch_is_augmented_from_its_own_seed_and_before_the_transform() -> None:
    seeds, dtypes = [], []

    def augment(images: Tensor, generator: Generator) -> Tensor:
        seeds.append(generator.initial_seed())
        dtypes.append(images.dtype)
        return images + 1

    dataset = numbered_set(80)
    dataset.transform = Preprocess(image_size=6)
    loader = TensorLoader(dataset, batch_size=32, augment=augment, seed=3)
    batches = list(loader) + list(loader)
    assert seeds == [derive_seed(3, epoch, step) for epoch in (0, 1) for step in (0, 1, 2)]
    assert len(set(seeds)) == 6
    assert set(dtypes) == {torch.uint8}
    assert torch.equal(batches[1][0], dataset.transform(dataset.images[32:64] + 1))


def test_small_batches_are_augmented_together_for_each_call_costs_more_than_its_work() -> None:
    sizes = []

    def augment(images: Tensor, generator: Generator) -> Tensor:
        sizes.append(len(images))
        return images + torch.randint(0, 9, (len(images), 1, 1, 1), generator=generator, dtype=torch.uint8)

    loader = TensorLoader(numbered_set(80), batch_size=1, augment=augment)
    images = torch.cat([images for images, _ in loader])
    assert sizes == [32, 32, 16]
    assert torch.equal(images[:32], augment(loader.images[:32], Generator().manual_seed(derive_seed(0, 0, 0))))


def test_global_random_state_is_neither_used_nor_changed() -> None:
    loader = TensorLoader(numbered_set(20), batch_size=6, shuffle=True, augment=Augment())
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = list(loader.batches(0))
        torch.manual_seed(2)
        states = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
        assert same(loader.batches(0), before)
        assert torch.equal(torch.get_rng_state(), states[0])
        assert random.getstate() == states[1]
        assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], states[2])  # noqa: NPY002


def test_the_set_itself_is_not_changed() -> None:
    dataset = numbered_set(9)
    images = dataset.images.clone()
    dataset.transform = Preprocess(image_size=6)
    for batch, _ in TensorLoader(dataset, batch_size=4, augment=Augment()):
        batch.zero_()
    for batch, _ in TensorLoader(dataset, batch_size=4):
        batch.zero_()
    assert torch.equal(dataset.images, images)


def test_to_moves_the_set_and_returns_the_loader() -> None:
    loader = TensorLoader(numbered_set(3), batch_size=2, device="cpu")
    assert loader.to("meta") is loader
    assert {tensor.device.type for tensor in (loader.images, loader.targets)} == {"meta"}
    assert [images.device.type for images, _ in loader] == ["meta", "meta"]
    assert loader.dataset.images.device.type == "cpu"


@pytest.mark.parametrize(
    ("size", "batch_size", "seed", "message"),
    [
        (0, 1, 0, "the dataset is empty; expected at least one image"),
        (1, 0, 0, "batch_size is 0 and seed is 0; expected integers, at least 1 and at least 0"),
        (1, 1, -1, "batch_size is 1 and seed is -1; expected integers, at least 1 and at least 0"),
    ],
)
def test_what_makes_no_batches_is_refused(size: int, batch_size: int, seed: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TensorLoader(numbered_set(size), batch_size=batch_size, seed=seed)


@given(numbers=st.lists(st.integers(0, 2**64), min_size=1, max_size=3))
def test_a_derived_seed_has_63_bits_and_never_changes(numbers: list[int]) -> None:
    assert 0 <= derive_seed(*numbers) < 2**63
    assert derive_seed(*numbers) == derive_seed(*numbers)
    assert (derive_seed(0), derive_seed(1, 2, 3)) == (7896617691693857887, 6498626229777268288)
