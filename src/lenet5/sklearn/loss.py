"""The loss with class weights."""

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

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Map logits (N, num_classes) and targets (N,) to the loss."""
        losses = functional.cross_entropy(logits, targets, self.weights.to(logits.device), reduction="sum")
        return losses / len(targets)
