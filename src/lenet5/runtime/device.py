"""The device and the precision of a computation."""

import contextlib
from typing import TypeAlias

import torch

Device: TypeAlias = str | torch.device | None
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def resolve_device(name: str | torch.device, local_rank: int | None = None) -> torch.device:
    """Return the device of a name.

    Parameters
    ----------
    name
        A device as torch spells it, or "auto" for the accelerator that torch finds, else the CPU.
    local_rank
        Rank among the processes of this host; the index of the accelerator where the name has none.

    Raises
    ------
    ValueError
        The device is unknown or not available.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    try:
        device = torch.device(name) if name != "auto" else accelerator or torch.device("cpu")
    except RuntimeError as error:
        raise ValueError(
            f"device {name!r} is unknown to torch; expected 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'"
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
        raise ValueError(f"device {name!r} is not available: torch found {count}, numbered from 0")
    return device


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return the context of a forward pass in a precision."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if precision in ("bfloat16", "float16"):
        return torch.autocast(device.type, getattr(torch, precision))
    return contextlib.nullcontext()
