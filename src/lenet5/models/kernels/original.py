"""The kernel of `LeNet5Original`: the loss and all gradients of a small batch in a single call.

The published procedure trains on one image per step, where calling torch's operators costs far more than the
arithmetic. The kernel applies in float32 on the CPU, on Linux with x86-64, for the paper's losses and cross-entropy, if
no hooks, tracing or transforms are active and nothing that the layers use has been replaced.
"""

import ctypes
import functools
import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from .. import unmodified
from ..classifier import KERNELS, Kernel
from ..original.layers import EuclideanRBF, PartialConv2d, ScaledTanh, Subsampling
from ..original.losses import MAPLoss, MLELoss
from ..original.network import LeNet5Original
from . import library as lib
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
def library() -> ctypes.CDLL | None:
    """Load the compiled function; return None if it is unavailable."""
    compiled = lib.load("original")
    if compiled is not None:
        lib.bind(compiled.lenet5_original_gradients, "pplppipifp", "f")
    return compiled


def gradients(model: LeNet5Original, loss_fn: Any) -> "Gradients | None":
    """Return the kernel for a model and a loss, or None if it does not apply; see `ImageClassifier.fused_gradients`."""
    kernel = Gradients(model, loss_fn)
    return kernel if kernel.applies() else None


class Gradients:
    """The mean loss of a small batch, and its gradient with respect to each parameter.

    Parameters
    ----------
    model
        The network.
    loss_fn
        The loss.
    """

    model: LeNet5Original
    loss_fn: nn.Module
    parameters: list[nn.Parameter]
    prototypes: Tensor
    j: float | None
    connections: Tensor
    gradients: list[Tensor]

    def __init__(self, model: LeNet5Original, loss_fn: Any) -> None:
        self.model, self.loss_fn = model, loss_fn
        self._plans: tuple[Plan | None, Plan | None] = None, None

    def applies(self) -> bool:
        """Return True if C computes what the layers and the loss compute now, and nothing observes them."""
        if library() is None or not unmodified.is_unobserved() or not unmodified.saves_tensors_as_they_are():
            return False
        plan, loss_plan = _NETWORKS.get(self.model), _LOSSES.get(self.loss_fn)
        if plan is None or loss_plan is None:
            return False
        if (plan, loss_plan) != self._plans:
            self._prepare(plan)
            self._plans = plan, loss_plan
        return not any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in self.parameters)

    def _prepare(self, plan: Plan) -> None:
        """Prepare what stays the same from call to call."""
        self.j, self.parameters = _reject_distance(self.loss_fn), list(self.model.parameters())
        self._addresses = lib.pointers(plan.addresses[: len(self.parameters)])
        c3, rbf = cast("tuple[PartialConv2d, EuclideanRBF]", (self.model.c3.conv, self.model.output))
        self.connections = torch.stack([c3.index // c3.in_channels, c3.index % c3.in_channels], 1).int()
        self.prototypes = rbf.prototypes
        sizes = [parameter.numel() for parameter in self.parameters]
        parts = torch.split(torch.empty(sum(sizes), dtype=torch.float32, device="cpu"), sizes)
        self.gradients = [part.view_as(parameter) for part, parameter in zip(parts, self.parameters, strict=True)]
        self._gradient_addresses = lib.pointers([gradient.data_ptr() for gradient in self.gradients])

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor | None:
        """Compute the mean loss, and set the gradients of the parameters, which must be None before.

        The next call overwrites the gradients in place.

        Parameters
        ----------
        images
            (N, 1, 32, 32) float32, with N up to 8.
        targets
            (N,) int64.

        Returns
        -------
        Tensor or None
            The loss. For an unsupported batch, None, and nothing is changed.
        """
        if not self.applies() or not self._can_read(images, targets):
            return None
        parameters = self.parameters
        if any(parameter.grad is not None for parameter in parameters):
            return None
        compiled = library()
        assert compiled is not None
        loss = compiled.lenet5_original_gradients(
            *(images.data_ptr(), targets.data_ptr(), len(images), self._addresses),
            *(self.connections.data_ptr(), len(self.connections)),
            *(self.prototypes.data_ptr(), len(self.prototypes), self.j, self._gradient_addresses),
        )
        for parameter, gradient in zip(parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return torch.tensor(loss, dtype=torch.float32, device="cpu")

    def _can_read(self, images: Tensor, targets: Tensor) -> bool:
        """Return True if C can read a batch, its targets are classes, and its images need no gradient."""
        return bool(
            unmodified.is_readable(images)
            and unmodified.is_readable(targets, torch.int64)
            and images.shape[1:] == (1, 32, 32)
            and targets.shape == (len(images),)
            and 0 < len(images) <= lib.FEW
            and 0 <= min(classes := targets.tolist()) <= max(classes) < len(self.prototypes)
            and not images.requires_grad
        )


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


_NETWORKS = Plans(_LAYER_FUNCTIONS, _find_layers)
_LOSSES = Plans(_LOSS_FUNCTIONS, lambda loss_fn: None if _reject_distance(loss_fn) is None else [])
KERNELS[LeNet5Original.forward] = Kernel(gradients=gradients)
