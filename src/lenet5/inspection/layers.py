"""The layer table: sizes, parameters, connections and multiply-adds, counted from the modules."""

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ..arguments import check_integer
from ..models.original.layers import EuclideanRBF, PartialConv2d, Subsampling
from .observed import Source, as_network, device_of, named_layers, observe

if TYPE_CHECKING:
    import pandas as pd


class Counts(NamedTuple):
    """What a layer computes for one image."""

    connections: int
    """Inputs of all units, biases included, as the paper counts them."""

    multiply_adds: int
    """Products of an input and a weight."""


_NOTHING = Counts(0, 0)


def layer_table(source: Source, image_shape: Sequence[int] | None = None) -> "pd.DataFrame":
    """Count what every layer of a network consists of and computes for one image.

    Parameters
    ----------
    source
        A network: any module with children. Or the result of `lenet5.load`.
    image_shape
        Shape (C, H, W) of the images. None for that of the network, which a `LeNet5` knows.

    Returns
    -------
    DataFrame
        One row per layer, with the columns:

        - `output_shape`: shape of the output for one image, without the batch.
        - `parameters`: number of parameters. Those that several layers share count in the first.
        - `connections`: inputs of all units, biases included. A shared weight counts once for each use (LeCun et al.
          1998, section II.B: 340,908 in the original network). Pooling without parameters connects each unit to its
          window.
        - `multiply_adds`: products of an input and a weight. Biases, pooling and activations have none. A radial basis
          function has one for each squared difference.

        A number is missing (`pandas.NA`) where a layer is of a class that is not known here, unless it has no state, as
        an activation. Functions that `forward` calls without a module count nothing. Parameters of the network itself
        have a last row.

    Raises
    ------
    TypeError
        The network is of an unsupported type.
    ValueError
        The shape is not one of images, or not known, or does not fit the network.

    Examples
    --------
    >>> table = lenet5.layer_table(lenet5.LeNet5Original())
    >>> list(table.index)
    ['c1', 's2', 'c3', 's4', 'c5', 'f6', 'output']
    >>> int(table["parameters"].sum()), int(table["connections"].sum())  # as in the paper
    (60000, 340908)
    """
    import pandas as pd

    network = as_network(source)
    tally = _Tally(network, _images(network, image_shape))
    seen: set[int] = set()
    layers = dict(named_layers(network))
    rows = [(tally.shapes.get(layer), _new_parameters(layer, seen), *tally.counts(layer)) for layer in layers.values()]
    names = [*layers]
    if rest := _new_parameters(network, seen):
        rows.append((None, rest, None, None))
        names.append(f"rest of {type(network).__name__}")
    columns = ["output_shape", "parameters", "connections", "multiply_adds"]
    return pd.DataFrame(rows, pd.Index(names, name="layer"), columns).astype(dict.fromkeys(columns[1:], "Int64"))


class _Tally:
    """The counts of a network's modules, during a forward pass."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        self.shapes: dict[nn.Module, tuple[int, ...]] = {}
        self._counts: dict[nn.Module, Counts | None] = {}
        modules = {name: module for name, module in network.named_modules() if name}
        observe(network, images, modules, self._record)

    def _record(self, _: str, layer: nn.Module, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        self.shapes[layer] = tuple(output.shape[1:])
        new, before = count(layer, output), self._counts.get(layer, _NOTHING)
        if new is None or before is None:
            self._counts[layer] = None
        else:  # a layer may compute several times
            self._counts[layer] = Counts(before[0] + new[0], before[1] + new[1])

    def counts(self, layer: nn.Module) -> tuple[int | None, int | None]:
        """Return the connections and multiply-adds of a layer with all its parts; None if a part is not known."""
        parts = [self._counts.get(part, None if _has_state(part) else _NOTHING) for part in layer.modules()]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None, None
        return sum(part.connections for part in known), sum(part.multiply_adds for part in known)


def _has_state(layer: nn.Module) -> bool:
    """Return True if a layer saves tensors of its own, beside those of its children."""
    children = dict(layer.named_children())
    return any(key.partition(".")[0] not in children for key in layer.state_dict())


@functools.singledispatch
def count(layer: nn.Module, output: Tensor) -> Counts | None:
    """Count what a layer computes, its children excluded; return None if its class is not known.

    Parameters
    ----------
    layer
        The layer.
    output
        Its output for one image, (1, ...).
    """
    del output
    return None if _has_state(layer) else _NOTHING


@count.register(nn.Conv1d)
@count.register(nn.Conv2d)
@count.register(nn.Conv3d)
@count.register(nn.Linear)
def _(layer: nn.Conv2d | nn.Linear, output: Tensor) -> Counts:
    fan_in = layer.weight[0].numel()
    return Counts(output.numel() * (fan_in + (layer.bias is not None)), output.numel() * fan_in)


@count.register
def _(layer: PartialConv2d, output: Tensor) -> Counts:
    units = output[0, 0].numel()  # of each map
    return Counts(units * (layer.weight.numel() + layer.bias.numel()), units * layer.weight.numel())


@count.register
def _(layer: Subsampling, output: Tensor) -> Counts:
    del layer
    return Counts(output.numel() * (2 * 2 + 1), output.numel())  # a sum of four inputs, times a weight, and a bias


@count.register
def _(layer: EuclideanRBF, output: Tensor) -> Counts:
    inputs = output.numel() * layer.prototypes.shape[1]
    return Counts(inputs, inputs)


@count.register(nn.MaxPool1d)
@count.register(nn.MaxPool2d)
@count.register(nn.MaxPool3d)
@count.register(nn.AvgPool1d)
@count.register(nn.AvgPool2d)
@count.register(nn.AvgPool3d)
def _(layer: nn.MaxPool2d | nn.AvgPool2d, output: Tensor) -> Counts:
    size = layer.kernel_size
    window = size ** (output.ndim - 2) if isinstance(size, int) else math.prod(size)
    return Counts(output.numel() * window, 0)


def _new_parameters(layer: nn.Module, seen: set[int]) -> int:
    """Count the parameters of a layer that no earlier layer has."""
    new = {id(parameter): parameter.numel() for parameter in layer.parameters() if id(parameter) not in seen}
    seen.update(new)
    return sum(new.values())


def _images(network: nn.Module, image_shape: Sequence[int] | None) -> Tensor:
    """Return one black image of the network's dtype."""
    shape = getattr(network, "image_shape", None) if image_shape is None else image_shape
    if shape is None:
        raise ValueError(
            f"a {type(network).__name__} does not know the shape of its images; expected image_shape=(C, H, W)"
        )
    if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) != 3:
        raise ValueError(f"image_shape is {shape!r}; expected (C, H, W)")
    sizes = [check_integer(f"image_shape[{axis}]", size, least=1) for axis, size in enumerate(shape)]
    dtypes = [parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()]
    return torch.zeros(1, *sizes, dtype=dtypes[0] if dtypes else torch.float32, device=device_of(network))
