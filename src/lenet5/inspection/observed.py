"""Networks under observation: which layers they have, and what these compute, without a trace left in the network."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ..models.classifier import ImageClassifier
from ..runtime.modes import evaluation_mode
from ..runtime.randomness import random_state, restore_random_state
from ..wrappers import unwrapped


class Prepared(Protocol):
    """A network with its preprocessing, such as `lenet5.Pretrained`.

    Examples
    --------
    >>> weights = lenet5.load("mnist_v2")  # one of them
    >>> weights.prepare("pencil.jpg").shape
    torch.Size([1, 1, 28, 28])
    """

    @property
    def model(self) -> nn.Module:
        """The network."""

    def prepare(self, images: Any) -> Tensor:
        """Convert images of any kind to a batch for the network."""


Source: TypeAlias = nn.Module | Prepared

_ADVICE = (
    "normalised as in training (Preprocess converts any image, and so does a lenet5.Pretrained in the place of the"
    " network)"
)


def as_network(source: Source) -> nn.Module:
    """Return the network itself: without its preprocessing, and without the wrappers of torch.

    Raises
    ------
    TypeError
        The source is neither a module nor a network with its preprocessing.
    """
    model = source if isinstance(source, nn.Module) else getattr(source, "model", None)
    if not isinstance(model, nn.Module):
        raise TypeError(f"the network is a {type(source).__name__}; expected a torch.nn.Module or a lenet5.Pretrained")
    return unwrapped(model)


def as_batch(source: Source, images: Any) -> Tensor:
    """Return a batch (N, ...) on the network's device; see `feature_maps` for what images may be.

    Raises
    ------
    TypeError
        The images are of a type that only a preprocessing converts.
    ValueError
        So is their dtype.
    """
    if not isinstance(source, nn.Module):
        return source.prepare(images).to(device_of(as_network(source)))
    batch = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    if not isinstance(batch, Tensor):
        raise TypeError(f"images are {type(images).__name__}; expected a tensor or an array, {_ADVICE}")
    network = as_network(source)
    if isinstance(network, ImageClassifier) and not batch.is_quantized:
        check_floating_point(batch)
    return (batch[None] if batch.ndim == 3 else batch).to(device_of(network))


def check_floating_point(images: Tensor) -> None:
    """Raise ValueError unless the pixels are floating-point numbers."""
    if not images.is_floating_point():
        raise ValueError(f"images have dtype {images.dtype}; expected floating point, {_ADVICE}")


def device_of(network: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer, else the CPU."""
    for tensors in (network.parameters(), network.buffers()):
        for tensor in tensors:
            return tensor.device
    return torch.device("cpu")


def named_layers(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of a network by name: its children, with those of a mere container in its place."""
    for name, child in module.named_children():
        if type(child).forward is nn.Module.forward:  # a ModuleList, for example
            yield from named_layers(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def observe(
    network: nn.Module, images: Tensor, layers: Mapping[str, nn.Module], record: Callable[[str, nn.Module, Any], None]
) -> None:
    """Compute the output of a network, and show what its layers compute to a function, in the order of computation.

    Parameters
    ----------
    network, images
        The network and its input.
    layers
        The layers to observe, by name.
    record
        Called with name, layer and output whenever a layer has computed.
    """
    handles: list[Any] = []
    with undisturbed(network, gradients=False):
        try:
            for name, layer in layers.items():
                hook = functools.partial(_call, record, name)
                handles.append(layer.register_forward_hook(hook))
            network(images)
        finally:
            for handle in handles:
                handle.remove()


def _call(record: Callable[[str, nn.Module, Any], None], name: str, layer: nn.Module, _: Any, output: Any) -> None:
    record(name, layer, output)


@contextlib.contextmanager
def undisturbed(network: nn.Module, *, gradients: bool) -> Iterator[None]:
    """Let a network compute in evaluation mode, and leave its mode and the random generators as they were.

    Tensors that are made during the block are ordinary ones, even in inference mode; gradients are recorded or not.
    """
    device = device_of(network)
    place = torch.device("cpu") if device.type == "meta" else device
    before = random_state(place)
    try:
        with (
            evaluation_mode(network),
            _uncompiled(network),
            torch.inference_mode(mode=False),
            torch.set_grad_enabled(gradients),
        ):
            yield
    finally:
        restore_random_state(before, place)


@contextlib.contextmanager
def _uncompiled(network: nn.Module) -> Iterator[None]:
    """Let modules that `Module.compile` has compiled run as they are written: compiled code calls no new hooks."""
    if not any(getattr(module, "_compiled_call_impl", None) for module in network.modules()):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
