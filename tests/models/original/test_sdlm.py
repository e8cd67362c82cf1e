"""The losses of 1998, the second derivatives, and the optimizer that takes them."""

import itertools
import math
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian

from lenet5 import (
    SDLM,
    Callback,
    LeNet5,
    LeNet5Original,
    MAPLoss,
    MLELoss,
    Preprocess,
    SDLMSchedule,
    Trainer,
    TrainerConfig,
)
from lenet5.data import DataSplits, ImageDataset
from lenet5.models.curvature import gauss_newton_diagonal
from lenet5.models.layers import EuclideanRBF, PartialConv2d, ScaledTanh, Subsampling


class Distances(nn.Module):
    """Minus the distances of what a chain gives to random prototypes of ones."""

    def __init__(self, *layers: nn.Module, features: int, num_classes: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.output = EuclideanRBF(torch.sign(torch.randn(num_classes, features)))

    def forward(self, x: Tensor) -> Tensor:
        distances: Tensor = self.output(self.layers(x))
        return -distances


def batch(count: int, *shape: int, num_classes: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(count, *shape, dtype=torch.float64), torch.randint(0, num_classes, (count,))


# The losses


@given(
    rows=st.lists(st.lists(st.floats(-200, 0), min_size=4, max_size=4), min_size=1, max_size=5),
    j=st.floats(0.1, 150),
    seed=st.integers(0, 99),
)
def test_the_losses_are_the_equations_of_the_paper(rows: list[list[float]], j: float, seed: int) -> None:
    targets = np.random.default_rng(seed).integers(0, 4, len(rows))
    logits = torch.tensor(rows, dtype=torch.float64)
    right = [-row[target] for row, target in zip(rows, targets, strict=True)]
    rest = [math.log(math.exp(-j) + sum(math.exp(one) for one in row)) for row in rows]
    expected = [y + z for y, z in zip(right, rest, strict=True)]
    assert float(MLELoss()(logits, torch.from_numpy(targets))) == pytest.approx(np.mean(right))
    assert float(MAPLoss(j)(logits, torch.from_numpy(targets))) == pytest.approx(np.mean(expected), abs=1e-12)


def test_map_is_the_cross_entropy_with_one_more_constant_logit() -> None:
    logits, targets = torch.randn(5, 10), torch.arange(5)
    more = torch.cat([logits, torch.full((5, 1), -7.0)], 1)
    torch.testing.assert_close(MAPLoss(7)(logits, targets), nn.functional.cross_entropy(more, targets))


def test_map_is_finite_where_exp_underflows_in_float32() -> None:
    logits = torch.full((2, 10), -300.0).requires_grad_()
    loss = MAPLoss(400.0)(logits, torch.tensor([0, 1]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(10))
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("j", [0.0, -1.0, math.inf, math.nan])
def test_a_j_that_is_not_positive_is_refused(j: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number"):
        MAPLoss(j)


# The second derivatives


@settings(max_examples=20)
@given(count=st.integers(1, 4), j=st.floats(0.5, 30), seed=st.integers(0, 99))
def test_of_one_layer_they_are_exact(count: int, j: float, seed: int) -> None:
    torch.manual_seed(seed)
    model, loss_fn = Distances(nn.Linear(4, 5), features=5).double(), MAPLoss(j)
    images, targets = batch(count, 4)
    names = ["layers.0.weight", "layers.0.bias"]

    def loss_of(*values: Tensor) -> Tensor:
        logits: Tensor = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (images,))
        loss: Tensor = loss_fn(logits, targets)
        return loss

    values = tuple(model.get_parameter(name).detach() for name in names)
    found = gauss_newton_diagonal(model, loss_fn, images, targets)
    exact = hessian(loss_of, values)  # type: ignore[no-untyped-call]
    for place, name in enumerate(names):
        parameter = model.get_parameter(name)
        size = parameter.numel()
        expected = exact[place][place].reshape(size, size).diagonal().view_as(parameter)
        torch.testing.assert_close(found[parameter], expected)


@settings(max_examples=10)
@given(count=st.integers(1, 3), depth=st.integers(1, 4), seed=st.integers(0, 99))
def test_of_a_chain_of_single_units_they_are_the_gauss_newton_matrix(count: int, depth: int, seed: int) -> None:
    torch.manual_seed(seed)
    chain = nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(1, 1), ScaledTanh())]).double()
    last = nn.Linear(1, 2).double()
    model = nn.Sequential(chain, last)
    images, targets = batch(count, 1, num_classes=2)
    found = gauss_newton_diagonal(model, nn.CrossEntropyLoss(), images, targets)
    names = [name for name, _ in chain.named_parameters()]
    expected = {name: torch.zeros(1, dtype=torch.float64) for name in names}
    for image in images:

        def unit_of(*values: Tensor, image: Tensor = image) -> Tensor:
            unit: Tensor = torch.func.functional_call(chain, dict(zip(names, values, strict=True)), (image[None],))
            return unit[0]

        values = tuple(chain.get_parameter(name).detach() for name in names)
        slopes = jacobian(unit_of, values)  # type: ignore[no-untyped-call]
        probabilities = last(unit_of(*values)).softmax(0).detach()
        curvature = (
            probabilities * (1 - probabilities) * last.weight.detach()[:, 0] ** 2
        ).sum()  # of each output alone
        for name, slope in zip(names, slopes, strict=True):
            expected[name] += curvature * slope.flatten() ** 2 / count
    for name in names:
        torch.testing.assert_close(found[chain.get_parameter(name)].flatten(), expected[name])


