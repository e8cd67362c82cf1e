"""The kernel of `LeNet5`: C1 to S4 in one pass, and all layers in a single call for batches without gradients.

It applies to images of 28x28 or 32x32 pixels in float32, with up to 4 channels and 128 classes, ReLU, tanh or sigmoid,
and max or average pooling, if no hooks, tracing or transforms are active and nothing that the layers use has been
replaced. docs/performance.md explains it.
"""

import ctypes
import functools
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from .. import unmodified
from ..lenet5 import LeNet5
from . import library as lib
from .plan import Plan, Plans, Watch

ACTIVATIONS: list[type[nn.Module]] = [nn.ReLU, nn.Tanh, nn.Sigmoid]  # by their numbers in C
MAX_CHANNELS, MAX_CLASSES = 4, 128  # as in C

_SETTINGS = {
    nn.MaxPool2d: attrgetter("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    nn.AvgPool2d: attrgetter("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    nn.Flatten: attrgetter("start_dim", "end_dim"),
}
_DEFAULTS = {layer: _SETTINGS[layer](example) for layer, example in (
    (nn.MaxPool2d, nn.MaxPool2d(2)), (nn.AvgPool2d, nn.AvgPool2d(2)), (nn.Flatten, nn.Flatten())
)}  # fmt: skip
_FIRST = {28: lib.PADDED, 32: lib.UNPADDED}  # settings of C1 by image size

_LAYERS = ("c1", "s2", "c3", "s4", "c5", "f6", "output")
_SHAPES = [
    (6,),
    (16, 6, 5, 5),
    (16,),
    (120, 400),
    (120,),
    (84, 120),
    (84,),
]  # without C1's weights and the output layer
_WATCH = Watch(
    (nn.Sequential, nn.Conv2d, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.MaxPool2d, nn.AvgPool2d, nn.Flatten, nn.Linear),
    *("Sequential.__iter__", "Conv2d._conv_forward"),
    *(f"nn.modules.{path}" for path in ("conv.F.conv2d", "activation.F.relu", "linear.F.linear")),
    *(f"nn.modules.pooling.F.{name}" for name in ("max_pool2d", "avg_pool2d")),
    *(f"nn.functional.torch.{name}" for name in ("relu", "relu_", "tanh", "sigmoid", "max_pool2d", "Tensor.flatten")),
)


class Kind(NamedTuple):
    """What C1 to S4 compute: the pooling, and the number of the activation."""

    average: bool = False
    activation: int = 0


RELU_AND_MAX = Kind()


class Network(ctypes.Structure):
    """A network as C sees it: pointers to the parameters, and what else decides what it computes."""

    _fields_ = (
        ("parameters", ctypes.c_void_p * 10),
        *((name, ctypes.c_int32) for name in ("size", "channels", "classes", "average", "activation")),
    )

    @classmethod
    def of(cls, kind: Kind, shape: Sequence[int], addresses: Sequence[int], classes: int = 0) -> Self:
        """Describe a network for images of a shape (C, H, W), whose first parameters have these addresses."""
        return cls((ctypes.c_void_p * 10)(*addresses), shape[-1], shape[0], classes, *kind)

    @classmethod
    def of_plan(cls, plan: Plan, shape: Sequence[int]) -> Self:
        """Describe the network of a plan of all layers."""
        return cls.of(kind_of(plan.layers), shape, plan.addresses, plan.shapes[-1][0])


class Functions:
    """The functions of C, for one instruction set."""

    def __init__(self, library: lib.Library) -> None:
        self.forward: Any = library.function("lenet5_forward", "pppppli")
        self.backward: Any = library.function("lenet5_backward", "ppppppppli")
        self.num_sums: Any = library.function("lenet5_num_sums", "l", "l")
        self.logits: Any = library.function("lenet5_logits", "pppli")
        self.gradients: Any = library.function("lenet5_gradients", "ppplfppi", "f")
        self.workspace: Any = library.function("lenet5_workspace", "pl", "l")


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
    if model.image_size not in _FIRST or not are_supported(images, model.image_shape) or library() is None:
        return None
    if not torch.is_grad_enabled():
        plan = NETWORKS.get(model)
        if plan is not None:
            return _whole_network(images, plan)
    elif not unmodified.saves_tensors_as_they_are():
        return None
    plan = _STAGES.get(model)
    if plan is None:
        return None
    w1, b1, w3, b3 = plan.tensors()
    x = convolutions(images, w1, b1, w3, b3, kind_of(plan.layers))  # (N, 16, 5, 5)
    result: Tensor = model.output(model.f6(model.c5(x)))
    return result


def kind_of(layers: Sequence[nn.Module]) -> Kind:
    """Return what layers compute that begin with C1, its convolution and activation, and S2."""
    return Kind(type(layers[3]) is nn.AvgPool2d, ACTIVATIONS.index(type(layers[2])))


def convolutions(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor, kind: Kind = RELU_AND_MAX) -> Tensor:
    """Compute C1, S2, C3 and S4 in one pass.

    Parameters
    ----------
    images
        (N, C, 28, 28) or (N, C, 32, 32) float32, with up to 4 channels.
    w1, b1, w3, b3
        Weights (6, C, 5, 5) and biases (6,) of C1, weights (16, 6, 5, 5) and biases (16,) of C3.
    kind
        The pooling and the activation.

    Returns
    -------
    Tensor
        (N, 16, 5, 5): the maps of S4.
    """
    if not torch.is_grad_enabled():
        return _forward(images, w1, b1, w3, b3, kind)[0]
    result: Tensor = _Convolutions.apply(images, w1, b1, w3, b3, kind)
    return result


def layer_by_layer(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor, kind: Kind = RELU_AND_MAX) -> Tensor:
    """Compute the result of `convolutions` with torch's operators."""
    activation = (torch.relu, torch.tanh, torch.sigmoid)[kind.activation]
    pool = nn.functional.avg_pool2d if kind.average else nn.functional.max_pool2d
    s2 = pool(activation(nn.functional.conv2d(images, w1, b1, padding=2 * (images.shape[-1] < 32))), 2)
    return pool(activation(nn.functional.conv2d(s2, w3, b3)), 2)


def describe(model: LeNet5) -> tuple[Network, Any] | None:
    """Return a model as C sees it, and the function of C; None if the kernel does not apply."""
    compiled, plan = library(), NETWORKS.get(model)
    if compiled is None or plan is None:
        return None
    return Network.of_plan(plan, model.image_shape), compiled.logits


def _whole_network(images: Tensor, plan: Plan) -> Tensor:
    """Compute all layers in a single call."""
    compiled = library()
    assert compiled is not None
    images = images.contiguous()
    if plan.described is None:
        plan.described = Network.of_plan(plan, images.shape[1:])
    network, count = plan.described, len(images)
    result = images.new_empty(count, network.classes)
    compiled.logits(ctypes.addressof(network), images.data_ptr(), result.data_ptr(), count, torch.get_num_threads())
    return result


def _forward(images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor, kind: Kind) -> tuple[Tensor, ...]:
    """Compute the maps of S4; return them and the tensors that the backward pass needs."""
    compiled = library()
    assert compiled is not None
    count = len(images)
    images, *parameters = (tensor.contiguous() for tensor in (images, w1, b1, w3, b3))
    s2, s4 = images.new_empty(count, 6, 14, 16), images.new_empty(count, 16, 5, 5)
    kept = images.new_empty((count, 4, 1744)) if kind.average else images.new_empty((count, 1744), dtype=torch.int8)
    network = Network.of(kind, images.shape[1:], [parameter.data_ptr() for parameter in parameters])
    pointers = [tensor.data_ptr() for tensor in (images, s2, kept, s4)]
    compiled.forward(ctypes.addressof(network), *pointers, count, torch.get_num_threads())
    return s4, images, *parameters, s2, kept


class _Convolutions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor, kind: Kind) -> Tensor:
        ctx.kind = kind
        s4, *saved = _forward(images, w1, b1, w3, b3, kind)
        # the caller may change the result in place; the derivatives of tanh and sigmoid need it as it was
        ctx.save_for_backward(*saved, s4.clone() if kind.activation else s4.new_empty(0))
        return s4

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, w1, b1, w3, b3, s2, kept, s4 = saved = ctx.saved_tensors
        gradients, kind = gradients.contiguous(), ctx.kind
        if torch.is_grad_enabled() or not _can_read([gradients, *saved], kind):
            needed = ctx.needs_input_grad[1:5]
            return None, *_gradients_layer_by_layer(needed, gradients, kind, images, w1, b1, w3, b3), None
        compiled = library()
        assert compiled is not None
        parameters = (w1, b1, w3, b3)
        computed = [torch.empty_like(parameter) for parameter in parameters]
        sums = w3.new_empty(compiled.num_sums(len(images)))
        network = Network.of(kind, images.shape[1:], [parameter.data_ptr() for parameter in parameters])
        pointers = [tensor.data_ptr() for tensor in (images, s2, kept, s4, gradients, sums)]
        outputs = lib.pointers([tensor.data_ptr() for tensor in computed])
        compiled.backward(ctypes.addressof(network), *pointers, outputs, len(images), torch.get_num_threads())
        return None, *computed, None


