"""The wrappers that PyTorch puts around a network."""

from typing import Any

from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`, DataParallel and DistributedDataParallel."""
    wrapper = nn.DataParallel, nn.parallel.DistributedDataParallel
    inner: Any = model.module if isinstance(model, wrapper) else getattr(model, "_orig_mod", None)
    return unwrapped(inner) if isinstance(inner, nn.Module) else model
