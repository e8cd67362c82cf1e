"""LeNet-5 as it is built today: ReLU, pooling without coefficients, a linear output layer."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
import torch.fx
from torch import Tensor, nn

from . import fused
from .pretrained import PretrainedModel

# The paper centres its 28x28 digits in a 32x32 field, so that strokes can end in the middle of a unit's view (II.B).
_FIELD = 32
_SMALLEST = 12  # smaller, and S4 has no row left


class LeNet5(PretrainedModel):
    """LeNet-5: two convolutions, each followed by pooling, two fully connected layers, and a linear output.

    The layers bear the names of the paper (LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to
    Document Recognition", Proc. IEEE 86(11), 1998, section II.B). C1, C3, C5 and F6 include their activation. The 1998
    network differs: it has trainable subsampling, a partly connected C3, scaled tanh, and an RBF output.

    Parameters
    ----------
    num_classes
        Number of classes, and so of logits.
    in_channels
        Channels of an image: 1 for grey, 3 for colour.
    image_size
        Height and width of an image in pixels, at least 12. Images smaller than the paper's 32x32 field are padded by
        2 in C1, as its 28x28 digits were centred in that field; larger ones bring their own margin. So 28 and 32 give
        the same 61,706 parameters.
    activation
        Makes the activation after C1, C3, C5 and F6.
    pooling
        "max" or "avg": what S2 and S4 take from each 2x2 square.

    Raises
    ------
    ValueError
        An argument is out of its range.

    Examples
    --------
    >>> model = LeNet5()
    >>> model(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 10,
        *,
        in_channels: int = 1,
        image_size: int = 28,
        activation: Callable[[], nn.Module] = nn.ReLU,
        pooling: Literal["max", "avg"] = "max",
    ) -> None:
        super().__init__()
        _check_arguments(num_classes, in_channels, image_size, pooling)
        if isinstance(activation, nn.Module) or not callable(activation):
            raise ValueError(
                f"activation is {activation!r}; expected a class such as torch.nn.ReLU, not an object of it"
            )
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.image_size = image_size
        self.activation = activation
        self.pooling = pooling

        padding = 2 if image_size < _FIELD else 0
        pool = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
        side = ((image_size + 2 * padding - 4) // 2 - 4) // 2  # of a map of S4: 5 for 28 and 32

        self.c1 = stacked(conv=nn.Conv2d(in_channels, 6, 5, padding=padding), activation=activation())
        self.s2 = pool(2)
        self.c3 = stacked(conv=nn.Conv2d(6, 16, 5), activation=activation())
        self.s4 = pool(2)
        self.c5 = stacked(flatten=nn.Flatten(), linear=nn.Linear(16 * side * side, 120), activation=activation())
        self.f6 = stacked(linear=nn.Linear(120, 84), activation=activation())
        self.output = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images to logits.

        Parameters
        ----------
        images
            (N, in_channels, image_size, image_size), of the parameters' dtype, normalised as in training.

        Returns
        -------
        Tensor
            (N, num_classes): unnormalised log-probabilities.

        Raises
        ------
        ValueError
            The images' shape or dtype is another.
        """
        if (logits := fused.logits(self, images)) is not None:
            return logits  # of a few images without a gradient: all layers in one pass
        dtype = cast("nn.Conv2d", self.c1.conv).weight.dtype
        check_images(images, (self.in_channels, self.image_size, self.image_size), dtype)
        layers = (self.c1, self.s2, self.c3, self.s4)
        if (parameters := fused.convolution_parameters(layers, images, self.image_size)) is not None:
            x = fused.convolutions(images, *parameters)  # these four in one pass
        else:
            x = self.c1(images)  # (N, 6, 28, 28) for images of 28x28 and of 32x32
            x = self.s2(x)  # (N, 6, 14, 14)
            x = self.c3(x)  # (N, 16, 10, 10)
            x = self.s4(x)  # (N, 16, 5, 5)
        x = self.c5(x)  # (N, 120)
        x = self.f6(x)  # (N, 84)
        return cast("Tensor", self.output(x))  # (N, num_classes)

    @property
    def static_graph(self) -> bool:
        """Whether a forward pass does the same for every batch of one size: the layers are torch's, without hooks."""
        hooks = (hooks for module in self.modules() for name, hooks in vars(module).items() if name.endswith("_hooks"))
        layers = itertools.islice(self.modules(), 1, None)
        return not any(hooks) and all(type(layer).__module__.startswith("torch.nn.modules") for layer in layers)

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON can hold them; the activation by its name in torch.nn."""
        name = getattr(self.activation, "__name__", "")
        if getattr(nn.modules.activation, name, None) is not self.activation:
            raise ValueError(
                f"activation {self.activation!r} cannot be saved by name; expected an activation of torch.nn,"
                " such as torch.nn.Tanh (the tensors alone can be saved with safetensors.torch.save_model)"
            )
        return {
            "num_classes": self.num_classes,
            "in_channels": self.in_channels,
            "image_size": self.image_size,
            "activation": name,
            "pooling": self.pooling,
        }

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> LeNet5:
        """Build the network from what `arguments` returned."""
        name = arguments.get("activation")
        if name not in nn.modules.activation.__all__:
            raise ValueError(f"activation {name!r} is not an activation of torch.nn")
        return cls(**{**arguments, "activation": getattr(nn.modules.activation, name)})


@torch.fx.wrap  # one node in a traced graph, since a tracer's proxies cannot be compared
def check_images(images: Tensor, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    """Raise ValueError unless images are (N, *shape) of that dtype; autocast chooses the dtype itself."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images are {type(images).__name__}; expected a tensor (Preprocess makes one of any picture)")
    if images.ndim != 4 or tuple(images.shape[1:]) != shape:
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (N, {', '.join(map(str, shape))})")
    if images.dtype != dtype and not (images.is_floating_point() and torch.is_autocast_enabled(images.device.type)):
        raise ValueError(
            f"images have dtype {images.dtype}; expected {dtype}, as the parameters"
            " (Preprocess makes float32 of any picture: call it on the images, or give it to the dataset as transform)"
        )


def stacked(**modules: nn.Module) -> nn.Sequential:
    """Return modules that follow each other, by their names."""
    return nn.Sequential(OrderedDict(modules))


def _check_arguments(num_classes: int, in_channels: int, image_size: int, pooling: str) -> None:
    for name, value, least in (
        ("num_classes", num_classes, 1),
        ("in_channels", in_channels, 1),
        ("image_size", image_size, _SMALLEST),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is {value!r}; expected an integer of at least {least}")
    if pooling not in ("max", "avg"):
        raise ValueError(f"pooling is {pooling!r}; expected 'max' or 'avg'")
