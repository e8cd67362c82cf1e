"""The losses of 1998, on distances to prototypes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLELoss(nn.Module):
    """The mean distance to the prototype of the right class: equation 8 of LeCun et al. 1998.

    Nothing pushes the other classes away: with prototypes that could move, the network would collapse (section II.C).
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits (N, num_classes), which are minus the distances, and int64 targets (N,) to their mean."""
        return functional.nll_loss(logits, targets)


class MAPLoss(nn.Module):
    """The maximum a posteriori criterion: equation 9 of LeCun et al. 1998, y_c + log(e^-j + sum over i of e^-y_i).

    The paper's y are distances; here they are minus the logits. It is the cross-entropy of logits with one more, the
    constant -j, for a class that stands for everything that is no digit; so a distance beyond j is not pushed further.

    Parameters
    ----------
    j
        Positive; the paper does not give its value.

    Raises
    ------
    ValueError
        j is not positive, or not finite.
    """

    def __init__(self, j: float = 10.0) -> None:
        super().__init__()
        if not 0 < j < math.inf:
            raise ValueError(f"j is {j}; expected a positive number")
        self.j = j

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits (N, num_classes) and int64 targets (N,) to the mean over the batch."""
        return functional.cross_entropy(self.with_rubbish(logits), targets)

    def with_rubbish(self, logits: Tensor) -> Tensor:
        """Return (N, num_classes + 1): the logits, and that of the class of everything else."""
        return torch.cat([logits, logits.new_full((len(logits), 1), -self.j)], 1)

    def extra_repr(self) -> str:
        """Return what the loss's repr shows."""
        return f"j={self.j}"
