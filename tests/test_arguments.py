import math
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lenet5.arguments import as_integer, as_number, check_boolean, check_integer

INTEGERS: list[Any] = [np.int64, np.int8, np.uint8, np.float32, np.float64, np.array, torch.tensor, Fraction, float]


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_of_any_type_become_python_ints(kind: Any) -> None:
    converted = as_integer(kind(12))
    assert converted == 12
    assert type(converted) is int


@given(st.floats(allow_nan=False, width=32), st.sampled_from([np.float32, np.float64, torch.tensor, np.array, float]))
def test_numbers_of_any_type_become_python_floats(value: float, kind: Any) -> None:
    converted = as_number(kind(value))
    assert converted == value
    assert type(converted) is float


def test_cells_of_a_mixed_pandas_row_are_integers() -> None:
    (row,) = pd.DataFrame({"size": [64], "lr": [0.1]}).itertuples()
    _, cells = next(pd.DataFrame({"size": [64], "lr": [0.1]}).iterrows())
    assert as_integer(row.size) == as_integer(cells["size"]) == 64


@pytest.mark.parametrize("value", [True, np.True_, torch.tensor(True), "1", None, [1], np.array([1]), 1j, math.nan])
def test_other_values_are_no_integers(value: Any) -> None:
    assert as_integer(value) is None


@pytest.mark.parametrize("value", [2.5, np.float64(2.5), math.inf, torch.tensor(-0.5)])
def test_fractions_and_infinity_are_numbers_but_no_integers(value: Any) -> None:
    assert as_number(value) == float(value)
    assert as_integer(value) is None


@pytest.mark.parametrize("value", [0, -1, np.int64(0), "3", 1.5, None])
def test_refused_integer_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^size is .*; expected an integer of at least 1$"):
        check_integer("size", value, least=1)


@pytest.mark.parametrize("kind", [bool, np.bool_, np.array, torch.tensor])
@pytest.mark.parametrize("value", [True, False])
def test_booleans_of_any_type_become_python_bools(kind: Any, value: bool) -> None:
    assert check_boolean("flip", kind(value)) is value


@pytest.mark.parametrize("value", ["no", 1, 0.0, None, [True], np.array([True])])
def test_refused_boolean_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^flip is .*; expected True or False$"):
        check_boolean("flip", value)
