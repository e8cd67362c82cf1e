import copy
import json
import pickle
import subprocess
import sys
from typing import Literal

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from lenet5 import LeNet5

LAYERS = ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
PARAMETERS = {"c1": 156, "s2": 0, "c3": 2416, "s4": 0, "c5": 48_120, "f6": 10_164, "output": 850}

poolings = st.sampled_from(["max", "avg"])
sizes = st.integers(12, 48)


def expected_shapes(count: int, size: int, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Compute the output shapes by the arithmetic of convolution and pooling, independently of the modules."""
    c1 = size if size < 32 else size - 4
    s2 = c1 // 2
    c3 = s2 - 4
    return {
        "c1": (count, 6, c1, c1),
        "s2": (count, 6, s2, s2),
        "c3": (count, 16, c3, c3),
        "s4": (count, 16, c3 // 2, c3 // 2),
        "c5": (count, 120),
        "f6": (count, 84),
        "output": (count, num_classes),
    }


@pytest.mark.parametrize("image_size", [28, 32])
def test_layers_have_61706_parameters_in_total(image_size: int) -> None:
    model = LeNet5(image_size=image_size)
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    assert counts == PARAMETERS
    assert sum(counts.values()) == 61_706


def test_children_are_the_layers_of_the_paper_in_order() -> None:
    assert [name for name, _ in LeNet5().named_children()] == LAYERS


@given(
    count=st.integers(1, 4),
    size=sizes,
    channels=st.integers(1, 4),
    num_classes=st.integers(1, 50),
    pooling=poolings,
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_layers_have_the_output_shapes_of_the_arithmetic(
    count: int, size: int, channels: int, num_classes: int, pooling: Literal["max", "avg"], dtype: torch.dtype
) -> None:
    model = LeNet5(num_classes, in_channels=channels, image_size=size, pooling=pooling).to(dtype)
    shapes: dict[str, tuple[int, ...]] = {}

    def record(name: str, output: Tensor) -> None:
        shapes[name] = tuple(output.shape)

    for name, child in model.named_children():
        child.register_forward_hook(lambda _module, _inputs, output, name=name: record(name, output))
    logits = model(torch.zeros(count, channels, size, size, dtype=dtype))
    assert shapes == expected_shapes(count, size, num_classes)
    assert logits.dtype == dtype


@given(count=st.integers(1, 8), size=sizes, pooling=poolings)
def test_gradients_reach_every_parameter(count: int, size: int, pooling: Literal["max", "avg"]) -> None:
    model = LeNet5(image_size=size, pooling=pooling, activation=nn.Tanh)
    images = torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(0))
    torch.autograd.backward(model(images).square().sum())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@given(count=st.integers(1, 8), seed=st.integers(0, 1000))
def test_evaluation_is_deterministic(count: int, seed: int) -> None:
    torch.manual_seed(seed)
    model, images = LeNet5().double().eval(), torch.rand(count, 1, 28, 28, dtype=torch.float64)
    assert torch.equal(model(images), model(images))


@given(count=st.integers(1, 8), seed=st.integers(0, 1000))
def test_logits_of_an_image_do_not_depend_on_its_batch(count: int, seed: int) -> None:
    torch.manual_seed(seed)
    model, images = LeNet5().double().eval(), torch.rand(count, 1, 28, 28, dtype=torch.float64)
    rows = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(rows, model(images), rtol=1e-12, atol=1e-12)


def test_logits_equal_the_functional_form() -> None:
    torch.manual_seed(0)
    model, images = LeNet5(), torch.rand(3, 1, 28, 28)
    state = model.state_dict()
    f = nn.functional
    x = f.max_pool2d(f.relu(f.conv2d(images, state["c1.conv.weight"], state["c1.conv.bias"], padding=2)), 2)
    x = f.max_pool2d(f.relu(f.conv2d(x, state["c3.conv.weight"], state["c3.conv.bias"])), 2)
    x = f.relu(f.linear(x.flatten(1), state["c5.linear.weight"], state["c5.linear.bias"]))
    x = f.relu(f.linear(x, state["f6.linear.weight"], state["f6.linear.bias"]))
    torch.testing.assert_close(model(images), f.linear(x, state["output.weight"], state["output.bias"]))


def test_features_can_be_extracted_by_layer_name() -> None:
    model, images = LeNet5().eval(), torch.rand(2, 1, 28, 28)
    features = create_feature_extractor(model, return_nodes=LAYERS)(images)
    assert {name: tuple(value.shape) for name, value in features.items()} == expected_shapes(2, 28, 10)
    torch.testing.assert_close(features["output"], model(images))


def test_deepcopy_is_equal_and_independent() -> None:
    model, images = LeNet5().eval(), torch.rand(2, 1, 28, 28)
    twin = copy.deepcopy(model)
    assert torch.equal(twin(images), model(images))
    with torch.no_grad():
        twin.output.bias.add_(1)
    assert not torch.equal(twin(images), model(images))


def test_model_can_be_sent_to_a_different_process() -> None:
    model, images = LeNet5(activation=nn.Tanh, pooling="avg").eval(), torch.rand(2, 1, 28, 28)
    program = "import pickle, sys; model, images = pickle.load(sys.stdin.buffer); print(model(images).tolist())"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, input=pickle.dumps((model, images)), capture_output=True, check=True)
    torch.testing.assert_close(torch.tensor(json.loads(done.stdout)), model(images))


def test_output_layer_can_be_replaced() -> None:
    model = LeNet5()
    model.output = nn.Identity()  # type: ignore[assignment]
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 84)


@pytest.mark.parametrize("activation", ["relu", nn.ReLU()])
def test_constructor_rejects_names_and_instances_of_activations(activation: object) -> None:
    with pytest.raises(ValueError, match="activation is .*; expected a class such as torch.nn.ReLU"):
        LeNet5(activation=activation)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0; expected an integer of at least 1"),
        ({"in_channels": -1}, "in_channels is -1; expected an integer of at least 1"),
        ({"image_size": 11}, "image_size is 11; expected an integer of at least 12"),
        ({"image_size": 28.5}, "image_size is 28.5; expected an integer of at least 12"),
        ({"pooling": "min"}, "pooling is 'min'; expected 'max' or 'avg'"),
    ],
)
def test_constructor_rejects_arguments_out_of_range(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LeNet5(**arguments)  # type: ignore[arg-type]
