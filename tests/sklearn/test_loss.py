import pytest
import torch
from torch.nn import functional

from lenet5.sklearn.loss import WeightedLoss


def test_equal_weights_give_cross_entropy() -> None:
    logits, targets = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 4
    assert torch.allclose(WeightedLoss(torch.ones(4))(logits, targets), functional.cross_entropy(logits, targets))


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_batch_of_one_class_counts_as_much_as_the_class_weighs(weight: float) -> None:
    logits, targets = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)), torch.ones(9, dtype=torch.int64)
    loss = WeightedLoss(torch.tensor([1.0, weight]))(logits, targets)
    assert torch.allclose(loss, weight * functional.cross_entropy(logits, targets))
