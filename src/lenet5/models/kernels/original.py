"""The kernel of `LeNet5Original`: the logits, or the loss and all gradients, of a batch in a single call.

The published procedure trains on one image per step, where calling torch's operators costs far more than the
arithmetic. The kernel applies in float32 on the CPU, for the paper's losses and cross-entropy, if no hooks, tracing or
transforms are active and nothing that the layers use has been replaced.
"""

import ctypes
import functools
import math
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn

from .. import unmodified
from ..classifier import KERNELS, Kernel
from ..original.layers import EuclideanRBF, PartialConv2d, ScaledTanh, Subsampling
from ..original.losses import MAPLoss, MLELoss
from ..original.network import LeNet5Original
from . import library as lib
from .gradients import Gradients
from .lenet5 import are_supported
from .plan import Plan, Plans, Watch

_SHAPES = [(6, 1, 5, 5), (6,), (6,), (6,), None, (16,), (16,), (16,), (120, 16, 5, 5), (120,), (84, 120), (84,)]
_MAX_CLASSES = 128
_NAMES = ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
_LAYERS: list[type[nn.Module]] = [
    *(nn.Sequential, nn.Conv2d, ScaledTanh),
    *(nn.Sequential, Subsampling, ScaledTanh),
    *(nn.Sequential, PartialConv2d, ScaledTanh),
    *(nn.Sequential, Subsampling, ScaledTanh),
    *(nn.Sequential, nn.Conv2d, ScaledTanh, nn.Flatten),
    *(nn.Sequential, nn.Linear, ScaledTanh),
    EuclideanRBF,
]

_LAYER_FUNCTIONS = Watch(
    (nn.Sequential, nn.Conv2d, nn.Flatten, nn.Linear, ScaledTanh, Subsampling, PartialConv2d, EuclideanRBF),
    *("Sequential.__iter__", "Conv2d._conv_forward", "PartialConv2d.dense_weight"),
    *("ScaledTanh.amplitude", "ScaledTanh.slope"),
    *("nn.modules.conv.F.conv2d", "nn.modules.linear.F.linear"),
    *(f"nn.functional.{name}" for name in ("avg_pool2d", "conv2d", "torch.tanh", "torch.cat")),
    *(f"nn.functional.torch.Tensor.{name}" for name in ("flatten", "square", "split_with_sizes")),
)
_LOSS_FUNCTIONS = Watch(
    (MAPLoss, MLELoss, nn.CrossEntropyLoss),
    *("MAPLoss.with_reject_class", "nn.functional.cross_entropy", "nn.functional.nll_loss", "nn.functional.torch.cat"),
)


class Network(ctypes.Structure):
    """A network as C sees it."""

    _fields_ = (
        ("parameters", ctypes.c_void_p * 12),
        ("links", ctypes.c_void_p),
        ("prototypes", ctypes.c_void_p),
        ("num_links", ctypes.c_int32),
        ("classes", ctypes.c_int32),
        ("j", ctypes.c_float),
    )
    links_tensor: Tensor  # kept alive for C

    @classmethod
    def of(cls, model: LeNet5Original, plan: Plan, j: float = 0.0) -> Self:
        """Describe a model, and the loss by its `j`; see `_reject_distance`."""
        c3, rbf = cast("tuple[PartialConv2d, EuclideanRBF]", (model.c3.conv, model.output))
        links = torch.tensor(_connections(c3), dtype=torch.int32, device="cpu")
        pointers = (ctypes.c_void_p * 12)(*plan.addresses[:12])
        network = cls(pointers, links.data_ptr(), rbf.prototypes.data_ptr(), len(links), len(rbf.prototypes), j)
        network.links_tensor = links
        return network


class Functions:
    """The functions of C, for one instruction set."""

    def __init__(self, library: lib.Library) -> None:
        self.logits: Any = library.function("lenet5_original_logits", "pppli")
        self.workspace: Any = library.function("lenet5_original_workspace", "pl", "l")
        self.gradients: Any = library.function("lenet5_original_gradients", "ppplppi", "f")


@functools.cache
def library() -> Functions | None:
    """Load the compiled functions; return None if they are unavailable."""
    loaded = lib.load()
    return Functions(loaded) if loaded else None


