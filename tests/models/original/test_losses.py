import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

from lenet5 import MAPLoss, MLELoss


@given(
    logits=st.lists(st.lists(st.floats(-200, 0), min_size=4, max_size=4), min_size=1, max_size=5),
    j=st.floats(0.1, 150),
    seed=st.integers(0, 99),
)
def test_losses_equal_the_equations_of_the_paper(logits: list[list[float]], j: float, seed: int) -> None:
    targets = np.random.default_rng(seed).integers(0, 4, len(logits))
    mle = [-row[target] for row, target in zip(logits, targets, strict=True)]
    penalties = [math.log(math.exp(-j) + sum(math.exp(logit) for logit in row)) for row in logits]
    map_ = [distance + penalty for distance, penalty in zip(mle, penalties, strict=True)]
    arguments = torch.tensor(logits, dtype=torch.float64), torch.from_numpy(targets)
    assert float(MLELoss()(*arguments)) == pytest.approx(np.mean(mle))
    assert float(MAPLoss(j)(*arguments)) == pytest.approx(np.mean(map_), abs=1e-12)


def test_map_loss_is_cross_entropy_with_a_reject_class() -> None:
    logits, targets = torch.randn(5, 10), torch.arange(5)
    extended = torch.cat([logits, torch.full((5, 1), -7.0)], 1)
    assert torch.equal(MAPLoss(7).with_reject_class(logits), extended)
    torch.testing.assert_close(MAPLoss(7)(logits, targets), nn.functional.cross_entropy(extended, targets))


def test_map_loss_is_finite_where_exp_underflows() -> None:
    logits = torch.full((2, 10), -300.0).requires_grad_()
    loss = MAPLoss(400.0)(logits, torch.tensor([0, 1]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == pytest.approx(math.log(10))
    assert gradient.isfinite().all()


@pytest.mark.parametrize("j", [0.0, -1.0, math.inf, math.nan])
def test_map_loss_rejects_j_that_is_not_positive_and_finite(j: float) -> None:
    with pytest.raises(ValueError, match=f"j is {j}; expected a finite number above 0"):
        MAPLoss(j)


def test_repr_of_map_loss_shows_j() -> None:
    assert repr(MAPLoss(7.0)) == "MAPLoss(j=7.0)"
