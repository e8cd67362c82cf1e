from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_digits

Array = npt.NDArray[Any]


@pytest.fixture(scope="session")
def pixels() -> Array:
    """(300, 64) pixels of scikit-learn's digits, from 0 to 16."""
    rows: Array = load_digits().data[:300]
    return rows


@pytest.fixture(scope="session")
def labels() -> Array:
    """(300,) int64: 0 to 9."""
    return np.asarray(load_digits().target[:300])
