import copy
import multiprocessing
import multiprocessing.pool
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

pooling = st.sampled_from(["max", "avg"])
sizes = st.integers(12, 48)


def shapes(count: int, size: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Shapes by the arithmetic of convolution and pooling, independent of the modules."""
    first = size if size < 32 else size - 4
    half = first // 2
    third = half - 4
    return {
        "c1": (count, 6, first, first),
        "s2": (count, 6, half, half),
        "c3": (count, 16, third, third),
        "s4": (count, 16, third // 2, third // 2),
        "c5": (count, 120),
        "f6": (count, 84),
        "output": (count, classes),
    }


@pytest.mark.parametrize("image_size", [28, 32])
def test_it_has_61706_parameters(image_size: int) -> None:
    model = LeNet5(image_size=image_size)
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    assert counts == PARAMETERS
    assert sum(counts.values()) == 61_706


def test_its_children_are_the_layers_of_the_paper_in_order() -> None:
    assert [name for name, _ in LeNet5().named_children()] == LAYERS


@given(
    count=st.integers(1, 4),
    size=sizes,
    channels=st.integers(1, 4),
    classes=st.integers(1, 50),
    kind=pooling,
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_every_layer_has_the_shape_that_arithmetic_gives(
    count: int, size: int, channels: int, classes: int, kind: Literal["max", "avg"], dtype: torch.dtype
) -> None:
    model = LeNet5(classes, in_channels=channels, image_size=size, pooling=kind).to(dtype)
    outputs: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Tensor) -> None:
        outputs[name] = tuple(output.shape)

    for name, child in model.named_children():
        child.register_forward_hook(lambda _module, _inputs, output, name=name: note(name, output))
    logits = model(torch.zeros(count, channels, size, size, dtype=dtype))
    assert outputs == shapes(count, size, classes)
    assert logits.dtype == dtype


@given(count=st.integers(1, 8), size=sizes, kind=pooling)
def test_gradients_reach_every_parameter(count: int, size: int, kind: Literal["max", "avg"]) -> None:
    model = LeNet5(image_size=size, pooling=kind, activation=nn.Tanh)
    model(torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@given(count=st.integers(1, 8), seed=st.integers(0, 1000))
def test_evaluation_is_deterministic_and_a_batch_of_one_equals_a_row_of_a_batch(count: int, seed: int) -> None:
    torch.manual_seed(seed)
    model, images = LeNet5().double().eval(), torch.rand(count, 1, 28, 28, dtype=torch.float64)
    logits = model(images)
    assert torch.equal(logits, model(images))
    rows = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(rows, logits, rtol=1e-12, atol=1e-12)


def test_max_pooling_and_relu_agree_with_the_functions_written_out() -> None:
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
    extractor = create_feature_extractor(model, return_nodes=LAYERS)
    features = extractor(images)
    assert {name: tuple(value.shape) for name, value in features.items()} == shapes(2, 28, 10)
    torch.testing.assert_close(features["output"], model(images))


def test_it_can_be_exported_with_a_batch_of_any_size() -> None:
    model = LeNet5().eval()
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(model, (torch.rand(3, 1, 28, 28),), dynamic_shapes=({0: batch},))
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(program.module()(images), model(images))


def test_it_can_be_compiled_as_one_graph() -> None:
    model, images = LeNet5().eval(), torch.rand(2, 1, 28, 28)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), model(images))


def test_a_deep_copy_is_equal_and_separate() -> None:
    model, images = LeNet5().eval(), torch.rand(2, 1, 28, 28)
    twin = copy.deepcopy(model)
    assert torch.equal(twin(images), model(images))
    with torch.no_grad():
        twin.output.bias.add_(1)
    assert not torch.equal(twin(images), model(images))


def _logits(arguments: tuple[LeNet5, Tensor]) -> list[list[float]]:
    model, images = arguments
    logits: list[list[float]] = model(images).tolist()
    return logits


def test_it_can_be_sent_to_another_process() -> None:
    model, images = LeNet5(activation=nn.Tanh, pooling="avg").eval(), torch.rand(2, 1, 28, 28)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (answer,) = pool.map(_logits, [(model, images)])
    torch.testing.assert_close(torch.tensor(answer), model(images))


def test_its_head_can_be_replaced() -> None:
    model = LeNet5()
    model.output = nn.Identity()  # type: ignore[assignment]
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 84)


@pytest.mark.parametrize("activation", ["relu", nn.ReLU()])
def test_an_activation_is_a_class_or_a_function(activation: object) -> None:
    with pytest.raises(ValueError, match="activation is .*; expected a class such as torch.nn.ReLU"):
        LeNet5(activation=activation)  # type: ignore[arg-type]


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match="images are list; expected a tensor"):
        LeNet5()([[1.0]])


def test_autocast_may_choose_another_dtype() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert LeNet5()(torch.rand(2, 1, 28, 28).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(28, 28), r"shape \(28, 28\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(1, 28, 28), r"shape \(1, 28, 28\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(2, 3, 28, 28), r"shape \(2, 3, 28, 28\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(2, 1, 32, 32), r"shape \(2, 1, 32, 32\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), r"dtype torch.uint8; expected torch.float32.*Preprocess"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.float64), r"dtype torch.float64; expected torch.float32"),
    ],
)
def test_images_that_do_not_fit_are_refused(images: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LeNet5()(images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0; expected an integer of at least 1"),
        ({"in_channels": -1}, "in_channels is -1"),
        ({"image_size": 11}, "image_size is 11; expected an integer of at least 12"),
        ({"image_size": 28.0}, "image_size is 28.0"),
        ({"pooling": "min"}, "pooling is 'min'; expected 'max' or 'avg'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LeNet5(**arguments)  # type: ignore[arg-type]


def test_the_graph_is_static_unless_a_layer_is_not_torchs_or_somebody_looks_in() -> None:
    class Guess(nn.ReLU):
        pass

    assert LeNet5(activation=nn.Tanh, pooling="avg").static_graph
    assert not LeNet5(activation=Guess).static_graph
    model = LeNet5()
    for module in (model, model.c3, model.c3.conv):
        assert isinstance(module, nn.Module)
        for register in (
            module.register_forward_hook,
            module.register_forward_pre_hook,
            module.register_full_backward_hook,
        ):
            handle = register(lambda *_: None)
            assert not model.static_graph
            handle.remove()
    assert model.static_graph
