"""The interface of a peer, and what all peers share: hyperparameters, initial weights and normalisation.

This module imports no machine-learning library.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Call = Callable[[], Any]

MEAN, STD = 0.1307, 0.3081  # of MNIST; every candidate scales its images by them, whatever the data
SHAPES = ((6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84))  # of the weights; a bias has the first axis


@dataclass(frozen=True)
class Setup:
    """Training recipe and hardware shared by all candidates."""

    lr: float
    """Peak learning rate of the one-cycle schedule."""

    warmup: float
    """Fraction of the steps in which the learning rate rises."""

    weight_decay: float
    """Decoupled weight decay of AdamW."""

    label_smoothing: float = 0.0
    """Fraction of the target probability that is spread over all classes."""

    device: str = "cpu"
    """Device in torch's spelling. JAX and Keras choose their own accelerator unless it is "cpu"."""

    threads: int = 1
    """Number of CPU threads."""


@dataclass
class Peer:
    """A library that trains LeNet-5 and predicts with it.

    A `prepare` method does the work that is not timed, such as data conversion and compilation, and returns the call to
    time. The call returns only after the device has finished. A model has the type that `build` returns.

    Parameters
    ----------
    setup
        Recipe and hardware.
    """

    setup: Setup
    packages: tuple[str, ...] = field(default=(), init=False)
    """Packages whose versions are reported."""

    device: str = field(default="cpu", init=False)
    """Device that the library computes on."""

    def build(self, seed: int) -> Any:
        """Build the network with the initial weights of a seed."""
        raise NotImplementedError

    def prepare_training(
        self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int
    ) -> Call:
        """Prepare to train a model in place, on uint8 images (N, 1, 28, 28) and int64 targets (N,)."""
        raise NotImplementedError

    def prepare_prediction(self, model: Any, images: Array, batch_size: int) -> Call:
        """Prepare to classify uint8 images (N, 1, 28, 28); the call returns an array (N,)."""
        raise NotImplementedError

    def prepare_latency(self, model: Any, images: Array) -> Call:
        """Prepare to classify one image with the least overhead that the library allows."""
        return self.prepare_prediction(model, images, 1)


def initial_weights(seed: int) -> list[Array]:
    """Draw the initial weights of a seed, identical for every candidate.

    Returns
    -------
    list of ndarray
        Weight and bias of each layer, float32, from torch's default distribution: uniform in ±1/sqrt(fan_in).
    """
    generator = np.random.default_rng(seed)
    weights = []
    for shape in SHAPES:
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        weights += [generator.uniform(-bound, bound, size).astype(np.float32) for size in (shape, shape[:1])]
    return weights


def normalise(images: Array) -> Array:
    """Scale uint8 images to float32 with MNIST's mean and standard deviation."""
    scaled: Array = (images.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return scaled