def _can_read(tensors: Sequence[Tensor], kind: Kind) -> bool:
    """Return True if C can read the gradients of S4 and the saved tensors, which hooks may have replaced."""
    *others, kept, s4 = tensors
    dtype = torch.float32 if kind.average else torch.int8
    return all(map(unmodified.is_readable, [*others, s4])) and unmodified.is_readable(kept, dtype)


def _gradients_layer_by_layer(
    needed: Sequence[bool], gradients: Tensor, kind: Kind, *saved: Tensor
) -> list[Tensor | None]:
    """Compute the gradients of the parameters with torch's operators, differentiably for a double backward."""
    images, w1, b1, w3, b3 = saved
    parameters = [w1, b1, w3, b3]
    twice = torch.is_grad_enabled()
    if not twice:
        parameters = [tensor.detach().requires_grad_() for tensor in parameters]
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        w1, b1, w3, b3 = parameters
        result = layer_by_layer(images, w1, b1, w3, b3, kind)
    wanted = [tensor for tensor, need in zip(parameters, needed, strict=True) if need]
    computed = iter(torch.autograd.grad(result, wanted, gradients, create_graph=twice))
    return [next(computed) if need else None for need in needed]


def are_supported(images: Tensor, shape: tuple[int, ...]) -> bool:
    """Return True if C can read images of this shape, they need no gradient, and nothing traces or transforms them."""
    return bool(
        not torch.compiler.is_compiling()
        and unmodified.is_unobserved()
        and unmodified.is_dense(images)
        and images.dtype is torch.float32
        and images.shape[1:] == shape
        and images.shape[0]
        and not images.requires_grad
    )


