"""Kernels that compute the loss and all gradients of a batch in a single call."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from .. import unmodified
from ..classifier import ImageClassifier
from . import library as lib
from .plan import Plan, Plans

_MAX_IMAGES = 4096  # for larger batches, the workspace would need hundreds of megabytes

Model = TypeVar("Model", bound=ImageClassifier)


class Gradients(ABC, Generic[Model]):
    """The mean loss of a batch, and its gradient with respect to each parameter.

    A kernel keeps the number of threads that torch has when it is made.

    Parameters
    ----------
    model
        The network.
    loss_fn
        The loss.

    Attributes
    ----------
    networks, losses
        The plans of the networks and of the losses that the kernel supports.
    """

    networks: ClassVar[Plans]
    losses: ClassVar[Plans]
    model: Model
    loss_fn: Any
    parameters: list[nn.Parameter]
    gradients: list[Tensor]
    gradient_addresses: Any

    def __init__(self, model: Model, loss_fn: Any) -> None:
        self.model, self.loss_fn = model, loss_fn
        self.num_threads: int = torch.get_num_threads()
        self._plans: tuple[Plan | None, Plan | None] = None, None

    def applies(self) -> bool:
        """Return True if C computes what the layers and the loss compute now, and nothing observes them."""
        if not unmodified.is_unobserved() or not unmodified.saves_tensors_as_they_are():
            return False
        plan, loss_plan = self.networks.get(self.model), self.losses.get(self.loss_fn)
        if plan is None or loss_plan is None:
            return False
        if (plan, loss_plan) != self._plans:
            self._allocate()
            self.prepare(plan)
            self._plans = plan, loss_plan
        return not any(
            not p.requires_grad or p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None)
            for p in self.parameters
        )

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor | None:
        """Compute the mean loss, and set the gradients of the parameters, which must be None before.

        The next call overwrites the gradients in place.

        Parameters
        ----------
        images
            (N, C, H, W) float32, as the network expects.
        targets
            (N,) int64.

        Returns
        -------
        Tensor or None
            The loss. For an unsupported batch, None, and nothing is changed.
        """
        if not self.applies() or not self._can_read(images, targets):
            return None
        if any(parameter.grad is not None for parameter in self.parameters):
            return None
        loss = self.compute(images, targets)
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return torch.tensor(loss, dtype=torch.float32, device="cpu")

    @abstractmethod
    def prepare(self, plan: Plan) -> None:
        """Prepare what stays the same from call to call."""

    @abstractmethod
    def num_classes(self) -> int:
        """Return the number of classes."""

    @abstractmethod
    def compute(self, images: Tensor, targets: Tensor) -> float:
        """Call C: return the mean loss, and write the gradients."""

    def _allocate(self) -> None:
        self.parameters = list(self.model.parameters())
        sizes = [parameter.numel() for parameter in self.parameters]
        parts = torch.split(torch.empty(sum(sizes), dtype=torch.float32, device="cpu"), sizes)
        self.gradients = [part.view_as(parameter) for part, parameter in zip(parts, self.parameters, strict=True)]
        self.gradient_addresses = lib.pointers([gradient.data_ptr() for gradient in self.gradients])

    def _can_read(self, images: Tensor, targets: Tensor) -> bool:
        """Return True if C can read a batch, its targets are classes, and its images need no gradient."""
        return bool(
            unmodified.is_readable(images)
            and unmodified.is_readable(targets, torch.int64)
            and images.shape[1:] == self.model.image_shape
            and targets.shape == (len(images),)
            and 0 < len(images) <= _MAX_IMAGES
            and 0 <= min(classes := targets.tolist()) <= max(classes) < self.num_classes()
            and not images.requires_grad
        )
