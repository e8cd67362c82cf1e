from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lenet5 import ImageDataset, TensorLoader, Trainer

if TYPE_CHECKING:
    from tests.training.conftest import Tiny

BATCH = (torch.rand(2, 1, 6, 6), torch.tensor([0, 1]))
IMAGES, TARGETS = BATCH


@pytest.mark.parametrize(
    "make",
    [
        lambda tiny: tiny.images(20),
        lambda tiny: TensorLoader(tiny.images(20), batch_size=7),
        lambda _: [(torch.rand(5, 1, 6, 6), torch.tensor([0, 1, 2, 0, 1])) for _ in range(4)],
        lambda tiny: DataLoader(tiny.examples(), batch_size=7, shuffle=True),
        lambda tiny: DataLoader(tiny.images(20), batch_size=7),
        lambda tiny: tiny.examples(),
    ],
    ids=["ImageDataset", "TensorLoader", "list", "DataLoader", "DataLoader of ImageDataset", "Dataset"],
)
def test_fit_evaluate_and_predict_take_all_kinds_of_data(tiny: Tiny, make: Callable[[Tiny], Any]) -> None:
    trainer = Trainer(tiny.model(), tiny.config(max_epochs=1))
    assert len(trainer.fit(make(tiny), make(tiny))) == 1
    assert len(trainer.evaluate(make(tiny))) == 20
    assert len(trainer.predict(make(tiny))) == 20


def test_fit_takes_targets_of_any_integer_dtype(tiny: Tiny) -> None:
    images, targets = tiny.examples()[:]
    outcomes = []
    for dtype in (torch.int64, torch.int32, torch.uint8):
        model = tiny.model()
        Trainer(model, tiny.config()).fit(TensorDataset(images, targets.to(dtype)))
        outcomes.append(tiny.weights(model))
    assert all(torch.equal(outcome, outcomes[0]) for outcome in outcomes)


def test_fit_rejects_empty_datasets(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match="the dataset is empty; expected at least one image"):
        Trainer(tiny.model(), tiny.config()).fit(tiny.images(0))
    with pytest.raises(ValueError, match="the data is empty; expected at least one example"):
        Trainer(tiny.model(), tiny.config()).fit(tiny.examples(0))


def empty_generator() -> Iterator[Any]:
    yield from ()


class WrongLength(list[Any]):
    """A loader that reports three batches."""

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], ValueError, "the data is empty"),
        (empty_generator(), TypeError, "data is generator without a length; expected an ImageDataset.*with a length"),
        (3, TypeError, "data is int; expected an ImageDataset"),
        ([IMAGES], ValueError, "a batch is a Tensor; expected two tensors, images and targets"),
        ([(IMAGES, [0, 1])], ValueError, "a batch is a tuple of Tensor, list; expected two tensors"),
        ([()], ValueError, "a batch is a tuple of nothing"),
        ([(IMAGES, torch.tensor([0]))], ValueError, "a batch has 2 images and 1 targets; expected equal numbers"),
        ([(IMAGES[:0], torch.tensor([]))], ValueError, "a batch has 0 images and 0 targets"),
        ([(IMAGES, torch.tensor([0, 3]))], ValueError, r"targets lie in \[0, 3\]; expected 0 to 2"),
        ([(IMAGES, torch.tensor([-1, 0]))], ValueError, r"targets lie in \[-1, 0\]; expected 0 to 2"),
        ([(IMAGES * math.nan, TARGETS)], ValueError, "images hold 72 values that are NaN or infinite"),
        ([(IMAGES, torch.tensor([0.0, 1.0]))], ValueError, "targets have dtype torch.float32; expected integers"),
        (WrongLength([BATCH]), ValueError, "the loader yielded 1 batches; expected its length, 3"),
        (WrongLength([BATCH] * 4), ValueError, "the loader yielded more than 3 batches; expected its length"),
    ],
)
def test_fit_rejects_invalid_data(tiny: Tiny, data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Trainer(tiny.model(), tiny.config()).fit(data)


def test_fit_rejects_out_of_range_targets_of_a_dataset_before_the_first_step(tiny: Tiny) -> None:
    model = tiny.model()
    before = tiny.weights(model)
    pixels = torch.zeros(20, 1, 6, 6, dtype=torch.uint8)
    data = ImageDataset(pixels, [0] * 19 + [3], classes="abcd", transform=lambda batch: batch.float())
    with pytest.raises(ValueError, match=r"targets lie in \[0, 3\]; expected 0 to 2"):
        Trainer(model, tiny.config(batch_size=1)).fit(data)
    assert torch.equal(tiny.weights(model), before)


def test_patience_requires_validation_data(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match="patience is 1, but there is no validation data; pass val to fit"):
        Trainer(tiny.model(), tiny.config(patience=1)).fit(tiny.examples())
