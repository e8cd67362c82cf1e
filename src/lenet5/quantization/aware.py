"""Networks that round as integer networks do, in floating point, so that they can be calibrated and trained."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Self, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..arguments import check_boolean, check_integer
from ..data.preprocess import Preprocess
from ..models.architectures import architecture_name, find_architecture
from ..models.classifier import ImageClassifier
from ..models.lenet5 import LeNet5
from ..models.original.layers import EuclideanRBF, PartialConv2d, Subsampling
from ..models.original.network import LeNet5Original
from .scales import best_scale, fake_quantize, fake_quantize_rows, next_power

Network: TypeAlias = LeNet5 | LeNet5Original
Weighted: TypeAlias = nn.Conv2d | nn.Linear | PartialConv2d | Subsampling
Pooling: TypeAlias = nn.MaxPool2d | nn.AvgPool2d

TABLE_RANGE = -128, 127
"""Range of the inputs of an activation that is looked up in a table."""

_LARGEST_INPUT = 4 * 255  # the sum of four inputs of a subsampling
_LARGEST_SUM = 2**30  # of exact products; their rounded counterparts then fit int32


class IntegerActivation(nn.Module):
    """An activation whose outputs are rounded to integers, and so are its inputs, unless it is ReLU.

    Parameters
    ----------
    activation
        The activation.
    bits
        Bits of the outputs: unsigned if the activation is never negative, else signed and symmetric.
    power_of_two
        Whether scales are powers of two.

    Raises
    ------
    ValueError
        The activation does not act on each number alone.
    """

    scale: Tensor
    table_scale: Tensor

    def __init__(self, activation: nn.Module, bits: int, *, power_of_two: bool) -> None:
        super().__init__()
        self.power_of_two: bool = power_of_two
        self.has_table: bool = type(activation) is not nn.ReLU
        largest = 2 ** (bits - 1) - 1
        signed = _is_signed(activation)
        self.low: int = -largest if signed else 0
        self.high: int = largest if signed else 2**bits - 1
        self.calibrating: bool = False
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("table_scale", torch.ones(()))

    def forward(self, x: Tensor, activation: nn.Module) -> Tensor:
        """Apply the activation to each number, and choose the scales before if this is the calibration."""
        if self.calibrating:
            self._calibrate(x, activation)
        if self.has_table:
            x = fake_quantize(x, self.table_scale, *TABLE_RANGE)
        return self.round(activation(x))

    def round(self, x: Tensor) -> Tensor:
        """Round outputs to integers."""
        return fake_quantize(x, self.scale, self.low, self.high)

    def _calibrate(self, x: Tensor, activation: nn.Module) -> None:
        outputs = activation(x)
        self.scale.copy_(best_scale(outputs, self.low, self.high, power_of_two=self.power_of_two))
        if self.has_table:
            scale = best_scale(x, *TABLE_RANGE, power_of_two=self.power_of_two, function=activation)
            self.table_scale.copy_(scale)


class QuantizationAware(ImageClassifier):
    """A network whose weights and activations are rounded in every forward pass, as those of its integer network.

    Gradients pass the rounding as if it were not there (the straight-through estimator), so that a `Trainer` can train
    the weights. The scales of the activations stay as they were calibrated; those of the weights follow the weights.
    `prepare` builds it, and `convert` returns its integer network.

    Parameters
    ----------
    network
        The network, in float32.
    preprocess
        The preprocessing of its images.
    classes
        Class names.
    weight_bits, activation_bits
        Bits of weights and activations, from 2 to 8.
    power_of_two
        Whether all scales are powers of two.

    Raises
    ------
    ValueError
        A number of bits is out of range, or an activation does not act on each number alone.

    Examples
    --------
    >>> prepared = lenet5.quantization.prepare(lenet5.load("mnist_v2"), lenet5.load_data("digits").val)
    >>> prepared.weight_bits, prepared(torch.rand(2, 1, 28, 28)).shape
    (8, torch.Size([2, 10]))
    """

    input_scale: Tensor
    channel_ratio: Tensor
    pixel_offset: Tensor

    def __init__(
        self,
        network: Network,
        preprocess: Preprocess,
        classes: Iterable[str],
        *,
        weight_bits: int = 8,
        activation_bits: int = 8,
        power_of_two: bool = False,
    ) -> None:
        super().__init__(network.image_shape, network.num_classes)
        self.network: Network = network
        self.preprocess: Preprocess = preprocess
        self.classes: tuple[str, ...] = tuple(classes)
        self.weight_bits: int = _check_bits("weight_bits", weight_bits)
        self.activation_bits: int = _check_bits("activation_bits", activation_bits)
        self.power_of_two: bool = check_boolean("power_of_two", power_of_two)
        activations = {
            name: IntegerActivation(part, self.activation_bits, power_of_two=self.power_of_two)
            for name, part in self.parts()
            if is_activation(part)
        }
        self.activations: nn.ModuleDict = nn.ModuleDict(activations)
        steps = torch.from_numpy(1 / (255 * per_channel(preprocess.std, preprocess))).float()  # one pixel value
        scale = next_power(steps.max()) if self.power_of_two else steps.max()
        self.register_buffer("input_scale", scale, persistent=False)
        self.register_buffer("channel_ratio", (steps / scale)[:, None, None], persistent=False)
        means = 255 * per_channel(preprocess.mean, preprocess)
        offsets = torch.from_numpy(means - means.round()).float() * steps
        self.register_buffer("pixel_offset", offsets[:, None, None], persistent=False)

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the parts of the layers in the order of the computation, each with the name of its layer."""
        for name, layer in self.network.named_children():
            for part in [*layer.children()] or [layer]:
                yield name, part

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W), normalised by the preprocessing, to logits (N, num_classes)."""
        x, scale, activation = images + self.pixel_offset, self.input_scale, None  # 0 is now a whole pixel value
        for name, part in self.parts():
            if isinstance(part, Weighted):
                weight, bias, _ = self.rounded(name, part, scale)
                x = functional_call(part, {"weight": weight, "bias": bias}, (x,))
            elif isinstance(part, nn.AvgPool2d):
                assert activation is not None
                x = activation.round(part(x))
            elif isinstance(part, EuclideanRBF):
                x = -functional_call(part, {"prototypes": (part.prototypes / scale).round() * scale}, (x,))
            elif is_activation(part):
                activation = self.activation(name)
                x, scale = activation(x, part), activation.scale
            else:
                x = part(x)
        return x

    def activation(self, name: str) -> IntegerActivation:
        """Return the activation of a layer."""
        return cast("IntegerActivation", self.activations[name])

    def rounded(self, name: str, part: Weighted, input_scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Round the weights and the bias of a layer.

        Parameters
        ----------
        name, part
            The layer.
        input_scale
            Scale of its inputs, which for images are multiples of `input_scale * channel_ratio`.

        Returns
        -------
        weight
            The rounded weights, in the shape of the layer's.
        bias
            (out,): the rounded bias, which for C1 makes up for the offset of the pixels.
        scale
            (out,): the scale of the weights of each output channel; those of C1 are relative to `input_scale`.
        """
        ratio = self.channel_ratio if name == "c1" else torch.ones_like(self.input_scale)
        weight = part.weight * ratio
        scale = self._weight_scale(part, weight.detach(), input_scale)
        rows = scale[_places(part, scale.device) // part.in_channels] if isinstance(part, PartialConv2d) else scale
        weight = fake_quantize_rows(weight, rows, 2 ** (self.weight_bits - 1) - 1) / ratio
        bias, unit = cast("Tensor", part.bias), (scale * input_scale).double()
        if name == "c1":
            bias = bias - (weight * self.pixel_offset).sum((1, 2, 3))
        rounding = ((bias.double() / unit).round() * unit).float() - bias
        return weight, bias + rounding.detach(), scale

    def _weight_scale(self, part: Weighted, weight: Tensor, input_scale: Tensor) -> Tensor:
        """Return the scale (out,) that clips no weight; a larger one if the accumulator could overflow otherwise."""
        bias = cast("Tensor", part.bias).detach()
        rows = connected(part, weight).abs().reshape(len(bias), -1)
        scale = rows.amax(1) / (2 ** (self.weight_bits - 1) - 1)
        scale = torch.maximum(scale, (_LARGEST_INPUT * rows.sum(1) + bias.abs() / input_scale) / _LARGEST_SUM)
        scale = torch.where(scale > 0, scale, scale.amax())  # a channel without weights and bias
        scale = torch.where(scale > 0, scale, 1)
        return next_power(scale) if self.power_of_two else scale

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON-serialisable values."""
        return {
            "architecture": architecture_name(type(self.network)),
            "arguments": self.network.arguments(),
            "preprocess": asdict(self.preprocess),
            "classes": list(self.classes),
            "weight_bits": self.weight_bits,
            "activation_bits": self.activation_bits,
            "power_of_two": self.power_of_two,
        }

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Self:
        """Build the network from the result of `arguments`."""
        values = dict(arguments)
        name = values.pop("architecture")
        architecture = find_architecture(name)
        if architecture is None or not issubclass(architecture, Network):
            raise ValueError(f"its network is {name!r}; expected LeNet5 or LeNet5Original")
        network = architecture.from_arguments(values.pop("arguments"))
        return cls(network, Preprocess(**values.pop("preprocess")), **values)


def is_activation(part: nn.Module) -> bool:
    """Return True if a part of a layer is an activation."""
    return not isinstance(part, Weighted | Pooling | nn.Flatten | EuclideanRBF)


def connected(part: Weighted, weight: Tensor) -> Tensor:
    """Return the weights by output channel: those of a partially connected layer with zeros, others as they are."""
    if not isinstance(part, PartialConv2d):
        return weight
    size, channels = weight.shape[1:], (part.out_channels, part.in_channels)
    zeros = weight.new_zeros(channels[0] * channels[1], *size)
    return zeros.index_copy(0, _places(part, weight.device), weight).view(*channels, *size)


def _places(part: PartialConv2d, device: torch.device) -> Tensor:
    """Return the place of each kernel of a partially connected layer among all pairs of an output and an input map."""
    pairs = [output * part.in_channels + source for output, row in enumerate(part.table) for source in row]
    return torch.tensor(pairs, device=device)


def per_channel(value: Any, preprocess: Preprocess) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the mean or the standard deviation of a preprocessing as one number per channel."""
    return np.broadcast_to(np.asarray(value, np.float64), preprocess.channels).copy()


def _check_bits(name: str, value: object) -> int:
    bits = check_integer(name, value, least=2)
    if bits > 8:
        raise ValueError(f"{name} is {bits}; expected 2 to 8")
    return bits


def _is_signed(activation: nn.Module) -> bool:
    """Return True if an activation has negative values; raise ValueError if it does not act on each number alone."""
    grid = torch.linspace(-8, 8, 257, device="cpu")  # also where a weights folder is compared on the device "meta"
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Softmax without a dimension
            values, alone = (activation(grid.reshape(shape)) for shape in ((1, -1), (-1, 1)))
        valid = values.isfinite().all() and torch.equal(values.flatten(), alone.flatten())
    except (RuntimeError, TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(
            f"the activation is {activation}; expected one that maps each number alone to a finite number, such as ReLU"
        )
    return bool((values < 0).any())