def _find_layers(model: LeNet5, names: Sequence[str]) -> list[nn.Module] | None:
    """Return layers with their children; None if they differ from those that the kernel replaces."""
    parts: list[Any] = []
    for name in names:
        layer = model._modules.get(name)
        parts += [layer, *layer._modules.values()] if layer is not None else []
    if len(parts) < 4 or not _have_settings(parts, names, model.image_size):
        return None
    parameters = [tensor for part in parts for tensor in part._parameters.values()]
    shapes = [(6, parts[1].in_channels, 5, 5), *_SHAPES][: len(parameters)]
    if names is _LAYERS:
        shapes += [(parts[-1].out_features, 84), (parts[-1].out_features,)]
        if not 0 < parts[-1].out_features <= MAX_CLASSES:
            return None
    if not all(map(unmodified.is_readable, parameters)) or parts[1].in_channels > MAX_CHANNELS:
        return None
    return parts if [tensor.shape for tensor in parameters] == shapes else None


def _have_settings(parts: list[Any], names: Sequence[str], size: int) -> bool:
    """Return True if layers convolve, pool and flatten as LeNet-5 does for images of this size."""
    activation, pooling = type(parts[2]), type(parts[3])
    types = [nn.Sequential, nn.Conv2d, activation, pooling] * 2
    if names is _LAYERS:
        types += [nn.Sequential, nn.Flatten, nn.Linear, activation, nn.Sequential, nn.Linear, activation, nn.Linear]
    return bool(
        [*map(type, parts)] == types
        and activation in ACTIVATIONS
        and pooling in _DEFAULTS
        and lib.convolution_settings(parts[1]) == _FIRST.get(size)
        and lib.convolution_settings(parts[5]) == lib.UNPADDED
        and all(_SETTINGS[type(part)](part) == _DEFAULTS[type(part)] for part in parts if type(part) in _SETTINGS)
    )


_STAGES = Plans(_WATCH, functools.partial(_find_layers, names=_LAYERS[:4]))
NETWORKS = Plans(_WATCH, functools.partial(_find_layers, names=_LAYERS))
