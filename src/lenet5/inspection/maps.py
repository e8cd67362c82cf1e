"""Feature maps: what every layer computes from an image."""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from ..arguments import suggestion
from .observed import Source, as_batch, as_network, named_layers, observe


def feature_maps(source: Source, images: Any, *, layers: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Compute the output of every named layer.

    The network computes in evaluation mode and without gradients. Its mode, its hooks and gradients, and the random
    generators are afterwards as before.

    Parameters
    ----------
    source
        A network: any module with children. Or the result of `lenet5.load`, which prepares the images.
    images
        For a network, a tensor or an array (N, C, H, W), or (C, H, W) for one image, normalised as in training. For the
        result of `lenet5.load`, images or photographs as in `Pretrained.predict`.
    layers
        Names of layers, such as "c1.conv", as in `torch.nn.Module.named_modules`. None for the network's children,
        whose names are those of the paper.

    Returns
    -------
    dict
        By name and in the order of computation, the output (N, ...) of each layer, on the network's device. A layer
        that computes several times has several entries, such as "pool", "pool_1" and "pool_2".

    Raises
    ------
    TypeError
        The images or the network are of an unsupported type.
    ValueError
        The images do not fit the network. There is no layer of a name. Or no layer computes, as in a network of
        TorchScript, or one computes something other than a tensor.

    Examples
    --------
    >>> maps = lenet5.feature_maps(lenet5.load("mnist_v2"), "pencil.jpg")
    >>> maps["c1"].shape
    torch.Size([1, 6, 28, 28])
    >>> list(maps)
    ['c1', 's2', 'c3', 's4', 'c5', 'f6', 'output']
    """
    network = as_network(source)
    chosen = dict(named_layers(network) if layers is None else _find_layers(network, layers))
    maps: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise ValueError(
                f"the layer {name} ({type(layer).__name__}) returns a {type(output).__name__}; expected layers that"
                " return a tensor: name them with layers=[...]"
            )
        maps[_free_name(name, maps, chosen)] = output.detach().clone()  # the next layer may compute in place

    observe(network, as_batch(source, images), chosen, keep)
    if not maps:
        expected = "a module whose forward calls its children (those of TorchScript do so unseen)"
        raise ValueError(f"no layer of the {type(network).__name__} has computed anything; expected {expected}")
    return maps


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Return the layer of a name; raise ValueError if there is none."""
    modules: dict[str, nn.Module] = dict(network.named_modules(remove_duplicate=False))
    if not name or name not in modules:
        hint = suggestion(str(name), modules)
        expected = "" if hint else f"; expected one of: {', '.join(filter(None, modules))}"
        raise ValueError(f"the {type(network).__name__} has no layer {name!r}{hint}{expected}")
    return modules[name]


def _find_layers(network: nn.Module, names: Iterable[str]) -> Iterator[tuple[str, nn.Module]]:
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise ValueError("layers is empty; expected names of layers, or None for the children of the network")
    for name in names:
        yield name, find_layer(network, name)


def _free_name(name: str, maps: Container[str], chosen: Mapping[str, nn.Module]) -> str:
    """Return the name of a further output of a layer, as torchvision's feature extraction names it."""
    free, count = name, 0
    while free in maps or (free in chosen and free != name):
        count += 1
        free = f"{name}_{count}"
    return free
