"""The losses of the original network, functions of the distances to the prototypes."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLELoss(nn.Module):
    """The mean distance to the prototype of the target class: equation 8 of LeCun et al. 1998.

    The loss ignores the distances to the other prototypes. With trainable prototypes, the network would collapse
    (section II.C).

    Examples
    --------
    >>> logits = torch.tensor([[-3.0, -40.0]])  # the distances are 3 and 40
    >>> lenet5.MLELoss()(logits, torch.tensor([0]))
    tensor(3.)
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits (N, num_classes), the negated distances, and int64 targets (N,) to the mean over the batch."""
        return functional.nll_loss(logits, targets)


class MAPLoss(nn.Module):
    """The maximum a posteriori criterion: equation 9 of LeCun et al. 1998, y_c + log(e^-j + sum over i of e^-y_i).

    The distances y are the negated logits. The loss equals cross-entropy with one extra constant logit, -j, for a
    reject class. It does not push distances much further once they exceed j.

    Parameters
    ----------
    j
        The distance of the reject class, above 0. The paper does not give its value.

    Raises
    ------
    ValueError
        `j` is not positive and finite.

    Examples
    --------
    >>> logits = torch.tensor([[-3.0, -40.0], [-30.0, -40.0]])
    >>> lenet5.MAPLoss(j=10.0)(logits, torch.tensor([0, 0]))
    tensor(10.0005)
    """

    def __init__(self, j: float = 10.0) -> None:
        super().__init__()
        if not 0 < j < math.inf:
            raise ValueError(f"j is {j}; expected a finite number above 0")
        self.j = j

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits (N, num_classes) and int64 targets (N,) to the mean over the batch."""
        return functional.cross_entropy(self.with_reject_class(logits), targets)

    def with_reject_class(self, logits: Tensor) -> Tensor:
        """Append the logit of the reject class: (N, num_classes + 1).

        Examples
        --------
        >>> lenet5.MAPLoss(j=10.0).with_reject_class(torch.tensor([[-3.0, -40.0]]))
        tensor([[ -3., -40., -10.]])
        """
        return torch.cat([logits, logits.new_full((len(logits), 1), -self.j)], 1)

    def extra_repr(self) -> str:
        """Return the arguments for the module's repr."""
        return f"j={self.j}"
