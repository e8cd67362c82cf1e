"""The base class of the networks: image checks and kernel dispatch, both outside `forward`."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
import torch.fx
from torch import Tensor, nn

from .. import notebook
from . import unmodified
from .pretrained import PretrainedModel


class Kernel(NamedTuple):
    """Fast equivalents of the layers of a network.

    Each function returns None if it does not apply, for example on a different device or during tracing.
    """

    logits: Callable[[Any, Tensor], Tensor | None] | None = None
    """Maps a model and its images to logits."""

    gradients: Callable[[Any, Any], Callable[[Tensor, Tensor], Tensor | None] | None] | None = None
    """Maps a model and a loss function to the result of `ImageClassifier.fused_gradients`."""

    describe: Callable[[Any], tuple[Any, Callable[..., None]] | None] | None = None
    """Maps a model to its description for C, and the function of C that computes logits from it."""

    limits: str = ""
    """What the models must be."""


KERNELS: dict[Callable[..., Tensor], Kernel] = {}
"""Kernels by the `forward` that they replace. A subclass that overrides `forward` has none."""


class ImageClassifier(PretrainedModel, abstract=True):
    """A network that maps images of one shape to logits.

    A call runs a kernel if one applies. If none does, it checks the images and calls `forward`. `forward` contains the
    layers alone, so that tracers see nothing else.

    Attributes
    ----------
    image_shape
        Shape (C, H, W) of the images.
    num_classes
        Number of logits.
    """

    first_layer: ClassVar[str | None] = None
    """Name of the convolution that `from_pretrained(..., in_channels=...)` adapts."""

    output_layer: ClassVar[str | None] = None
    """Name of the layer that `from_pretrained(..., num_classes=...)` draws anew."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.num_classes = num_classes

    def _repr_html_(self) -> str:
        """Return one row per layer of the paper: what it consists of, and its number of parameters."""
        import pandas as pd

        rows = [
            (
                ", ".join(repr(part) for part in layer.modules() if not any(part.children())),
                sum(parameter.numel() for parameter in layer.parameters()),
            )
            for layer in self.children()
        ]
        names = [name for name, _ in self.named_children()]
        caption = f"{type(self).__name__}, {sum(count for _, count in rows):,} parameters, images {self.image_shape}"
        return notebook.table_html(caption, pd.DataFrame(rows, names, ["layers", "parameters"]))

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Map images to logits.

        Hooks, and a `forward` of your own, may take other arguments. Images that a hook may change are not checked.

        Parameters
        ----------
        args, kwargs
            The images (N, C, H, W), with the dtype of the parameters, normalised as in training.

        Returns
        -------
        Tensor
            (N, num_classes) logits.

        Raises
        ------
        TypeError
            The images are not a tensor.
        ValueError
            The images have the wrong shape or dtype.
        """
        if len(args) + len(kwargs) == 1 and (args or "images" in kwargs):
            images = args[0] if args else kwargs["images"]
            kernel = None if self._compiled_call_impl else KERNELS.get(type(self).forward)  # set by model.compile()
            if kernel and kernel.logits and (logits := kernel.logits(self, images)) is not None:
                return logits
            if not _is_traced(images) and not unmodified.has_changed_inputs(self):
                self._check(images)
        result: Tensor = super().__call__(*args, **kwargs)
        return result

    def adapt(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fit the tensors of a model with other `num_classes` or `in_channels` to this one; see `from_pretrained`."""
        own, adapted = self.state_dict(), dict(tensors)
        kernels = f"{self.first_layer}.weight"
        if kernels in own and own[kernels].shape != tensors[kernels].shape:
            channels = own[kernels].shape[1]
            adapted[kernels] = tensors[kernels].sum(1, keepdim=True).repeat(1, channels, 1, 1) / channels
        if self.output_layer is None:
            return adapted
        layer: Any = self.get_submodule(self.output_layer)
        output = {name: tensor for name, tensor in own.items() if name.startswith(f"{self.output_layer}.")}
        if any(tensor.shape != tensors[name].shape for name, tensor in output.items()):
            layer.reset_parameters()
            adapted.update(output)
        return adapted

    def fused_gradients(self, loss_fn: Any) -> Callable[[Tensor, Tensor], Tensor | None] | None:
        """Return the fused loss-and-gradient kernel, or None if it does not apply.

        The result is valid as long as the model keeps its modules, parameters and hooks; their values may change.

        Parameters
        ----------
        loss_fn
            Maps logits (N, num_classes) and targets (N,) to the mean loss.

        Returns
        -------
        callable or None
            Maps images and targets to the mean loss and sets the gradients of the parameters, which must be None
            before. For an unsupported batch, it returns None and changes nothing.
        """
        kernel = KERNELS.get(type(self).forward)
        return kernel.gradients(self, loss_fn) if kernel and kernel.gradients else None

    def cuda_graph_safe(self) -> bool:
        """Return True if a CUDA graph can capture the forward pass: all layers are torch's own, and unmodified."""
        layers = list(self.modules())[1:]
        return (
            unmodified.is_unobserved()
            and unmodified.is_original(type(self).forward)
            and all(map(unmodified.is_torch_layer, layers))
            and unmodified.are_unmodified([self, *layers])
            and all(type(tensor) in {Tensor, nn.Parameter} for tensor in [*self.parameters(), *self.buffers()])
            and unmodified.torch_is_original()
        )

    def _check(self, images: Tensor) -> None:
        if not isinstance(images, Tensor):
            raise TypeError(
                f"images are {type(images).__name__}; expected a tensor (Preprocess converts any image to one)"
            )
        if images.is_nested:
            raise ValueError(f"images are a nested tensor; expected one tensor of shape {self._expected()}")
        if tuple(images.shape[1:]) != self.image_shape:
            advice = "; images[None] is a batch of one image" if images.ndim == 3 else ""
            raise ValueError(f"images have shape {tuple(images.shape)}; expected {self._expected()}{advice}")
        dtype = next((parameter.dtype for parameter in self.parameters()), images.dtype)
        if images.dtype == dtype or images.is_quantized:
            return
        if not (images.is_floating_point() and torch.is_autocast_enabled(images.device.type)):
            raise ValueError(
                f"images have dtype {images.dtype}; expected {dtype}, like the parameters"
                " (Preprocess converts any image: call it on the images, or pass it to the dataset as transform)"
            )

    def _expected(self) -> str:
        return f"(N, {', '.join(map(str, self.image_shape))})"


def stacked(**modules: nn.Module) -> nn.Sequential:
    """Build a Sequential of named modules."""
    return nn.Sequential(OrderedDict(modules))


def _is_traced(images: object) -> bool:
    return torch.compiler.is_compiling() or torch._C._is_tracing() or isinstance(images, torch.fx.Proxy)
