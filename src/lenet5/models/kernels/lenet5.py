"""The kernel of `LeNet5`: C1 to S4 in one pass, and all layers in a single call for batches without gradients.

It applies to one channel of 28x28 or 32x32 pixels in float32, with ReLU and max pooling, on Linux with AVX-512, if no
hooks, tracing or transforms are active and nothing that the layers use has been replaced. docs/performance.md explains
it.
"""

import functools
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from .. import unmodified
from ..lenet5 import LeNet5
from . import library as lib
from .plan import Plans, Watch

_pooling_settings = attrgetter("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_flatten_settings = attrgetter("start_dim", "end_dim")
_TWO_BY_TWO, _FLAT = _pooling_settings(nn.MaxPool2d(2)), _flatten_settings(nn.Flatten())
_FIRST = {28: lib.PADDED, 32: lib.UNPADDED}  # settings of C1 by image size

_CONVOLUTIONS = [nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d] * 2
_HEAD = [nn.Sequential, nn.Flatten, nn.Linear, nn.ReLU, nn.Sequential, nn.Linear, nn.ReLU, nn.Linear]
_NETWORK = _CONVOLUTIONS + _HEAD
_SHAPES = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,)]  # without the output layer
MAX_CLASSES = 128  # as in C
_WATCH = Watch(
    (nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear),
    *("Sequential.__iter__", "Conv2d._conv_forward"),
    *(
        f"nn.modules.{path}"
        for path in ("conv.F.conv2d", "activation.F.relu", "pooling.F.max_pool2d", "linear.F.linear")
    ),
    *(f"nn.functional.torch.{name}" for name in ("relu", "relu_", "max_pool2d", "Tensor.flatten")),
)


class Functions:
    """The functions of C, for one instruction set."""

    def __init__(self, library: lib.Library) -> None:
        self.forward = library.function("lenet5_forward", "pi" + 7 * "p" + "li")
        self.backward = library.function("lenet5_backward", "pi" + 9 * "p" + "li")
        self.num_sums = library.function("lenet5_num_sums", "l", "l")
        self.logits = library.function("lenet5_logits", "pi" + 10 * "p" + "ipli")
        self.gradients = library.function("lenet5_gradients", "piplpifppi", "f")
        self.workspace = library.function("lenet5_workspace", "li", "l")


@functools.cache
def library() -> Functions | None:
    """Load the compiled functions; return None if they are unavailable."""
    loaded = lib.load()
    return Functions(loaded) if loaded else None


def logits(model: LeNet5, images: Tensor) -> Tensor | None:
    """Compute logits (N, num_classes); return None if the kernel does not apply.

    The checks run at every call, so that any change to the model takes effect. They are written for speed, because for
    one image they take longer than the arithmetic.
    """
    if not _are_supported(images, model.image_size):
        return None
    if not torch.is_grad_enabled():
        plan = NETWORKS.get(model)
        if plan is not None and plan.shapes[-1][0] <= MAX_CLASSES:
            return _whole_network(images, plan.addresses, plan.shapes[-1][0])
    elif not unmodified.saves_tensors_as_they_are():
        return None
    plan = _STAGES.get(model)
    if plan is None:
        return None
    x = convolutions(images, *plan.tensors())  # (N, 16, 5, 5)
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


def _whole_network(images: Tensor, addresses: list[int], classes: int) -> Tensor:
    """Compute all layers in a single call."""
    compiled = library()
    assert compiled is not None
    count, _, _, size = images.shape
    images, result = images.contiguous(), images.new_empty(count, classes)
    compiled.logits(images.data_ptr(), size, *addresses, classes, result.data_ptr(), count, torch.get_num_threads())
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
    compiled.forward(images.data_ptr(), images.shape[-1], *pointers, count, torch.get_num_threads())
    return s4, images, w1, b1, w3, b3, s2, winners


