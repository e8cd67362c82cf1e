"""The network of a classifier: built from parameters, and as arrays."""

from typing import Any

import torch

from ..models import LeNet5
from ..storage import StrPath


def build_network(arguments: dict[str, Any], weights: StrPath | None) -> LeNet5:
    """Draw a new network with torch's global generator, or load a pretrained one that has these arguments.

    Raises
    ------
    ValueError
        An argument is out of range, or the pretrained network has a different one.
    FileNotFoundError
        There are no such weights.
    """
    model = LeNet5.from_arguments(arguments)
    if weights is None:
        return model
    sizes = {name: arguments[name] for name in ("num_classes", "in_channels")}
    pretrained, expected = LeNet5.from_pretrained(weights, **sizes), model.arguments()
    for name, value in pretrained.arguments().items():
        if value != expected[name]:
            raise ValueError(f"{name} is {expected[name]!r}; expected {value!r}, as weights={weights!r} has it")
    return pretrained


def to_arrays(model: LeNet5) -> dict[str, Any]:
    """Return the arguments and tensors of a network, without objects of torch."""
    tensors = {name: tensor.numpy(force=True) for name, tensor in model.state_dict().items()}
    return {"arguments": model.arguments(), "tensors": tensors}


def from_arrays(content: dict[str, Any]) -> LeNet5:
    """Build the network from the result of `to_arrays`, in evaluation mode, on the CPU; draw no random numbers."""
    with torch.device("meta"):
        model = LeNet5.from_arguments(content["arguments"])
    tensors = {name: torch.tensor(array) for name, array in content["tensors"].items()}
    model.load_state_dict(tensors, assign=True)
    return model.eval()
