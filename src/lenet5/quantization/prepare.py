"""From a network to one that rounds: checks, and the calibration of its activations with images."""

import copy
from typing import Protocol, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..data.datasets import ImageDataset
from ..data.images import Images
from ..data.preprocess import Preprocess, as_batch
from ..models import unmodified
from ..models.lenet5 import LeNet5
from ..models.original.network import LeNet5Original
from ..models.structure import check_weights_are_stored, differences
from .aware import IntegerActivation, Network, QuantizationAware

CalibrationImages: TypeAlias = "ImageDataset | Images"

_MOST_IMAGES = 1024


class Source(Protocol):
    """A network with its preprocessing and class names, such as a `Pretrained`."""

    @property
    def model(self) -> nn.Module:
        """The network."""

    @property
    def preprocess(self) -> Preprocess:
        """Its preprocessing."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Its class names."""


def prepare(
    source: Source,
    images: CalibrationImages,
    *,
    weight_bits: int = 8,
    activation_bits: int = 8,
    power_of_two: bool = False,
) -> QuantizationAware:
    """Copy a network into one that rounds as its integer network does, for quantisation-aware training.

    Parameters
    ----------
    source, images, power_of_two
        As in `quantize`, with the same errors.
    weight_bits, activation_bits
        Bits of weights and activations, from 2 to 8. The pixels have 8, and the logits 32.

    Returns
    -------
    QuantizationAware
        In evaluation mode, on the CPU. Train it on images normalised by the preprocessing of the source.

    Examples
    --------
    >>> weights, digits = lenet5.load("mnist_v2"), lenet5.load_data("digits")
    >>> prepared = lenet5.quantization.prepare(weights, digits.val, weight_bits=4)
    >>> digits.train.transform = weights.preprocess
    >>> trainer = lenet5.Trainer(prepared, lenet5.TrainerConfig(max_epochs=1, lr=1e-3))
    >>> history = trainer.fit(digits.train)
    """
    if not isinstance(getattr(source, "model", None), nn.Module):
        raise TypeError(f"the source is a {type(source).__name__}; expected a Pretrained, such as lenet5.load returns")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):  # its initial weights are overwritten
        network = _plain_network(source.model)
    preprocess = source.preprocess
    expected = (preprocess.channels, preprocess.image_size, preprocess.image_size)
    if network.image_shape != expected:
        raise ValueError(f"the preprocessing returns images {expected}; expected {network.image_shape}, as the network")
    aware = QuantizationAware(
        network,
        preprocess,
        source.classes,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        power_of_two=power_of_two,
    ).eval()
    _calibrate(aware, preprocess.normalize(_calibration_pixels(images, preprocess)))
    return aware


def _plain_network(model: nn.Module) -> Network:
    """Copy a network to the CPU in float32; raise ValueError unless it computes what its class defines."""
    name, forward = type(model).__name__, type(model).forward
    check_weights_are_stored(model, "converted to integers")
    plain: Network
    if isinstance(model, LeNet5) and forward is LeNet5.forward:
        plain = LeNet5(
            model.num_classes,
            in_channels=model.in_channels,
            image_size=model.image_size,
            activation=model.activation,
            pooling=model.pooling,
        )
    elif isinstance(model, LeNet5Original) and forward is LeNet5Original.forward:
        plain = LeNet5Original(prototypes=model.output.prototypes.detach().cpu().float())
    else:
        raise ValueError(f"{name} cannot be converted to integers; expected a LeNet5 or a LeNet5Original")
    _check_structure(model, plain)
    plain.load_state_dict(model.state_dict())
    check_finite_tensors(plain)
    return plain.eval()


def _check_structure(model: Network, plain: Network) -> None:
    """Raise ValueError unless the layers of a model are those of a plain network, and compute the same."""
    dtypes = {parameter.dtype for parameter in model.parameters()}
    dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
    layers, expected = (
        nn.ModuleDict(dict(network.named_children())) for network in (model, copy.deepcopy(plain).to(dtype))
    )
    difference = next(differences(layers, expected, dtype), None)
    if difference is None and not unmodified.are_unmodified([model, *layers.modules()]):
        difference = "it has hooks or replaced methods"
    if difference is not None:
        raise ValueError(
            f"{type(model).__name__} cannot be converted to integers: {difference}. Pass what differs to the"
            " constructor, and remove hooks and parametrizations first"
        )


def check_finite_tensors(model: nn.Module) -> None:
    """Raise ValueError if a parameter or a buffer is not finite."""
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinite values; expected finite weights")


def _calibration_pixels(images: CalibrationImages, preprocess: Preprocess) -> Tensor:
    """Return at most 1,024 images as (N, C, H, W) uint8 pixels of the network's size."""
    pixels = images.images if isinstance(images, ImageDataset) else images
    if isinstance(pixels, Tensor | np.ndarray) and not len(pixels):
        raise ValueError("there are no calibration images; expected at least one")
    if isinstance(pixels, Tensor | np.ndarray) and pixels.ndim == 4:
        pixels = pixels[np.linspace(0, len(pixels) - 1, min(len(pixels), _MOST_IMAGES)).round().astype(int)]
    pixels = as_batch(preprocess.resize(pixels)).round().to("cpu", torch.uint8)
    if (pixels.amin((2, 3)) == pixels.amax((2, 3))).all():
        raise ValueError("the calibration images are blank; expected images like those that the network will see")
    return pixels


def _calibrate(model: QuantizationAware, images: Tensor) -> None:
    """Choose the scales of the activations, layer by layer; each sees the rounded outputs of the one before."""
    activations = [cast("IntegerActivation", module) for module in model.activations.values()]
    for activation in activations:
        activation.calibrating = True
    with torch.no_grad():
        model(images)
    for activation in activations:
        activation.calibrating = False
