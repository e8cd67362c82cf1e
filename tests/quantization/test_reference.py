"""The integer reference, compared with arithmetic of other kinds."""

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from lenet5.quantization import DistanceLayer, PoolingLayer, WeightedLayer
from lenet5.quantization.reference import accumulate, activate, distances, pool

RANDOM = np.random.default_rng(0)


def layer(weight: Any, **fields: Any) -> WeightedLayer:
    channels = len(weight)
    values: dict[str, Any] = {
        "name": "layer",
        "kind": "convolution",
        "bias": np.arange(channels, dtype=np.int32),
        "multiplier": np.ones(channels, np.int32),
        "shift": np.zeros(channels, np.int32),
        "low": -(2**31),
        "high": 2**31 - 1,
        "lookup": None,
        "weight_scale": np.ones(channels),
        "input_scale": 1.0,
        "table_scale": 1.0,
        "output_scale": 1.0,
    }
    return WeightedLayer(weight=np.asarray(weight, np.int8), **{**values, **fields})


@pytest.mark.parametrize("padding", [0, 2])
def test_convolution_is_that_of_torch(padding: int) -> None:
    x = RANDOM.integers(-255, 256, (2, 3, 9, 8), dtype=np.int32)
    convolution = layer(RANDOM.integers(-127, 128, (4, 3, 5, 5)), padding=padding)
    weight, bias = torch.from_numpy(convolution.weight).long(), torch.from_numpy(convolution.bias).long()
    expected = functional.conv2d(torch.from_numpy(x).long(), weight, bias, padding=padding)
    assert np.array_equal(accumulate(convolution, x), expected.numpy())


def test_dense_layer_flattens_maps_by_row() -> None:
    x = RANDOM.integers(-255, 256, (2, 3, 2, 2), dtype=np.int32)
    dense = layer(RANDOM.integers(-127, 128, (4, 12)), kind="dense")
    expected = x.reshape(2, 12).astype(object) @ dense.weight.T.astype(object) + dense.bias
    assert (accumulate(dense, x) == expected).all()


def test_subsampling_adds_windows_and_ignores_odd_rows_and_columns() -> None:
    x = np.arange(2 * 15).reshape(1, 2, 5, 3).astype(np.int32)
    sums = accumulate(layer([2, -3], kind="subsampling"), x)
    assert sums.tolist() == [[[[2 * (0 + 1 + 3 + 4)], [2 * (6 + 7 + 9 + 10)]], [[1 - 3 * 68], [1 - 3 * 92]]]]


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**31 - 1), st.integers(0, 62))
def test_scaling_rounds_to_nearest_and_halves_up(accumulator: int, multiplier: int, shift: int) -> None:
    scaled = layer([1], multiplier=np.array([multiplier], np.int32), shift=np.array([shift], np.int32))
    exact = floor(Fraction(accumulator * multiplier, 2**shift) + Fraction(1, 2))
    result = activate(scaled, np.array([[accumulator]], np.int32))
    assert result[0, 0] == min(max(exact, scaled.low), scaled.high)


def test_scaling_is_per_channel_clips_and_looks_up() -> None:
    table = layer(
        [1, 1],
        multiplier=np.array([1, 3], np.int32),
        shift=np.array([1, 2], np.int32),
        low=-2,
        high=1,
        lookup=np.array([-70, -50, 0, 60], np.int8),
    )
    accumulator = np.array([[[[-9, -3, -1, 1, 9]], [[-9, -2, -1, 1, 9]]]], np.int32)
    assert activate(table, accumulator).tolist() == [[[[-70, -50, 0, 60, 60]], [[-70, -50, -50, 60, 60]]]]
    assert table.dtype == np.int8


def test_pooling_rounds_means_to_nearest_and_halves_up() -> None:
    x = np.array([[[[1, 2, -1, -2, 9], [3, 4, -3, -4, 9]]]], np.int32)  # means 2.5 and -2.5
    fields: dict[str, Any] = {"name": "s2", "output_scale": 1.0, "dtype": np.dtype(np.int8)}
    assert pool(PoolingLayer(kind="avg", **fields), x).tolist() == [[[[3, -2]]]]
    assert pool(PoolingLayer(kind="max", **fields), x).tolist() == [[[[4, -1]]]]


def test_distances_are_negated_sums_of_squares() -> None:
    layer = DistanceLayer(name="output", prototypes=np.array([[1, -1], [200, 0]], np.int16), input_scale=0.5)
    assert distances(layer, np.array([[3, 4]], np.int32)).tolist() == [[-29, -(197**2) - 16]]
    assert layer.output_scale == 0.25
