"""The kernel of `LeNet5`: C1 to S4 in one pass, and all layers in a single call for small batches without gradients.

It applies to one channel of 28x28 or 32x32 pixels in float32, with ReLU and max pooling, on Linux with AVX-512, if no
hooks, tracing or transforms are active. docs/performance.md explains it.
"""

import ctypes
import functools
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from ..classifier import KERNELS, Kernel
from ..lenet5 import LeNet5
from . import library as lib

_pooling_settings = attrgetter("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_flatten_settings = attrgetter("start_dim", "end_dim")
_TWO_BY_TWO, _FLAT = _pooling_settings(nn.MaxPool2d(2)), _flatten_settings(nn.Flatten())
_FIRST = {28: lib.PADDED, 32: lib.UNPADDED}  # settings of C1 by image size

_CONVOLUTIONS = [nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d] * 2
_HEAD = [nn.Sequential, nn.Flatten, nn.Linear, nn.ReLU, nn.Sequential, nn.Linear, nn.ReLU, nn.Linear]
_NETWORK = _CONVOLUTIONS + _HEAD
_SHAPES = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,)]  # without the output layer


@functools.cache
def library() -> ctypes.CDLL | None:
    """Load the compiled functions; return None if they are unavailable or this processor does not support them."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    maps = Path("/proc/self/maps")
    loaded = maps.read_text(encoding="utf-8").splitlines() if maps.exists() else []
    for name in {line.split(maxsplit=5)[5] for line in loaded if "/libgomp" in line}:
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)  # the kernel shares torch's OpenMP threads
    compiled = lib.load("lenet5")
    if compiled is not None:
        lib.bind(compiled.lenet5_forward, "pi" + 7 * "p" + "li")
        lib.bind(compiled.lenet5_backward, "pi" + 8 * "p" + "li")
        lib.bind(compiled.lenet5_logits, "pi" + 10 * "p" + "ipli")
    return compiled


def logits(model: LeNet5, images: Tensor) -> Tensor | None:
    """Compute logits (N, num_classes); return None if the kernel does not apply.

    The checks run at every call, so that any change to the model takes effect. They are written for speed, because for
    one image they take longer than the arithmetic.
    """
    size = model.image_size
    if not _are_supported(images, size) or lib.have_hooks((model,)):
        return None
    layers = model._modules
    if not torch.is_grad_enabled() and images.shape[0] <= lib.FEW:
        parameters = _parameters(layers.values(), _NETWORK, size)
        if parameters is not None:
            return _small_batch(images, parameters)
    parameters = _parameters((layers[name] for name in ("c1", "s2", "c3", "s4")), _CONVOLUTIONS, size)
    if parameters is None:
        return None
    x = convolutions(images, *parameters)  # (N, 16, 5, 5)
    result: Tensor = model.output(model.f6(model.c5(x)))
    return result


def convolutions(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
    """Compute C1, S2, C3 and S4 in one pass.

    Parameters
    ----------
    images
        (N, 1, 28, 28) or (N, 1, 32, 32) float32.
    w1, b1, w3, b3
        Weights (6, 1, 5, 5) and biases (6,) of C1, weights (16, 6, 5, 5) and biases (16,) of C3.

    Returns
    -------
    Tensor
        (N, 16, 5, 5): the maps of S4.
    """
    if not torch.is_grad_enabled():
        return _forward(images, w1, b1, w3, b3)[0]
    result: Tensor = _Convolutions.apply(images, w1, b1, w3, b3)
    return result


def layer_by_layer(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
    """Compute the result of `convolutions` with torch's operators."""
    s2 = nn.functional.max_pool2d(nn.functional.conv2d(images, w1, b1, padding=2 * (images.shape[-1] < 32)).relu(), 2)
    return nn.functional.max_pool2d(nn.functional.conv2d(s2, w3, b3).relu(), 2)


def _small_batch(images: Tensor, parameters: list[Tensor]) -> Tensor:
    """Compute all layers in a single call."""
    compiled = library()
    assert compiled is not None
    (count, _, _, size), classes = images.shape, parameters[-1].shape[0]
    images, result = images.contiguous(), images.new_empty(count, classes)
    pointers = [tensor.data_ptr() for tensor in parameters]
    threads = _num_threads(count)
    compiled.lenet5_logits(images.data_ptr(), size, *pointers, classes, result.data_ptr(), count, threads)
    return result


