"""The integer network, line by line: pixels in, logits out, and no floating point in between.

Every sum fits int32, because the scales are chosen so. The product with a multiplier needs 64 bits.
`>>` is an arithmetic shift: it rounds down, for negative numbers too.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .layers import DistanceLayer, IntegerLayer, Integers, PoolingLayer, WeightedLayer

Int32: TypeAlias = npt.NDArray[np.int32]


def run_layers(layers: Iterable[IntegerLayer], zero_point: Integers, pixels: Integers) -> dict[str, Integers]:
    """Compute the outputs of every layer.

    Parameters
    ----------
    layers
        The layers, in order.
    zero_point
        (C,): the pixel values that stand for 0.
    pixels
        (N, C, H, W) uint8.

    Returns
    -------
    dict
        Outputs by the names of the layers: maps (N, C, H, W) or features (N, C), of the `dtype` of the layer.
    """
    outputs = {}
    x = pixels.astype(np.int32) - zero_point.astype(np.int32)[:, None, None]
    for layer in layers:
        if isinstance(layer, WeightedLayer):
            x = activate(layer, accumulate(layer, x))
        elif isinstance(layer, PoolingLayer):
            x = pool(layer, x)
        else:
            x = distances(layer, x)
        outputs[layer.name] = x.astype(layer.dtype)
    return outputs


def accumulate(layer: WeightedLayer, x: Int32) -> Int32:
    """Compute the accumulators of a layer: (N, out, H, W), or (N, out) of a dense layer."""
    weight, bias = layer.weight.astype(np.int32), layer.bias
    if layer.kind == "dense":
        return bias + x.reshape(len(x), -1) @ weight.T
    if layer.kind == "subsampling":
        return bias[:, None, None] + weight[:, None, None] * sum(windows(x))
    x = np.pad(x, ((0, 0), (0, 0), (layer.padding, layer.padding), (layer.padding, layer.padding)))
    size = weight.shape[-1]
    height, width = x.shape[2] - size + 1, x.shape[3] - size + 1
    sums = np.zeros((len(x), len(weight), height, width), np.int32) + bias[:, None, None]
    for row in range(size):
        for column in range(size):
            shifted = x[:, :, row : row + height, column : column + width]
            sums += np.einsum("oi,nihw->nohw", weight[:, :, row, column], shifted)
    return sums


def activate(layer: WeightedLayer, accumulator: Int32) -> Int32:
    """Scale, round and clip the accumulators, then look up the activation."""
    per_channel = (-1, *(1,) * (accumulator.ndim - 2))  # the channels are the second axis
    multiplier = layer.multiplier.astype(np.int64).reshape(per_channel)
    shift = layer.shift.astype(np.int64).reshape(per_channel)
    half = (1 << shift) >> 1
    q = (accumulator * multiplier + half) >> shift  # round to nearest, and halves up
    q = np.clip(q, layer.low, layer.high)
    if layer.lookup is not None:
        q = layer.lookup[q - layer.low]
    outputs: Int32 = q.astype(np.int32)
    return outputs


def pool(layer: PoolingLayer, x: Int32) -> Int32:
    """Compute the maximum or the mean of each 2x2 window; means are rounded to nearest, and halves up."""
    a, b, c, d = windows(x)
    result: Int32 = np.maximum(np.maximum(a, b), np.maximum(c, d)) if layer.kind == "max" else (a + b + c + d + 2) >> 2
    return result


def distances(layer: DistanceLayer, x: Int32) -> Int32:
    """Compute the logits: the negated squared distances to the prototypes."""
    difference = x[:, None, :] - layer.prototypes.astype(np.int32)
    logits: Int32 = -(difference * difference).sum(2, dtype=np.int32)
    return logits


def windows(x: Int32) -> tuple[Int32, Int32, Int32, Int32]:
    """Return the four inputs of each 2x2 window, each as (N, C, H // 2, W // 2)."""
    x = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    return x[:, :, ::2, ::2], x[:, :, ::2, 1::2], x[:, :, 1::2, ::2], x[:, :, 1::2, 1::2]
