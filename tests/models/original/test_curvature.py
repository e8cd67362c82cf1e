from collections.abc import Callable

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian

from lenet5 import LeNet5, LeNet5Original, MAPLoss, MLELoss
from lenet5.models.original.curvature import gauss_newton_diagonal
from lenet5.models.original.layers import PartialConv2d, ScaledTanh, Subsampling

Build = Callable[..., nn.Module]


def random_batch(count: int, *shape: int, num_classes: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(count, *shape, dtype=torch.float64), torch.randint(0, num_classes, (count,))


@settings(max_examples=20)
@given(count=st.integers(1, 4), j=st.floats(0.5, 30), seed=st.integers(0, 99))
def test_diagonal_of_a_single_layer_equals_the_hessian(rbf_network: Build, count: int, j: float, seed: int) -> None:
    torch.manual_seed(seed)
    model, loss_fn = rbf_network(nn.Linear(4, 5), features=5), MAPLoss(j)
    images, targets = random_batch(count, 4)
    names = ["layers.0.weight", "layers.0.bias"]

    def loss_of(*values: Tensor) -> Tensor:
        logits: Tensor = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (images,))
        loss: Tensor = loss_fn(logits, targets)
        return loss

    values = tuple(model.get_parameter(name).detach() for name in names)
    diagonal = gauss_newton_diagonal(model, loss_fn, images, targets)
    exact = hessian(loss_of, values)  # type: ignore[no-untyped-call]
    for index, name in enumerate(names):
        parameter = model.get_parameter(name)
        size = parameter.numel()
        expected = exact[index][index].reshape(size, size).diagonal().view_as(parameter)
        torch.testing.assert_close(diagonal[parameter], expected)


@settings(max_examples=10)
@given(count=st.integers(1, 3), depth=st.integers(1, 4), seed=st.integers(0, 99))
def test_diagonal_of_a_chain_of_single_units_equals_the_gauss_newton_matrix(count: int, depth: int, seed: int) -> None:
    torch.manual_seed(seed)
    chain = nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(1, 1), ScaledTanh())]).double()
    last = nn.Linear(1, 2).double()
    images, targets = random_batch(count, 1, num_classes=2)
    diagonal = gauss_newton_diagonal(nn.Sequential(chain, last), nn.CrossEntropyLoss(), images, targets)
    names = [name for name, _ in chain.named_parameters()]
    expected = {name: torch.zeros(1, dtype=torch.float64) for name in names}
    for image in images:

        def unit_of(*values: Tensor, image: Tensor = image) -> Tensor:
            unit: Tensor = torch.func.functional_call(chain, dict(zip(names, values, strict=True)), (image[None],))
            return unit[0]

        values = tuple(chain.get_parameter(name).detach() for name in names)
        slopes = jacobian(unit_of, values)  # type: ignore[no-untyped-call]
        probabilities = last(unit_of(*values)).softmax(0).detach()
        per_logit = probabilities * (1 - probabilities)  # off-diagonal terms are dropped
        curvature = (per_logit * last.weight.detach()[:, 0] ** 2).sum()
        for name, slope in zip(names, slopes, strict=True):
            expected[name] += curvature * slope.flatten() ** 2 / count
    for name in names:
        torch.testing.assert_close(diagonal[chain.get_parameter(name)].flatten(), expected[name])


def connections(layer: nn.Module, x: Tensor) -> tuple[Tensor, dict[nn.Parameter, Tensor]]:
    """Return the weight of each connection, and the connections that share each parameter.

    The weights have shape (units, inputs + 1): the last input is always 1, for the bias. For each parameter, the second
    result has the derivative of each weight: (units, inputs + 1, *shape of the parameter).
    """
    parameters = dict(layer.named_parameters())

    def weights(*values: Tensor) -> Tensor:
        def outputs(flat: Tensor) -> Tensor:
            named = dict(zip(parameters, values, strict=True))
            result: Tensor = torch.func.functional_call(layer, named, (flat.view_as(x)[None],))
            return result.flatten()

        matrix = jacobian(outputs, x.flatten(), create_graph=True)  # type: ignore[no-untyped-call]
        bias = outputs(torch.zeros_like(x.flatten()))
        return torch.cat([matrix, bias[:, None]], 1)

    values = tuple(parameter.detach() for parameter in parameters.values())
    shared = jacobian(weights, values)  # type: ignore[no-untyped-call]
    return weights(*values), dict(zip(parameters.values(), shared, strict=True))


