import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.special import log_softmax, softmax

from lenet5 import expected_calibration_error, temperature


@settings(max_examples=20)
@given(scale=st.floats(0.3, 4), seed=st.integers(0, 99))
def test_temperature_recovers_logit_scale(scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(20_000, 4)) * 2
    targets = (logits + random.gumbel(size=logits.shape)).argmax(1)  # a sample from softmax(logits)
    overconfident = softmax(scale * logits, axis=1)
    fitted = temperature(targets, overconfident)
    assert fitted == pytest.approx(scale, rel=0.05)
    calibrated = softmax(scale * logits / fitted, axis=1)
    assert expected_calibration_error(targets, calibrated) < 0.03
    assert (calibrated.argmax(1) == overconfident.argmax(1)).all()


@given(seed=st.integers(0, 99))
def test_temperature_minimises_cross_entropy(seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = softmax(random.normal(size=(50, 3)), axis=1)
    targets = random.integers(0, 3, 50)

    def loss(divisor: float) -> float:
        return float(-log_softmax(np.log(probabilities) / divisor, axis=1)[np.arange(50), targets].mean())

    lowest = loss(temperature(targets, probabilities))
    assert all(lowest <= loss(divisor) + 1e-6 for divisor in np.geomspace(1 / 20, 20, 50))


def test_temperature_is_bounded() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert temperature([0, 1], probabilities) == pytest.approx(1 / 20, rel=1e-3)
    assert temperature([1, 0], probabilities) == pytest.approx(20, rel=1e-3)
    assert temperature([0, 1], np.eye(2)) > 0  # takes the logarithm of 0


def test_temperature_rejects_invalid_probabilities() -> None:
    with pytest.raises(ValueError, match=r"probabilities lie in \[-0\.5, 1\.5\]; expected \[0, 1\]"):
        temperature([0], [[1.5, -0.5]])
    with pytest.raises(ValueError, match=r"scores have shape \(1, 2\); expected \(2, num_classes\)"):
        temperature([0, 1], [[0.5, 0.5]])
