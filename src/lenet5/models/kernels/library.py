"""Load the compiled kernels, and check whether a kernel may replace layers."""

import ctypes
import functools
import os
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _all_modules

FEW = 8
"""Largest batch size at which a single C call is faster than torch's separate operators."""

_TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int, "l": ctypes.c_long, "f": ctypes.c_float}
_PLAIN = {Tensor, nn.Parameter}


@functools.cache
def load(name: str) -> ctypes.CDLL | None:
    """Load a compiled library; return None if it was not built, or if LENET5_KERNELS=none turns the kernels off."""
    if os.environ.get("LENET5_KERNELS") == "none":
        return None
    try:
        return ctypes.CDLL(str(Path(__file__).with_name(f"lib{name}.so")))
    except OSError:
        return None


def bind(function: Any, arguments: str, result: str | None = None) -> None:
    """Set the types of a C function: "p" for a pointer, "i" for an int, "l" for a long, "f" for a float."""
    function.argtypes = [_TYPES[letter] for letter in arguments]
    function.restype = _TYPES[result] if result else None


def is_unobserved() -> bool:
    """Return True if no autocast, tracing, transform, dispatch mode, forward-mode AD or global hook is active."""
    return bool(
        not torch.is_autocast_enabled("cpu")
        and torch._C._get_tracing_state() is None
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()
        and torch.autograd.forward_ad._current_level < 0
        and not _all_modules._global_forward_hooks
        and not _all_modules._global_forward_pre_hooks
        and not _all_modules._global_backward_hooks
        and not _all_modules._global_backward_pre_hooks
    )


def have_hooks(modules: Iterable[nn.Module]) -> bool:
    """Return True if a module has hooks, or its `forward` is overridden on the instance."""
    for module in modules:  # a loop is faster than any() here, and runs at every call
        if module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__:
            return True
        if module._backward_hooks or module._backward_pre_hooks:
            return True
    return False


def are_plain(tensors: Iterable[Tensor]) -> bool:
    """Return True if C can read all tensors: contiguous float32 on the CPU, without subclasses of Tensor."""
    for tensor in tensors:
        if type(tensor) not in _PLAIN or tensor.dtype != torch.float32:
            return False
        if not tensor.is_cpu or not tensor.is_contiguous():
            return False
    return True


def addresses(tensors: Iterable[Tensor]) -> Any:
    """Return the addresses of tensors as a C array of pointers."""
    pointers = [tensor.data_ptr() for tensor in tensors]
    return (ctypes.c_void_p * len(pointers))(*pointers)


convolution_settings: Callable[[Any], tuple[Any, ...]] = attrgetter(
    "stride", "padding", "dilation", "groups", "padding_mode"
)
UNPADDED = ((1, 1), (0, 0), (1, 1), 1, "zeros")
PADDED = ((1, 1), (2, 2), (1, 1), 1, "zeros")
