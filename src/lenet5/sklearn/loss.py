"""The loss with class weights."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional


class WeightedLoss:
    """Cross-entropy with class weights, as a mean over the examples of a batch.

    torch's own divides by the sum of the weights in the batch instead. A batch of light classes would then count as
    much as one of heavy ones.

    Parameters
    ----------
    weights
        (num_classes,) float32.
    """

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    @classmethod
    def of(cls, class_weight: object, classes: npt.NDArray[Any], targets: npt.NDArray[Any]) -> Self:
        """Return the loss for the `class_weight` of scikit-learn, scaled to a mean of 1 over the examples.

        Raises
        ------
        ValueError
            A weight is negative or not finite, or all are 0.
        """
        weights = compute_class_weight(class_weight, classes=classes, y=classes[targets])
        mean = float(weights[targets].mean())
        if not weights.min() >= 0 < mean < np.inf:
            raise ValueError(
                f"class_weight is {class_weight!r}; expected finite weights of at least 0, not all of them 0"
            )
        return cls(torch.tensor(weights / mean, dtype=torch.float32))

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits (N, num_classes) and targets (N,) to the loss."""
        losses = functional.cross_entropy(logits, targets, self.weights.to(logits.device), reduction="sum")
        return losses / len(targets)
