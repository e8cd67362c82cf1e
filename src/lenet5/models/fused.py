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
from torch.nn.modules import module as _all_modules

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
    found.lenet5_head.argtypes = [*[_POINTER] * 7, _INT, _POINTER, _LONG]
    return found


def convolution_parameters(layers: tuple[nn.Module, ...], images: Tensor, image_size: int) -> list[Tensor] | None:
    """Return what `convolutions` needs of C1, S2, C3 and S4, if it can take their place without anybody seeing it.

    Parameters
    ----------
    layers
        These four.
    images
        What they would be given.
    image_size
        The height and width that the images have.

    Returns
    -------
    list of Tensor or None
        Weights and biases of C1 and C3; None where the layers have to be called one by one.
    """
    if torch.compiler.is_compiling() or type(images) is not Tensor or images.dtype != torch.float32:
        return None
    if image_size not in {28, 32} or images.shape[1] != 1 or not len(images):
        return None
    if images.device.type != "cpu" or images.requires_grad or library() is None or _is_transformed():
        return None
    parts = _parts(layers, _CONVOLUTIONS)
    if parts is None or any(_pooling(parts[number]) != _TWO_BY_TWO for number in (3, 7)):
        return None
    paddings = (2 if image_size == 28 else 0, 0)
    if any(_geometry(parts[n]) != ((1, 1), (p, p), (1, 1), 1, "zeros") for n, p in zip((1, 5), paddings, strict=True)):
        return None
    return _parameters((parts[1], parts[5]), ((6, 1, 5, 5), (16, 6, 5, 5)))


def head_parameters(layers: tuple[Any, ...], count: int) -> list[Tensor] | None:
    """Return what `head` needs of C5, F6 and the output layer, if it can take their place; None if it cannot."""
    if count > FEW or torch.is_grad_enabled():
        return None
    parts = _parts(layers, _HEAD)
    if parts is None:
        return None
    return _parameters((parts[2], parts[5], parts[7]), ((120, 400), (84, 120), (parts[7].out_features, 84)))


FEW = 8  # images for which a call of each of torch's functions costs more than what they compute
_CONVOLUTIONS = [nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d] * 2
_HEAD = [nn.Sequential, nn.Flatten, nn.Linear, nn.ReLU, nn.Sequential, nn.Linear, nn.ReLU, nn.Linear]


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
    if not torch.is_grad_enabled():
        return _forward(images, w1, b1, w3, b3)[0]
    result: Tensor = _Convolutions.apply(images, w1, b1, w3, b3)
    return result


def head(s4: Tensor, parameters: list[Tensor]) -> Tensor:
    """Return the logits of a few images, without a gradient.

    Parameters
    ----------
    s4
        (N, 16, 5, 5), as `convolutions` returns it.
    parameters
        Weights and biases of C5, F6 and the output layer, contiguous.
    """
    found = library()
    assert found is not None
    classes = len(parameters[-1])
    logits = s4.new_empty(len(s4), classes)
    addresses = [tensor.data_ptr() for tensor in parameters]
    found.lenet5_head(s4.data_ptr(), *addresses, classes, logits.data_ptr(), len(s4))
    return logits


def layer_by_layer(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
    """Return the same by torch's functions."""
    s2 = nn.functional.max_pool2d(nn.functional.conv2d(images, w1, b1, padding=2 * (images.shape[-1] < 32)).relu(), 2)
    return nn.functional.max_pool2d(nn.functional.conv2d(s2, w3, b3).relu(), 2)


def _forward(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> tuple[Tensor, ...]:
    """Return S4's maps, and what the way back needs."""
    found = library()
    assert found is not None
    count = len(images)
    images, w1, b1, b3 = (tensor.contiguous() for tensor in (images, w1, b1, b3))
    by_input = w3.permute(1, 2, 3, 0).contiguous()
    s2, place = images.new_empty(count, 6, 14, 16), torch.empty(count, 1744, dtype=torch.int8)
    s4 = images.new_empty(count, 16, 5, 5)
    addresses = [tensor.data_ptr() for tensor in (w1, b1, by_input, b3, s2, place, s4)]
    found.lenet5_forward(images.data_ptr(), images.shape[-1], *addresses, count, _num_threads(count))
    return s4, images, w1, b1, w3, b3, s2, place


class _Convolutions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
        s4, *saved = _forward(images, w1, b1, w3, b3)
        ctx.save_for_backward(*saved)
        return s4

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, w1, b1, w3, b3, s2, place = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants the gradient of the gradient
            needed = ctx.needs_input_grad[1:]
            wanted = [tensor for tensor, need in zip((w1, b1, w3, b3), needed, strict=True) if need]
            result = layer_by_layer(images, w1, b1, w3, b3)
            grads = iter(torch.autograd.grad(result, wanted, gradients, create_graph=True))
            return None, *(next(grads) if need else None for need in needed)
        found = library()
        assert found is not None
        threads = _num_threads(len(images))
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


def _num_threads(count: int) -> int:
    """Return for how many threads there is work."""
    return min(torch.get_num_threads(), count)


def _is_transformed() -> bool:
    """Whether torch records or transforms what is computed, and must see each operation."""
    return bool(
        torch.is_autocast_enabled("cpu")
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or _all_modules._global_forward_hooks
        or _all_modules._global_forward_pre_hooks
        or _all_modules._global_backward_hooks
        or _all_modules._global_backward_pre_hooks
    )


def _parts(layers: tuple[Any, ...], types: list[type[nn.Module]]) -> list[Any] | None:
    """Return layers and their parts, if they are of these types, in order, and no hook waits for one of them."""
    parts = [part for layer in layers for part in (layer, *layer._modules.values())]
    if [type(part) for part in parts] != types:
        return None
    for part in parts:
        if part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks:
            return None
    return parts


def _pooling(layer: Any) -> tuple[Any, ...]:
    return layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode, layer.return_indices


def _geometry(layer: Any) -> tuple[Any, ...]:
    return layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode


_TWO_BY_TWO = _pooling(nn.MaxPool2d(2))


def _parameters(layers: tuple[Any, ...], shapes: tuple[tuple[int, ...], ...]) -> list[Tensor] | None:
    """Return weights and biases, if they are what C may read: float32 on the CPU, contiguous and of these shapes."""
    found: list[Tensor] = []
    for layer, shape in zip(layers, shapes, strict=True):
        for name, expected in (("weight", shape), ("bias", shape[:1])):
            tensor = layer._parameters[name]
            if type(tensor) not in _PLAIN or tensor.shape != expected or tensor.dtype != torch.float32:
                return None
            if tensor.device.type != "cpu" or not tensor.is_contiguous():
                return None
            found.append(tensor)
    return found


_PLAIN = {Tensor, nn.Parameter}
