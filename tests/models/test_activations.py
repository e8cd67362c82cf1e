from pathlib import Path

import pytest
import torch
from torch import nn

import lenet5
from lenet5 import LeNet5
from lenet5.models.activations import activation_name, find_activation
from lenet5.models.original.layers import ScaledTanh
from lenet5.recipes.settings import choices

OWN = [lenet5.Square, ScaledTanh]


@pytest.mark.parametrize("activation", [*OWN, nn.ReLU, nn.Hardswish])
def test_network_with_a_named_activation_is_saved_and_rebuilt(activation: type[nn.Module], tmp_path: Path) -> None:
    model = LeNet5(activation=activation, pooling="avg").eval()
    model.save_pretrained(tmp_path)
    loaded = LeNet5.from_pretrained(tmp_path)
    images = torch.rand(3, 1, 28, 28)
    assert loaded.activation is activation
    assert torch.equal(loaded(images), model(images))


@pytest.mark.parametrize("name", [*nn.modules.activation.__all__, *(activation.__name__ for activation in OWN)])
def test_every_name_is_that_of_its_class(name: str) -> None:
    assert activation_name(find_activation(name)) == name


@pytest.mark.parametrize("name", choices("model.activation"))
def test_activations_of_the_command_line_have_names_in_weights_folders(name: str) -> None:
    assert find_activation(name)().forward(torch.ones(1)).shape == (1,)


def test_class_that_shares_the_name_of_an_activation_is_refused() -> None:
    other = type("Square", (nn.Module,), {})
    with pytest.raises(ValueError, match=r"cannot be saved by name; expected an activation of torch.nn.* Square"):
        activation_name(other)


@pytest.mark.parametrize("name", ["Sqare", "Linear", "forward", None, ["ReLU"], 3])
def test_unknown_name_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="expected the name of an activation in torch.nn, or Square"):
        find_activation(name)


def test_square_has_its_derivative() -> None:
    x = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
    values = lenet5.Square()(x)
    assert torch.equal(values, x.detach() ** 2)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    assert torch.equal(gradient, 2 * x.detach())


def test_square_computes_the_same_with_and_without_a_kernel_of_the_rest() -> None:
    model = LeNet5(activation=lenet5.Square, pooling="avg").eval()
    images = torch.rand(4, 1, 28, 28)
    assert torch.equal(model(images), model.forward(images))
