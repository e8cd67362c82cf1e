"""Fixed-point ratios, and the choice of scales."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lenet5.quantization.scales import best_scale, fixed_point, next_power


@given(st.floats(2.0**-80, 2.0**30, allow_subnormal=False))
def test_fixed_point_has_a_relative_error_below_31_bits(ratio: float) -> None:
    multiplier, shift = (int(value[0]) for value in fixed_point(np.array([ratio])))
    assert 0 <= multiplier < 2**31
    assert 0 <= shift <= 62
    error = abs(Fraction(multiplier, 2**shift) - Fraction(ratio))
    assert error <= max(Fraction(ratio) / 2**31, Fraction(1, 2**63))


@given(st.integers(-62, 30))
def test_fixed_point_of_a_power_of_two_is_a_shift_alone(exponent: int) -> None:
    multiplier, shift = fixed_point(np.array([2.0**exponent]))
    assert Fraction(int(multiplier[0]), 2 ** int(shift[0])) == Fraction(2) ** exponent
    assert multiplier[0] == 1 or shift[0] == 0


def test_fixed_point_of_zero_is_zero() -> None:
    assert fixed_point(np.zeros(1))[0] == 0


@given(st.floats(2.0**-60, 2.0**60))
def test_next_power_is_the_least_power_of_two_that_is_not_below(value: float) -> None:
    scale = torch.tensor(value)
    power = float(next_power(scale))
    assert np.frexp(power)[0] == 0.5
    assert power / 2 < float(scale) <= power


@pytest.mark.parametrize("power_of_two", [False, True])
def test_best_scale_clips_rare_large_values_only_if_the_error_falls(power_of_two: bool) -> None:
    values = torch.linspace(0, 1, 10_001)
    fine = best_scale(values, 0, 15, power_of_two=power_of_two)
    assert fine * 15 >= 0.9
    outlier = best_scale(torch.cat([values, torch.tensor([3.0])]), 0, 15, power_of_two=power_of_two)
    assert outlier * 15 < 3


def test_best_scale_of_zeros_is_one() -> None:
    assert best_scale(torch.zeros(4), 0, 255, power_of_two=False) == 1