def _connections(layer: nn.Module, x: Tensor) -> tuple[Tensor, dict[nn.Parameter, Tensor]]:
    """Return the weight of each connection (units out, units in), and for each parameter which connections share it."""
    parameters = dict(layer.named_parameters())

    def weights(*values: Tensor) -> Tensor:
        def outputs(one: Tensor) -> Tensor:
            named = dict(zip(parameters, values, strict=True))
            answer: Tensor = torch.func.functional_call(layer, named, (one.view_as(x)[None],))
            return answer.flatten()

        matrix = jacobian(outputs, x.flatten(), create_graph=True)  # type: ignore[no-untyped-call]
        bias = outputs(torch.zeros_like(x.flatten()))  # of a connection to a unit that is always 1
        return torch.cat([matrix, bias[:, None]], 1)

    values = tuple(parameter.detach() for parameter in parameters.values())
    shared = jacobian(weights, values)  # type: ignore[no-untyped-call]
    return weights(*values), dict(zip(parameters.values(), shared, strict=True))


def test_they_are_carried_from_connection_to_connection() -> None:
    torch.manual_seed(1)
    conv, pool, table, linear = nn.Conv2d(1, 2, 2), Subsampling(2), PartialConv2d([[0], [0, 1]], 2), nn.Linear(2, 3)
    chain = [conv, ScaledTanh(), pool, nn.Tanh(), table, nn.Flatten(), ScaledTanh(), linear, ScaledTanh()]
    model, (images, targets) = Distances(*chain, features=3).double(), batch(3, 1, 5, 5)
    found = gauss_newton_diagonal(model, MAPLoss(5.0), images, targets)
    expected = {parameter: torch.zeros_like(parameter) for parameter in model.parameters()}
    for image, target in zip(images, targets, strict=True):
        inputs = [image]
        for layer in chain:
            inputs.append(layer(inputs[-1][None])[0].detach())

        def loss_of(x: Tensor, target: Tensor = target) -> Tensor:
            loss: Tensor = MAPLoss(5.0)(-model.output(x[None]), target[None])
            return loss

        matrix = hessian(loss_of, inputs[-1])  # type: ignore[no-untyped-call]
        curvature = matrix.diagonal()
        for layer, x, answer in zip(reversed(chain), inputs[-2::-1], inputs[:0:-1], strict=True):
            if isinstance(layer, nn.Flatten):
                continue
            if any(True for _ in layer.parameters()):
                weights, sharing = _connections(layer, x)
                per_connection = curvature[:, None] * torch.cat([x.flatten(), x.new_ones(1)]) ** 2
                for parameter, shared in sharing.items():
                    mask = (shared != 0).double()
                    expected[parameter] += torch.einsum("oi,oi...->...", per_connection, mask) / len(images)
                curvature = (weights[:, :-1] ** 2).T @ curvature
            else:
                slope = 2 / 3 * (1.7159 - answer**2 / 1.7159) if isinstance(layer, ScaledTanh) else 1 - answer**2
                curvature = curvature * slope.flatten() ** 2
    assert set(found) == set(expected)
    for parameter, value in expected.items():
        torch.testing.assert_close(found[parameter], value)


