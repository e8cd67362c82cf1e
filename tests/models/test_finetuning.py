"""`from_pretrained` with other classes or channels: what is kept, what is drawn anew, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.models import WeightsFolder
from lenet5.weights import lenet5 as builder


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_other_classes_draw_the_output_layer_anew_and_keep_the_rest() -> None:
    pretrained = state(LeNet5.from_pretrained("mnist_v2"))
    torch.manual_seed(0)
    model = LeNet5.from_pretrained("mnist_v2", num_classes=26)
    torch.manual_seed(0)
    fresh = nn.Linear(84, 26)
    assert not model.training
    assert (model.num_classes, model.arguments()["num_classes"]) == (26, 26)
    assert torch.equal(model.output.weight, fresh.weight)
    assert torch.equal(model.output.bias, fresh.bias)
    assert all(torch.equal(tensor, pretrained[name]) for name, tensor in state(model).items() if "output" not in name)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("arguments", [{}, {"num_classes": 10}, {"num_classes": 10, "in_channels": 1}])
def test_the_same_sizes_change_nothing_and_draw_nothing(arguments: dict[str, Any]) -> None:
    random = torch.get_rng_state()
    model = LeNet5.from_pretrained("mnist_v2", **arguments)
    expected = state(LeNet5.from_pretrained("mnist_v2"))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state(model).items())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_greyscale_image_in_all_channels_gives_the_same_logits(channels: int, tmp_path: Path) -> None:
    images = torch.rand(4, 1, 28, 28)
    grey = LeNet5.from_pretrained("mnist_v2")
    model = LeNet5.from_pretrained("mnist_v2", in_channels=channels)
    assert model.image_shape == (channels, 28, 28)
    repeated = images.repeat(1, channels, 1, 1)
    torch.testing.assert_close(model(repeated), grey(images), rtol=1e-4, atol=1e-4)
    model.save_pretrained(tmp_path)
    for number in (1, 2, 4):
        back = LeNet5.from_pretrained(tmp_path, in_channels=number)
        torch.testing.assert_close(back(images.repeat(1, number, 1, 1)), grey(images), rtol=1e-4, atol=1e-4)


def test_adapted_model_is_saved_and_loaded_back_without_the_old_metadata(tmp_path: Path) -> None:
    model = LeNet5.from_pretrained("mnist_v2", num_classes=26, in_channels=3)
    model.save_pretrained(tmp_path)
    loaded = LeNet5.from_pretrained(tmp_path)
    assert loaded.arguments() == model.arguments()
    assert all(torch.equal(tensor, state(model)[name]) for name, tensor in state(loaded).items())
    assert "meta" not in WeightsFolder.open(tmp_path).config


def test_subclass_is_adapted_too() -> None:
    class Letters(LeNet5):
        pass

    model = Letters.from_pretrained("mnist_v2", num_classes=26)
    assert type(model) is Letters
    assert model.output.out_features == 26


def test_caffe_network_changes_its_classes_alone(tmp_path: Path) -> None:
    CaffeLeNet().save_pretrained(tmp_path)
    assert CaffeLeNet.from_pretrained(tmp_path, num_classes=3).ip2.weight.shape == (3, 500)
    with pytest.raises(ValueError, match="in_channels is 3, but a CaffeLeNet has no such argument, only num_classes"):
        CaffeLeNet.from_pretrained(tmp_path, in_channels=3)


def test_original_network_is_refused_with_what_it_takes() -> None:
    assert LeNet5Original.from_pretrained("original_mnist_v1", num_classes=10).num_classes == 10
    with pytest.raises(
        ValueError, match="num_classes is 26, but a LeNet5Original has no such argument, only prototypes"
    ):
        LeNet5Original.from_pretrained("original_mnist_v1", num_classes=26)


@pytest.mark.parametrize("value", [0, -1, True, 2.5, "3"])
@pytest.mark.parametrize("name", ["num_classes", "in_channels"])
def test_sizes_that_are_no_positive_integers_are_refused(name: str, value: Any) -> None:
    if name == "in_channels" and value is True:
        value = False
    with pytest.raises(ValueError, match=f"{name} is {value!r}; expected an integer of at least 1"):
        LeNet5.from_pretrained("mnist_v2", **{name: value})


def test_builder_refuses_other_classes_and_names_the_way() -> None:
    with pytest.raises(
        ValueError, match=r"MNIST_V2 has the arguments .*LeNet5.from_pretrained\('mnist_v2', num_classes"
    ):
        builder(weights="MNIST_V2", num_classes=26)


@pytest.mark.parametrize("number", [np.int64(26), np.array(26), torch.tensor(26), np.float64(26)])
def test_integers_of_any_type_are_stored_as_integers_of_python(number: Any, tmp_path: Path) -> None:
    models: list[Any] = [LeNet5(number), CaffeLeNet(number), LeNet5.from_pretrained("mnist_v2", num_classes=number)]
    for model in models:
        assert type(model.num_classes) is type(model.arguments()["num_classes"]) is int
        model.save_pretrained(tmp_path)
        assert type(model).from_pretrained(tmp_path).num_classes == 26
    arguments: dict[str, Any] = {"in_channels": np.uint8(3), "image_size": np.int32(40)}
    sizes = LeNet5(**arguments)
    assert sizes.image_shape == (3, 40, 40)
    assert all(type(size) is int for size in sizes.image_shape)
