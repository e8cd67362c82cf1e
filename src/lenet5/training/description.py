"""What determines a run, as text that is the same in every process."""

import functools
import math
import re
import zlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import TensorDataset

from ..data.datasets import ImageDataset

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SETTINGS = (bool, int, float, str, tuple)
_DECIDED_BY_DEVICE = ("fused", "foreach", "capturable")
_PROGRESS = ("last_epoch", "best", "num_bad_epochs", "cooldown_counter", "T_cur", "T_i", "base_lrs", "verbose")
_NESTED = ("_schedulers", "_milestones", "_schedule_phases")
_CHECKED_BYTES = 64 * 2**20


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


def describe_optimizer(optimizer: Optimizer, model: nn.Module) -> str:
    """Describe a new optimizer, one setting and one parameter a line; "" for one that has trained before."""
    if optimizer.state:  # its settings may be those of a step in between
        return ""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    lines = [type(optimizer).__name__]
    for index, group in enumerate(optimizer.param_groups):
        settings = {**group, "lr": group.get("initial_lr", group["lr"])}
        own = {name: settings[name] for name in optimizer.defaults if name in settings}
        shown = {name: _plain(value) for name, value in own.items() if name not in _DECIDED_BY_DEVICE}
        lines += [f"group {index}: {name}={value}" for name, value in shown.items()]
        for parameter in group["params"]:
            name = names.get(id(parameter), f"another, of shape {tuple(parameter.shape)}")
            lines.append(f"group {index}: {name}{'' if parameter.requires_grad else ' (frozen)'}")
    return "\n".join(lines)


def describe_scheduler(scheduler: Any, num_updates: int) -> str:
    """Describe a scheduler by its settings, one a line; functions in it by their values at some of the steps."""
    lines = [type(scheduler).__name__]
    for index, group in enumerate(scheduler.optimizer.param_groups):
        added = {name: group[name] for name in group if name not in scheduler.optimizer.defaults and name != "params"}
        lines += [f"group {index}: {name}={_plain(value)}" for name, value in added.items() if name != "param_names"]
    steps = sorted({*range(min(10, num_updates)), *range(0, num_updates, max(1, num_updates // 50))})
    for name, value in vars(scheduler).items():
        if name in _PROGRESS or (name.startswith("_") and name not in _NESTED) or isinstance(value, Optimizer):
            continue
        for item in value if isinstance(value, list | tuple) else [value]:
            if hasattr(item, "optimizer"):
                lines.append(describe_scheduler(item, num_updates))
            elif callable(item):
                lines += _values(name, item, steps)
            else:
                lines.append(f"{name}={_plain(item)}")
    return "\n".join(lines)


def describe_data(source: Any) -> str:
    """Describe the examples of a source by checksums, if they are tensors in memory; "" for others."""
    dataset = getattr(source, "dataset", None)
    if isinstance(dataset, ImageDataset):
        tensors = {"targets": dataset.targets, "images": dataset.images}
        return "\n".join([f"classes {', '.join(dataset.classes)}", *_checksums(tensors)])
    if isinstance(dataset, TensorDataset):
        return "\n".join(_checksums({f"tensor {index}": tensor for index, tensor in enumerate(dataset.tensors)}))
    return ""


def _checksums(tensors: dict[str, Tensor]) -> Iterator[str]:
    """Yield a line per tensor; of a large one, evenly spaced rows count."""
    for name, tensor in tensors.items():
        rows = tensor[:: max(1, math.ceil(tensor.nbytes / _CHECKED_BYTES))].detach().cpu().contiguous()
        checksum = zlib.crc32(rows.flatten().view(torch.uint8).numpy().data)
        yield f"{name} of shape {tuple(tensor.shape)} with the checksum {checksum:08x}"


def _values(name: str, function: Any, steps: list[int]) -> list[str]:
    """Return a line per step with the value of a function of the step; none for other functions."""
    try:
        return [f"{name} at step {step}: {_plain(function(step))}" for step in steps]
    except Exception:  # noqa: BLE001 (functions of other arguments)
        return []


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value
