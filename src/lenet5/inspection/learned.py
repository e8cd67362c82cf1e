"""What a network has learned, or is built with: kernels, C3's connection table and the prototypes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ..models.original.layers import EuclideanRBF, PartialConv2d
from .maps import find_layer
from .observed import Source, as_network, named_layers

if TYPE_CHECKING:
    import pandas as pd

_BITMAP = (12, 7)  # rows and columns of the bitmaps that F6 is trained to show


def filters(source: Source) -> dict[str, npt.NDArray[Any]]:
    """Return the kernels of every convolution.

    Parameters
    ----------
    source
        A network, or the result of `lenet5.load`.

    Returns
    -------
    dict
        For each convolution a copy of its kernels (out_channels, in_channels, height, width), under the name of its
        layer, such as "c1". Kernels are 0 where C3 of the original network has no connection.

    Raises
    ------
    ValueError
        The network has no convolution.

    Examples
    --------
    >>> kernels = lenet5.inspection.filters(lenet5.load("mnist_v2"))
    >>> kernels["c1"].shape, kernels["c3"].shape
    ((6, 1, 5, 5), (16, 6, 5, 5))
    """
    network = as_network(source)
    found = {name: _as_array(_kernels(layer)) for name, layer in _convolutions(network)}
    if not found:
        raise ValueError(f"the {type(network).__name__} has no convolution of two dimensions; expected at least one")
    return found


def connection_table(source: Source, layer: str = "c3") -> "pd.DataFrame":
    """Return which maps a convolution connects: table I of the paper for C3 of the original network.

    Parameters
    ----------
    source
        A network, or the result of `lenet5.load`.
    layer
        Name of the convolution, or of the layer that contains it.

    Returns
    -------
    DataFrame
        (in_channels, out_channels) of bool: True where the input map of the row is connected to the output map of the
        column.

    Raises
    ------
    ValueError
        There is no layer of this name, or it is not one convolution.

    Examples
    --------
    >>> table = lenet5.inspection.connection_table(lenet5.LeNet5Original())
    >>> table.shape, int(table.to_numpy().sum())  # of 96 pairs of maps
    ((6, 16), 60)
    """
    import pandas as pd

    network = as_network(source)
    found = [each for each in find_layer(network, layer).modules() if _is_convolution(each)]
    if len(found) != 1:
        names = ", ".join(name for name, _ in _convolutions(network)) or "none"
        raise ValueError(f"the layer {layer} has {len(found)} convolutions; expected one, as in: {names}")
    table = _connections(found[0])
    return pd.DataFrame(table, pd.RangeIndex(len(table), name="input"), pd.RangeIndex(table.shape[1], name="output"))


def prototypes(source: Source) -> npt.NDArray[Any]:
    """Return the target activations of F6 for each class as bitmaps.

    Parameters
    ----------
    source
        A `LeNet5Original`, or the result of `lenet5.load` of one.

    Returns
    -------
    array
        (num_classes, 12, 7): rows and columns of each bitmap, a copy. 1 is ink and -1 background in the bitmaps of the
        digits.

    Raises
    ------
    ValueError
        The network has no layer of radial basis functions on 84 inputs.

    Examples
    --------
    >>> bitmaps = lenet5.inspection.prototypes(lenet5.load("original_mnist_v1"))
    >>> bitmaps.shape
    (10, 12, 7)
    """
    network = as_network(source)
    found = [layer.prototypes for layer in network.modules() if isinstance(layer, EuclideanRBF)]
    if not found or found[0].shape[1:] != (84,):
        shape = f"; found prototypes of shape {tuple(found[0].shape)}" if found else ""
        raise ValueError(
            f"the {type(network).__name__} has no prototypes of 84 activations{shape}; expected a LeNet5Original"
        )
    return _as_array(found[0]).reshape(-1, *_BITMAP)


def _convolutions(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the convolutions, under the name of their layer if it has only one."""
    for name, layer in named_layers(network):
        inside = [(path, each) for path, each in layer.named_modules() if _is_convolution(each)]
        for path, each in inside:
            yield (name if len(inside) == 1 else f"{name}.{path}".rstrip(".")), each


def _is_convolution(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d | PartialConv2d)


def _kernels(layer: Any) -> Tensor:
    kernels: Tensor = layer.dense_weight() if isinstance(layer, PartialConv2d) else layer.weight
    return kernels


def _connections(layer: Any) -> npt.NDArray[np.bool_]:
    """Return the table of a convolution: its own, or the blocks of its groups."""
    table = np.zeros((layer.in_channels, layer.out_channels), bool)
    if isinstance(layer, PartialConv2d):
        for output, sources in enumerate(layer.table):
            table[list(sources), output] = True
        return table
    height, width = (count // layer.groups for count in table.shape)
    for group in range(layer.groups):
        table[group * height : (group + 1) * height, group * width : (group + 1) * width] = True
    return table


def _as_array(tensor: Tensor) -> npt.NDArray[Any]:
    """Copy a tensor to an array; numpy has no dtype for every one of torch's, but float64 and float32."""
    values = tensor.detach().cpu()
    array: npt.NDArray[Any] = (values.clone() if values.element_size() > 4 else values.float().clone()).numpy()
    return array
