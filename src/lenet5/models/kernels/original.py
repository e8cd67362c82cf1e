"""The kernel of `LeNet5Original`: the loss and all gradients of a small batch in a single call.

The published procedure trains on one image per step, where calling torch's operators costs far more than the
arithmetic. The kernel applies in float32 on the CPU, on Linux with x86-64, for the paper's losses and cross-entropy, if
no hooks, tracing or transforms are active and nothing that the layers use has been replaced.
"""

import functools
import math
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from .. import unmodified
from ..classifier import KERNELS, Kernel
from ..original.layers import EuclideanRBF, PartialConv2d, ScaledTanh, Subsampling
from ..original.losses import MAPLoss, MLELoss
from ..original.network import LeNet5Original
from . import library as lib
from .gradients import Gradients
from .plan import Plan, Plans, Watch

_SHAPES = [(6, 1, 5, 5), (6,), (6,), (6,), None, (16,), (16,), (16,), (120, 16, 5, 5), (120,), (84, 120), (84,)]
_MAX_CLASSES = 128
_NAMES = ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
_LAYERS: list[type[nn.Module]] = [
    *(nn.Sequential, nn.Conv2d, ScaledTanh),
    *(nn.Sequential, Subsampling, ScaledTanh),
    *(nn.Sequential, PartialConv2d, ScaledTanh),
    *(nn.Sequential, Subsampling, ScaledTanh),
    *(nn.Sequential, nn.Conv2d, ScaledTanh, nn.Flatten),
    *(nn.Sequential, nn.Linear, ScaledTanh),
    EuclideanRBF,
]

_LAYER_FUNCTIONS = Watch(
    (nn.Sequential, nn.Conv2d, nn.Flatten, nn.Linear, ScaledTanh, Subsampling, PartialConv2d, EuclideanRBF),
    *("Sequential.__iter__", "Conv2d._conv_forward", "PartialConv2d.dense_weight"),
    *("ScaledTanh.amplitude", "ScaledTanh.slope"),
    *("nn.modules.conv.F.conv2d", "nn.modules.linear.F.linear"),
    *(f"nn.functional.{name}" for name in ("avg_pool2d", "conv2d", "torch.tanh")),
    *(f"nn.functional.torch.Tensor.{name}" for name in ("flatten", "square", "index_copy")),
)
_LOSS_FUNCTIONS = Watch(
    (MAPLoss, MLELoss, nn.CrossEntropyLoss),
    *("MAPLoss.with_reject_class", "nn.functional.cross_entropy", "nn.functional.nll_loss", "nn.functional.torch.cat"),
)


@functools.cache
def library() -> Any:
    """Load the compiled function; return None if it is unavailable."""
    loaded = lib.load()
    return loaded and loaded.function("lenet5_original_gradients", "pplppipifp", "f")


class OriginalGradients(Gradients[LeNet5Original]):
    """The gradients of `LeNet5Original`, for small batches."""

    networks: ClassVar[Plans] = Plans(_LAYER_FUNCTIONS, lambda model: _find_layers(model))  # noqa: PLW0108 (see below)
    losses: ClassVar[Plans] = Plans(_LOSS_FUNCTIONS, lambda loss_fn: None if _reject_distance(loss_fn) is None else [])
    j: float | None
    connections: Tensor
    prototypes: Tensor

    def prepare(self, plan: Plan) -> None:  # noqa: ARG002 (the addresses are known)
        """Prepare the loss, the connections of C3 and the prototypes."""
        self.j = _reject_distance(self.loss_fn)
        c3, rbf = cast("tuple[PartialConv2d, EuclideanRBF]", (self.model.c3.conv, self.model.output))
        self.connections = torch.stack([c3.index // c3.in_channels, c3.index % c3.in_channels], 1).int()
        self.prototypes = rbf.prototypes

    def limits(self) -> tuple[int, int]:
        """Return the largest batch, and the number of classes."""
        return lib.FEW, len(self.prototypes)

    def compute(self, images: Tensor, targets: Tensor) -> float:
        """Call C: return the mean loss, and write the gradients."""
        compiled = library()
        assert compiled is not None
        loss: float = compiled(
            *(images.data_ptr(), targets.data_ptr(), len(images), self.parameter_addresses),
            *(self.connections.data_ptr(), len(self.connections)),
            *(self.prototypes.data_ptr(), len(self.prototypes), self.j, self.gradient_addresses),
        )
        return loss


def gradients(model: LeNet5Original, loss_fn: Any) -> OriginalGradients | None:
    """Return the kernel for a model and a loss, or None if it does not apply; see `ImageClassifier.fused_gradients`."""
    if library() is None:
        return None
    kernel = OriginalGradients(model, loss_fn)
    return kernel if kernel.applies() else None


def _find_layers(model: LeNet5Original) -> list[nn.Module] | None:
    """Return the layers with their children; None if they differ from those that the kernel replaces."""
    children = [layer for layer in model._modules.values() if layer is not None]
    layers: list[Any] = [part for layer in children for part in [layer, *layer._modules.values()]]
    if [type(layer) for layer in layers] != _LAYERS or list(model._modules) != _NAMES:
        return None
    c3, rbf = cast("tuple[PartialConv2d, EuclideanRBF]", (layers[7], layers[-1]))
    parameters = [tensor for layer in layers for tensor in layer._parameters.values()]
    if not all(map(unmodified.is_readable, [*parameters, rbf.prototypes])):
        return None
    shapes = [(len(c3.weight), 5, 5) if shape is None else shape for shape in _SHAPES]
    convolutions = [lib.convolution_settings(layer) for layer in layers if type(layer) is nn.Conv2d]
    if (
        [tuple(parameter.shape) for parameter in parameters] != shapes
        or not all(parameter.requires_grad for parameter in parameters)
        or convolutions != [lib.UNPADDED] * 2
        or (c3.in_channels, c3.out_channels) != (6, 16)
        or not _is_table(c3.index, len(c3.weight))
        or not 0 < len(rbf.prototypes) <= _MAX_CLASSES
    ):
        return None
    return layers


def _is_table(index: Tensor, connections: int) -> bool:
    """Return True if C3's index has one connection from 6 maps to 16 for each kernel."""
    readable = unmodified.is_readable(index, torch.int64) and index.shape == (connections,)
    return readable and 0 <= int(index.min()) <= int(index.max()) < 6 * 16


def _reject_distance(loss_fn: Any) -> float | None:
    """Return the `j` that selects a loss in C; None for an unsupported loss."""
    if type(loss_fn) is MAPLoss:
        return loss_fn.j
    if type(loss_fn) is MLELoss:
        return -1.0
    if type(loss_fn) is nn.CrossEntropyLoss and loss_fn.weight is None:
        default = (loss_fn.label_smoothing, loss_fn.reduction, loss_fn.ignore_index) == (0, "mean", -100)
        return math.inf if default else None
    return None


KERNELS[LeNet5Original.forward] = Kernel(logits, gradients, limits="any batch, up to 128 classes")
