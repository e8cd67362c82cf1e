"""The protocol of models with a fast path for training."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

LossFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Maps logits and targets to the mean loss over the batch."""

FusedGradients: TypeAlias = Callable[[Tensor, Tensor], Tensor | None]
"""Maps images and targets to the mean loss and sets the gradients. Returns None for an unsupported batch."""


@runtime_checkable
class Accelerated(Protocol):
    """A model with a fast path for gradients. A model without these methods is trained layer by layer."""

    def fused_gradients(self, loss_fn: Any) -> FusedGradients | None:
        """Return the fused loss-and-gradient kernel, or None if it does not apply."""

    def cuda_graph_safe(self) -> bool:
        """Return True if the forward pass can be captured as a CUDA graph."""
