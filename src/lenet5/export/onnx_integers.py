"""An integer network as ONNX has it (QDQ): layers of float32 between tensors that are quantised and dequantised."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from onnx import TensorProto
from torch.nn import functional

from .. import __version__
from ..quantization.layers import DistanceLayer, PoolingLayer, WeightedLayer
from ..quantization.network import IntegerNetwork
from .onnx_graph import Graph
from .program import INPUT, PIXELS, Interface

_HALVES_UP = 2.0**-14  # of a unit: ONNX rounds halves to even numbers


def integer_interface(network: IntegerNetwork, *, preprocess: bool) -> Interface:
    """Return what goes in and comes out of an integer network: pixels, and logits or probabilities."""
    generator = torch.Generator("cpu").manual_seed(0)
    channels, side = network.image_shape[0], network.preprocess.without_border().image_size
    size = 2, channels, side, side
    images = torch.randint(256, size, dtype=torch.uint8, generator=generator, device="cpu")
    bordered = functional.pad(images, (network.preprocess.padding,) * 4)
    results = torch.from_numpy(network.run(bordered)["output"]).double() * network.layers[-1].output_scale
    results = (results.softmax(1) if preprocess else results).float()
    metadata = {
        "architecture": network.architecture,
        "classes": json.dumps(network.classes, ensure_ascii=False),
        "input": PIXELS,
        "lenet5_version": __version__,
        "preprocessing": json.dumps(asdict(network.preprocess)),
        "quantization": f"weights of {network.weight_bits} bits, activations of {network.activation_bits} bits",
    }
    return Interface(
        images=images, results=results, output="probabilities" if preprocess else "logits", metadata=metadata
    )


def integer_graph(network: IntegerNetwork, *, preprocess: bool) -> Graph:
    """Return the graph of an integer network."""
    graph = Graph()
    scales = np.full(len(network.zero_point), network.input_scale)
    pixels = _bordered(graph, network.preprocess.padding)
    x, features = _dequantized(graph, INPUT, pixels, scales, network.zero_point, axis=1), False
    for layer in network.layers:
        if isinstance(layer, WeightedLayer):
            if layer.kind == "dense" and not features:
                x, features = graph.node("Flatten", f"{layer.name}.flatten", x, axis=1), True
            x = _activated(graph, layer, _weighted(graph, layer, x))
        elif isinstance(layer, PoolingLayer):
            x = _pooled(graph, layer, x)
        else:
            x = _distances(graph, layer, x)
    graph.rename(
        graph.node("Softmax", "softmax", x, axis=1) if preprocess else x, "probabilities" if preprocess else "logits"
    )
    return graph


def _bordered(graph: Graph, width: int) -> str:
    """Add the border of the preprocessing, of black pixels."""
    if not width:
        return INPUT
    sides = graph.integers("border.pads", 0, 0, width, width, 0, 0, width, width)
    return graph.node("Pad", "border", INPUT, sides)


def _weighted(graph: Graph, layer: WeightedLayer, x: str) -> str:
    """Add a layer up to its accumulators, as real numbers."""
    name, values = layer.name, layer.weight
    if layer.kind == "subsampling":  # a convolution of each map alone
        values = np.broadcast_to(values[:, None, None, None], (len(values), 1, 2, 2)).copy()
    weight = _constant(graph, f"{name}.weight", values, layer.weight_scale)
    bias = _constant(graph, f"{name}.bias", layer.bias, layer.input_scale * layer.weight_scale)
    if layer.kind == "dense":
        return graph.node("Gemm", f"{name}.linear", x, weight, bias, transB=1)
    settings: dict[str, Any] = {"pads": [layer.padding] * 4}
    if layer.kind == "subsampling":
        settings = {"strides": [2, 2], "group": len(values)}
    return graph.node("Conv", f"{name}.conv", x, weight, bias, kernel_shape=values.shape[2:], **settings)


def _activated(graph: Graph, layer: WeightedLayer, x: str) -> str:
    """Add the rounding of a layer, and its table if it has one; logits stay real numbers."""
    if layer.dtype == np.int32:
        return x
    if layer.lookup is None:
        return _rounded(graph, layer.name, x, layer.output_scale, layer.dtype, layer.low, layer.high)
    name, low, high = f"{layer.name}.activation", layer.low, layer.high
    x = graph.node("Div", f"{name}.units", x, graph.number(f"{name}.table_scale", layer.table_scale))
    x = graph.node(
        "Floor", f"{name}.rounded", graph.node("Add", f"{name}.half", x, graph.number(f"{name}.one_half", 0.5))
    )
    x = graph.node("Clip", f"{name}.clipped", x, graph.number(f"{name}.low", low), graph.number(f"{name}.high", high))
    x = graph.node("Sub", f"{name}.position", x, graph.number(f"{name}.first", low))
    x = graph.node("Cast", f"{name}.index", x, to=TensorProto.INT64)
    x = graph.node("Gather", name, graph.tensor(f"{name}.table", layer.lookup), x, axis=0)
    return _dequantized(graph, layer.name, x, layer.output_scale, np.zeros((), layer.dtype))


def _pooled(graph: Graph, layer: PoolingLayer, x: str) -> str:
    operator = "MaxPool" if layer.kind == "max" else "AveragePool"
    x = graph.node(operator, f"{layer.name}.pool", x, kernel_shape=[2, 2], strides=[2, 2])
    if layer.kind == "max":
        return x
    x = graph.node("Add", f"{layer.name}.up", x, graph.number(f"{layer.name}.bit", layer.output_scale * _HALVES_UP))
    limits = np.iinfo(layer.dtype)
    return _rounded(graph, layer.name, x, layer.output_scale, layer.dtype, int(limits.min), int(limits.max))


def _distances(graph: Graph, layer: DistanceLayer, x: str) -> str:
    name = layer.name
    prototypes = (layer.prototypes * layer.input_scale).astype(np.float32)
    x = graph.node("Unsqueeze", f"{name}.features", x, graph.integers(f"{name}.features.axes", 1))
    x = graph.node("Sub", f"{name}.difference", x, graph.tensor(f"{name}.prototypes", prototypes))
    x = graph.node("Mul", f"{name}.square", x, x)
    x = graph.node("ReduceSum", f"{name}.distance", x, graph.integers(f"{name}.axes", 2), keepdims=0)
    return graph.node("Neg", name, x)


def _rounded(graph: Graph, name: str, x: str, scale: float, dtype: np.dtype[np.generic], low: int, high: int) -> str:
    """Add the rounding of real numbers to multiples of a scale."""
    limits = np.iinfo(dtype)  # type: ignore[type-var]
    if (low, high) != (limits.min, limits.max):
        edges = graph.number(f"{name}.low", low * scale), graph.number(f"{name}.high", high * scale)
        x = graph.node("Clip", f"{name}.clip", x, *edges)
    zero = np.zeros((), dtype)
    tensors = graph.number(f"{name}.quantize.scale", scale), graph.tensor(f"{name}.quantize.zero_point", zero)
    return _dequantized(graph, name, graph.node("QuantizeLinear", f"{name}.quantize", x, *tensors), scale, zero)


def _constant(graph: Graph, name: str, values: np.ndarray, scales: np.ndarray) -> str:
    """Add integers with a scale for each output channel, as real numbers."""
    return _dequantized(graph, name, graph.tensor(name, values), scales, np.zeros(len(values), values.dtype), axis=0)


def _dequantized(
    graph: Graph, name: str, x: str, scale: float | np.ndarray, zero_point: np.ndarray, axis: int | None = None
) -> str:
    name = f"{name}.dequantize"
    tensors = (
        graph.tensor(f"{name}.scale", np.asarray(scale, np.float32)),
        graph.tensor(f"{name}.zero_point", zero_point),
    )
    return graph.node("DequantizeLinear", name, x, *tensors, **({} if axis is None else {"axis": axis}))
