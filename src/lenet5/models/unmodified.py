"""Whether layers compute what their classes define, and whether C code can read a tensor.

Whatever takes the place of layers asks here first: the kernels, and the capture of a CUDA graph.
"""

import functools
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import profiler
from torch.nn.modules import module as _all_modules
from torch.utils._device import DeviceContext

_FOLDERS = tuple(str(Path(file).parent) for file in (torch.__file__, __file__))
_PLAIN_TYPES = {Tensor, nn.Parameter}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_unobserved() -> bool:
    """Return True if no autocast, tracing, transform, mode, forward-mode AD, profiler or global hook is active."""
    return bool(
        not torch._C._is_any_autocast_enabled()
        and not profiler._is_profiler_enabled
        and torch._C._get_tracing_state() is None
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()
        and (not torch._C._len_torch_function_stack() or _modes_only_set_the_device())
        and torch.autograd.forward_ad._current_level < 0
        and not _all_modules._global_forward_hooks
        and not _all_modules._global_forward_pre_hooks
        and not _all_modules._global_backward_hooks
        and not _all_modules._global_backward_pre_hooks
    )


def saves_tensors_as_they_are() -> bool:
    """Return True if no `saved_tensors_hooks` are active; versions of torch before 2.7 do not tell."""
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return top is None or top(True) is None  # whether tracing or not


def hooks(module: nn.Module) -> list[Any]:
    """Return the collections of a module's hooks; each is empty if there are none of its kind."""
    return [getattr(module, name) for name in _HOOKS]


def has_changed_inputs(module: nn.Module) -> bool:
    """Return True if something stands between the caller and `forward`: hooks, or a `forward` set on the instance."""
    return bool("forward" in vars(module) or module._forward_pre_hooks or _all_modules._global_forward_pre_hooks)


def are_unmodified(modules: Iterable[nn.Module]) -> bool:
    """Return True if the modules have no hooks, and no attribute of theirs hides another or one of their class.

    Children are not visited.
    """
    for module in modules:
        names = [*vars(module), *module._parameters, *module._buffers, *module._modules]
        unique = {*names}
        if any(hooks(module)) or len(unique) < len(names):
            return False
        if not all(unique.isdisjoint(vars(base)) for base in type(module).__mro__):
            return False
    return True


def is_original(function: object) -> bool:
    """Return True if a function is defined by torch or by this package, not by whoever replaced it."""
    code = getattr(function, "__code__", None)
    return code is None or code.co_filename.startswith(_FOLDERS)


def is_torch_layer(layer: nn.Module) -> bool:
    """Return True if the class of a layer is one of torch.nn, with torch's own methods."""
    layer_type = type(layer)
    methods = (value for base in layer_type.__mro__ for value in vars(base).values())
    return layer_type.__module__.startswith("torch.nn.modules") and all(map(is_original, methods))


def torch_is_original() -> bool:
    """Return True if no function of torch or torch.nn.functional is replaced by one from elsewhere."""
    named = [*vars(torch).items(), *vars(nn.functional).items()]
    public = (value for name, value in named if not name.startswith("_"))
    return all(is_original(value) for value in public if isinstance(value, types.FunctionType))


def is_dense(tensor: Any) -> bool:
    """Return True for an allocated, strided CPU tensor that is no subclass, wrapper, batch or lazily negated view."""
    return (
        type(tensor) in _PLAIN_TYPES
        and torch._C._dispatch_keys(tensor).raw_repr() in _dense_keys()
        and _is_allocated(tensor)
    )


def is_readable(tensor: Any, dtype: torch.dtype = torch.float32) -> bool:
    """Return True if C can read a tensor as it lies: dense, contiguous and of this dtype."""
    return is_dense(tensor) and tensor.dtype is dtype and tensor.is_contiguous()


def _is_allocated(tensor: Tensor) -> bool:
    """Return True if the storage holds the whole tensor; `untyped_storage().resize_` may have freed a part."""
    if tensor.is_contiguous():
        last = tensor.numel()
    else:
        last = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    needed = (tensor.storage_offset() + last) * tensor.itemsize
    return tensor.untyped_storage().nbytes() >= needed


@functools.cache
def _dense_keys() -> frozenset[int]:
    """Return the dispatch keys of dense CPU tensors, in and outside inference mode."""
    keys = []
    for inference in (False, True):
        with torch.inference_mode(inference):
            keys.append(torch._C._dispatch_keys(torch.empty(0, device="cpu", dtype=torch.float32)).raw_repr())
    return frozenset(keys)


def _modes_only_set_the_device() -> bool:
    """Return True if the active modes change no layer: `torch.device` as a context sets where new tensors are made."""
    modes = [torch._C._get_function_stack_at(index) for index in range(torch._C._len_torch_function_stack())]
    return all(type(mode) is DeviceContext for mode in modes)
