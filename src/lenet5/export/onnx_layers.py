"""The layers as ONNX nodes, by the `forward` that the nodes replace: a subclass that overrides it is no such layer."""

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import nn

from ..models.original.layers import EuclideanRBF, PartialConv2d, Subsampling
from .onnx_graph import Graph

Layer: TypeAlias = Callable[[Graph, str, Any, str], str]
"""Adds the nodes of a layer to a graph: its name, the layer, and the name of its input. Returns that of its output."""


def _convolution(graph: Graph, name: str, layer: nn.Conv2d, x: str) -> str:
    tensors = [graph.tensor(f"{name}.weight", layer.weight)]
    if layer.bias is not None:
        tensors.append(graph.tensor(f"{name}.bias", layer.bias))
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(f"{name} pads with {layer.padding_mode!r} by {layer.padding!r}; expected zeros, by numbers")
    return graph.node(
        "Conv",
        name,
        x,
        *tensors,
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=layer.padding * 2,
        dilations=layer.dilation,
        group=layer.groups,
    )


def _linear(graph: Graph, name: str, layer: nn.Linear, x: str) -> str:
    tensors = [graph.tensor(f"{name}.weight", layer.weight)]
    if layer.bias is not None:
        tensors.append(graph.tensor(f"{name}.bias", layer.bias))
    return graph.node("Gemm", name, x, *tensors, transB=1)


def _max_pool(graph: Graph, name: str, layer: nn.MaxPool2d, x: str) -> str:
    kernel, strides, pads, dilations = (
        _pair(value) for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    return graph.node(
        "MaxPool",
        name,
        x,
        kernel_shape=kernel,
        strides=strides,
        pads=pads * 2,
        dilations=dilations,
        ceil_mode=int(layer.ceil_mode),
    )


def _average_pool(graph: Graph, name: str, layer: nn.AvgPool2d, x: str) -> str:
    kernel, strides, pads = (_pair(value) for value in (layer.kernel_size, layer.stride, layer.padding))
    return graph.node(
        "AveragePool",
        name,
        x,
        kernel_shape=kernel,
        strides=strides,
        pads=pads * 2,
        ceil_mode=int(layer.ceil_mode),
        count_include_pad=int(layer.count_include_pad),
    )


def _batch_norm(graph: Graph, name: str, layer: nn.BatchNorm2d, x: str) -> str:
    names = ("weight", "bias", "running_mean", "running_var")
    tensors = [graph.tensor(f"{name}.{each}", getattr(layer, each)) for each in names]
    return graph.node("BatchNormalization", name, x, *tensors, epsilon=layer.eps)


def _flatten(graph: Graph, name: str, layer: nn.Flatten, x: str) -> str:
    return flatten(graph, name, x, layer.start_dim, layer.end_dim)


def flatten(graph: Graph, name: str, x: str, start_dim: int = 0, end_dim: int = -1) -> str:
    """Add the nodes of `torch.flatten`."""
    if (start_dim, end_dim) != (1, -1):
        raise ValueError(f"{name} flattens the axes from {start_dim} to {end_dim}; expected those from 1 to -1")
    return graph.node("Flatten", name, x, axis=1)


def _same(_graph: Graph, _name: str, _layer: nn.Module, x: str) -> str:
    return x


def _softmax(graph: Graph, name: str, layer: nn.Softmax, x: str) -> str:
    return graph.node("Softmax", name, x, axis=layer.dim)


def _subsampling(graph: Graph, name: str, layer: Subsampling, x: str) -> str:
    x = graph.node("AveragePool", f"{name}.mean", x, kernel_shape=(2, 2), strides=(2, 2))
    x = graph.node("Mul", f"{name}.sum", x, graph.number(f"{name}.inputs", 4))
    x = graph.node("Mul", f"{name}.scale", x, graph.tensor(f"{name}.weight", layer.weight[:, None, None]))
    return graph.node("Add", name, x, graph.tensor(f"{name}.bias", layer.bias[:, None, None]))


def _partial_convolution(graph: Graph, name: str, layer: PartialConv2d, x: str) -> str:
    """Add a convolution with kernels of 0 where maps are unconnected."""
    weight = graph.tensor(f"{name}.weight", layer.dense_weight())
    size = layer.kernel_size
    return graph.node("Conv", name, x, weight, graph.tensor(f"{name}.bias", layer.bias), kernel_shape=(size, size))


def _distances(graph: Graph, name: str, layer: EuclideanRBF, x: str) -> str:
    x = graph.node("Unsqueeze", f"{name}.features", x, graph.integers(f"{name}.features.axes", 1))
    x = graph.node("Sub", f"{name}.difference", x, graph.tensor(f"{name}.prototypes", layer.prototypes))
    x = graph.node("Mul", f"{name}.square", x, x)
    return graph.node("ReduceSum", name, x, graph.integers(f"{name}.axes", 2), keepdims=0)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


LAYERS: dict[Callable[..., Any], Layer] = {
    nn.Conv2d.forward: _convolution,
    nn.Linear.forward: _linear,
    nn.MaxPool2d.forward: _max_pool,
    nn.AvgPool2d.forward: _average_pool,
    nn.BatchNorm2d.forward: _batch_norm,
    nn.Flatten.forward: _flatten,
    nn.Identity.forward: _same,
    nn.Dropout.forward: _same,
    nn.Softmax.forward: _softmax,
    Subsampling.forward: _subsampling,
    PartialConv2d.forward: _partial_convolution,
    EuclideanRBF.forward: _distances,
}
