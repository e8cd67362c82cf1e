import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from lenet5 import LeNet5Original, Preprocess
from lenet5.models.layers import EuclideanRBF, Init, PartialConv2d, ScaledTanh, Subsampling
from lenet5.models.original import C3_TABLE, digit_prototypes

LAYERS = ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
SHAPES = {
    "c1": (6, 28, 28),
    "s2": (6, 14, 14),
    "c3": (16, 10, 10),
    "s4": (16, 5, 5),
    "c5": (120,),
    "f6": (84,),
    "output": (10,),
}
PARAMETERS = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164, "output": 0}
CONNECTIONS = {"c1": 122_304, "s2": 5880, "c3": 151_600, "s4": 2000, "c5": 48_120, "f6": 10_164, "output": 840}

tables = st.lists(st.sets(st.integers(0, 4), min_size=1, max_size=4).map(sorted), min_size=1, max_size=6)


def double(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# The network


def test_each_layer_has_the_parameters_of_the_paper() -> None:
    model = LeNet5Original()
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    assert counts == PARAMETERS
    assert sum(counts.values()) == 60_000
    assert model.output.prototypes.numel() == 840


def test_each_layer_has_the_connections_of_the_paper() -> None:
    counts: dict[str, int] = {}

    def count(name: str, module: nn.Module, outputs: Tensor) -> None:
        if isinstance(module, Subsampling):
            per_map = torch.full((module.num_maps,), 4 + 1)  # four inputs with one coefficient, and a bias
        elif isinstance(module, PartialConv2d):
            per_map = (module.dense_weight() != 0).flatten(1).sum(1) + 1
        elif isinstance(module, EuclideanRBF):
            per_map = torch.full((len(module.prototypes),), module.prototypes.shape[1])
        else:
            per_map = torch.full((outputs.shape[1],), module.get_parameter("weight")[0].numel() + 1)
        counts[name] = int((per_map * outputs[0].flatten(1).shape[-1] if outputs.ndim == 4 else per_map).sum())

    model = LeNet5Original()
    for name, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)) or isinstance(module, EuclideanRBF):
            module.register_forward_hook(lambda module, _, out, name=name: count(name.split(".")[0], module, out))
    model(torch.zeros(1, 1, 32, 32))
    assert counts == CONNECTIONS
    assert sum(counts.values()) == 340_908


def test_the_table_of_c3_is_that_of_the_paper() -> None:
    assert sum(map(len, C3_TABLE)) == 60
    assert [sum(one in row for row in C3_TABLE) for one in range(6)] == [10] * 6
    assert len(set(C3_TABLE)) == 16
    assert [len(row) for row in C3_TABLE] == [3] * 6 + [4] * 9 + [6]


def test_prototypes_are_ten_different_bitmaps_of_ones() -> None:
    prototypes = digit_prototypes()
    assert prototypes.shape == (10, 84)
    assert prototypes.abs().eq(1).all()
    assert torch.pdist(prototypes).min() > 0
    one = prototypes[1].view(12, 7)
    assert (one[9] == torch.tensor([-1.0, 1, 1, 1, 1, 1, 1])).all()  # the foot of the 1


