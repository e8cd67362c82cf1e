"""Temperature scaling."""

import math

import numpy as np

from .functions import ArrayOrTensor, check_probabilities

_MAX_TEMPERATURE = 20.0


def temperature(targets: ArrayOrTensor, probabilities: ArrayOrTensor) -> float:
    """Fit the temperature that minimises the cross-entropy of the logits divided by it.

    A temperature above 1 indicates an overconfident model. Temperature scaling changes no predicted class. Fit it on
    data held out from training. See Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.

    Parameters
    ----------
    targets
        (N,) integers: the true classes.
    probabilities
        (N, num_classes), in [0, 1]. Their logarithms serve as logits.

    Returns
    -------
    float
        Temperature, from 1/20 to 20.

    Raises
    ------
    ValueError
        The shapes do not match, a target or a probability is out of range, or the probabilities of a row add up to
        more than 1.

    Examples
    --------
    >>> probabilities = [[0.99, 0.01], [0.99, 0.01], [0.99, 0.01], [0.99, 0.01]]
    >>> round(lenet5.temperature([0, 0, 0, 1], probabilities), 2)  # 99 % confident, 75 % correct
    4.18
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    targets, probabilities = check_probabilities(targets, probabilities)
    logits = np.log(probabilities.astype(np.float64).clip(1e-38))
    target_logits = logits[np.arange(len(targets)), targets]

    def cross_entropy(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        return float(np.mean(logsumexp(scale * logits, axis=1) - scale * target_logits))

    bound = math.log(_MAX_TEMPERATURE)
    return math.exp(minimize_scalar(cross_entropy, bounds=(-bound, bound), method="bounded").x)
