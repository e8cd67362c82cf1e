"""Loss and gradients of the network of 1998 in one call of `online.c`, for training with one image at a time.

Layer by layer, a step takes torch a hundred calls, each of which costs more than what it computes. This is used where
it applies: float32 on the CPU, Linux on x86-64, the paper's loss or cross-entropy, and nobody who looks into the
layers. `LENET5_FUSED=0` in the environment turns it off.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .fused import UNPADDED, convolution_settings, is_unobserved
from .layers import EuclideanRBF, PartialConv2d, ScaledTanh, Subsampling
from .losses import MAPLoss, MLELoss

if TYPE_CHECKING:
    from .original import LeNet5Original

_LIBRARY = Path(__file__).with_name("libonline.so")
_POINTER, _INT, _LONG, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_float
_SHAPES = [(6, 1, 5, 5), (6,), (6,), (6,), None, (16,), (16,), (16,), (120, 16, 5, 5), (120,), (84, 120), (84,)]
_MOST_CLASSES = 128
_LAYERS: list[type[nn.Module]] = [
    *(nn.Sequential, nn.Conv2d, ScaledTanh),
    *(nn.Sequential, Subsampling, ScaledTanh),
    *(nn.Sequential, PartialConv2d, ScaledTanh),
    *(nn.Sequential, Subsampling, ScaledTanh),
    *(nn.Sequential, nn.Conv2d, ScaledTanh, nn.Flatten),
    *(nn.Sequential, nn.Linear, ScaledTanh),
    EuclideanRBF,
]
FEW = 8  # images beyond which torch's threads and its matrix products gain more than its calls cost


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled function; None where there is none."""
    if os.environ.get("LENET5_FUSED") == "0":
        return None
    try:
        found = ctypes.CDLL(str(_LIBRARY))
    except OSError:
        return None
    function = found.lenet5_original_gradients
    function.argtypes = [_POINTER, _POINTER, _LONG, _POINTER, _POINTER, _INT, _POINTER, _INT, _FLOAT, _POINTER]
    function.restype = _FLOAT
    return found


def gradients_of(model: LeNet5Original, loss_fn: Any) -> Gradients | None:
    """Return what computes the loss and the gradients of a network, if C does it and nobody sees it.

    It holds for as long as the model has the same modules, parameters and hooks; their values may change.

    Parameters
    ----------
    model
        A `LeNet5Original`.
    loss_fn
        Maps logits and targets to the mean loss.
    """
    j = _number(loss_fn)
    parameters, modules = list(model.parameters()), list(model.modules())
    if j is None or library() is None or [type(module) for module in modules[1:]] != _LAYERS:
        return None
    (kernels,) = (module for module in modules if isinstance(module, PartialConv2d))
    (rbf,) = (module for module in modules if isinstance(module, EuclideanRBF))
    convolutions = [convolution_settings(module) for module in modules if type(module) is nn.Conv2d]
    table, prototypes = kernels.table, rbf.prototypes
    expected = [(sum(map(len, table)), 5, 5) if shape is None else shape for shape in _SHAPES]
    if (
        [tuple(parameter.shape) for parameter in parameters] != expected
        or convolutions != [UNPADDED] * 2
        or kernels.in_channels != 6
        or len(prototypes) > _MOST_CLASSES
        or not all(_is_plain(tensor) for tensor in (*parameters, prototypes))
        or not all(parameter.requires_grad for parameter in parameters)
        or any("forward" in vars(module) for module in modules)
        or any(_is_watched(one) for one in [*modules, *parameters, loss_fn])
        or not is_unobserved()
    ):
        return None
    return Gradients(parameters, table, prototypes, j)


class Gradients:
    """The mean loss of some images, and its gradient by each parameter.

    Parameters
    ----------
    parameters
        Of a `LeNet5Original`, in its order.
    table
        Which maps of S2 each map of C3 sees.
    prototypes
        (num_classes, 84).
    j
        As for `MAPLoss`; infinite is cross-entropy, and negative is `MLELoss`.
    """

    def __init__(
        self, parameters: list[nn.Parameter], table: Iterable[Iterable[int]], prototypes: Tensor, j: float
    ) -> None:
        self.parameters, self.prototypes, self.j = parameters, prototypes, j
        links = [(to, one) for to, row in enumerate(table) for one in row]
        self.links = torch.tensor(links, dtype=torch.int32, device="cpu")
        sizes = [parameter.numel() for parameter in parameters]
        parts = torch.split(torch.empty(sum(sizes), dtype=torch.float32, device="cpu"), sizes)
        self.gradients = [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]
        self._to_gradients = _addresses(self.gradients)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor | None:
        """Return the mean loss, and set the parameters' gradients, which must be None and are overwritten next time.

        Parameters
        ----------
        images
            (N, 1, 32, 32).
        targets
            (N,) int64.

        Returns
        -------
        Tensor or None
            The loss; None, with nothing done, where the layers have to be called.
        """
        count, parameters = len(images), self.parameters
        if (
            images.shape[1:] != (1, 32, 32)
            or targets.shape != (count,)
            or not 0 < count <= FEW
            or images.dtype != torch.float32
            or targets.dtype != torch.int64
            or not (images.is_cpu and targets.is_cpu and images.is_contiguous() and targets.is_contiguous())
            or not 0 <= min(numbers := targets.tolist()) <= max(numbers) < len(self.prototypes)
            or images.requires_grad
            or any(one.grad is not None or not one.requires_grad or not one.is_cpu for one in parameters)
        ):
            return None
        found = library()
        assert found is not None
        loss = found.lenet5_original_gradients(
            images.data_ptr(),
            targets.data_ptr(),
            count,
            _addresses(parameters),
            self.links.data_ptr(),
            len(self.links),
            self.prototypes.data_ptr(),
            len(self.prototypes),
            self.j,
            self._to_gradients,
        )
        for parameter, gradient in zip(parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return torch.tensor(loss, dtype=torch.float32, device="cpu")


def _number(loss_fn: Callable[..., Any]) -> float | None:
    """Return a loss as the `j` that C takes for it; None for a loss that C does not know."""
    if type(loss_fn) is MAPLoss:
        return loss_fn.j
    if type(loss_fn) is MLELoss:
        return -1.0
    if type(loss_fn) is nn.CrossEntropyLoss and loss_fn.weight is None:
        usual = (loss_fn.label_smoothing, loss_fn.reduction, loss_fn.ignore_index) == (0, "mean", -100)
        return math.inf if usual else None
    return None


def _is_plain(tensor: Tensor) -> bool:
    """Whether C may read a tensor."""
    return tensor.dtype == torch.float32 and tensor.is_cpu and tensor.is_contiguous()


def _is_watched(one: nn.Module | Tensor) -> bool:
    """Whether somebody wants to see what passes a module, or a parameter's gradient."""
    hooks = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    return any(getattr(one, name, None) for name in (*hooks, "_post_accumulate_grad_hooks"))


def _addresses(tensors: Iterable[Tensor]) -> Any:
    """Return where tensors lie, as C takes it."""
    return (_POINTER * len(_SHAPES))(*[tensor.data_ptr() for tensor in tensors])
