"""A small U-Net that marks the ink of digits, trained on drawn pages by benchmarks/ink_network.py."""

import importlib.resources
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..storage import read_json, read_tensors
from .pixels import Grey

FOLDER = "ink_v1"
WIDTHS = (8, 12, 16, 24, 32)
STRIDE = 2 ** (len(WIDTHS) - 1)  # the sides of an image are padded to multiples of it
_LEAST_CONTRAST = 8.0  # standard deviation of the grey levels, of 255, below which contrast is not enhanced

Convolution = Callable[[int, int, int], nn.Module]
"""From input channels, output channels and kernel size to a layer that keeps height and width."""


def _convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


class InkNetwork(nn.Module):
    """Fully convolutional network with skip connections (U-Net: Ronneberger, Fischer and Brox, arXiv:1505.04597).

    Features are added instead of concatenated, as in LinkNet (Chaurasia and Culurciello, arXiv:1707.03718).

    Parameters
    ----------
    convolution
        Makes each layer with weights but the last; for training, one with batch normalisation.
    """

    def __init__(self, convolution: Convolution = _convolution) -> None:
        super().__init__()
        self.down: nn.ModuleList = nn.ModuleList(
            nn.Sequential(convolution(before, after, 3), nn.ReLU(), convolution(after, after, 3), nn.ReLU())
            for before, after in zip((1, *WIDTHS), WIDTHS, strict=False)
        )
        self.narrow: nn.ModuleList = nn.ModuleList(convolution(below, here, 1) for here, below in pairwise(WIDTHS))
        self.up: nn.ModuleList = nn.ModuleList(
            nn.Sequential(convolution(here, here, 3), nn.ReLU()) for here in WIDTHS[:-1]
        )
        self.output: nn.Conv2d = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1, H, W) for standardised images (N, 1, H, W), whose sides are multiples of 16."""
        skipped = []
        for level, block in enumerate(self.down):
            images = block(functional.max_pool2d(images, 2) if level else images)
            skipped.append(images)
        for narrow, block, skip in zip(
            reversed(list(self.narrow)), reversed(list(self.up)), reversed(skipped[:-1]), strict=True
        ):
            images = block(skip + functional.interpolate(narrow(images), scale_factor=2.0, mode="nearest"))
        logits: Tensor = self.output(images)
        return logits


def standardise(images: Tensor) -> Tensor:
    """Shift and scale images (N, 1, H, W) to mean 0 and, unless they are almost even, standard deviation 1."""
    std, mean = torch.std_mean(images, (1, 2, 3), correction=0, keepdim=True)
    return (images - mean) / std.clamp_min(_LEAST_CONTRAST)


def ink_probability(grey: Grey) -> Grey:
    """Return the probability of ink (H, W) float32 for each pixel of an image (H, W), from 0 to 255.

    It is the same for the negative: the logits are the means of both. Strokes are best about 1 to 10 pixels wide, and
    digits 15 to 130 pixels high.
    """
    image = standardise(torch.tensor(grey)[None, None])
    height, width = grey.shape
    padding = 0, -width % STRIDE, 0, -height % STRIDE
    with torch.inference_mode():
        padded = functional.pad(image, padding, mode="replicate")
        logits: Tensor = _network()(torch.cat([padded, -padded])).mean((0, 1))
        return np.asarray(logits[:height, :width].sigmoid())


@cache
def _network() -> InkNetwork:
    """Load the bundled weights, once."""
    folder = Path(str(importlib.resources.files("lenet5"))) / "photo" / FOLDER
    with torch.device("meta"):
        network = InkNetwork()
    tensors = read_tensors(folder / "model.safetensors", sha256=read_json(folder / "config.json")["sha256"])
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return network.eval()
