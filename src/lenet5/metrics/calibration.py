"""Probabilities that mean what they say."""

from __future__ import annotations

import math

import numpy as np

from .functional import ArrayOrTensor, check_probabilities

_LARGEST = 20.0


def temperature(targets: ArrayOrTensor, probabilities: ArrayOrTensor) -> float:
    """Return by which number the logits must be divided so that the cross-entropy is least.

    More than 1 says that the model is too sure of itself. No label changes (Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017, section 4.2). It is to be found on data that the model was not trained on.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes), in [0, 1]; their logarithms are logits.

    Returns
    -------
    float
        From 1/20 to 20.

    Raises
    ------
    ValueError
        Shapes do not agree, or a probability is out of range.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    targets, probabilities = check_probabilities(targets, probabilities)
    logits = np.log(probabilities.astype(np.float64).clip(1e-38))
    right = logits[np.arange(len(targets)), targets]

    def cross_entropy(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        return float(np.mean(logsumexp(scale * logits, axis=1) - scale * right))

    bounds = (-math.log(_LARGEST), math.log(_LARGEST))
    return math.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x)
