"""LeNet-5 as it is built today: ReLU, parameter-free pooling, and a linear output layer."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

from torch import Tensor, nn

from ..arguments import check_integer
from .activations import activation_name, find_activation
from .architectures import construct
from .classifier import ImageClassifier, stacked

_FIELD = 32  # the paper centres 28x28 digits in 32x32, so that stroke ends can lie mid receptive field (II.B)
_SMALLEST = 12  # the smallest image that leaves S4 at least one row


class LeNet5(ImageClassifier):
    """LeNet-5: two convolutions, each followed by pooling, two fully connected layers, and a linear output layer.

    The layers have the names of the paper (LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to
    Document Recognition", Proc. IEEE 86(11), 1998, section II.B). C1, C3, C5 and F6 include their activation. The
    original network differs: see `LeNet5Original`.

    Parameters
    ----------
    num_classes
        Number of classes.
    in_channels
        Channels of the images: 1 for greyscale, 3 for colour.
    image_size
        Height and width of the images in pixels, at least 12. C1 pads images smaller than the paper's 32x32 field by 2
        pixels on each side, as the paper does with its 28x28 digits. So 28 and 32 give the same 61,706 parameters.
    activation
        Class of the activation after C1, C3, C5 and F6, or a function that returns a new one.
    pooling
        Pooling of S2 and S4: "max" or "avg".

    Raises
    ------
    ValueError
        An argument is out of range.

    Examples
    --------
    >>> model = lenet5.LeNet5()
    >>> model(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    >>> colour = lenet5.LeNet5(num_classes=5, in_channels=3, image_size=64)
    >>> colour(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 5])
    """

    first_layer: ClassVar[str | None] = "c1.conv"
    output_layer: ClassVar[str | None] = "output"

    def __init__(
        self,
        num_classes: int = 10,
        *,
        in_channels: int = 1,
        image_size: int = 28,
        activation: Callable[[], nn.Module] = nn.ReLU,
        pooling: Literal["max", "avg"] = "max",
    ) -> None:
        num_classes = check_integer("num_classes", num_classes, least=1)
        in_channels = check_integer("in_channels", in_channels, least=1)
        image_size = check_integer("image_size", image_size, least=_SMALLEST)
        super().__init__((in_channels, image_size, image_size), num_classes)
        if pooling not in ("max", "avg"):
            raise ValueError(f"pooling is {pooling!r}; expected 'max' or 'avg'")
        if isinstance(activation, nn.Module) or not callable(activation):
            raise ValueError(f"activation is {activation!r}; expected a class such as torch.nn.ReLU, not an instance")
        self.in_channels: int = in_channels
        self.image_size: int = image_size
        self.activation: Callable[[], nn.Module] = activation
        self.pooling: Literal["max", "avg"] = pooling

        padding = 2 if image_size < _FIELD else 0
        pool = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
        side = ((image_size + 2 * padding - 4) // 2 - 4) // 2  # of S4's maps: 5 for images of 28x28 and 32x32

        self.c1: nn.Sequential = stacked(conv=nn.Conv2d(in_channels, 6, 5, padding=padding), activation=activation())
        self.s2: nn.MaxPool2d | nn.AvgPool2d = pool(2)
        self.c3: nn.Sequential = stacked(conv=nn.Conv2d(6, 16, 5), activation=activation())
        self.s4: nn.MaxPool2d | nn.AvgPool2d = pool(2)
        self.c5: nn.Sequential = stacked(
            flatten=nn.Flatten(), linear=_dense(16 * side * side, 120, image_size), activation=activation()
        )
        self.f6: nn.Sequential = stacked(linear=nn.Linear(120, 84), activation=activation())
        self.output: nn.Linear = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, in_channels, image_size, image_size) to logits (N, num_classes).

        The shapes in the comments are for images of 28x28 and 32x32.
        """
        x = self.c1(images)  # (N, 6, 28, 28)
        x = self.s2(x)  # (N, 6, 14, 14)
        x = self.c3(x)  # (N, 16, 10, 10)
        x = self.s4(x)  # (N, 16, 5, 5)
        x = self.c5(x)  # (N, 120)
        x = self.f6(x)  # (N, 84)
        logits: Tensor = self.output(x)  # (N, num_classes)
        return logits

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON-serialisable values, with the activation by its name.

        Raises
        ------
        ValueError
            The activation is a class neither of torch.nn nor of this package.
        """
        values = {key: getattr(self, key) for key in ("num_classes", "in_channels", "image_size", "pooling")}
        return {**values, "activation": activation_name(self.activation)}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Self:
        """Build the network from the result of `arguments`."""
        values = {**arguments, "activation": find_activation(arguments.get("activation"))}
        model: Self = construct(cls, values, arguments)
        return model


def _dense(num_inputs: int, num_outputs: int, image_size: int) -> nn.Linear:
    """Return a fully connected layer; raise ValueError if the image size makes it larger than memory."""
    try:
        return nn.Linear(num_inputs, num_outputs)
    except RuntimeError as error:
        raise ValueError(
            f"image_size is {image_size}, for which C5 has {num_inputs * num_outputs:,} weights, more than memory"
            " holds; expected a smaller one"
        ) from error
