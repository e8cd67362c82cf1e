"""The activations of torch.nn and of this package as ONNX nodes."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from ..models.activations import Square
from ..models.original.layers import ScaledTanh
from .onnx_graph import Graph
from .onnx_layers import Layer


def _unary(operator: str, **settings: str | float) -> Layer:
    """Return what adds a node of one input; a setting is a number, or the name of an attribute of the layer."""

    def add(graph: Graph, name: str, layer: nn.Module, x: str) -> str:
        values = {key: getattr(layer, value) if isinstance(value, str) else value for key, value in settings.items()}
        return graph.node(operator, name, x, **{key: float(value) for key, value in values.items()})

    return add


def _leaky_relu_of_the_mean(graph: Graph, name: str, layer: nn.RReLU, x: str) -> str:
    return graph.node("LeakyRelu", name, x, alpha=(layer.lower + layer.upper) / 2)


def _clip(graph: Graph, name: str, layer: nn.Hardtanh, x: str) -> str:
    limits = graph.number(f"{name}.min", layer.min_val), graph.number(f"{name}.max", layer.max_val)
    return graph.node("Clip", name, x, *limits)


def _parametric_relu(graph: Graph, name: str, layer: nn.PReLU, x: str) -> str:
    slopes = layer.weight if layer.num_parameters == 1 else layer.weight[:, None, None]
    return graph.node("PRelu", name, x, graph.tensor(f"{name}.weight", slopes))


def _times(operator: str, **settings: float) -> Layer:
    """Return what adds the product of the input and a function of it."""

    def add(graph: Graph, name: str, _layer: nn.Module, x: str) -> str:
        return graph.node("Mul", name, x, graph.node(operator, f"{name}.gate", x, **settings))

    return add


def _mish(graph: Graph, name: str, _layer: nn.Mish, x: str) -> str:
    gate = graph.node("Tanh", f"{name}.gate", graph.node("Softplus", f"{name}.softplus", x))
    return graph.node("Mul", name, x, gate)


def _gelu(graph: Graph, name: str, layer: nn.GELU, x: str) -> str:
    if layer.approximate != "none":
        raise ValueError(f"{name} is a GELU approximated by {layer.approximate!r}; expected the exact one, 'none'")
    scaled = graph.node("Mul", f"{name}.scale", x, graph.number(f"{name}.sqrt_half", math.sqrt(0.5)))
    shifted = graph.node(
        "Add", f"{name}.shift", graph.node("Erf", f"{name}.erf", scaled), graph.number(f"{name}.one", 1)
    )
    half = graph.node("Mul", f"{name}.half", x, graph.number(f"{name}.one_half", 0.5))
    return graph.node("Mul", name, half, shifted)


def _log_sigmoid(graph: Graph, name: str, _layer: nn.LogSigmoid, x: str) -> str:
    softplus = graph.node("Softplus", f"{name}.softplus", graph.node("Neg", f"{name}.negative", x))
    return graph.node("Neg", name, softplus)


def _softplus(graph: Graph, name: str, layer: nn.Softplus, x: str) -> str:
    beta = graph.number(f"{name}.beta", layer.beta)
    softplus = graph.node("Softplus", f"{name}.softplus", graph.node("Mul", f"{name}.scale", x, beta))
    return graph.node("Div", name, softplus, beta)


def _scaled_tanh(graph: Graph, name: str, layer: ScaledTanh, x: str) -> str:
    x = graph.node("Mul", f"{name}.scale", x, graph.number(f"{name}.slope", layer.slope))
    x = graph.node("Tanh", f"{name}.tanh", x)
    return graph.node("Mul", name, x, graph.number(f"{name}.amplitude", layer.amplitude))


def _square(graph: Graph, name: str, _layer: Square, x: str) -> str:
    return graph.node("Mul", name, x, x)


def _tanhshrink(graph: Graph, name: str, _layer: nn.Tanhshrink, x: str) -> str:
    return graph.node("Sub", name, x, graph.node("Tanh", f"{name}.tanh", x))


def _threshold(graph: Graph, name: str, layer: nn.Threshold, x: str) -> str:
    above = graph.node("Greater", f"{name}.above", x, graph.number(f"{name}.threshold", layer.threshold))
    return graph.node("Where", name, above, x, graph.number(f"{name}.value", layer.value))


ACTIVATIONS: dict[Callable[..., Any], Layer] = {
    nn.ReLU.forward: _unary("Relu"),
    nn.LeakyReLU.forward: _unary("LeakyRelu", alpha="negative_slope"),
    nn.RReLU.forward: _leaky_relu_of_the_mean,
    nn.PReLU.forward: _parametric_relu,
    nn.Hardtanh.forward: _clip,  # and ReLU6, which inherits it
    nn.Sigmoid.forward: _unary("Sigmoid"),
    nn.Tanh.forward: _unary("Tanh"),
    nn.Hardsigmoid.forward: _unary("HardSigmoid", alpha=1 / 6, beta=0.5),
    nn.Hardswish.forward: _times("HardSigmoid", alpha=1 / 6, beta=0.5),
    nn.SiLU.forward: _times("Sigmoid"),
    nn.Mish.forward: _mish,
    nn.ELU.forward: _unary("Elu", alpha="alpha"),
    nn.CELU.forward: _unary("Celu", alpha="alpha"),
    nn.SELU.forward: _unary("Selu"),
    nn.GELU.forward: _gelu,
    nn.Hardshrink.forward: _unary("Shrink", lambd="lambd"),
    nn.Softshrink.forward: _unary("Shrink", lambd="lambd", bias="lambd"),
    nn.LogSigmoid.forward: _log_sigmoid,
    nn.Softplus.forward: _softplus,
    nn.Softsign.forward: _unary("Softsign"),
    nn.Tanhshrink.forward: _tanhshrink,
    nn.Threshold.forward: _threshold,
    ScaledTanh.forward: _scaled_tanh,
    Square.forward: _square,
}
