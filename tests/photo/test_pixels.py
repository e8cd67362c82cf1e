"""Measures of greyscale images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from lenet5.photo.pixels import centre_of_mass


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_centre_of_mass_is_that_of_scipy(seed: int, shape: tuple[int, int]) -> None:
    grey = (np.random.default_rng(seed).random(shape, np.float32) * 255).astype(np.float32)
    assert centre_of_mass(grey) == pytest.approx(ndimage.center_of_mass(grey), rel=0, abs=0)