@given(count=st.integers(1, 4), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_every_layer_has_the_shape_of_the_paper(count: int, dtype: torch.dtype) -> None:
    model = LeNet5Original().to(dtype)
    features = create_feature_extractor(model.eval(), LAYERS)(torch.zeros(count, 1, 32, 32, dtype=dtype))
    assert {name: tuple(value.shape) for name, value in features.items()} == {
        name: (count, *shape) for name, shape in SHAPES.items()
    }


def test_logits_are_minus_the_squared_distances_to_the_prototypes() -> None:
    model, images = LeNet5Original().double().eval(), double(3, 1, 32, 32)
    f6 = create_feature_extractor(model, ["f6"])(images)["f6"].detach().numpy()
    expected = -((f6[:, None] - digit_prototypes().numpy()) ** 2).sum(2)
    np.testing.assert_allclose(model(images).detach().numpy(), expected, rtol=1e-12)


def test_gradients_reach_every_parameter_but_the_prototypes() -> None:
    model = LeNet5Original()
    assert "output.prototypes" in model.state_dict()
    model(torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("init", "bound"), [("paper", lambda inputs: 2.4 / inputs), ("lecun_uniform", lambda inputs: math.sqrt(3 / inputs))]
)
def test_weights_begin_within_their_bounds(init: Init, bound: Callable[[int], float]) -> None:
    torch.manual_seed(0)
    model = LeNet5Original(init=init)
    fan_in = {"c1.conv": 25, "s2.subsampling": 4, "s4.subsampling": 4, "c5.conv": 400, "f6.linear": 120}
    for name, inputs in fan_in.items():
        weight = model.get_parameter(f"{name}.weight")
        if "subsampling" in name and init == "lecun_uniform":
            assert weight.eq(0.25).all()
        else:
            assert 0.5 * bound(inputs) < weight.abs().max() <= bound(inputs)
        assert not model.get_parameter(f"{name}.bias").any()
    kernels = iter(model.get_parameter("c3.conv.weight"))
    for row in C3_TABLE:
        largest = max(float(next(kernels).detach().abs().max()) for _ in row)
        assert 0.8 * bound(25 * len(row)) < largest <= bound(25 * len(row))


def test_it_can_be_saved_loaded_copied_and_exported(tmp_path: Path) -> None:
    images = double(3, 1, 32, 32).float()
    prototypes = torch.sign(double(4, 84)).float()
    for model in (LeNet5Original().eval(), LeNet5Original(prototypes=prototypes).eval()):
        model.save_pretrained(tmp_path)
        assert torch.equal(LeNet5Original.from_pretrained(tmp_path)(images), model(images))
        assert torch.equal(copy.deepcopy(model)(images), model(images))
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(model, (images,), dynamic_shapes=({0: batch},))
        torch.testing.assert_close(program.module()(images[:2]), model(images[:2]))
    assert model.num_classes == 4


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images have shape \(2, 1, 28, 28\); expected \(N, 1, 32, 32\)"):
        LeNet5Original()(torch.zeros(2, 1, 28, 28))
    with pytest.raises(ValueError, match=r"prototypes have shape \(10, 80\); expected \(num_classes, 84\)"):
        LeNet5Original(prototypes=torch.zeros(10, 80))
    with pytest.raises(ValueError, match="init is 'keras'; expected 'paper' or 'lecun_uniform'"):
        LeNet5Original(init="keras")  # type: ignore[arg-type]


def test_its_preprocess_places_the_digit_in_the_field_of_the_paper() -> None:
    images = torch.full((2, 1, 28, 28), 255, dtype=torch.uint8)
    field = Preprocess.of_1998()(images)
    assert field.shape == (2, 1, 32, 32)
    torch.testing.assert_close(field[:, :, 2:30, 2:30], torch.full((2, 1, 28, 28), 1.175))
    assert int(torch.isclose(field, torch.tensor(-0.1)).sum()) == 2 * (32**2 - 28**2)


# Its layers, each beside a loop in float64


@given(values=st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_the_squashing_function_is_scaled_so_that_one_maps_to_one(values: list[float]) -> None:
    found = ScaledTanh()(torch.tensor(values, dtype=torch.float64))
    assert found.tolist() == pytest.approx([1.7159 * math.tanh(2 * value / 3) for value in values])
    assert float(ScaledTanh()(torch.ones(1))) == pytest.approx(1, abs=1e-4)


@settings(max_examples=20)
@given(count=st.integers(1, 2), maps=st.integers(1, 3), height=st.integers(2, 7), width=st.integers(2, 7))
def test_subsampling_adds_four_and_has_a_coefficient_and_a_bias_a_map(
    count: int, maps: int, height: int, width: int
) -> None:
    layer, x = Subsampling(maps).double().requires_grad_(False), double(count, maps, height, width)
    nn.init.normal_(layer.bias)
    found = layer(x)
    assert found.shape == (count, maps, height // 2, width // 2)
    for n, m, i, j in itertools.product(*map(range, found.shape)):
        total = sum(float(x[n, m, 2 * i + down, 2 * j + right]) for down in (0, 1) for right in (0, 1))
        assert float(found[n, m, i, j]) == pytest.approx(float(layer.weight[m]) * total + float(layer.bias[m]))


@settings(max_examples=20)
@given(table=tables, kernel_size=st.integers(1, 3), size=st.integers(3, 4))
def test_a_map_sees_only_the_maps_of_its_row(table: list[list[int]], kernel_size: int, size: int) -> None:
    layer = PartialConv2d(table, kernel_size).double().requires_grad_(False)
    nn.init.normal_(layer.bias)
    x = double(2, layer.in_channels, size, size)
    found, side = layer(x), size - kernel_size + 1
    assert found.shape == (2, len(table), side, side)
    for n, to, i, j in itertools.product(*map(range, found.shape)):
        total, link = float(layer.bias[to]), sum(len(row) for row in table[:to])
        for number, one in enumerate(table[to]):
            patch = x[n, one, i : i + kernel_size, j : j + kernel_size]
            total += float((layer.weight[link + number] * patch).sum())
        assert float(found[n, to, i, j]) == pytest.approx(total)


@given(count=st.integers(1, 3), classes=st.integers(1, 4), features=st.integers(1, 5), seed=st.integers(0, 99))
def test_rbf_units_answer_with_the_squared_distance(count: int, classes: int, features: int, seed: int) -> None:
    prototypes, x = double(classes, features, seed=seed), double(count, features, seed=seed + 1)
    found = EuclideanRBF(prototypes)(x)
    for n, i in itertools.product(range(count), range(classes)):
        expected = sum((float(x[n, k]) - float(prototypes[i, k])) ** 2 for k in range(features))
        assert float(found[n, i]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ScaledTanh(), (2, 3)),
        (Subsampling(2), (2, 2, 4, 5)),
        (PartialConv2d([[0, 1], [1], [0, 2]], 2), (2, 3, 4, 3)),
        (EuclideanRBF(double(3, 4)), (2, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_gradients_are_those_of_finite_differences(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer = layer.double()
    names = [name for name, _ in layer.named_parameters()]
    parameters = [parameter.detach().requires_grad_() for parameter in layer.parameters()]

    def call(x: Tensor, *values: Tensor) -> Tensor:
        outputs: Tensor = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))
        return outputs

    assert torch.autograd.gradcheck(call, (double(*shape).requires_grad_(), *parameters))


@pytest.mark.parametrize("table", [[[1, 0]], [[0, 0]], [[0], []], [[-1]], []])
def test_a_table_that_does_not_rise_or_is_empty_is_refused(table: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"the table (holds .*; expected rising numbers|is empty)"):
        PartialConv2d(table, 3)


@pytest.mark.parametrize(
    "prototypes", [torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[math.nan]])]
)
def test_prototypes_that_are_no_finite_matrix_are_refused(prototypes: Tensor) -> None:
    with pytest.raises(ValueError, match="prototypes have shape .* expected finite"):
        EuclideanRBF(prototypes)
