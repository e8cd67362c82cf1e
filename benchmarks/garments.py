"""Distortions of Fashion-MNIST's images."""

import torch
from torch import Generator, Tensor

import lenet5
from lenet5.recipes import RECIPES


def distort_garments(images: Tensor, _targets: Tensor, generator: Generator) -> Tensor:
    """Distort images (N, 1, 28, 28) uint8 as the recipe `fashion` does."""
    augment = RECIPES["fashion"].augment
    assert isinstance(augment, lenet5.Augment)
    return augment(images, generator)


def shift_garments(images: Tensor, _targets: Tensor, generator: Generator) -> Tensor:
    """Shift images (N, 1, 28, 28) uint8 by up to a pixel, and mirror half of them."""
    return lenet5.Augment(degrees=0, scale=0, shear=0, translate=1, flip=0.5)(images, generator)


def erase_parts(images: Tensor, targets: Tensor, generator: Generator) -> Tensor:
    """Distort images (N, 1, 28, 28) uint8, and blacken a rectangle of half of them.

    Zhong et al., "Random Erasing Data Augmentation", arXiv:1708.04896.
    """
    count, side = len(images), images.shape[-1]
    distorted = distort_garments(images, targets, generator)
    size = torch.randint(4, 12, (count, 2, 1), generator=generator)
    start = torch.randint(-4, side, (count, 2, 1), generator=generator)
    places = torch.arange(side)
    inside = (places >= start) & (places < start + size)
    erased = torch.rand(count, 1, 1, generator=generator) < 0.5
    return distorted.masked_fill((inside[:, 0, :, None] & inside[:, 1, None] & erased)[:, None], 0)
