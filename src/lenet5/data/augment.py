"""Random distortions of a batch of images, a different one for each."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augment:
    """Turn, scale, shear, shift and bend each image in its own way, on the images' device.

    The amounts of the first four are drawn uniformly. Bending moves each pixel by a smooth random field of its own
    (Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document
    Analysis", ICDAR 2003). The images stay uint8, so what comes after sees nothing that a real image could not be.
    Pixels from outside are black.

    Parameters
    ----------
    degrees
        Largest rotation, either way.
    scale
        Largest relative change of height and, independently, of width.
    shear
        Largest horizontal shear: the shift of a row, as a share of its distance from the centre.
    translate
        Largest shift along each axis, in pixels.
    elastic
        Standard deviation, in pixels, of what bending moves a pixel by along each axis.
    smoothness
        Standard deviation, in pixels, of the Gaussian that smooths the field. The paper's distortions, of 34 times
        uniform noise from -1 to 1 under a Gaussian of 4 pixels, are `elastic=1.4, smoothness=4`.
    flip
        Probability that an image is mirrored, left and right; not for what can be read.
    interpolation
        Between pixels: "bilinear", or "bicubic", which blurs less (Keys, IEEE Trans. ASSP 29(6), 1981, with torch's
        a = -0.75).

    Raises
    ------
    ValueError
        An amount is negative or not finite, `scale` is 1 or more, `smoothness` is below 1, `flip` above 1, or the
        interpolation is another.
    """

    degrees: float = 10.0
    scale: float = 0.1
    shear: float = 0.15
    translate: float = 2.0
    elastic: float = 0.0
    smoothness: float = 4.0
    flip: float = 0.0
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name != "interpolation"):
            amount = getattr(self, name)
            if not 0 <= amount < (1 if name == "scale" else math.inf):
                raise ValueError(f"{name} is {amount}; expected a finite amount of at least 0 (scale: below 1)")
        if self.smoothness < 1:
            raise ValueError(f"smoothness is {self.smoothness}; expected at least 1 pixel")
        if self.flip > 1:
            raise ValueError(f"flip is {self.flip}; expected a probability")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f'interpolation is {self.interpolation!r}; expected "bilinear" or "bicubic"')

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Distort uint8 images (N, C, H, W); `generator`, of their device, draws the amounts."""
        check_pixels(images)
        places = self._places(images, generator).movedim(1, 3)
        moved = functional.grid_sample(images.float(), places, mode=self.interpolation, align_corners=False)
        return moved.round_().clamp_(0, 255).to(torch.uint8)

    def _places(self, images: Tensor, generator: Generator | None) -> Tensor:
        """Draw where each pixel comes from: (N, 2, H, W), right and down, edges at ±1."""
        matrices = self._matrices(images, generator)
        across, down = (_centres(side, images.device) for side in (images.shape[3], images.shape[2]))
        rows = matrices[:, :, 1, None] * down + matrices[:, :, 2, None]
        places = torch.addcmul(rows[..., None], matrices[:, :, 0, None, None], across)
        return places.add_(self._field(images, generator)) if self.elastic else places

    def _matrices(self, images: Tensor, generator: Generator | None) -> Tensor:
        """Draw an affine map an image: (N, 2, 3), from places in the result to places in the image, edges at ±1."""
        count, _, height, width = images.shape
        drawn = torch.rand(6, count, device=images.device, generator=generator).mul_(2).sub_(1)
        angle = drawn[0] * math.radians(self.degrees)
        wide, high = 1 + drawn[1] * self.scale, 1 + drawn[2] * self.scale
        if self.flip:
            wide *= 1 - 2 * (torch.rand(count, device=images.device, generator=generator) < self.flip).float()
        shear = drawn[3] * self.shear
        right, down = drawn[4] * (2 * self.translate / width), drawn[5] * (2 * self.translate / height)
        cos, sin = angle.cos(), angle.sin()
        tall = height / width  # places count from -1 to 1 along both axes, so a step down is as long as `tall` across
        to_x = (cos / wide, (shear * cos - sin) / high * tall, right)
        to_y = (sin / wide / tall, (shear * sin + cos) / high, down)
        return torch.stack([*to_x, *to_y], dim=1).view(count, 2, 3)

    def _field(self, images: Tensor, generator: Generator | None) -> Tensor:
        """Draw how far bending moves each pixel: (N, 2, H, W), as the places."""
        count, _, height, width = images.shape
        down, across = (_gaussians(side, self.smoothness, images.device) for side in (height, width))
        shape = (down.shape[1], count, 2, across.shape[1])
        noise = torch.randn(shape, device=images.device, generator=generator)
        field: Tensor = torch.tensordot(torch.tensordot(down, noise, 1), across.T, 1).permute(1, 2, 0, 3)
        field[:, 0] *= 2 * self.elastic / width
        field[:, 1] *= 2 * self.elastic / height
        return field


def check_pixels(images: Tensor) -> None:
    """Raise ValueError unless images are uint8 (N, C, H, W)."""
    if images.ndim != 4 or images.dtype != torch.uint8:
        raise ValueError(
            f"images have shape {tuple(images.shape)} and dtype {images.dtype}; expected (N, C, H, W) of torch.uint8"
        )


@functools.lru_cache(maxsize=16)
def _centres(side: int, device: torch.device) -> Tensor:
    """Return where the centres of the pixels lie, from one edge at -1 to the other at 1."""
    return (2 * torch.arange(side, dtype=torch.float32, device=device) + 1) / side - 1


@functools.lru_cache(maxsize=16)
def _gaussians(side: int, sigma: float, device: torch.device) -> Tensor:
    """Return (side, K): what K random numbers, `sigma` apart and beyond the image on both sides, weigh at each pixel.

    Each row has the length 1, so that normal numbers have the variance 1 everywhere.
    """
    num_aside = math.ceil(side / 2 / sigma + 1.5)
    numbers, pixels = (
        torch.arange(*ends, dtype=torch.float32, device=device) for ends in ((-num_aside, num_aside + 1), (0, side))
    )
    distances = pixels[:, None] - (side - 1) / 2 - sigma * numbers
    return functional.normalize(torch.exp(-0.5 * (distances / sigma) ** 2), dim=1)
