import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lenet5.sklearn.rows import RowBatches, RowPreprocess, as_rows, image_shape_of, prediction_batches

from .conftest import Array


@given(st.integers(1, 3000))
def test_rows_become_the_smallest_square_that_holds_them(num_features: int) -> None:
    channels, height, width = image_shape_of(num_features, None, None)
    assert channels == 1
    assert height == width
    assert (height - 1) ** 2 < num_features <= height**2


@given(st.sampled_from([1, 3, 4]), st.integers(5, 9), st.integers(5, 9))
def test_images_become_rows_channel_by_channel(channels: int, height: int, width: int) -> None:
    images = np.arange(2 * channels * height * width).reshape(2, channels, height, width)
    for form in (images, images.transpose(0, 2, 3, 1), torch.tensor(images)):
        rows, shape = as_rows(form)
        assert shape == (channels, height, width)
        assert np.array_equal(rows, images.reshape(2, -1))


@pytest.mark.parametrize("data", [np.zeros((2, 9)), np.zeros(9), [[1, 2], [3, 4]]])
def test_data_of_other_dimensions_stays_as_it_is(data: Array) -> None:
    assert as_rows(data) == (data, None) or as_rows(data)[0] is data


def test_tensors_of_bfloat16_become_rows_of_float32() -> None:
    rows, shape = as_rows(torch.ones(2, 3, 3, dtype=torch.bfloat16))
    assert (rows.dtype, rows.shape, shape) == (np.float32, (2, 9), (1, 3, 3))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_normalised_values_have_mean_0_and_standard_deviation_1(mean: float, std: float) -> None:
    rows = np.random.default_rng(0).normal(mean, std, (20, 784))
    images = RowPreprocess.of(rows, (1, 28, 28), 28)(rows)
    assert math.isclose(images.mean().item(), 0, abs_tol=1e-3)
    assert math.isclose(images.std().item(), 1, abs_tol=1e-3)


@pytest.mark.parametrize("value", [0, 0.1, -1e9, 255])
def test_equal_values_become_0(value: float) -> None:
    rows = np.full((7, 10), value)
    preprocess = RowPreprocess.of(rows, (1, 4, 4), 28)
    assert preprocess.std == 1
    assert preprocess(rows).abs().max() < 1e-3


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", ">i4", "float16", ">f8", "longdouble"])
def test_numbers_of_any_dtype_give_the_same_images(dtype: str) -> None:
    rows = (np.random.default_rng(0).random((5, 9)) > 0.5).astype(dtype)
    preprocess = RowPreprocess.of(rows, (1, 3, 3), 12)
    expected = RowPreprocess.of(rows.astype(np.float64), (1, 3, 3), 12)
    assert preprocess == expected
    assert torch.equal(preprocess(rows), expected(rows.astype(np.float64)))
    assert preprocess(rows).shape == (5, 1, 12, 12)


def test_missing_pixels_have_the_value_of_the_mean() -> None:
    rows = np.random.default_rng(0).normal(5, 2, (3, 12 * 8))
    images = RowPreprocess.of(rows, (1, 12, 8), 12)(rows)
    assert not images[..., :2].any()
    assert not images[..., 10:].any()
    assert images[..., 2:10].all()


def test_batches_hold_each_selected_example_once_in_a_new_order_each_epoch() -> None:
    rows, selected = np.arange(40.0)[:, None], np.arange(1, 40, 2)
    preprocess = RowPreprocess((1, 1, 1), 12, 0, 1)
    batches = RowBatches(rows, np.arange(40), selected, preprocess, 8, seed=0)
    assert len(batches) == 3
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        pairs = list(batches)
        assert [len(targets) for _, targets in pairs] == [8, 8, 4]
        targets = torch.cat([targets for _, targets in pairs])
        assert torch.equal(torch.cat([images for images, _ in pairs])[:, 0, 0, 0].long(), targets)
        orders.append(targets.tolist())
    assert sorted(orders[0]) == selected.tolist()
    assert orders[0] == orders[2] != orders[1]


def test_batches_without_a_seed_keep_the_order() -> None:
    batches = RowBatches(np.zeros((5, 1)), np.arange(5), np.array([3, 1]), RowPreprocess((1, 1, 1), 12, 0, 1), 8)
    assert [targets.tolist() for _, targets in batches] == [[3, 1]]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_batches_of_a_prediction_have_one_size(count: int) -> None:
    rows = np.random.default_rng(0).random((count, 4))
    preprocess = RowPreprocess((1, 2, 2), 12, 0, 1)
    batches = list(prediction_batches(rows, preprocess))
    assert {len(batch) for batch in batches} == {64}
    assert torch.equal(torch.cat(batches)[:count], preprocess(rows))
