"""The layers of an integer network: integers, and the real numbers that they stand for.

An integer q of a tensor stands for the real number scale * q. Only the pixels have a zero point other than 0.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.signedinteger[Any]] | npt.NDArray[np.unsignedinteger[Any]]
Scales: TypeAlias = npt.NDArray[np.float64]


class _Layer:
    """What the layers share: a line that describes them."""

    name: str
    kind: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights; () without any."""
        return ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.kind} {self.shape or ''}".rstrip() + ">"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class WeightedLayer(_Layer):
    """A convolution, a dense layer or a trainable subsampling, with its activation.

    For each output channel c, with an int32 accumulator:

    1. accumulator = bias[c] + sum of weight[c] * inputs
    2. q = clip((accumulator * multiplier[c] + 2 ** shift[c] // 2) >> shift[c], low, high), in 64 bits
    3. output = lookup[q - low], or q itself if there is no table

    Examples
    --------
    >>> network = lenet5.quantization.quantize(lenet5.load("mnist_v2"), lenet5.load_data("digits").val)
    >>> layer = network.layers[0]
    >>> layer
    <WeightedLayer c1: convolution (6, 1, 5, 5)>
    >>> layer.weight.dtype, layer.bias.dtype, layer.dtype
    (dtype('int8'), dtype('int32'), dtype('uint8'))
    """

    name: str
    """Name of the layer in the network, such as "c1"."""

    kind: Literal["convolution", "dense", "subsampling"]
    """A subsampling adds the inputs of each 2x2 window, and multiplies the sum by the weight of its map."""

    weight: npt.NDArray[np.int8]
    """(out, in, 5, 5) of a convolution; (out, in) of a dense layer, whose inputs are flattened maps by row; (maps,)."""

    bias: npt.NDArray[np.int32]
    """(out,), in units of the accumulator: `input_scale * weight_scale[c]`."""

    multiplier: npt.NDArray[np.int32]
    """(out,), at least 0. With `shift`, the ratio of the units of the accumulator and of q."""

    shift: npt.NDArray[np.int32]
    """(out,), from 0 to 62."""

    low: int
    """Least value of q. 0 is ReLU."""

    high: int
    """Greatest value of q."""

    lookup: Integers | None
    """(high - low + 1,): the activation of each q, int8 or uint8. None for ReLU, and for the logits."""

    weight_scale: Scales
    """(out,): scale of the weights of each output channel."""

    input_scale: float
    """Scale of the inputs."""

    table_scale: float
    """Scale of q; equals `output_scale` if there is no table."""

    output_scale: float
    """Scale of the outputs."""

    padding: int = 0
    """Width of the border of zeros around the inputs of a convolution."""

    connections: tuple[tuple[int, ...], ...] | None = None
    """For each map of a partially connected convolution, its input maps. All other weights are 0."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""
        return self.weight.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Smallest dtype of the outputs: uint8, int8, or int32 for logits."""
        if self.lookup is not None:
            return self.lookup.dtype
        return np.dtype(np.uint8 if self.low == 0 else np.int8 if self.high < 128 else np.int32)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PoolingLayer(_Layer):
    """The maximum or the rounded mean of each 2x2 window, of the scale and dtype of its inputs.

    The mean of a, b, c and d is (a + b + c + d + 2) >> 2. If a side of the maps is odd, its last row or column is
    ignored.

    Examples
    --------
    >>> network = lenet5.quantization.quantize(lenet5.load("mnist_v2"), lenet5.load_data("digits").val)
    >>> network.layers[1]
    <PoolingLayer s2: max>
    """

    name: str
    """Name of the layer in the network, such as "s2"."""

    kind: Literal["max", "avg"]
    """What is computed of each window."""

    output_scale: float
    """Scale of the inputs and of the outputs."""

    dtype: np.dtype[Any]
    """dtype of the inputs and of the outputs: uint8 or int8."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class DistanceLayer(_Layer):
    """The Euclidean RBF units of the original network: logit = `-sum((input - prototype) ** 2)`.

    Examples
    --------
    >>> weights, digits = lenet5.load("original_mnist_v1"), lenet5.load_data("digits").val
    >>> layer = lenet5.quantization.quantize(weights, digits).layers[-1]
    >>> layer, layer.prototypes.dtype
    (<DistanceLayer output: distances (10, 84)>, dtype('int16'))
    """

    name: str
    """Name of the layer in the network: "output"."""

    prototypes: npt.NDArray[np.int16]
    """(num_classes, features), of the scale of the inputs."""

    input_scale: float
    """Scale of the inputs and of the prototypes. The scale of the logits is its square."""

    kind: Literal["distances"] = "distances"
    """What the layer computes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the prototypes."""
        return self.prototypes.shape

    @property
    def output_scale(self) -> float:
        """Scale of the logits."""
        return self.input_scale**2

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the logits: int32."""
        return np.dtype(np.int32)


IntegerLayer: TypeAlias = WeightedLayer | PoolingLayer | DistanceLayer
