"""A network frozen for inference: one C call per batch, without the checks of a module's call."""

import copy
import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from .. import unmodified
from ..classifier import KERNELS, ImageClassifier


def compiled(model: ImageClassifier) -> Callable[[Tensor], Tensor]:
    """Freeze a network for the fastest inference on the CPU.

    Calling a model checks each time that no layer has changed, which takes longer than the arithmetic of one image. The
    result of this function is a copy: later changes of the model, its weights and its hooks have no effect on it.

    Parameters
    ----------
    model
        A `LeNet5`, `LeNet5Original` or `CaffeLeNet`. It is copied, and the copy is in evaluation mode.

    Returns
    -------
    callable
        Maps images (N, C, H, W) to logits (N, num_classes), as `model(images)` does, but without gradients. Images that
        no kernel reads, and networks without a kernel, are computed layer by layer.

    Examples
    --------
    >>> weights = lenet5.load("mnist_v2")
    >>> classify = lenet5.compiled(weights.model)
    >>> classify(weights.prepare("pencil.jpg")).argmax(1)
    tensor([7])
    """
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    kernel = KERNELS.get(type(frozen).forward)
    described = kernel.describe(frozen) if kernel and kernel.describe else None
    if described is None:
        return torch.no_grad()(frozen)
    network, logits = described
    address, classes, shape = ctypes.addressof(network), network.classes, frozen.image_shape

    def classify(images: Tensor) -> Tensor:
        if not unmodified.is_readable(images) or images.shape[1:] != shape or not len(images):
            with torch.no_grad():
                result: Tensor = frozen(images)
                return result
        result = images.new_empty((len(images), classes))
        logits(address, images.data_ptr(), result.data_ptr(), len(images), torch.get_num_threads())
        return result

    classify.network = network  # type: ignore[attr-defined]  # kept alive for C
    return classify
