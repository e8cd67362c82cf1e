"""Random corruptions of photographs and scans: strokes, occlusion, blur, lighting and noise."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..arguments import as_number
from .augment import pixel_centres, smooth_noise
from .images import check_images
from .transforms import as_augmentation


@dataclass(frozen=True)
class Degrade:
    """Random corruptions of random strength, each applied to a random subset of a batch.

    The twelve corruptions are typical of photographs and scans of digits: thicker and thinner strokes, outlines, spots,
    lines and bars across the digit, inverted stripes, blur, motion blur, uneven lighting, low contrast and noise. None
    is copied from a benchmark, so that benchmarks measure robustness to unseen corruptions.

    Parameters
    ----------
    fraction
        Fraction of the images to which each corruption is applied, in [0, 1]. With 0.15, about one image in seven
        stays unchanged.

    Raises
    ------
    ValueError
        `fraction` is out of range.

    Examples
    --------
    >>> images = lenet5.load_data("digits").train.images[:8]
    >>> degraded = lenet5.Degrade(fraction=0.5)(images)
    >>> degraded.shape, degraded.dtype
    (torch.Size([8, 1, 28, 28]), torch.uint8)
    """

    fraction: float = 0.15

    def __post_init__(self) -> None:
        fraction = as_number(self.fraction)
        if fraction is None or not 0 <= fraction <= 1:
            raise ValueError(f"fraction is {self.fraction}; expected a number from 0 to 1")
        vars(self)["fraction"] = fraction  # Python's own number, whatever the library of the given one

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Corrupt a batch of images.

        Parameters
        ----------
        images
            (N, C, H, W) uint8.
        generator
            Random number generator on the device of the images. If None, torch's default generator.

        Returns
        -------
        Tensor
            (N, C, H, W) uint8.

        Raises
        ------
        ValueError
            The images have the wrong shape or dtype.
        """
        check_images(images)
        x = images.float() / 255
        for corrupt in _CORRUPTIONS:
            order = torch.randperm(len(x), device=x.device, generator=generator)
            rows = order[: round(self.fraction * len(x))]
            x[rows] = corrupt(x[rows], _BatchRng(x[rows], generator)).clamp_(0, 1)
        return x.mul_(255).round_().to(torch.uint8)


@dataclass(frozen=True)
class Compose:
    """Several augmentations, applied in sequence.

    Parameters
    ----------
    augmentations
        Callables as for `TensorLoader`: of images (N, C, H, W) uint8 and a generator, or transforms of torchvision.

    Examples
    --------
    >>> augment = lenet5.Compose((lenet5.Augment(), lenet5.Degrade()))
    >>> loader = lenet5.TensorLoader(lenet5.load_data("digits").train, batch_size=64, augment=augment)
    """

    augmentations: tuple[Callable[..., Tensor], ...]

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Apply all augmentations to images (N, C, H, W) uint8."""
        for augmentation in self.augmentations:
            images = as_augmentation(augmentation)(images, generator)
        return images


@dataclass(frozen=True)
class _BatchRng:
    """Random numbers and random coordinate systems, independent for each image of a batch."""

    images: Tensor
    generator: Generator | None

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw uniform numbers (N, *shape), by default (N, 1, 1, 1)."""
        shape = (len(self.images), *(shape or (1, 1, 1)))
        return torch.rand(shape, device=self.images.device, generator=self.generator).mul_(high - low).add_(low)

    def field(self, sigma: float) -> Tensor:
        """Draw smooth noise (N, 1, H, W) of unit variance."""
        return smooth_noise(self.images, len(self.images), sigma, self.generator)[:, None]

    def line(self) -> tuple[Tensor, Tensor]:
        """Draw a random line; return the coordinates (N, 1, H, W) along it and across it, about ±1 at the edges."""
        x, y = pixel_centres(self.images)
        angle = self.uniform(0, 2 * math.pi)
        along = angle.cos() * x + angle.sin() * y
        across = angle.cos() * y - angle.sin() * x
        return along, across - self.uniform(-0.7, 0.7)


def _thicken(x: Tensor, rng: _BatchRng) -> Tensor:
    return x.lerp(functional.max_pool2d(x, 3, 1, 1), rng.uniform(0.3, 1))


def _thin(x: Tensor, rng: _BatchRng) -> Tensor:
    return x.lerp(-functional.max_pool2d(-x, 3, 1, 1), rng.uniform(0.2, 0.7))