def _forward(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> tuple[Tensor, ...]:
    """Compute the maps of S4; return them and the tensors that the backward pass needs."""
    compiled = library()
    assert compiled is not None
    count = len(images)
    images, w1, b1, w3, b3 = (tensor.contiguous() for tensor in (images, w1, b1, w3, b3))
    s2, winners = images.new_empty(count, 6, 14, 16), images.new_empty(count, 1744, dtype=torch.int8)
    s4 = images.new_empty(count, 16, 5, 5)
    pointers = [tensor.data_ptr() for tensor in (w1, b1, w3, b3, s2, winners, s4)]
    compiled.lenet5_forward(images.data_ptr(), images.shape[-1], *pointers, count, _num_threads(count))
    return s4, images, w1, b1, w3, b3, s2, winners


class _Convolutions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
        s4, *saved = _forward(images, w1, b1, w3, b3)
        ctx.save_for_backward(*saved)
        return s4

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, w1, b1, w3, b3, s2, winners = ctx.saved_tensors
        if torch.is_grad_enabled():  # double backward
            needed = ctx.needs_input_grad[1:]
            inputs = [tensor for tensor, need in zip((w1, b1, w3, b3), needed, strict=True) if need]
            result = layer_by_layer(images, w1, b1, w3, b3)
            grads = iter(torch.autograd.grad(result, inputs, gradients, create_graph=True))
            return None, *(next(grads) if need else None for need in needed)
        compiled = library()
        assert compiled is not None
        threads = _num_threads(len(images))
        # Each row of a kernel holds 5 columns of 6 maps. Each kernel is stored twice, for a maximum in the left and in
        # the right column of a pooling window. Rows of zeros above and below serve its upper and its lower row.
        shifted = w3.new_zeros(16, 2, 7, 48)
        rows = w3.permute(0, 2, 3, 1).reshape(16, 5, 30)
        shifted[:, 0, 1:6, :30] = rows
        shifted[:, 1, 1:6, 6:36] = rows
        dw1, db1, dw3, db3 = (w3.new_zeros(threads, *shape) for shape in ((6, 5, 8), (6,), (16, 5, 32), (16,)))
        gradients = gradients.contiguous()
        pointers = [tensor.data_ptr() for tensor in (shifted, s2, winners, gradients, dw1, db1, dw3, db3)]
        compiled.lenet5_backward(images.data_ptr(), images.shape[-1], *pointers, len(images), threads)
        dw1, db1, dw3, db3 = (partial.sum(0) for partial in (dw1, db1, dw3, db3))
        by_row = dw3[:, :, :30].reshape(16, 5, 5, 6)
        return None, dw1[:, None, :, :5].contiguous(), db1, by_row.permute(0, 3, 1, 2).contiguous(), db3


def _num_threads(count: int) -> int:
    """Return the number of threads: at most one per image."""
    return min(torch.get_num_threads(), count)


def _are_supported(images: Tensor, size: int) -> bool:
    """Return True if C can read the images, they need no gradient, and no tracing or transforms are active."""
    if torch.compiler.is_compiling() or type(images) is not Tensor or size not in _FIRST or not lib.is_unobserved():
        return False
    shape = images.shape
    return bool(
        shape[1:] == (1, size, size)
        and shape[0]
        and images.dtype == torch.float32
        and images.is_cpu
        and not images.requires_grad
        and library() is not None
    )


def _parameters(layers: Iterable[Any], types: list[type[nn.Module]], size: int) -> list[Tensor] | None:
    """Return the parameters of the layers; None if the kernel cannot replace the layers or read the parameters."""
    parts: list[Any] = []
    for layer in layers:
        parts.append(layer)
        parts += layer._modules.values()
    if [type(part) for part in parts] != types or lib.have_hooks(parts) or not _have_settings(parts, size):
        return None
    parameters: list[Tensor] = [tensor for part in parts if part._parameters for tensor in part._parameters.values()]
    shapes = _SHAPES[:4]
    if types is _NETWORK:
        classes = parts[-1].out_features
        shapes = [*_SHAPES, (classes, 84), (classes,)]
    return parameters if lib.are_plain(parameters) and [tensor.shape for tensor in parameters] == shapes else None


def _have_settings(parts: list[Any], size: int) -> bool:
    """Return True if the layers convolve, pool and flatten as LeNet-5 does for images of this size."""
    return bool(
        lib.convolution_settings(parts[1]) == _FIRST[size]
        and lib.convolution_settings(parts[5]) == lib.UNPADDED
        and _pooling_settings(parts[3]) == _pooling_settings(parts[7]) == _TWO_BY_TWO
        and (len(parts) < len(_NETWORK) or _flatten_settings(parts[9]) == _FLAT)
    )


KERNELS[LeNet5.forward] = Kernel(logits=logits)
