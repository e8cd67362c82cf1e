"""Activations as expressions of C."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import nn

from ...models.activations import Square
from ...models.original.layers import ScaledTanh
from .text import number

_EXPRESSIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "x > 0.0f ? x : 0.0f",
    nn.ReLU6: "x > 0.0f ? (x < 6.0f ? x : 6.0f) : 0.0f",
    nn.Hardtanh: "x > {min_val} ? (x < {max_val} ? x : {max_val}) : {min_val}",
    nn.LeakyReLU: "x > 0.0f ? x : {negative_slope} * x",
    nn.RReLU: "x > 0.0f ? x : 0.5f * ({lower} + {upper}) * x",  # as in evaluation mode
    nn.PReLU: "x > 0.0f ? x : {weight} * x",
    nn.Threshold: "x > {threshold} ? x : {value}",
    nn.ELU: "x > 0.0f ? x : {alpha} * expm1f(x)",
    nn.CELU: "x > 0.0f ? x : {alpha} * expm1f(x / {alpha})",
    nn.SELU: "1.05070102f * (x > 0.0f ? x : 1.67326319f * expm1f(x))",
    nn.Sigmoid: "1.0f / (1.0f + expf(-x))",
    nn.LogSigmoid: "(x < 0.0f ? x : 0.0f) - log1pf(expf(-fabsf(x)))",
    nn.SiLU: "x / (1.0f + expf(-x))",
    nn.Softplus: "{beta} * x > {threshold} ? x : log1pf(expf({beta} * x)) / {beta}",
    nn.Mish: "x * tanhf(x > 20.0f ? x : log1pf(expf(x)))",
    nn.Tanh: "tanhf(x)",
    nn.Tanhshrink: "x - tanhf(x)",
    nn.Softsign: "x / (1.0f + fabsf(x))",
    nn.Softshrink: "x > {lambd} ? x - {lambd} : (x < -{lambd} ? x + {lambd} : 0.0f)",
    nn.Hardshrink: "x > {lambd} || x < -{lambd} ? x : 0.0f",
    nn.Hardsigmoid: "x > -3.0f ? (x < 3.0f ? x / 6.0f + 0.5f : 1.0f) : 0.0f",
    nn.Hardswish: "x > -3.0f ? (x < 3.0f ? x * (x / 6.0f + 0.5f) : x) : 0.0f",
    Square: "x * x",
    ScaledTanh: "{amplitude} * tanhf({slope} * x)",
}
_NAMES: dict[type[nn.Module], str] = {nn.Tanh: "hyperbolic_tangent"}  # tanh is a function of math.h
_GELU = {
    "none": "0.5f * x * (1.0f + erff(0.707106769f * x))",
    "tanh": "0.5f * x * (1.0f + tanhf(0.797884583f * (x + 0.0447149985f * x * x * x)))",
}


class Activation(NamedTuple):
    """An activation as a function of C."""

    name: str
    """The name of the function."""

    expression: str
    """Its value for an argument `x`."""

    @property
    def libm(self) -> list[str]:
        """Return the functions of C's mathematical library that it calls."""
        return re.findall(r"\w+f(?=\()", self.expression)


def activation_of(module: nn.Module) -> Activation:
    """Return an activation as a function of C.

    Raises
    ------
    ValueError
        The module is none of the elementwise activations of torch.nn, nor that of the original network.
    """
    expression = _GELU[module.approximate] if type(module) is nn.GELU else _EXPRESSIONS.get(type(module))
    if expression is None or (isinstance(module, nn.PReLU) and module.weight.numel() > 1):
        names = ", ".join(sorted(known.__name__ for known in (*_EXPRESSIONS, nn.GELU)))
        raise ValueError(f"the activation {module} cannot be written in C; expected one of: {names}")
    fields = dict.fromkeys(re.findall(r"{(\w+)}", expression))
    values = {field: number(float(torch.as_tensor(getattr(module, field)).detach())) for field in fields}
    return Activation(_NAMES.get(type(module), _snake(type(module).__name__)), expression.format(**values))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z]{2})(?=[A-Z])", "_", name).lower()
