"""What determines a run, as text that is the same in every process."""

import functools
import re
from typing import Any

from torch import nn

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SETTINGS = (bool, int, float, str, tuple)


def describe(value: Any) -> str:
    """Describe a function or an object, such as an augmentation, by its name and its settings."""
    if isinstance(value, functools.partial):
        keywords = {name: describe(setting) for name, setting in value.keywords.items()}
        return f"{describe(value.func)}{tuple(map(describe, value.args))}{keywords or ''}"
    return str(getattr(value, "__qualname__", None) or _ADDRESS.sub("", repr(value)))


def describe_loss(loss_fn: Any) -> str:
    """Describe a loss; torch's do not show their settings and class weights themselves."""
    if not isinstance(loss_fn, nn.Module):
        return describe(loss_fn)
    settings = {name: value for name, value in vars(loss_fn).items() if isinstance(value, _SETTINGS)}
    shown = {name: value for name, value in settings.items() if not name.startswith("_") and name != "training"}
    return (
        f"{describe(loss_fn)} {shown} { ({name: tensor.tolist() for name, tensor in loss_fn.named_buffers()} or '') }"
    )


def describe_source(source: Any) -> str:
    """Describe a source of batches: its order, its augmentation and the transform of its dataset."""
    dataset = getattr(source, "dataset", None)
    parts = {"augment": getattr(source, "augment", None), "transform": getattr(dataset, "transform", None)}
    return " ".join([repr(source), *(f"{name}={describe(part)}" for name, part in parts.items() if part is not None)])
