"""Functions and methods of torch as ONNX nodes, for what a `forward` computes between its layers."""

from collections.abc import Callable
from typing import Any

import torch
from onnx import TensorProto

from .onnx_graph import Graph
from .onnx_layers import flatten

_TYPES = {torch.float32: TensorProto.FLOAT, torch.uint8: TensorProto.UINT8}


def _value(graph: Graph, name: str, value: Any) -> str:
    return value if isinstance(value, str) else graph.number(name, float(value))


def _binary(operator: str) -> Callable[..., str]:
    def add(graph: Graph, name: str, x: Any, y: Any) -> str:
        return graph.node(operator, name, _value(graph, f"{name}.x", x), _value(graph, f"{name}.y", y))

    return add


def _unary(operator: str) -> Callable[..., str]:
    def add(graph: Graph, name: str, x: str, *, inplace: bool = False) -> str:
        del inplace
        return graph.node(operator, name, x)

    return add


def _square(graph: Graph, name: str, x: str) -> str:
    return graph.node("Mul", name, x, x)


def _power(graph: Graph, name: str, x: str, exponent: Any) -> str:
    return _square(graph, name, x) if exponent == 2 else _binary("Pow")(graph, name, x, exponent)


def _cast(graph: Graph, name: str, x: str, dtype: torch.dtype, *, copy: bool = False) -> str:
    del copy
    return graph.node("Cast", name, x, to=_TYPES[dtype])


def _pad(graph: Graph, name: str, x: str, pad: tuple[int, ...], mode: str = "constant", value: Any = None) -> str:
    if mode != "constant" or value or len(pad) != 4:
        raise ValueError(f"{name} pads by {pad} in mode {mode!r} with {value}; expected the last two axes, with zeros")
    left, right, top, bottom = pad
    return graph.node("Pad", name, x, graph.integers(f"{name}.pads", 0, 0, top, left, 0, 0, bottom, right))


FUNCTIONS: dict[str, Callable[..., str]] = {
    "add": _binary("Add"),
    "sub": _binary("Sub"),
    "mul": _binary("Mul"),
    "truediv": _binary("Div"),
    "div": _binary("Div"),
    "neg": _unary("Neg"),
    "abs": _unary("Abs"),
    "relu": _unary("Relu"),
    "tanh": _unary("Tanh"),
    "sigmoid": _unary("Sigmoid"),
    "square": _square,
    "pow": _power,
    "flatten": flatten,
    "to": _cast,
    "pad": _pad,
}
"""By the name of the function, of torch, operator or torch.nn.functional, or of the method, without underscores."""
