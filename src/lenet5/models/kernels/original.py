"""The kernel of `LeNet5Original`: the loss and all gradients of a small batch in a single call.

The published procedure trains on one image per step, where calling torch's operators costs far more than the
arithmetic. The kernel applies in float32 on the CPU, on Linux with x86-64, for the paper's losses and cross-entropy, if
no hooks, tracing or transforms are active.
"""

import ctypes
import functools
import math
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..classifier import KERNELS, Kernel
from ..original.layers import EuclideanRBF, PartialConv2d, ScaledTanh, Subsampling
from ..original.losses import MAPLoss, MLELoss
from ..original.network import LeNet5Original
from . import library as lib

_SHAPES = [(6, 1, 5, 5), (6,), (6,), (6,), None, (16,), (16,), (16,), (120, 16, 5, 5), (120,), (84, 120), (84,)]
_MAX_CLASSES = 128
_LAYERS: list[type[nn.Module]] = [
    *(nn.Sequential, nn.Conv2d, ScaledTanh),
    *(nn.Sequential, Subsampling, ScaledTanh),
    *(nn.Sequential, PartialConv2d, ScaledTanh),
    *(nn.Sequential, Subsampling, ScaledTanh),
    *(nn.Sequential, nn.Conv2d, ScaledTanh, nn.Flatten),
    *(nn.Sequential, nn.Linear, ScaledTanh),
    EuclideanRBF,
]


@functools.cache
def library() -> ctypes.CDLL | None:
    """Load the compiled function; return None if it is unavailable."""
    compiled = lib.load("original")
    if compiled is not None:
        lib.bind(compiled.lenet5_original_gradients, "pplppipifp", "f")
    return compiled


def gradients(model: LeNet5Original, loss_fn: Any) -> "Gradients | None":
    """Return the kernel for a model and a loss, or None if it does not apply; see `ImageClassifier.fused_gradients`."""
    j = _reject_distance(loss_fn)
    parameters, modules = list(model.parameters()), list(model.modules())
    if j is None or library() is None or [type(module) for module in modules[1:]] != _LAYERS:
        return None
    c3, rbf = cast("tuple[PartialConv2d, EuclideanRBF]", (modules[8], modules[-1]))
    table, prototypes = c3.table, rbf.prototypes
    shapes = [(len(c3.weight), 5, 5) if shape is None else shape for shape in _SHAPES]
    convolutions = [lib.convolution_settings(module) for module in modules if type(module) is nn.Conv2d]
    if (
        [tuple(parameter.shape) for parameter in parameters] != shapes
        or convolutions != [lib.UNPADDED] * 2
        or c3.in_channels != 6
        or len(prototypes) > _MAX_CLASSES
        or not lib.are_plain([*parameters, prototypes])
        or not all(parameter.requires_grad for parameter in parameters)
        or lib.have_hooks([*modules, loss_fn])
        or any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in parameters)
        or not lib.is_unobserved()
    ):
        return None
    return Gradients(parameters, table, prototypes, j)


class Gradients:
    """The mean loss of a small batch, and its gradient with respect to each parameter.

    Parameters
    ----------
    parameters
        The parameters of a `LeNet5Original`, in order.
    table
        The maps of S2 that each map of C3 is connected to.
    prototypes
        (num_classes, 84).
    j
        As in `MAPLoss`. Infinite for cross-entropy, negative for `MLELoss`.
    """

    parameters: list[nn.Parameter]
    prototypes: Tensor
    j: float
    connections: Tensor
    gradients: list[Tensor]

    def __init__(
        self, parameters: list[nn.Parameter], table: Iterable[Iterable[int]], prototypes: Tensor, j: float
    ) -> None:
        self.parameters, self.prototypes, self.j = parameters, prototypes, j
        connections = [(output, source) for output, row in enumerate(table) for source in row]
        self.connections = torch.tensor(connections, dtype=torch.int32, device="cpu")
        sizes = [parameter.numel() for parameter in parameters]
        parts = torch.split(torch.empty(sum(sizes), dtype=torch.float32, device="cpu"), sizes)
        self.gradients = [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]
        self._gradient_addresses = lib.addresses(self.gradients)

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
        count, parameters = len(images), self.parameters
        if (
            images.shape[1:] != (1, 32, 32)
            or targets.shape != (count,)
            or not 0 < count <= lib.FEW
            or images.dtype != torch.float32
            or targets.dtype != torch.int64
            or not (images.is_cpu and targets.is_cpu and images.is_contiguous() and targets.is_contiguous())
            or not 0 <= min(classes := targets.tolist()) <= max(classes) < len(self.prototypes)
            or images.requires_grad
            or any(p.grad is not None or not p.requires_grad or not p.is_cpu for p in parameters)
        ):
            return None
        compiled = library()
        assert compiled is not None
        loss = compiled.lenet5_original_gradients(
            *(images.data_ptr(), targets.data_ptr(), count, lib.addresses(parameters)),
            *(self.connections.data_ptr(), len(self.connections)),
            *(self.prototypes.data_ptr(), len(self.prototypes), self.j, self._gradient_addresses),
        )
        for parameter, gradient in zip(parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return torch.tensor(loss, dtype=torch.float32, device="cpu")


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


KERNELS[LeNet5Original.forward] = Kernel(gradients=gradients)
