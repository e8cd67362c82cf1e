"""What pens, paper, lenses and scanners do to a digit, drawn at random for each image of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from .augment import _centres, _gaussians, check_pixels


@dataclass(frozen=True)
class Degrade:
    """Change strokes, light, sharpness and background of images, each kind by chance and in its own strength.

    The kinds are those that tell photographs and scans from MNIST: thicker and thinner strokes, outlines, blur and
    shaken hands, spots, lines and bars across the digit, inverted stripes, uneven light, low contrast, and noise of
    camera and transmission. None copies a kind of some benchmark: a digit that is read through these should be read
    through others.

    Parameters
    ----------
    share
        Of the images of a batch, for each of the twelve kinds: with 0.15 one image in seven stays as it is.

    Raises
    ------
    ValueError
        The share is not in [0, 1].
    """

    share: float = 0.15

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is {self.share}; expected a number from 0 to 1")

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Degrade uint8 images (N, C, H, W); `generator`, of their device, draws which, and how much."""
        check_pixels(images)
        x = images.float() / 255
        for kind in _KINDS:
            order = torch.randperm(len(x), device=x.device, generator=generator)
            rows = order[: round(self.share * len(x))]
            x[rows] = kind(x[rows], _Draw(x[rows], generator)).clamp_(0, 1)
        return x.mul_(255).round_().to(torch.uint8)


@dataclass(frozen=True)
class Compose:
    """Several augmentations, one after the other.

    Parameters
    ----------
    augmentations
        What is called with uint8 images (N, C, H, W) and a generator, and returns images of the same kind.
    """

    augmentations: tuple[Callable[[Tensor, Generator | None], Tensor], ...]

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Pass images through all of them."""
        for augmentation in self.augmentations:
            images = augmentation(images, generator)
        return images


class _Draw:
    """Random numbers for a batch, and where its pixels are."""

    def __init__(self, images: Tensor, generator: Generator | None) -> None:
        self.count, _, self.height, self.width = images.shape
        self.device, self.generator = images.device, generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return (N, 1, 1, 1), or (N, *shape)."""
        shape = (self.count, *(shape or (1, 1, 1)))
        return torch.rand(shape, device=self.device, generator=self.generator).mul_(high - low).add_(low)

    def field(self, smoothness: float) -> Tensor:
        """Return (N, 1, H, W): normal numbers, smooth over so many pixels."""
        down, across = (_gaussians(side, smoothness, self.device) for side in (self.height, self.width))
        shape = (down.shape[1], self.count, across.shape[1])
        noise = torch.randn(shape, device=self.device, generator=self.generator)
        field: Tensor = torch.tensordot(torch.tensordot(down, noise, 1), across.T, 1).permute(1, 0, 2)[:, None]
        return field

    def axes(self) -> tuple[Tensor, Tensor]:
        """Return two coordinates (N, 1, H, W), from about -1 to 1, along and across a line of each image's own."""
        across, down = _centres(self.width, self.device), _centres(self.height, self.device)[:, None]
        angle = self.uniform(0, 2 * math.pi)
        along = angle.cos() * across + angle.sin() * down
        aside = angle.cos() * down - angle.sin() * across
        return along, aside - self.uniform(-0.7, 0.7)


def _thicken(x: Tensor, draw: _Draw) -> Tensor:
    return x.lerp(functional.max_pool2d(x, 3, 1, 1), draw.uniform(0.3, 1))


def _thin(x: Tensor, draw: _Draw) -> Tensor:
    return x.lerp(-functional.max_pool2d(-x, 3, 1, 1), draw.uniform(0.2, 0.7))


def _outline(x: Tensor, draw: _Draw) -> Tensor:
    """Leave the edges of the strokes."""
    edges = functional.max_pool2d(x, 3, 1, 1) + functional.max_pool2d(-x, 3, 1, 1)
    return x.lerp(edges, draw.uniform(0.6, 1))


def _spot(x: Tensor, draw: _Draw) -> Tensor:
    """Drop ink, or what rubs it out."""
    spots = draw.field(1.5) > draw.uniform(1.2, 2.2)
    return torch.where(spots, draw.uniform(-0.5, 1.5), x)


def _line(x: Tensor, draw: _Draw) -> Tensor:
    """Draw a line across, straight or in waves, whole or dotted."""
    along, aside = draw.axes()
    waves = draw.uniform(0, 0.2) * (along * draw.uniform(4, 16)).sin().asin() * (draw.uniform(0, 1) < 0.5)
    dotted = (along * draw.uniform(10, 30)).sin() > draw.uniform(-3, 0.2)
    ink = ((aside - waves).abs() < draw.uniform(0.03, 0.09)) & dotted
    return torch.where(ink, draw.uniform(0.4, 1), x)


def _bar(x: Tensor, draw: _Draw) -> Tensor:
    """Cover a bar."""
    _, aside = draw.axes()
    return torch.where(aside.abs() < draw.uniform(0.05, 0.2), draw.uniform(-0.5, 1), x)


def _invert(x: Tensor, draw: _Draw) -> Tensor:
    """Invert what lies on one side of a line, or in a stripe, or everything."""
    _, aside = draw.axes()
    return (x - (aside < draw.uniform(-1, 1)).float() * (aside > draw.uniform(-3, 0)).float()).abs()


def _blur(x: Tensor, draw: _Draw) -> Tensor:
    once = functional.avg_pool2d(x, 3, 1, 1)
    return x.lerp(once, draw.uniform(0.3, 1)).lerp(functional.avg_pool2d(once, 3, 1, 1), draw.uniform(0, 0.8))


def _shake(x: Tensor, draw: _Draw) -> Tensor:
    """Blur in one direction."""
    angle, length = draw.uniform(0, math.pi), draw.uniform(1, 4)
    across, down = _centres(draw.width, draw.device), _centres(draw.height, draw.device)[:, None]
    total = torch.zeros_like(x)
    for step in (-1.0, -0.5, 0.0, 0.5, 1.0):
        right = (across + angle.cos() * length * (2 * step / draw.width)).expand(-1, 1, draw.height, -1)
        below = (down + angle.sin() * length * (2 * step / draw.height)).expand(-1, 1, -1, draw.width)
        total += functional.grid_sample(x, torch.cat([right, below], 1).movedim(1, 3), align_corners=False)
    return total / 5


def _shade(x: Tensor, draw: _Draw) -> Tensor:
    """Light the ground unevenly, as fog or a shadow does."""
    ground = (draw.uniform(0.1, 0.6) + 0.2 * draw.field(6.0)).clamp_(0, 0.9)
    return x + ground * (1 - x * draw.uniform(0, 1))


def _fade(x: Tensor, draw: _Draw) -> Tensor:
    """Lower the contrast, to a ground that is dark or bright."""
    contrast = draw.uniform(0.25, 0.9)
    return x * contrast + draw.uniform(0, 1) * (1 - contrast)


def _noise(x: Tensor, draw: _Draw) -> Tensor:
    """Add noise to all pixels, and put others in the place of some."""
    noise = torch.randn(x.shape, device=draw.device, generator=draw.generator)
    x = x + noise * draw.uniform(0, 0.25) * (0.3 + 0.7 * x.sqrt() * (draw.uniform(0, 1) < 0.5)).clamp_(0.3, 1)
    other = draw.uniform(0, 1, *x.shape[1:])
    share = draw.uniform(-0.1, 0.12)
    return torch.where(other < share, (other < share / 2).float(), x)


_KINDS = (_thicken, _thin, _outline, _spot, _line, _bar, _invert, _blur, _shake, _shade, _fade, _noise)
