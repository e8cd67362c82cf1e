"""Random distortions of a batch of images, a different one for each."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augment:
    """Turn, scale, shear and shift each image by amounts drawn uniformly, on the images' device.

    The images stay uint8, so what comes after sees nothing that a real image could not be. Pixels from outside are
    black.

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

    Raises
    ------
    ValueError
        An amount is negative or not finite, or `scale` is 1 or more.
    """

    degrees: float = 10.0
    scale: float = 0.1
    shear: float = 0.15
    translate: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            amount = getattr(self, field.name)
            if not 0 <= amount < (1 if field.name == "scale" else math.inf):
                raise ValueError(f"{field.name} is {amount}; expected a finite amount of at least 0 (scale: below 1)")

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Distort uint8 images (N, C, H, W); `generator`, of their device, draws the amounts."""
        if images.ndim != 4 or images.dtype != torch.uint8:
            raise ValueError(
                f"images have shape {tuple(images.shape)} and dtype {images.dtype};"
                " expected (N, C, H, W) of torch.uint8"
            )
        grid = functional.affine_grid(self._matrices(images, generator), list(images.shape), align_corners=False)
        moved = functional.grid_sample(images.float(), grid, mode="bilinear", align_corners=False)
        return moved.round_().to(torch.uint8)

    def _matrices(self, images: Tensor, generator: Generator | None) -> Tensor:
        """Draw an affine map an image: (N, 2, 3), from places in the result to places in the image, edges at ±1."""
        count, _, height, width = images.shape
        drawn = torch.rand(6, count, device=images.device, generator=generator).mul_(2).sub_(1)
        angle = drawn[0] * math.radians(self.degrees)
        wide, high = 1 + drawn[1] * self.scale, 1 + drawn[2] * self.scale
        shear = drawn[3] * self.shear
        right, down = drawn[4] * (2 * self.translate / width), drawn[5] * (2 * self.translate / height)
        cos, sin = angle.cos(), angle.sin()
        tall = height / width  # places count from -1 to 1 along both axes, so a step down is as long as `tall` across
        to_x = (cos / wide, (shear * cos - sin) / high * tall, right)
        to_y = (sin / wide / tall, (shear * sin + cos) / high, down)
        return torch.stack([*to_x, *to_y], dim=1).view(count, 2, 3)