def test_curvature_propagates_along_each_connection(rbf_network: Build) -> None:
    torch.manual_seed(1)
    conv, subsampling, partial = nn.Conv2d(1, 2, 2), Subsampling(2), PartialConv2d([[0], [0, 1]], 2)
    head = [nn.Flatten(), ScaledTanh(), nn.Linear(2, 3), ScaledTanh()]
    layers = [conv, ScaledTanh(), subsampling, nn.Tanh(), partial, *head]
    model, (images, targets) = rbf_network(*layers, features=3), random_batch(3, 1, 5, 5)
    diagonal = gauss_newton_diagonal(model, MAPLoss(5.0), images, targets)
    expected = {parameter: torch.zeros_like(parameter) for parameter in model.parameters()}
    for image, target in zip(images, targets, strict=True):
        activations = [image]
        for layer in layers:
            activations.append(layer(activations[-1][None])[0].detach())

        def loss_of(x: Tensor, target: Tensor = target) -> Tensor:
            loss: Tensor = MAPLoss(5.0)(-model.get_submodule("output")(x[None]), target[None])
            return loss

        curvature = hessian(loss_of, activations[-1]).diagonal()  # type: ignore[no-untyped-call]
        for layer, x, output in zip(reversed(layers), activations[-2::-1], activations[:0:-1], strict=True):
            if isinstance(layer, nn.Flatten):
                continue
            if any(True for _ in layer.parameters()):
                weights, sharing = connections(layer, x)
                per_connection = curvature[:, None] * torch.cat([x.flatten(), x.new_ones(1)]) ** 2
                for parameter, shared in sharing.items():
                    mask = (shared != 0).double()
                    expected[parameter] += torch.einsum("oi,oi...->...", per_connection, mask) / len(images)
                curvature = (weights[:, :-1] ** 2).T @ curvature
            else:
                slope = 2 / 3 * (1.7159 - output**2 / 1.7159) if isinstance(layer, ScaledTanh) else 1 - output**2
                curvature = curvature * slope.flatten() ** 2
    assert set(diagonal) == set(expected)
    for parameter, value in expected.items():
        torch.testing.assert_close(diagonal[parameter], value)


def test_estimate_is_positive_and_changes_nothing() -> None:
    torch.manual_seed(0)
    model = LeNet5Original()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    diagonal = gauss_newton_diagonal(model, MAPLoss(), torch.randn(7, 1, 32, 32), torch.arange(7))
    assert set(diagonal) == set(model.parameters())
    assert all(value.shape == parameter.shape and (value > 0).all() for parameter, value in diagonal.items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_curvature_of_mle_loss_is_positive() -> None:
    torch.manual_seed(0)
    model = LeNet5Original()
    diagonal = gauss_newton_diagonal(model, MLELoss(), torch.randn(3, 1, 32, 32), torch.arange(3))
    assert all((value > 0).all() for value in diagonal.values())


@pytest.mark.parametrize("loss_fn", [nn.functional.nll_loss, lambda logits, _: logits.mean()], ids=["nll", "mean"])
def test_curvature_of_a_loss_linear_in_the_logits_is_zero(loss_fn: Callable[[Tensor, Tensor], Tensor]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    diagonal = gauss_newton_diagonal(model, loss_fn, torch.rand(2, 1, 2, 2), torch.arange(2))
    assert not any(value.any() for value in diagonal.values())


def test_lenet5_is_supported() -> None:
    diagonal = gauss_newton_diagonal(LeNet5(), nn.CrossEntropyLoss(), torch.rand(4, 1, 28, 28), torch.arange(4))
    assert len(diagonal) == 10


def test_unsupported_layer_is_named() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    with pytest.raises(TypeError, match="the model contains a LayerNorm; expected a chain of linear layers"):
        gauss_newton_diagonal(model, nn.CrossEntropyLoss(), torch.rand(2, 1, 2, 2), torch.arange(2))
