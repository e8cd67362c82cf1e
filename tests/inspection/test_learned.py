from typing import Any

import numpy as np
import pytest
import torch
from tests.inspection.networks import TutorialNet
from torch import nn
from torch.nn.utils import prune

import lenet5
from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.inspection import connection_table, filters, prototypes
from lenet5.models.original.layers import PartialConv2d
from lenet5.models.original.network import C3_TABLE, digit_prototypes

SHAPES: list[tuple[Any, dict[str, tuple[int, ...]]]] = [
    (LeNet5, {"c1": (6, 1, 5, 5), "c3": (16, 6, 5, 5)}),
    (LeNet5Original, {"c1": (6, 1, 5, 5), "c3": (16, 6, 5, 5), "c5": (120, 16, 5, 5)}),
    (CaffeLeNet, {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5)}),
    (TutorialNet, {"conv1": (6, 1, 5, 5), "conv2": (16, 6, 5, 5)}),
]


@pytest.mark.parametrize(("network", "shapes"), SHAPES)
def test_filters_are_those_of_every_convolution(network: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    assert {name: kernels.shape for name, kernels in filters(network()).items()} == shapes


def test_filters_are_copies_of_the_kernels_that_compute() -> None:
    model = LeNet5()
    kernels = filters(model)["c1"]
    assert np.array_equal(kernels, model.c1.get_parameter("conv.weight").detach().numpy())
    kernels[:] = 0
    assert model.c1.get_parameter("conv.weight").any()
    prune.l1_unstructured(model.c1.get_submodule("conv"), "weight", 0.5)  # type: ignore[no-untyped-call]
    assert (filters(model)["c1"] == 0).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("dtype", "expected"), [(torch.bfloat16, np.float32), (torch.float64, np.float64)])
def test_filters_of_any_dtype_are_arrays(dtype: torch.dtype, expected: type[Any]) -> None:
    assert filters(LeNet5().to(dtype))["c3"].dtype == expected


def test_several_convolutions_of_a_layer_have_their_own_names() -> None:
    block = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
    assert list(filters(nn.Sequential(block, nn.Conv2d(2, 3, 1)))) == ["0.0", "0.2", "1"]


def test_kernels_of_the_original_network_are_zero_where_nothing_is_connected() -> None:
    pretrained = lenet5.load("original_mnist_v1")
    table = connection_table(pretrained)
    assert np.array_equal(filters(pretrained)["c3"].any((2, 3)), table.to_numpy().T)


def test_connection_table_is_that_of_the_module() -> None:
    table = connection_table(LeNet5Original())
    assert table.shape == (6, 16)
    assert (table.index.name, table.columns.name) == ("input", "output")
    assert tuple(tuple(table.index[table[output]]) for output in table.columns) == C3_TABLE
    own = nn.Sequential(PartialConv2d([[1], [0, 2]], 3))
    assert connection_table(own, "0").to_numpy().tolist() == [[False, True], [True, False], [False, True]]


def test_connection_table_of_other_convolutions_is_full_within_each_group() -> None:
    assert connection_table(LeNet5()).to_numpy().all()
    assert connection_table(CaffeLeNet(), "conv2").shape == (20, 50)
    grouped = nn.Sequential(nn.Conv2d(4, 2, 3, groups=2))
    assert connection_table(grouped, "0").to_numpy().T.tolist() == [
        [True, True, False, False],
        [False, False, True, True],
    ]


@pytest.mark.parametrize(
    ("network", "layer", "message"),
    [(LeNet5, "f6", "f6 has 0 convolutions; expected one, as in: c1, c3"), (CaffeLeNet, "c3", "has no layer 'c3'")],
)
def test_layer_without_a_connection_table_is_refused(network: Any, layer: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        connection_table(network(), layer)


def test_prototypes_are_bitmaps_of_twelve_rows_and_seven_columns() -> None:
    bitmaps = prototypes(LeNet5Original())
    assert bitmaps.shape == (10, 12, 7)
    assert np.array_equal(bitmaps.reshape(10, 84), digit_prototypes().numpy())
    one = ["".join("#" if pixel > 0 else "." for pixel in row) for row in bitmaps[1]]
    assert one == ["...##..", "..###..", ".####..", *["...##.."] * 6, ".######", *["......."] * 2]
    other = torch.rand(3, 84)
    assert np.array_equal(prototypes(LeNet5Original(prototypes=other)).reshape(3, 84), other.numpy())


def test_networks_without_prototypes_or_convolutions_are_refused() -> None:
    with pytest.raises(ValueError, match="the LeNet5 has no prototypes of 84 activations; expected a LeNet5Original"):
        prototypes(LeNet5())
    with pytest.raises(ValueError, match="the Linear has no convolution"):
        filters(nn.Linear(2, 2))
