"""Scales, the real numbers that an integer of 1 stands for, and rounding to their multiples."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_FRACTIONS = 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2  # of the scale that clips no value
_POWERS = 1.0, 0.5, 0.25, 0.125
_HALVES_UP = 2.0**-14  # of a unit; numbers up to 255 plus this are exact in float32, and sums of products lose less
_LARGEST_SHIFT = 62  # so that a product with a multiplier, and half a unit, fit 64 bits


def fake_quantize(x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """Round to multiples of a scale, from `low` to `high` of them; the gradient is 1 within this range, else 0.

    Values of lower precision, as under autocast, become float32. Halves are rounded up, as integer arithmetic does;
    PyTorch alone rounds them to even numbers.
    """
    zero_point = torch.zeros((), dtype=torch.int32, device=x.device)
    return torch.fake_quantize_per_tensor_affine(x.float() + scale * _HALVES_UP, scale, zero_point, low, high)


def fake_quantize_rows(x: Tensor, scale: Tensor, high: int) -> Tensor:
    """Round each row to multiples of its own scale, from `-high` to `high` of them."""
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(x, scale, zero_point, 0, -high, high)


def next_power(scale: Tensor) -> Tensor:
    """Return the least powers of two that are not below the scales."""
    mantissa, exponent = torch.frexp(scale)  # the mantissa is at least 0.5, and below 1
    return torch.ldexp(torch.ones_like(scale), exponent - (mantissa == 0.5).int())


def best_scale(
    values: Tensor, low: int, high: int, *, power_of_two: bool, function: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Choose the scale with the least squared error over all values; the largest of them may be clipped.

    Parameters
    ----------
    values
        Values of any shape.
    low, high
        Range of the integers.
    power_of_two
        Whether the scale is a power of two.
    function
        What is computed from the rounded values, and compared; None for the values themselves.

    Returns
    -------
    Tensor
        A scalar; 1 if all values are 0.
    """
    scale = values.abs().max() / high
    if not scale:
        return torch.ones_like(scale)
    scales = [next_power(scale) * power for power in _POWERS] if power_of_two else [scale * part for part in _FRACTIONS]
    function = function or torch.clone
    expected = function(values)
    errors = [(function(fake_quantize(values, scale, low, high)) - expected).square().mean() for scale in scales]
    return scales[int(torch.stack(errors).argmin())]


def fixed_point(ratio: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Approximate ratios by `multiplier / 2 ** shift`, with multipliers of 31 bits.

    The relative error is at most 2 ** -31, or the absolute error 2 ** -63 for ratios below 2 ** -32. A power of two has
    the multiplier 1, or the shift 0.

    Parameters
    ----------
    ratio
        Numbers from 0 to 2 ** 30.

    Returns
    -------
    multiplier, shift
        int32; from 0 to 2 ** 31 - 1, and from 0 to 62.
    """
    _, exponent = np.frexp(ratio)
    shift = np.minimum(31 - exponent, _LARGEST_SHIFT).astype(np.int64)
    multiplier = np.minimum(np.rint(np.ldexp(ratio, shift)), 2**31 - 1).astype(np.int64)
    common = np.minimum(multiplier & -multiplier, 1 << shift)  # the largest power of two that divides both
    common = np.maximum(common, 1)
    return (multiplier // common).astype(np.int32), (shift - np.log2(common).astype(np.int64)).astype(np.int32)
