import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from lenet5 import SDLM, LeNet5Original, MAPLoss, Preprocess, Trainer, TrainerConfig
from lenet5.data import DataSplits
from lenet5.models.original.curvature import gauss_newton_diagonal
from lenet5.models.original.layers import ScaledTanh


def test_step_divides_the_gradient_by_mu_plus_the_second_derivative(rbf_network: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    model, loss_fn = rbf_network(nn.Linear(4, 5), ScaledTanh(), features=5), MAPLoss()
    images, targets = torch.randn(6, 4, dtype=torch.float64), torch.randint(0, 3, (6,))
    optimizer = SDLM(model.parameters(), lr=0.01, mu=0.5)
    optimizer.estimate(model, loss_fn, images, targets)
    diagonal = gauss_newton_diagonal(model, loss_fn, images, targets)
    torch.autograd.backward(loss_fn(model(images), targets))
    before = {parameter: parameter.detach().clone() for parameter in model.parameters()}
    optimizer.param_groups[0]["lr"] = 0.02  # as a schedule does
    optimizer.step()
    for parameter, old in before.items():
        assert parameter.grad is not None
        step_size = 0.02 / (0.5 + diagonal[parameter])
        torch.testing.assert_close(optimizer.step_sizes()[parameter], step_size)
        torch.testing.assert_close(parameter.detach(), old - step_size * parameter.grad)


def test_step_returns_the_loss_of_the_closure() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    optimizer = SDLM(model.parameters())
    optimizer.estimate(model, nn.CrossEntropyLoss(), torch.ones(1, 2), torch.zeros(1, dtype=torch.int64))

    def closure() -> float:
        loss = model(torch.ones(1, 2)).square().sum()
        torch.autograd.backward(loss)
        return float(loss.detach())

    assert optimizer.step(closure) > 0


def test_step_requires_an_estimate() -> None:
    model = nn.Linear(2, 2)
    optimizer = SDLM(model.parameters())
    torch.autograd.backward(model(torch.ones(1, 2)).sum())
    with pytest.raises(RuntimeError, match=r"have not been estimated; call estimate\(\) before step\(\)"):
        optimizer.step()


@pytest.mark.parametrize(("lr", "mu"), [(-1.0, 0.02), (math.nan, 0.02), (0.1, 0.0), (0.1, -1.0)])
def test_constructor_rejects_lr_and_mu_out_of_range(lr: float, mu: float) -> None:
    with pytest.raises(ValueError, match=f"lr is {lr} and mu is {mu}; expected lr of at least 0 and mu above 0"):
        SDLM([nn.Parameter(torch.ones(1))], lr, mu=mu)


def test_state_dict_holds_the_estimate() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    optimizer, restored = SDLM(model.parameters()), SDLM(model.parameters())
    optimizer.estimate(model, nn.CrossEntropyLoss(), torch.rand(5, 2, 2), torch.arange(5) % 3)
    restored.load_state_dict(optimizer.state_dict())
    expected = optimizer.step_sizes()
    for parameter, step_size in restored.step_sizes().items():
        assert torch.equal(step_size, expected[parameter])


def test_trainer_trains_the_original_network_with_sdlm(digits: DataSplits) -> None:
    torch.manual_seed(0)
    model, loss_fn, preprocess = LeNet5Original(), MAPLoss(), Preprocess.original()
    train = digits.train.select(slice(200))
    train.transform = preprocess
    optimizer = SDLM(model.parameters(), lr=1e-4)
    optimizer.estimate(model, loss_fn, preprocess(train.images), train.targets)
    config = TrainerConfig(max_epochs=2, batch_size=1, schedule="constant", lr=1e-4, device="cpu")
    history = Trainer(model, config, loss_fn=loss_fn, optimizer=optimizer).fit(train).to_frame()
    at_zero = 84 - loss_fn.j  # F6 of zeros has a squared distance of 84 to each prototype
    assert history["train_loss"][1] < history["train_loss"][0] < at_zero
