import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.special import log_softmax, softmax

from lenet5 import expected_calibration_error, temperature


@settings(max_examples=20)
@given(true=st.floats(0.3, 4), seed=st.integers(0, 99))
def test_it_undoes_what_the_logits_were_multiplied_by(true: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(20_000, 4)) * 2
    targets = (logits + random.gumbel(size=logits.shape)).argmax(1)  # drawn with the probabilities softmax(logits)
    sure = softmax(true * logits, axis=1)
    found = temperature(targets, sure)
    assert found == pytest.approx(true, rel=0.05)
    calibrated = softmax(true * logits / found, axis=1)
    assert expected_calibration_error(targets, calibrated) < 0.03
    assert (calibrated.argmax(1) == sure.argmax(1)).all()


@given(seed=st.integers(0, 99))
def test_no_other_is_better(seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = softmax(random.normal(size=(50, 3)), axis=1)
    targets = random.integers(0, 3, 50)

    def loss(divisor: float) -> float:
        return float(-log_softmax(np.log(probabilities) / divisor, axis=1)[np.arange(50), targets].mean())

    found = loss(temperature(targets, probabilities))
    assert all(found <= loss(other) + 1e-6 for other in np.geomspace(1 / 20, 20, 50))


def test_where_all_is_right_or_wrong_it_is_at_an_end_of_its_range() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert temperature([0, 1], probabilities) == pytest.approx(1 / 20, rel=1e-3)
    assert temperature([1, 0], probabilities) == pytest.approx(20, rel=1e-3)
    assert temperature([0, 1], np.eye(2)) > 0  # a logarithm of 0


def test_what_are_no_probabilities_is_refused() -> None:
    with pytest.raises(ValueError, match=r"probabilities lie in \[-0\.5, 1\.5\]; expected \[0, 1\]"):
        temperature([0], [[1.5, -0.5]])
    with pytest.raises(ValueError, match=r"scores have shape \(1, 2\); expected \(2, num_classes\)"):
        temperature([0, 1], [[0.5, 0.5]])
