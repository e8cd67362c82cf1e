"""Each layer is compared with a loop in float64."""

import itertools
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from lenet5.models.original.layers import EuclideanRBF, PartialConv2d, ScaledTanh, Subsampling, uniform_bound

tables = st.lists(st.sets(st.integers(0, 4), min_size=1, max_size=4).map(sorted), min_size=1, max_size=6)


def random_doubles(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_uniform_bound_is_that_of_the_paper_or_of_efficient_backprop() -> None:
    assert uniform_bound(25, "paper") == pytest.approx(2.4 / 25)
    assert uniform_bound(25, "lecun_uniform") == pytest.approx(math.sqrt(3 / 25))
    with pytest.raises(ValueError, match="init is 'keras'; expected 'paper' or 'lecun_uniform'"):
        uniform_bound(25, "keras")  # type: ignore[arg-type]


@given(values=st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_scaled_tanh_equals_its_formula(values: list[float]) -> None:
    outputs = ScaledTanh()(torch.tensor(values, dtype=torch.float64))
    assert outputs.tolist() == pytest.approx([1.7159 * math.tanh(2 * value / 3) for value in values])


def test_scaled_tanh_maps_one_to_one() -> None:
    assert float(ScaledTanh()(torch.ones(1))) == pytest.approx(1, abs=1e-4)


@settings(max_examples=20)
@given(count=st.integers(1, 2), maps=st.integers(1, 3), height=st.integers(2, 7), width=st.integers(2, 7))
def test_subsampling_scales_the_sum_of_each_window(count: int, maps: int, height: int, width: int) -> None:
    layer, x = Subsampling(maps).double().requires_grad_(False), random_doubles(count, maps, height, width)
    nn.init.normal_(layer.bias)
    outputs = layer(x)
    assert outputs.shape == (count, maps, height // 2, width // 2)
    for n, m, i, j in itertools.product(*map(range, outputs.shape)):
        total = sum(float(x[n, m, 2 * i + down, 2 * j + right]) for down in (0, 1) for right in (0, 1))
        assert float(outputs[n, m, i, j]) == pytest.approx(float(layer.weight[m]) * total + float(layer.bias[m]))


@settings(max_examples=20)
@given(table=tables, kernel_size=st.integers(1, 3), size=st.integers(3, 4))
def test_output_map_sees_only_the_input_maps_of_its_row(table: list[list[int]], kernel_size: int, size: int) -> None:
    layer = PartialConv2d(table, kernel_size).double().requires_grad_(False)
    nn.init.normal_(layer.bias)
    x = random_doubles(2, layer.in_channels, size, size)
    outputs, side = layer(x), size - kernel_size + 1
    assert outputs.shape == (2, len(table), side, side)
    for n, m, i, j in itertools.product(*map(range, outputs.shape)):
        first_kernel = sum(len(row) for row in table[:m])
        total = float(layer.bias[m])
        for kernel, source in enumerate(table[m], first_kernel):
            patch = x[n, source, i : i + kernel_size, j : j + kernel_size]
            total += float((layer.weight[kernel] * patch).sum())
        assert float(outputs[n, m, i, j]) == pytest.approx(total)


@given(
    table=st.lists(st.lists(st.integers(0, 4), min_size=1, unique=True).map(sorted), min_size=1, max_size=5),
    kernel_size=st.integers(1, 3),
)
def test_dense_kernels_are_zero_where_maps_are_unconnected(table: list[list[int]], kernel_size: int) -> None:
    layer = PartialConv2d(table, kernel_size)
    dense, kernels = layer.dense_weight(), iter(layer.weight)
    for output, source in itertools.product(range(layer.out_channels), range(layer.in_channels)):
        kernel = next(kernels) if source in table[output] else torch.zeros(kernel_size, kernel_size)
        assert torch.equal(dense[output, source], kernel)
    assert next(kernels, None) is None


def test_layers_with_weights_have_no_buffers() -> None:
    layers = [Subsampling(2), PartialConv2d([[0, 1], [1]], 5)]
    assert not any([*layer.buffers()] for layer in layers)


@given(count=st.integers(1, 3), classes=st.integers(1, 4), features=st.integers(1, 5), seed=st.integers(0, 99))
def test_rbf_units_compute_squared_distances(count: int, classes: int, features: int, seed: int) -> None:
    prototypes, x = random_doubles(classes, features, seed=seed), random_doubles(count, features, seed=seed + 1)
    distances = EuclideanRBF(prototypes)(x)
    for n, i in itertools.product(range(count), range(classes)):
        expected = sum((float(x[n, k]) - float(prototypes[i, k])) ** 2 for k in range(features))
        assert float(distances[n, i]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ScaledTanh(), (2, 3)),
        (Subsampling(2), (2, 2, 4, 5)),
        (PartialConv2d([[0, 1], [1], [0, 2]], 2), (2, 3, 4, 3)),
        (EuclideanRBF(random_doubles(3, 4)), (2, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_gradients_agree_with_finite_differences(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer = layer.double()
    names = [name for name, _ in layer.named_parameters()]
    parameters = [parameter.detach().requires_grad_() for parameter in layer.parameters()]

    def call(x: Tensor, *values: Tensor) -> Tensor:
        outputs: Tensor = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))
        return outputs

    assert torch.autograd.gradcheck(call, (random_doubles(*shape).requires_grad_(), *parameters))


@pytest.mark.parametrize("table", [[[1, 0]], [[0, 0]], [[0], []], [[-1]]])
def test_partial_convolution_rejects_rows_that_are_not_ascending(table: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="the table has a row .*; expected ascending map indices, from 0 on"):
        PartialConv2d(table, 3)


def test_partial_convolution_rejects_an_empty_table() -> None:
    with pytest.raises(ValueError, match="the table is empty; expected one row for each output map"):
        PartialConv2d([], 3)


@pytest.mark.parametrize(
    "prototypes", [torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[math.nan]])]
)
def test_rbf_units_reject_prototypes_that_are_not_a_finite_matrix(prototypes: Tensor) -> None:
    with pytest.raises(ValueError, match="prototypes have shape .* expected finite"):
        EuclideanRBF(prototypes)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Subsampling(6), "Subsampling(6)"),
        (PartialConv2d([[0, 1], [1]], 5), "PartialConv2d(2, 2, kernel_size=5, connections=3)"),
        (EuclideanRBF(torch.zeros(10, 84)), "EuclideanRBF(84, 10)"),
    ],
)
def test_repr_shows_the_sizes(layer: nn.Module, text: str) -> None:
    assert repr(layer) == text
