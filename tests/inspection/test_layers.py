import copy
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inspection.networks import TutorialNet, unchanged
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import lenet5
from lenet5 import CaffeLeNet, LeNet5, LeNet5Original, layer_table

TOTALS: list[tuple[Any, int, int, int]] = [
    (LeNet5Original, 60_000, 340_908, 328_096),
    (LeNet5, 61_706, 423_038 + 6_304, 416_520),  # pooling: windows of 4 for 1,176 and 400 units
    (CaffeLeNet, 431_080, 2_308_230 + 14_720, 2_293_000),
]


@pytest.mark.parametrize(("network", "parameters", "connections", "multiply_adds"), TOTALS)
def test_totals_are_the_published_ones(network: Any, parameters: int, connections: int, multiply_adds: int) -> None:
    table = layer_table(network())
    assert table["parameters"].sum() == parameters
    assert table["connections"].sum() == connections
    assert table["multiply_adds"].sum() == multiply_adds


@settings(deadline=None, max_examples=10)
@given(
    num_classes=st.integers(1, 12),
    in_channels=st.integers(1, 3),
    image_size=st.integers(12, 40),
    pooling=st.sampled_from(["max", "avg"]),
)
def test_counts_are_those_of_torch_for_every_size(**arguments: Any) -> None:
    model = LeNet5(**arguments)
    table = layer_table(model)
    with FlopCounterMode(display=False) as counter:
        logits = model.forward(torch.zeros(1, *model.image_shape))
    assert 2 * int(table["multiply_adds"].sum()) == counter.get_total_flops()
    assert table["parameters"].sum() == sum(parameter.numel() for parameter in model.parameters())
    assert table["output_shape"].iloc[-1] == tuple(logits.shape[1:])
    assert list(table.index) == [name for name, _ in model.named_children()]


def test_table_is_a_frame_of_whole_numbers() -> None:
    table = layer_table(LeNet5())
    assert [str(dtype) for dtype in table.dtypes] == ["object", "Int64", "Int64", "Int64"]
    assert [*table.loc["c3"]] == [(16, 10, 10), 2_416, 241_600, 240_000]


def test_module_outside_the_package_needs_the_shape_of_its_images() -> None:
    with pytest.raises(ValueError, match=r"a TutorialNet does not know the shape .* image_shape=\(C, H, W\)"):
        layer_table(TutorialNet())
    table = layer_table(TutorialNet(), (1, 28, 28))
    assert list(table.index) == ["conv1", "pool", "conv2", "dense.0", "dense.1"]
    assert table.loc["pool", "connections"] == 4 * (6 * 12 * 12 + 16 * 4 * 4)  # it computes twice


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 0), (1, 28, 2.5), "1x28x28", 28])
def test_impossible_image_shape_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"image_shape.* is .*; expected"):
        layer_table(TutorialNet(), shape)


def test_unknown_layers_have_no_counts_instead_of_wrong_ones() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2 * 26 * 26, 3))
    table = layer_table(model, (1, 28, 28))
    assert table.loc["1", ["connections", "multiply_adds"]].isna().all()
    assert table.loc["1", "parameters"] == 4
    assert table.loc[["0", "2", "3"]].notna().all(axis=None)


def test_layer_that_does_not_compute_has_its_parameters_alone() -> None:
    class Unused(LeNet5):
        def __init__(self) -> None:
            super().__init__()
            self.auxiliary = nn.Linear(3, 3)
            self.scale = nn.Parameter(torch.ones(5))

    table = layer_table(Unused())
    assert table["parameters"].sum() == 61_706 + 12 + 5
    assert [*table.loc["auxiliary"].isna()] == [True, False, True, True]
    assert table.index[-1] == "rest of Unused"


def test_shared_parameters_count_once_and_their_connections_at_every_use() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, images: Tensor) -> Tensor:
            second: Tensor = self.second(self.first(images.flatten(1)))
            return second

    table = layer_table(Twice(), (1, 2, 2))
    assert table["parameters"].to_list() == [20, 4]
    assert table["connections"].to_list() == [20, 20]


@pytest.mark.parametrize("network", [LeNet5, LeNet5Original, CaffeLeNet])
def test_model_stays_as_it_is_and_may_be_anywhere(network: Any) -> None:
    model = network().train()
    with unchanged(model):
        table = layer_table(model)
    for other in (copy.deepcopy(model).to("meta"), copy.deepcopy(model).bfloat16(), nn.DataParallel(model)):
        pd.testing.assert_frame_equal(layer_table(other), table)


def test_pretrained_is_a_network() -> None:
    assert layer_table(lenet5.load("mnist_v2")).equals(layer_table(LeNet5()))
