"""C1 to S4, or all layers for a few images, in one pass on the CPU, much faster than layer by layer, by `fused.c`.

It is used where it applies: one channel of 28x28 or 32x32 in float32, ReLU, max pooling, Linux on a processor with
AVX-512, and nobody who looks into the layers. `LENET5_FUSED=0` in the environment turns it off.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterable
from operator import attrgetter
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
    found.lenet5_logits.argtypes = [_POINTER, _INT, *[_POINTER] * 10, _INT, _POINTER, _LONG, _INT]
    return found


FEW = 8  # images for which a call of each of torch's functions costs more than what they compute


def logits(model: Any, images: Tensor) -> Tensor | None:
    """Return the logits of a few images, without a gradient, if one call can take the place of all layers.

    A third of its time goes into C, and most of the rest into the checks, so they are written for speed. Nothing is
    kept from one call to the next: whatever is changed is noticed.

    Parameters
    ----------
    model
        A `LeNet5`.
    images
        What it was given, not checked yet.

    Returns
    -------
    Tensor or None
        (N, num_classes); None where the images have to be checked and the layers to be called.
    """
    size = model.image_size
    if torch.is_grad_enabled() or not _can_be_read(images, size) or (count := images.shape[0]) > FEW:
        return None
    parameters = _parameters(model._modules.values(), _NETWORK, size)
    if parameters is None:
        return None
    found = library()
    assert found is not None
    classes = parameters[-1].shape[0]
    images, result = images.contiguous(), images.new_empty(count, classes)
    addresses = [tensor.data_ptr() for tensor in parameters]
    threads = _num_threads(count)
    found.lenet5_logits(images.data_ptr(), size, *addresses, classes, result.data_ptr(), count, threads)
    return result


def convolution_parameters(layers: Iterable[nn.Module], images: Tensor, image_size: int) -> list[Tensor] | None:
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
    return _parameters(layers, _CONVOLUTIONS, image_size) if _can_be_read(images, image_size) else None


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


def layer_by_layer(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
    """Return the same by torch's functions."""
    s2 = nn.functional.max_pool2d(nn.functional.conv2d(images, w1, b1, padding=2 * (images.shape[-1] < 32)).relu(), 2)
    return nn.functional.max_pool2d(nn.functional.conv2d(s2, w3, b3).relu(), 2)


def _forward(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> tuple[Tensor, ...]:
    """Return S4's maps, and what the way back needs."""
    found = library()
    assert found is not None
    count = len(images)
    images, w1, b1, w3, b3 = (tensor.contiguous() for tensor in (images, w1, b1, w3, b3))
    s2, place = images.new_empty(count, 6, 14, 16), images.new_empty(count, 1744, dtype=torch.int8)
    s4 = images.new_empty(count, 16, 5, 5)
    addresses = [tensor.data_ptr() for tensor in (w1, b1, w3, b3, s2, place, s4)]
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


def _can_be_read(images: Tensor, size: int) -> bool:
    """Whether C may read images of this size, and torch neither records nor transforms what is computed with them."""
    if torch.compiler.is_compiling() or type(images) is not Tensor or size not in _FIRST:
        return False
    shape = images.shape
    return bool(
        shape[1:] == (1, size, size)
        and shape[0]
        and images.dtype == torch.float32
        and images.is_cpu
        and not images.requires_grad
        and library() is not None
        and is_unobserved()
    )


def is_unobserved() -> bool:
    """Whether torch calls layers for their results alone, and neither records, transforms nor shows what they do."""
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


convolution_settings = attrgetter("stride", "padding", "dilation", "groups", "padding_mode")
_pooling = attrgetter("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_flattening = attrgetter("start_dim", "end_dim")
_FIRST = {size: ((1, 1), (padding, padding), (1, 1), 1, "zeros") for size, padding in ((28, 2), (32, 0))}
UNPADDED, _TWO_BY_TWO, _FLAT = _FIRST[32], _pooling(nn.MaxPool2d(2)), _flattening(nn.Flatten())

_CONVOLUTIONS = [nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d] * 2
_HEAD = [nn.Sequential, nn.Flatten, nn.Linear, nn.ReLU, nn.Sequential, nn.Linear, nn.ReLU, nn.Linear]
_NETWORK = _CONVOLUTIONS + _HEAD
_SHAPES = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,)]  # and the output layer's
_PLAIN = {Tensor, nn.Parameter}


def _parameters(layers: Iterable[Any], types: list[type[nn.Module]], size: int) -> list[Tensor] | None:
    """Return the parameters of these layers, if C computes what they do and nobody looks into them.

    So the parameters must be what C may read: float32 on the CPU, contiguous and of LeNet-5's shapes.
    """
    parts = _parts(layers, types)
    if parts is None or not _has_settings(parts, size):
        return None
    found: list[Tensor] = [tensor for part in parts if part._parameters for tensor in part._parameters.values()]
    shapes = _SHAPES[:4]
    if types is _NETWORK:
        classes = parts[-1].out_features
        shapes = [*_SHAPES, (classes, 84), (classes,)]
    if not _PLAIN.issuperset(map(type, found)) or [tensor.shape for tensor in found] != shapes:
        return None
    for tensor in found:
        if tensor.dtype != torch.float32 or not tensor.is_cpu or not tensor.is_contiguous():
            return None
    return found


def _parts(layers: Iterable[Any], types: list[type[nn.Module]]) -> list[Any] | None:
    """Return layers and their parts, if they are of these types, in order, and no hook waits for one of them."""
    parts: list[Any] = []
    for layer in layers:
        parts.append(layer)
        parts += layer._modules.values()
    if [type(part) for part in parts] != types:
        return None
    for part in parts:
        if part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks:
            return None
    return parts


def _has_settings(parts: list[Any], size: int) -> bool:
    """Whether layers convolve, pool and flatten as LeNet-5 does with images of this size."""
    return bool(
        convolution_settings(parts[1]) == _FIRST[size]
        and convolution_settings(parts[5]) == UNPADDED
        and _pooling(parts[3]) == _pooling(parts[7]) == _TWO_BY_TWO
        and (len(parts) < len(_NETWORK) or _flattening(parts[9]) == _FLAT)
    )