def test_they_are_positive_and_leave_model_and_gradients_alone() -> None:
    torch.manual_seed(0)
    model = LeNet5Original()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = gauss_newton_diagonal(model, MAPLoss(), torch.randn(7, 1, 32, 32), torch.arange(7))
    assert set(found) == set(model.parameters())
    assert all(value.shape == parameter.shape and (value > 0).all() for parameter, value in found.items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_modern_network_has_them_too() -> None:
    found = gauss_newton_diagonal(LeNet5(), nn.CrossEntropyLoss(), torch.rand(4, 1, 28, 28), torch.arange(4))
    assert len(found) == 10


def test_a_layer_of_another_kind_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    with pytest.raises(TypeError, match="LayerNorm is in the chain; expected linear layers"):
        gauss_newton_diagonal(model, nn.CrossEntropyLoss(), torch.rand(2, 1, 2, 2), torch.arange(2))


# The optimizer


def test_a_step_is_the_gradient_over_mu_plus_the_second_derivative() -> None:
    torch.manual_seed(0)
    model, loss_fn = Distances(nn.Linear(4, 5), ScaledTanh(), features=5).double(), MAPLoss()
    images, targets = batch(6, 4)
    optimizer = SDLM(model.parameters(), lr=0.01, mu=0.5)
    optimizer.estimate(model, loss_fn, images, targets)
    second = gauss_newton_diagonal(model, loss_fn, images, targets)
    loss_fn(model(images), targets).backward()
    before = {parameter: parameter.detach().clone() for parameter in model.parameters()}
    optimizer.param_groups[0]["lr"] = 0.02  # as a schedule does
    optimizer.step()
    for parameter, old in before.items():
        assert parameter.grad is not None
        rate = 0.02 / (0.5 + second[parameter])
        torch.testing.assert_close(optimizer.step_sizes()[parameter], rate)
        torch.testing.assert_close(parameter.detach(), old - rate * parameter.grad)


def test_a_step_without_an_estimate_is_refused() -> None:
    model = nn.Linear(2, 2)
    optimizer = SDLM(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    with pytest.raises(RuntimeError, match="there is no estimate of the second derivatives; call estimate"):
        optimizer.step()


@pytest.mark.parametrize(("lr", "mu"), [(-1.0, 0.02), (math.nan, 0.02), (0.1, 0.0), (0.1, -1.0)])
def test_a_rate_out_of_range_is_refused(lr: float, mu: float) -> None:
    with pytest.raises(ValueError, match=f"lr is {lr} and mu is {mu}; expected"):
        SDLM([nn.Parameter(torch.ones(1))], lr, mu=mu)


def test_the_estimate_is_saved_with_the_optimizer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    optimizer, twin = SDLM(model.parameters()), SDLM(model.parameters())
    optimizer.estimate(model, nn.CrossEntropyLoss(), torch.rand(5, 2, 2), torch.arange(5) % 3)
    twin.load_state_dict(optimizer.state_dict())
    for one, other in itertools.zip_longest(optimizer.step_sizes().values(), twin.step_sizes().values()):
        assert torch.equal(one, other)


def test_a_trainer_trains_the_original_with_it(digits: DataSplits) -> None:
    torch.manual_seed(0)
    model, loss_fn, preprocess = LeNet5Original(), MAPLoss(), Preprocess.of_1998()
    train = digits.train.images[:200]
    optimizer = SDLM(model.parameters(), lr=1e-4)
    optimizer.estimate(model, loss_fn, preprocess(train), digits.train.targets[:200])
    config = TrainerConfig(max_epochs=2, batch_size=1, schedule="constant", lr=1e-4, device="cpu")
    trainer = Trainer(model, config, loss_fn=loss_fn, optimizer=optimizer)
    subset = digits.train.select(slice(200))
    subset.transform = preprocess
    history = trainer.fit(subset).to_frame()
    assert history["train_loss"][1] < history["train_loss"][0] < 74  # where F6 is 0: 84 from each prototype, minus j


# The schedule


def patterns(digits: DataSplits, count: int = 40) -> ImageDataset:
    subset = digits.train.select(slice(count))
    subset.transform = Preprocess.of_1998()
    return subset


def test_each_pass_begins_with_its_learning_rate_and_a_fresh_estimate(digits: DataSplits) -> None:
    train = patterns(digits)
    seen: list[tuple[float, dict[Tensor, Tensor]]] = []

    class Watch(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            assert trainer.state is not None
            optimizer = trainer.state.optimization.optimizer
            assert isinstance(optimizer, SDLM)
            if trainer.state.step == 1:
                seen.append((optimizer.param_groups[0]["lr"], optimizer.step_sizes()))

    torch.manual_seed(0)
    model = LeNet5Original(init="lecun_uniform")
    schedule = SDLMSchedule(train, [3e-5, 1e-5], num_patterns=40, loss_fn=MLELoss())
    assert train.transform is not None
    second = gauss_newton_diagonal(model, MLELoss(), train.transform(train.images), train.targets)  # of all 40 patterns
    config = TrainerConfig(max_epochs=3, batch_size=1, device="cpu")
    history = Trainer(model, config, loss_fn=MAPLoss(), optimizer=SDLM, callbacks=[schedule, Watch()]).fit(train)
    assert [lr for lr, _ in seen] == [row["lr"] for row in history] == [3e-5, 1e-5, 1e-5]
    for parameter, steps in seen[0][1].items():
        torch.testing.assert_close(steps, 3e-5 / (0.02 + second[parameter]), rtol=1e-4, atol=0)  # type: ignore[index]
    weight = model.get_parameter("f6.linear.weight")
    assert not torch.equal(seen[1][1][weight], seen[2][1][weight])


@pytest.mark.parametrize("stop", [(0, 7), (0, 20), (1, 1), (1, 9)])
def test_a_training_with_it_is_resumed_as_if_it_had_never_stopped(
    digits: DataSplits, tmp_path: Path, stop: tuple[int, int]
) -> None:
    class Stop(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            assert trainer.state is not None
            if (trainer.state.epoch, trainer.state.step) == stop:
                raise OSError

    def fit(folder: Path, *callbacks: Callback, resume: str | None = None) -> LeNet5Original:
        torch.manual_seed(0)
        model = LeNet5Original(init="lecun_uniform")
        train = patterns(digits, 20)
        config = TrainerConfig(max_epochs=2, batch_size=1, device="cpu", checkpoint_dir=folder, checkpoint_steps=1)
        schedule = SDLMSchedule(train, [1e-4, 1e-5], num_patterns=10)
        Trainer(model, config, loss_fn=MAPLoss(), optimizer=SDLM, callbacks=[schedule, *callbacks]).fit(
            train, resume=resume
        )
        return model

    whole = fit(tmp_path / "whole")
    with pytest.raises(OSError):  # noqa: PT011 (it has no message)
        fit(tmp_path / "parts", Stop())
    resumed = fit(tmp_path / "parts", resume="auto")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_schedule_for_another_optimizer_or_of_nothing_is_refused(digits: DataSplits) -> None:
    train = patterns(digits)
    trainer = Trainer(LeNet5Original(), TrainerConfig(max_epochs=1), callbacks=[SDLMSchedule(train, [1e-4])])
    with pytest.raises(TypeError, match="the optimizer is AdamW; expected SDLM"):
        trainer.fit(train)
    smooth = TrainerConfig(max_epochs=1, label_smoothing=0.1)
    with pytest.raises(ValueError, match="labels are smoothed; expected a loss_fn"):
        Trainer(LeNet5Original(), smooth, optimizer=SDLM, callbacks=[SDLMSchedule(train, [1e-4])]).fit(train)
    with pytest.raises(ValueError, match="the checkpoint is of another schedule"):
        SDLMSchedule(train, [1e-4]).load_state_dict(SDLMSchedule(train, [1e-3]).state_dict())
    for lr in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="expected numbers of at least 0"):
            SDLMSchedule(train, [lr])
    for lrs, num_patterns in ([], 5), ([1e-4], 0):
        with pytest.raises(ValueError, match="expected at least one of each"):
            SDLMSchedule(train, lrs, num_patterns=num_patterns)
