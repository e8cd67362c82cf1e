"""Where computation takes place, and in which precision."""

from __future__ import annotations

import contextlib

import torch


def resolve_device(name: str | torch.device, local_rank: int | None = None) -> torch.device:
    """Return the device that a name means.

    Parameters
    ----------
    name
        As torch spells it; "auto" is the accelerator that torch finds, else the CPU.
    local_rank
        Of several processes on this host; it chooses among several devices where the name does not.

    Raises
    ------
    ValueError
        There is no such device here.
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
        found = accelerator.type if accelerator else "no accelerator"
        raise ValueError(f"device {name!r} is not here: torch {torch.__version__} found {found}; use 'auto' or 'cpu'")
    if local_rank is not None and device.index is None:
        device = torch.device(device.type, local_rank)
    count = torch.accelerator.device_count()
    if device.index is not None and device.index >= count:
        raise ValueError(f"device {name!r} is not here: torch found {count}, numbered from 0")
    return device


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return the context in which a forward pass computes in that precision."""
    if precision in ("bfloat16", "float16"):
        return torch.autocast(device.type, getattr(torch, precision))
    return contextlib.nullcontext()
