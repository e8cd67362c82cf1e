"""A network in C in integers, which are those of the reference in `lenet5.quantization`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...quantization import DistanceLayer, IntegerLayer, IntegerNetwork, PoolingLayer, WeightedLayer
from .buffers import Buffer, Shape, alternate
from .functions import WINDOWS, Function, check_pooling, connections
from .inputs import Input, about_pixels
from .source import Parts
from .text import Constants, ctype

_SCALED = """\
/* Return sum * multiplier / 2^shift, rounded to nearest and halves up, and clipped. */
static int32_t scaled(int32_t sum, int32_t multiplier, int shift, int32_t low, int32_t high)
{
    const int64_t product = (int64_t)sum * multiplier + (((int64_t)1 << shift) >> 1);
    const int64_t quotient = product >= 0 ? product >> shift : ~(~product >> shift);
    return (int32_t)(quotient < low ? low : quotient > high ? high : quotient);
}
"""
_LIMITS = {-(2**31): "INT32_MIN", 2**31 - 1: "INT32_MAX"}


def integer_parts(network: IntegerNetwork) -> Parts:
    """Write an integer network in C.

    Raises
    ------
    ValueError
        A convolution is not followed by pooling.
    """
    layers = [_Layer(layer, shapes) for layer, shapes in zip(network.layers, _shapes(network), strict=True)]
    check_pooling([(layer.name, layer.kind) for layer in layers])
    padding = layers[0].padding
    channels, side, _ = network.image_shape
    image = ("uint8_t", (channels, side + 2 * padding, side + 2 * padding))
    outputs = {layer.name: (layer.type, layer.output_shape) for layer in layers if layer.kind != "convolution"}
    buffers = alternate({"image": image, **outputs})
    zero_point = Constants("zero_point", "uint8_t", network.zero_point, "The pixel of each channel that stands for 0.")
    bits = f"{network.weight_bits}-bit weights and {network.activation_bits}-bit activations"
    return Parts(
        title=f"{network.architecture} in integers: {bits}.",
        constants=[zero_point, *(array for layer in layers for array in layer.constants())],
        functions=[_SCALED, *_functions(layers, buffers)],
        steps=[buffer.name for buffer in buffers[1:]],
        buffers=buffers,
        inputs=[_pixels(network, padding)],
        about_logits=f"each stands for {layers[-1].output_scale:.9g} times its value",
        classes=network.classes,
    )


def _shapes(network: IntegerNetwork) -> Iterator[tuple[Shape, Shape]]:
    """Yield the shapes of the inputs and outputs of each layer."""
    inputs: Shape = network.image_shape
    for layer in network.layers:
        if isinstance(layer, DistanceLayer):
            outputs: Shape = layer.prototypes.shape[:1]
        elif isinstance(layer, PoolingLayer) or layer.kind == "subsampling":
            outputs = (inputs[0], inputs[1] // 2, inputs[2] // 2)
        elif layer.kind == "dense":
            outputs = layer.weight.shape[:1]
        else:
            change = 2 * layer.padding - layer.weight.shape[-1] + 1
            outputs = (len(layer.weight), inputs[1] + change, inputs[2] + change)
        yield inputs, outputs
        inputs = outputs


class _Layer:
    """An integer layer in C."""

    def __init__(self, layer: IntegerLayer, shapes: tuple[Shape, Shape]) -> None:
        self.layer = layer
        self.name = layer.name
        self.input_shape, self.output_shape = shapes
        self.type = ctype(layer.dtype)
        self.output_scale = layer.output_scale
        self.kind = "distances" if isinstance(layer, DistanceLayer) else layer.kind
        self.padding = layer.padding if isinstance(layer, WeightedLayer) else 0
        self.kernel = layer.weight.shape[-1] if isinstance(layer, WeightedLayer) else 0

    def constants(self) -> list[Constants]:
        """Return its arrays."""
        if isinstance(self.layer, PoolingLayer):
            return []
        about = f"{self.name.upper()}: {self.about}. An integer q stands for {self.output_scale:.9g} * q."
        if isinstance(self.layer, DistanceLayer):
            return [Constants(f"{self.name}_prototype", "int16_t", self.layer.prototypes, about)]
        layer, table = self.layer, self.layer.connections
        weight = layer.weight.reshape(len(layer.weight), *self.input_shape) if layer.kind == "dense" else layer.weight
        if table is not None:
            weight = np.concatenate([weight[output, list(row)] for output, row in enumerate(table)])
        arrays: dict[str, npt.NDArray[Any]] = {
            "weight": weight,
            "bias": layer.bias,
            "multiplier": layer.multiplier,
            "shift": layer.shift.astype(np.uint8),
        }
        if layer.lookup is not None:
            arrays["lookup"] = layer.lookup
        named = [Constants(f"{self.name}_{key}", ctype(array.dtype), array) for key, array in arrays.items()]
        named[0] = replace(named[0], about=about)
        return named + (connections(self.name, table) if table is not None else [])

    @property
    def about(self) -> str:
        """Describe it in a few words."""
        inputs, outputs = ("x".join(map(str, shape)) for shape in (self.input_shape, self.output_shape))
        match self.kind:
            case "convolution":
                kernel = f"{self.kernel}x{self.kernel} kernels"
                return f"{outputs} from {inputs} by {kernel}" + (f", padding {self.padding}" if self.padding else "")
            case "distances":
                return f"{outputs} negated squared distances of {inputs} features from the prototypes"
            case "dense":
                return f"{outputs} units, connected to all inputs {inputs}"
            case kind:
                return f"{outputs} from {inputs}, the {WINDOWS[kind]} of each 2x2 window"

    def function(self, source: Buffer, target: Buffer, before: _Layer | None) -> str:
        """Return its function."""
        function = Function(self.name, self.about, self.type, "int32_t", source, target)
        if self.kind == "distances":
            return function.distances()
        if self.kind == "dense":
            return function.dense(result=self._result("n"))
        if self.kind == "convolution":
            connected = isinstance(self.layer, WeightedLayer) and self.layer.connections is not None
            zero = "" if before is not None else " - zero_point[k]"
            return function.convolution(kernel=self.kernel, connected=connected, zero=zero, result=self._result("m"))
        assert before is not None
        return function.pooling(kind=self.kind, unit=before.name, unit_type=before.type, result=self._result("m"))

    def _result(self, channel: str) -> str:
        """Return the output in terms of the accumulator `sum`, or of the `largest` of a window."""
        layer, name = self.layer, self.name
        if not isinstance(layer, WeightedLayer):
            limits = np.iinfo(layer.dtype)
            return "largest" if self.kind == "max" else f"({self.type})scaled(sum, 1, 2, {limits.min}, {limits.max})"
        low, high = (_LIMITS.get(limit, str(limit)) for limit in (layer.low, layer.high))
        scaled = f"scaled(sum, {name}_multiplier[{channel}], {name}_shift[{channel}], {low}, {high})"
        if layer.lookup is not None:
            return f"{name}_lookup[{scaled} - ({low})]" if layer.low < 0 else f"{name}_lookup[{scaled}]"
        return scaled if self.type == "int32_t" else f"({self.type}){scaled}"


def _functions(layers: Sequence[_Layer], buffers: Sequence[Buffer]) -> list[str]:
    written: list[str] = []
    remaining, source, before = list(buffers[1:]), buffers[0], None
    for layer in layers:
        target = source if layer.kind == "convolution" else remaining.pop(0)
        written.append(layer.function(source, target, before))
        source, before = target, layer
    return written


def _pixels(network: IntegerNetwork, padding: int) -> Input:
    channels, side = network.image_shape[0], network.preprocess.without_border().image_size
    borders = ((padding, "zero_point[k]"), (network.preprocess.padding, "0"))
    return Input("pixels", about_pixels(channels, side), "uint8_t", "uint8_t", channels, side, borders, "{}")