def logits(model: LeNet5Original, images: Tensor) -> Tensor | None:
    """Compute logits (N, num_classes) without gradients; return None if the kernel does not apply."""
    if torch.is_grad_enabled() or not are_supported(images, model.image_shape):
        return None
    plan, compiled = NETWORKS.get(model), library()
    if plan is None or compiled is None:
        return None
    if plan.described is None:
        plan.described = Network.of(model, plan)
    network, images = plan.described, images.contiguous()
    result = images.new_empty(len(images), network.classes)
    compiled.logits(
        *(ctypes.addressof(network), images.data_ptr(), result.data_ptr(), len(images), torch.get_num_threads())
    )
    return result


def describe(model: LeNet5Original) -> tuple[Network, Any] | None:
    """Return a model as C sees it, and the function of C; None if the kernel does not apply."""
    compiled, plan = library(), NETWORKS.get(model)
    return None if compiled is None or plan is None else (Network.of(model, plan), compiled.logits)


class OriginalGradients(Gradients[LeNet5Original]):
    """The gradients of `LeNet5Original`."""

    losses: ClassVar[Plans] = Plans(_LOSS_FUNCTIONS, lambda loss_fn: None if _reject_distance(loss_fn) is None else [])
    network: Network
    workspace: Tensor

    def prepare(self, plan: Plan) -> None:
        """Describe the network and the loss; the workspace grows with the batch."""
        j = _reject_distance(self.loss_fn)
        assert j is not None
        self.network = Network.of(self.model, plan, j)
        self.workspace = torch.empty(0, device="cpu", dtype=torch.float32)

    def num_classes(self) -> int:
        """Return the number of classes."""
        return int(self.network.classes)

    def compute(self, images: Tensor, targets: Tensor) -> float:
        """Call C: return the mean loss, and write the gradients."""
        compiled, count = library(), len(images)
        assert compiled is not None
        num_floats = compiled.workspace(self.gradient_addresses, count)
        if len(self.workspace) < num_floats:
            self.workspace = self.workspace.new_empty(num_floats)
        loss: float = compiled.gradients(
            *(ctypes.addressof(self.network), images.data_ptr(), targets.data_ptr(), count),
            *(self.workspace.data_ptr(), self.gradient_addresses, self.num_threads),
        )
        return loss


def gradients(model: LeNet5Original, loss_fn: Any) -> OriginalGradients | None:
    """Return the kernel for a model and a loss, or None if it does not apply; see `ImageClassifier.fused_gradients`."""
    if library() is None:
        return None
    kernel = OriginalGradients(model, loss_fn)
    return kernel if kernel.applies() else None


def _find_layers(model: LeNet5Original) -> list[nn.Module] | None:
    """Return the layers with their children; None if they differ from those that the kernel replaces."""
    children = [layer for layer in model._modules.values() if layer is not None]
    layers: list[Any] = [part for layer in children for part in [layer, *layer._modules.values()]]
    if [type(layer) for layer in layers] != _LAYERS or list(model._modules) != _NAMES:
        return None
    c3, rbf = cast("tuple[PartialConv2d, EuclideanRBF]", (layers[7], layers[-1]))
    parameters = [tensor for layer in layers for tensor in layer._parameters.values()]
    if not all(map(unmodified.is_readable, [*parameters, rbf.prototypes])):
        return None
    shapes = [(len(c3.weight), 5, 5) if shape is None else shape for shape in _SHAPES]
    convolutions = [lib.convolution_settings(layer) for layer in layers if type(layer) is nn.Conv2d]
    if (
        [tuple(parameter.shape) for parameter in parameters] != shapes
        or convolutions != [lib.UNPADDED] * 2
        or (c3.in_channels, c3.out_channels) != (6, 16)
        or len(_connections(c3)) != len(c3.weight)
        or not 0 < len(rbf.prototypes) <= _MAX_CLASSES
    ):
        return None
    return layers


def _connections(c3: PartialConv2d) -> list[tuple[int, int]]:
    """Return the output map and the input map of each kernel, as `PartialConv2d.dense_weight` arranges them."""
    connected, unconnected, order = c3.runs
    lengths = connected + unconnected
    maps = [index < len(connected) for index in order for _ in range(lengths[index])]
    return [divmod(position, c3.in_channels) for position, is_connected in enumerate(maps) if is_connected]


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


NETWORKS = OriginalGradients.networks = Plans(_LAYER_FUNCTIONS, _find_layers)
KERNELS[LeNet5Original.forward] = Kernel(logits, gradients, describe, limits="any batch, up to 128 classes")