def _outline(x: Tensor, rng: _BatchRng) -> Tensor:
    """Keep the edges of the strokes."""
    edges = functional.max_pool2d(x, 3, 1, 1) + functional.max_pool2d(-x, 3, 1, 1)
    return x.lerp(edges, rng.uniform(0.6, 1))


def _spots(x: Tensor, rng: _BatchRng) -> Tensor:
    """Cover spots with ink or with background."""
    spots = rng.field(1.5) > rng.uniform(1.2, 2.2)
    return torch.where(spots, rng.uniform(-0.5, 1.5), x)


def _line(x: Tensor, rng: _BatchRng) -> Tensor:
    """Draw a line, straight or zigzag, solid or dotted."""
    along, across = rng.line()
    zigzag = rng.uniform(0, 0.2) * (along * rng.uniform(4, 16)).sin().asin() * (rng.uniform(0, 1) < 0.5)
    dots = (along * rng.uniform(10, 30)).sin() > rng.uniform(-3, 0.2)
    ink = ((across - zigzag).abs() < rng.uniform(0.03, 0.09)) & dots
    return torch.where(ink, rng.uniform(0.4, 1), x)


def _bar(x: Tensor, rng: _BatchRng) -> Tensor:
    """Cover part of the digit with a bar of one grey level."""
    _, across = rng.line()
    return torch.where(across.abs() < rng.uniform(0.05, 0.2), rng.uniform(-0.5, 1), x)


def _invert(x: Tensor, rng: _BatchRng) -> Tensor:
    """Invert a half-plane, a stripe, or the whole image."""
    _, across = rng.line()
    return (x - (across < rng.uniform(-1, 1)).float() * (across > rng.uniform(-3, 0)).float()).abs()


def _blur(x: Tensor, rng: _BatchRng) -> Tensor:
    blurred = functional.avg_pool2d(x, 3, 1, 1)
    return x.lerp(blurred, rng.uniform(0.3, 1)).lerp(functional.avg_pool2d(blurred, 3, 1, 1), rng.uniform(0, 0.8))


def _motion_blur(x: Tensor, rng: _BatchRng) -> Tensor:
    """Average five copies shifted along a random direction."""
    height, width = x.shape[2:]
    angle, length = rng.uniform(0, math.pi), rng.uniform(1, 4)
    column, row = pixel_centres(x)
    total = torch.zeros_like(x)
    for step in (-1.0, -0.5, 0.0, 0.5, 1.0):
        grid_x = (column + angle.cos() * length * (2 * step / width)).expand(-1, 1, height, -1)
        grid_y = (row + angle.sin() * length * (2 * step / height)).expand(-1, 1, -1, width)
        total += functional.grid_sample(x, torch.cat([grid_x, grid_y], 1).movedim(1, 3), align_corners=False)
    return total / 5


def _shade(x: Tensor, rng: _BatchRng) -> Tensor:
    """Brighten the background unevenly, as fog or a shadow does."""
    background = (rng.uniform(0.1, 0.6) + 0.2 * rng.field(6.0)).clamp_(0, 0.9)
    return x + background * (1 - x * rng.uniform(0, 1))


def _fade(x: Tensor, rng: _BatchRng) -> Tensor:
    """Lower the contrast, on a dark or bright background."""
    contrast = rng.uniform(0.25, 0.9)
    return x * contrast + rng.uniform(0, 1) * (1 - contrast)


def _noise(x: Tensor, rng: _BatchRng) -> Tensor:
    """Add Gaussian noise, stronger on ink in half of the images, and salt-and-pepper noise."""
    noise = torch.randn(x.shape, device=x.device, generator=rng.generator)
    x = x + noise * rng.uniform(0, 0.25) * (0.3 + 0.7 * x.sqrt() * (rng.uniform(0, 1) < 0.5)).clamp_(0.3, 1)
    samples, fraction = rng.uniform(0, 1, *x.shape[1:]), rng.uniform(-0.1, 0.12)
    return torch.where(samples < fraction, (samples < fraction / 2).float(), x)


# The order fixes the random numbers that each corruption draws.
_CORRUPTIONS = (_thicken, _thin, _outline, _spots, _line, _bar, _invert, _blur, _motion_blur, _shade, _fade, _noise)
