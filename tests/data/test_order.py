"""Predictions and evaluations come in the order of the data, or not at all."""

from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Generator, Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)
from torch.utils.data.distributed import DistributedSampler

from lenet5 import ImageDataset, TensorLoader, evaluate, predict

SIZE = 10


class Index(nn.Module):
    """A model whose prediction is the value of the first pixel: the index of the image."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.one_hot(images[:, 0, 0, 0].long(), SIZE).float()


class Examples(TensorDataset):
    """Ten images whose pixels, and targets, are their index."""

    def __init__(self) -> None:
        images = torch.arange(SIZE, dtype=torch.float32).view(-1, 1, 1, 1).repeat(1, 1, 2, 2)
        super().__init__(images, torch.arange(SIZE))


class Stream(IterableDataset[Any]):
    """The same examples, without a length."""

    def __iter__(self) -> Iterator[Any]:
        return iter([Examples()[index] for index in range(SIZE)])


class OwnIteration(DataLoader[Any]):
    """A loader with an `__iter__` of its own, as libraries derive them."""

    def __iter__(self) -> Any:
        return iter([*super().__iter__()])


def image_dataset() -> ImageDataset:
    images = torch.arange(SIZE, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 2, 2)
    return ImageDataset(images, range(SIZE), classes=[str(index) for index in range(SIZE)])


def darken(images: Tensor, _generator: Generator) -> Tensor:
    return images * 0


def labels(data: Any) -> list[int]:
    return predict(Index(), data).labels.tolist()


IN_ORDER: dict[str, Callable[[], Any]] = {
    "Dataset": Examples,
    "ImageDataset": image_dataset,
    "shuffled": lambda: DataLoader(Examples(), 3, shuffle=True),
    "drop_last": lambda: DataLoader(Examples(), 3, drop_last=True),
    "shuffled with drop_last": lambda: DataLoader(Examples(), 4, shuffle=True, drop_last=True),
    "without batching": lambda: DataLoader(
        [(Examples()[index : index + 1]) for index in range(SIZE)],  # type: ignore[arg-type]
        batch_size=None,
        shuffle=True,
    ),
    "RandomSampler": lambda: DataLoader(Examples(), 3, sampler=RandomSampler(Examples())),
    "BatchSampler": lambda: DataLoader(
        Examples(), batch_sampler=BatchSampler(RandomSampler(Examples()), 3, drop_last=True)
    ),
    "IterableDataset": Stream,
    "loader of an IterableDataset": lambda: DataLoader(Stream(), 3),
    "dropping loader of an IterableDataset": lambda: DataLoader(Stream(), 3, drop_last=True),
    "own iteration": lambda: OwnIteration(Examples(), 3),
    "TensorLoader": lambda: TensorLoader(image_dataset(), batch_size=3, shuffle=True, augment=darken),
    "list": lambda: list(DataLoader(Examples(), 3)),
    "generator": lambda: (batch for batch in DataLoader(Examples(), 3)),
    "workers": lambda: DataLoader(Examples(), 3, shuffle=True, num_workers=1, multiprocessing_context="spawn"),
}


class Reversed(SequentialSampler):
    def __iter__(self) -> Iterator[int]:
        return reversed(range(SIZE))


UNKNOWN: dict[str, Callable[[], Any]] = {
    "SubsetRandomSampler": lambda: DataLoader(Examples(), 3, sampler=SubsetRandomSampler(range(SIZE))),
    "WeightedRandomSampler": lambda: DataLoader(Examples(), 3, sampler=WeightedRandomSampler([1.0] * SIZE, SIZE)),
    "with replacement": lambda: DataLoader(Examples(), 3, sampler=RandomSampler(Examples(), replacement=True)),
    "few samples": lambda: DataLoader(Examples(), 3, sampler=RandomSampler(Examples(), num_samples=5)),
    "first ones": lambda: DataLoader(Examples(), 3, sampler=SequentialSampler(range(4))),
    "sampler that inherits": lambda: DataLoader(Examples(), 3, sampler=Reversed(Examples())),
    "DistributedSampler": lambda: DataLoader(Examples(), 3, sampler=DistributedSampler(Examples(), 2, 0)),
    "own batch sampler": lambda: DataLoader(Examples(), batch_sampler=[[3, 1], [2, 0]]),
    "own iteration, shuffled": lambda: OwnIteration(Examples(), 3, shuffle=True),
}


@pytest.mark.parametrize("make", IN_ORDER.values(), ids=IN_ORDER)
def test_predictions_and_evaluations_come_in_the_order_of_the_data(make: Callable[[], Any]) -> None:
    assert labels(make()) == list(range(SIZE))
    report = evaluate(Index(), make())
    assert report.targets.tolist() == report.predictions.tolist() == list(range(SIZE))


@pytest.mark.parametrize("make", UNKNOWN.values(), ids=UNKNOWN)
def test_predict_refuses_a_loader_of_unknown_order(make: Callable[[], Any]) -> None:
    with pytest.raises(
        ValueError, match=r"the (DataLoader|OwnIteration) .* would not match the data; expected the dataset"
    ):
        labels(make())


def test_predict_refuses_a_foreign_loader_that_says_it_shuffles() -> None:
    class Foreign(list[Any]):
        shuffle = True

    with pytest.raises(ValueError, match="the Foreign shuffles its examples"):
        labels(Foreign(DataLoader(Examples(), 3)))


@pytest.mark.parametrize("drop_last", [False, True])
def test_evaluate_counts_all_examples_that_a_sampler_selects(drop_last: bool) -> None:
    loader = DataLoader(Examples(), 3, sampler=SubsetRandomSampler([7, 2, 4, 5]), drop_last=drop_last)
    report = evaluate(Index(), loader)
    assert sorted(report.targets.tolist()) == [2, 4, 5, 7]
    assert report.accuracy == 1


def test_evaluate_refuses_a_loader_that_drops_examples_in_its_own_way() -> None:
    with pytest.raises(ValueError, match="the OwnIteration drops its last examples"):
        evaluate(Index(), OwnIteration(Examples(), 3, drop_last=True))


@given(st.permutations(range(SIZE)), st.integers(1, SIZE), st.integers(1, 4))
def test_subset_is_predicted_in_the_order_of_its_indices(order: list[int], length: int, batch_size: int) -> None:
    for dataset in (Examples(), image_dataset()):
        subset = Subset(dataset, order[:length])
        assert labels(subset) == order[:length]
        assert labels(DataLoader(subset, batch_size, shuffle=True, drop_last=True)) == order[:length]


def test_random_split_keeps_order_and_class_names() -> None:
    first, second = random_split(image_dataset(), [6, 4], Generator().manual_seed(0))
    assert labels(first) + labels(second) == [*first.indices, *second.indices]
    assert evaluate(Index(), first).classes == image_dataset().classes


def test_prediction_leaves_the_loader_and_the_global_generator_as_they_are() -> None:
    tensor_loader = TensorLoader(image_dataset(), batch_size=3, shuffle=True, augment=darken)
    loader = DataLoader(Examples(), 3, shuffle=True, drop_last=True)
    before = torch.get_rng_state()
    for data in (tensor_loader, loader, Examples()):
        predict(Index(), data)
        evaluate(Index(), data)
    assert torch.equal(torch.get_rng_state(), before)
    assert (tensor_loader.shuffle, tensor_loader.augment, tensor_loader.epoch) == (True, darken, 0)
    assert len(list(loader)) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_are_refused(value: float) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = Index()(images)
            return logits.masked_fill(images[:, :1, 0, 0] == 4, value)

    for use in (predict, evaluate):
        with pytest.raises(ValueError, match="the model returned NaN or infinite outputs for 1 of 10 images"):
            use(Broken(), Examples())