class _Convolutions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor) -> Tensor:
        s4, *saved = _forward(images, w1, b1, w3, b3)
        ctx.save_for_backward(*saved)
        return s4

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = images, w1, b1, w3, b3, s2, winners = ctx.saved_tensors
        gradients = gradients.contiguous()
        if torch.is_grad_enabled() or not _can_read([gradients, *saved]):
            return None, *_gradients_layer_by_layer(ctx.needs_input_grad[1:], gradients, images, w1, b1, w3, b3)
        compiled = library()
        assert compiled is not None
        computed = [torch.empty_like(tensor) for tensor in (w1, b1, w3, b3)]
        sums = w3.new_empty(compiled.num_sums(len(images)))
        pointers = [tensor.data_ptr() for tensor in (w3, s2, winners, gradients, sums, *computed)]
        compiled.backward(images.data_ptr(), images.shape[-1], *pointers, len(images), torch.get_num_threads())
        return None, *computed


def _can_read(tensors: Sequence[Tensor]) -> bool:
    """Return True if C can read the gradients of S4 and the saved tensors, which hooks may have replaced."""
    *others, winners = tensors
    return all(map(unmodified.is_readable, others)) and unmodified.is_readable(winners, torch.int8)


def _gradients_layer_by_layer(needed: Sequence[bool], gradients: Tensor, *saved: Tensor) -> list[Tensor | None]:
    """Compute the gradients of the parameters with torch's operators, differentiably for a double backward."""
    images, *parameters = saved
    twice = torch.is_grad_enabled()
    if not twice:
        parameters = [tensor.detach().requires_grad_() for tensor in parameters]
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        result = layer_by_layer(images, *parameters)
    wanted = [tensor for tensor, need in zip(parameters, needed, strict=True) if need]
    computed = iter(torch.autograd.grad(result, wanted, gradients, create_graph=twice))
    return [next(computed) if need else None for need in needed]


def _are_supported(images: Tensor, size: int) -> bool:
    """Return True if C can read the images, they need no gradient, and no tracing or transforms are active."""
    return bool(
        not torch.compiler.is_compiling()
        and size in _FIRST
        and unmodified.is_unobserved()
        and unmodified.is_dense(images)
        and images.dtype is torch.float32
        and images.shape[1:] == (1, size, size)
        and images.shape[0]
        and not images.requires_grad
        and library() is not None
    )


def _find_layers(
    model: LeNet5, names: Sequence[str], types: list[type[nn.Module]], shapes: list[tuple[int, ...]]
) -> list[nn.Module] | None:
    """Return layers with their children; None if they differ from those that the kernel replaces."""
    parts: list[Any] = []
    for name in names:
        layer = model._modules.get(name)
        parts += [layer, *layer._modules.values()] if layer is not None else []
    if [type(part) for part in parts] != types or not _have_settings(parts, model.image_size):
        return None
    parameters = [tensor for part in parts for tensor in part._parameters.values()]
    if types is _NETWORK:
        shapes = [*shapes, (parts[-1].out_features, 84), (parts[-1].out_features,)]
    readable = all(map(unmodified.is_readable, parameters))
    return parts if readable and [tensor.shape for tensor in parameters] == shapes else None


def _have_settings(parts: list[Any], size: int) -> bool:
    """Return True if the layers convolve, pool and flatten as LeNet-5 does for images of this size."""
    return bool(
        lib.convolution_settings(parts[1]) == _FIRST[size]
        and lib.convolution_settings(parts[5]) == lib.UNPADDED
        and _pooling_settings(parts[3]) == _pooling_settings(parts[7]) == _TWO_BY_TWO
        and (len(parts) < len(_NETWORK) or _flatten_settings(parts[9]) == _FLAT)
    )


_STAGES = Plans(
    _WATCH, functools.partial(_find_layers, names=("c1", "s2", "c3", "s4"), types=_CONVOLUTIONS, shapes=_SHAPES[:4])
)
NETWORKS = Plans(
    _WATCH,
    functools.partial(
        _find_layers, names=("c1", "s2", "c3", "s4", "c5", "f6", "output"), types=_NETWORK, shapes=_SHAPES
    ),
)
