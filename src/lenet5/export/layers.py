"""The layers of a network in the order in which they compute, as arrays and settings."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..models.original.layers import EuclideanRBF, PartialConv2d, Subsampling

FloatArray: TypeAlias = npt.NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]

_TOLERANCE = 1e-3  # between the layers one by one and the call of the network, which may add in a different order


@dataclass(frozen=True)
class Layer:
    """What the layers of all kinds have."""

    name: str
    """The name in the paper, such as "c1"."""

    input_shape: Shape
    output_shape: Shape
    weight: FloatArray
    bias: FloatArray
    activation: nn.Module | None
    """None for the identity."""


@dataclass(frozen=True)
class Convolution(Layer):
    """A convolution with stride 1: `weight` is (maps, input maps, k, k), or (connections, k, k) with a table."""

    padding: int = 0
    table: tuple[tuple[int, ...], ...] | None = None
    """The input maps of each map, if it is connected to some only."""


@dataclass(frozen=True)
class Pooling(Layer):
    """Pooling of 2x2 windows: "max", "avg", or "sum" with a coefficient and a bias per map."""

    kind: str = "max"


@dataclass(frozen=True)
class Dense(Layer):
    """Units that are connected to all inputs: `weight` is (units, *input_shape)."""


@dataclass(frozen=True)
class Distances(Layer):
    """Negated squared distances: `weight` is (units, features), the prototypes."""


def check_finite(network: nn.Module) -> None:
    """Check that no weight is NaN or infinite.

    Raises
    ------
    ValueError
        One is.
    """
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds NaN or infinite values; expected finite weights")


def trace(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Compute the output of each module of a network, by name, in the order of computation.

    The output of a layer such as `c1` follows those of the modules that it consists of, `c1.conv` and `c1.activation`.

    Parameters
    ----------
    network
        The network, in evaluation mode.
    images
        (N, C, H, W), normalised.

    Raises
    ------
    ValueError
        The network computes something else than its layers in a row.
    """
    x, outputs = images, dict[str, Tensor]()
    with torch.no_grad():
        logits = network(images)
        for name, layer in network.named_children():
            for path, module in _modules(name, layer):
                x = _call(module, x)
                if not isinstance(module, nn.Flatten):
                    outputs[path] = x
            outputs.setdefault(name, x)
    if x.shape != logits.shape or not torch.allclose(x, logits, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise ValueError(
            f"{type(network).__name__} computes something else than its layers in a row; expected a forward as that of"
            " LeNet5, LeNet5Original or CaffeLeNet, and no hooks that change a result"
        )
    return outputs


def layers_of(network: nn.Module, images: Tensor) -> list[Layer]:
    """Return the layers of a network in the order of computation.

    Parameters
    ----------
    network
        The network, in float32 and evaluation mode, on the CPU.
    images
        (N, C, H, W): some images, to compare the layers with the network.

    Raises
    ------
    ValueError
        A weight is not finite, or the network is not a row of layers of the known kinds.
    """
    check_finite(network)
    outputs = trace(network, images)
    layers: list[Layer] = []
    for name, child in network.named_children():
        for path, module in _modules(name, child):
            if isinstance(module, nn.Flatten | nn.Identity):
                continue
            before = layers[-1].output_shape if layers else tuple(images.shape[1:])
            layer = _as_layer(module, name, before, tuple(outputs[path].shape[1:]))
            if layer is not None:
                layers.append(layer)
            elif layers and layers[-1].activation is None:
                layers[-1] = replace(layers[-1], activation=module)
            else:
                raise ValueError(f"{path} is {module}; expected at most one activation after each layer")
    return layers


def _modules(name: str, layer: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules without children of a layer, by their paths."""
    for path, module in layer.named_modules(prefix=name):
        if not any(module.children()):
            yield path, module


def _call(module: nn.Module, x: Tensor) -> Tensor:
    if isinstance(module, nn.Linear | EuclideanRBF):
        x = x.flatten(1)  # as in the forward of CaffeLeNet, which has no module for it
    output: Tensor = module(x)
    return -output if isinstance(module, EuclideanRBF) else output  # as in the forward of LeNet5Original


@functools.singledispatch
def _as_layer(module: nn.Module, name: str, inputs: Shape, outputs: Shape) -> Layer | None:
    """Return a module as a layer; None if it is of another kind, as activations are."""
    del module, name, inputs, outputs
    return None


@_as_layer.register
def _(module: nn.Conv2d, name: str, inputs: Shape, outputs: Shape) -> Layer:
    weight, bias = _array(module.weight), _bias(module.bias, outputs[0])
    if outputs[1:] == (1, 1) and weight.shape[1:] == inputs:  # C5 of the original network sees whole maps
        return Dense(name, inputs, outputs[:1], weight, bias, None)
    return Convolution(name, inputs, outputs, weight, bias, None, int(module.padding[0]))


@_as_layer.register
def _(module: PartialConv2d, name: str, inputs: Shape, outputs: Shape) -> Layer:
    return Convolution(name, inputs, outputs, _array(module.weight), _array(module.bias), None, table=module.table)


@_as_layer.register
def _(module: nn.Linear, name: str, inputs: Shape, outputs: Shape) -> Layer:
    weight = _array(module.weight).reshape(*outputs, *inputs)
    return Dense(name, inputs, outputs, weight, _bias(module.bias, outputs[0]), None)


@_as_layer.register
def _(module: Subsampling, name: str, inputs: Shape, outputs: Shape) -> Layer:
    return Pooling(name, inputs, outputs, _array(module.weight), _array(module.bias), None, "sum")


@_as_layer.register(nn.MaxPool2d)
@_as_layer.register(nn.AvgPool2d)
def _(module: nn.MaxPool2d | nn.AvgPool2d, name: str, inputs: Shape, outputs: Shape) -> Layer:
    kind = "max" if isinstance(module, nn.MaxPool2d) else "avg"
    return Pooling(name, inputs, outputs, np.empty(0, np.float32), np.empty(0, np.float32), None, kind)


@_as_layer.register
def _(module: EuclideanRBF, name: str, inputs: Shape, outputs: Shape) -> Layer:
    return Distances(name, inputs, outputs, _array(module.prototypes), np.empty(0, np.float32), None)


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().numpy()
    return array


def _bias(bias: Tensor | None, size: int) -> FloatArray:
    return np.zeros(size, np.float32) if bias is None else _array(bias)
