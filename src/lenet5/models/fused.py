"""C1 to S4 in one pass on the CPU, several times as fast as layer by layer; `fused.c` does the work.

It is used where it applies: one channel of 28x28 or 32x32 in float32, ReLU, max pooling, Linux on a processor with
AVX-512, and nobody who looks into the layers. `LENET5_FUSED=0` in the environment turns it off.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

_LIBRARY = Path(__file__).with_name("libfused.so")
_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_long


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled functions; None where there are none, or not for this processor."""
    if os.environ.get("LENET5_FUSED") == "0" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        openmp = {line.split(maxsplit=5)[5] for line in maps if "/libgomp" in line}
        for name in openmp:  # torch's own, whose threads are shared
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        found = ctypes.CDLL(str(_LIBRARY))
    except OSError:
        return None
    found.lenet5_forward.argtypes = [_POINTER, _INT, *[_POINTER] * 7, _LONG, _INT]
    found.lenet5_backward.argtypes = [_POINTER, _INT, *[_POINTER] * 8, _LONG, _INT]
    return found


def applies(layers: tuple[nn.Module, ...], images: Tensor) -> bool:
    """Whether C1, S2, C3 and S4 can be computed in one pass, with the same result and without anybody seeing it."""
    if (
        torch.compiler.is_compiling()
        or type(images) is not Tensor
        or images.device.type != "cpu"
        or images.dtype != torch.float32
    ):
        return False
    if not len(images) or images.requires_grad or library() is None or torch.is_autocast_enabled("cpu"):
        return False
    if _is_transformed():
        return False
    return not any(_is_watched(part) for layer in layers for part in layer.modules())


def can_apply(layers: tuple[nn.Module, ...], in_channels: int, image_size: int) -> bool:
    """Whether these layers are such as can be computed in one pass at all."""
    expected = [nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d] * 2
    return (
        in_channels == 1
        and image_size in {28, 32}
        and [type(m) for layer in layers for m in layer.modules()] == expected
    )


def convolutions(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
    """Return what S4 gives.

    Parameters
    ----------
    images
        (N, 1, 28, 28) or (N, 1, 32, 32) float32.
    w1, b1, w3, b3
        Weights (6, 1, 5, 5) and bias (6,) of C1, weights (16, 6, 5, 5) and bias (16,) of C3.

    Returns
    -------
    Tensor
        (N, 16, 5, 5).
    """
    result: Tensor = _Convolutions.apply(images, w1, b1, w3, b3)
    return result


def layer_by_layer(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
    """Return the same by torch's functions."""
    s2 = nn.functional.max_pool2d(nn.functional.conv2d(images, w1, b1, padding=2 * (images.shape[-1] < 32)).relu(), 2)
    return nn.functional.max_pool2d(nn.functional.conv2d(s2, w3, b3).relu(), 2)


class _Convolutions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
        found = library()
        assert found is not None
        count = len(images)
        images, w1, b1, b3 = (tensor.contiguous() for tensor in (images, w1, b1, b3))
        by_input = w3.permute(1, 2, 3, 0).contiguous()
        s2, place = images.new_empty(count, 6, 14, 16), torch.empty(count, 1744, dtype=torch.int8)
        s4 = images.new_empty(count, 16, 5, 5)
        addresses = [tensor.data_ptr() for tensor in (w1, b1, by_input, b3, s2, place, s4)]
        found.lenet5_forward(images.data_ptr(), images.shape[-1], *addresses, count, torch.get_num_threads())
        ctx.save_for_backward(images, w1, b1, w3, b3, s2, place)
        return s4

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, w1, b1, w3, b3, s2, place = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants the gradient of the gradient
            result = layer_by_layer(images, w1, b1, w3, b3)
            return None, *torch.autograd.grad(result, (w1, b1, w3, b3), gradients, create_graph=True)
        found = library()
        assert found is not None
        threads = torch.get_num_threads()
        # each row of the kernel as 5 columns by 6 maps, for a window that begins at an even column and at an odd one,
        # with a row of zeros above and below
        shifted = w3.new_zeros(16, 2, 7, 48)
        rows = w3.permute(0, 2, 3, 1).reshape(16, 5, 30)
        shifted[:, 0, 1:6, :30] = rows
        shifted[:, 1, 1:6, 6:36] = rows
        dw1, db1, dw3, db3 = (w3.new_zeros(threads, *shape) for shape in ((6, 5, 8), (6,), (16, 5, 32), (16,)))
        gradients = gradients.contiguous()
        addresses = [tensor.data_ptr() for tensor in (shifted, s2, place, gradients, dw1, db1, dw3, db3)]
        found.lenet5_backward(images.data_ptr(), images.shape[-1], *addresses, len(images), threads)
        dw1, db1, dw3, db3 = (partial.sum(0) for partial in (dw1, db1, dw3, db3))
        by_row = dw3[:, :, :30].reshape(16, 5, 5, 6)
        return None, dw1[:, None, :, :5].contiguous(), db1, by_row.permute(0, 3, 1, 2).contiguous(), db3


def _is_transformed() -> bool:
    """Whether torch records or transforms what is computed, and must see each operation."""
    return bool(
        torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or nn.modules.module._has_any_global_hook()  # type: ignore[no-untyped-call]
    )


def _is_watched(module: nn.Module) -> bool:
    """Whether a hook waits for this module to be called."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )
