"""The kernel of `LeNet5` in training: the cross-entropy of a batch and all gradients, in a single call."""

import ctypes
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..classifier import KERNELS, Kernel
from ..lenet5 import LeNet5
from .gradients import Gradients
from .lenet5 import NETWORKS, Network, describe, library, logits
from .plan import Plan, Plans, Watch


class LeNet5Gradients(Gradients[LeNet5]):
    """The gradients of `LeNet5`."""

    networks: ClassVar[Plans] = NETWORKS
    losses: ClassVar[Plans] = Plans(
        Watch((nn.CrossEntropyLoss,), "nn.functional.cross_entropy"),
        lambda loss_fn: [] if _is_supported(loss_fn) else None,
    )
    network: Network
    workspace: Tensor

    def prepare(self, plan: Plan) -> None:
        """Describe the network; the workspace grows with the batch."""
        self.network = Network.of_plan(plan, self.model.image_shape)
        self.workspace = torch.empty(0, dtype=torch.float64, device="cpu")

    def num_classes(self) -> int:
        """Return the number of classes."""
        return int(self.network.classes)

    def compute(self, images: Tensor, targets: Tensor) -> float:
        """Call C: return the mean loss, and write the gradients."""
        compiled, count, network = library(), len(images), ctypes.addressof(self.network)
        assert compiled is not None
        num_floats = compiled.workspace(network, count)
        if 2 * len(self.workspace) < num_floats:
            self.workspace = self.workspace.new_empty((num_floats + 1) // 2)
        loss: float = compiled.gradients(
            *(network, images.data_ptr(), targets.data_ptr(), count, self.loss_fn.label_smoothing),
            *(self.workspace.data_ptr(), self.gradient_addresses, self.num_threads),
        )
        return loss


def gradients(model: LeNet5, loss_fn: Any) -> LeNet5Gradients | None:
    """Return the kernel for a model and a loss, or None if it does not apply; see `ImageClassifier.fused_gradients`."""
    if library() is None:
        return None
    kernel = LeNet5Gradients(model, loss_fn)
    return kernel if kernel.applies() else None


def _is_supported(loss_fn: Any) -> bool:
    """Return True for the mean cross-entropy of all classes alike."""
    return type(loss_fn) is nn.CrossEntropyLoss and loss_fn.weight is None and loss_fn.reduction == "mean"


KERNELS[LeNet5.forward] = Kernel(
    *(logits, gradients, describe),
    limits="28x28 or 32x32, up to 4 channels and 128 classes; ReLU, tanh or sigmoid; max or average pooling",
)
