"""Devices and precisions."""

import contextlib
from typing import TypeAlias

import torch

Device: TypeAlias = str | torch.device | None
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def resolve_device(name: Device, local_rank: int | None = None) -> torch.device:
    """Resolve the name of a device, and check that the device is available.

    Parameters
    ----------
    name
        A torch device or its name; "auto" or None for the accelerator that torch finds, else the CPU.
    local_rank
        Rank among the processes of this host. It is the index of an accelerator whose name has no index.

    Raises
    ------
    ValueError
        The device is unknown or not available.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    try:
        device = torch.device(name) if name not in ("auto", None) else accelerator or torch.device("cpu")
    except RuntimeError as error:
        raise ValueError(
            f"device {name!r} is unknown to torch; expected 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'"
        ) from error
    if device.type == "cpu":
        return device
    if accelerator is None or accelerator.type != device.type:
        available = accelerator.type if accelerator else "no accelerator"
        raise ValueError(
            f"device {name!r} is not available: torch {torch.__version__} found {available}; use 'auto' or 'cpu'"
        )
    if local_rank is not None and device.index is None:
        device = torch.device(device.type, local_rank)
    count = torch.accelerator.device_count()
    if device.index is not None and device.index >= count:
        raise ValueError(f"device {name!r} is not available: torch found {count} accelerators, numbered from 0")
    return device


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return a context manager that runs a forward pass in a precision; raise ValueError if it is unknown."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if precision in ("bfloat16", "float16"):
        return torch.autocast(device.type, getattr(torch, precision))
    return contextlib.nullcontext()
