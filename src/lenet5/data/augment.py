"""Random affine and elastic distortions, drawn independently for each image of a batch."""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..arguments import as_number
from .images import check_images


@dataclass(frozen=True)
class Augment:
    """Random rotation, scaling, shear, translation, flip and elastic distortion of images, on their device.

    The parameters of the affine map are drawn uniformly and independently for each image. The elastic distortion adds
    a smooth random displacement field (Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks
    Applied to Visual Document Analysis", ICDAR 2003). Pixels from outside the image are black. The result is rounded
    to uint8.

    Parameters
    ----------
    degrees
        Maximum rotation in either direction.
    scale
        Maximum relative change of height and, independently, of width.
    shear
        Maximum horizontal shear: the shift of a row divided by its distance from the centre.
    translate
        Maximum shift along each axis, in pixels.
    elastic
        Standard deviation of the displacement field along each axis, in pixels.
    smoothness
        Standard deviation of the Gaussian that smooths the field, in pixels. The paper's distortions (34 times
        uniform noise in [-1, 1], smoothed by a Gaussian of 4 pixels) are `elastic=1.4, smoothness=4`.
    flip
        Probability of a horizontal flip. Not suitable for digits or letters.
    interpolation
        "bilinear", or "bicubic", which blurs less (Keys, IEEE Trans. ASSP 29(6), 1981, with torch's a = -0.75).

    Raises
    ------
    ValueError
        A number is negative or not finite, `scale` is 1 or more, `smoothness` is below 1, `flip` is above 1, or
        `interpolation` is unknown.

    Examples
    --------
    >>> augment = lenet5.Augment(degrees=15, elastic=1.4)
    >>> images = lenet5.load_data("digits").train.images[:8]
    >>> augment(images, torch.Generator().manual_seed(0)).shape
    torch.Size([8, 1, 28, 28])
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
        for name, value in vars(self).copy().items():
            if name == "interpolation":
                continue
            number = as_number(value)
            if number is None or not 0 <= number < (1 if name == "scale" else math.inf):
                raise ValueError(f"{name} is {value}; expected a finite number of at least 0 (scale: below 1)")
            vars(self)[name] = number  # Python's own number, whatever the library of the given one
        if self.smoothness < 1:
            raise ValueError(f"smoothness is {self.smoothness}; expected at least 1 pixel")
        if self.flip > 1:
            raise ValueError(f"flip is {self.flip}; expected a probability")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f'interpolation is {self.interpolation!r}; expected "bilinear" or "bicubic"')

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Distort a batch of images.

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
        grid = self._sampling_grid(images, generator).movedim(1, 3)
        distorted = functional.grid_sample(images.float(), grid, mode=self.interpolation, align_corners=False)
        return distorted.round_().clamp_(0, 255).to(torch.uint8)

    def _sampling_grid(self, images: Tensor, generator: Generator | None) -> Tensor:
        """Draw the (N, 2, H, W) source coordinates x, y of each output pixel, with the image edges at ±1."""
        matrices = self._affine_matrices(images, generator)[..., None, None]
        x, y = pixel_centres(images)
        grid = torch.addcmul(matrices[:, :, 1] * y + matrices[:, :, 2], matrices[:, :, 0], x)
        return grid.add_(self._displacements(images, generator)) if self.elastic else grid

    def _affine_matrices(self, images: Tensor, generator: Generator | None) -> Tensor:
        """Draw (N, 2, 3) affine maps from output to source coordinates, with the image edges at ±1."""
        num_images, _, height, width = images.shape
        uniform = torch.rand(6, num_images, device=images.device, generator=generator).mul_(2).sub_(1)
        angle = uniform[0] * math.radians(self.degrees)
        scale_x, scale_y = 1 + uniform[1] * self.scale, 1 + uniform[2] * self.scale
        if self.flip:
            scale_x *= 1 - 2 * (torch.rand(num_images, device=images.device, generator=generator) < self.flip).float()
        shear = uniform[3] * self.shear
        shift_x, shift_y = uniform[4] * (2 * self.translate / width), uniform[5] * (2 * self.translate / height)
        cos, sin = angle.cos(), angle.sin()
        aspect = height / width  # a unit of y spans `aspect` times as many pixels as a unit of x
        row_x = (cos / scale_x, (shear * cos - sin) / scale_y * aspect, shift_x)
        row_y = (sin / scale_x / aspect, (shear * sin + cos) / scale_y, shift_y)
        return torch.stack([*row_x, *row_y], dim=1).view(num_images, 2, 3)

    def _displacements(self, images: Tensor, generator: Generator | None) -> Tensor:
        """Draw elastic displacement fields (N, 2, H, W), in the units of the sampling grid."""
        num_images, _, height, width = images.shape
        fields = smooth_noise(images, 2 * num_images, self.smoothness, generator).view(num_images, 2, height, width)
        fields[:, 0] *= 2 * self.elastic / width
        fields[:, 1] *= 2 * self.elastic / height
        return fields


def pixel_centres(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coordinates x (W,) and y (H, 1) of the pixel centres, with the image edges at ±1."""
    height, width = images.shape[2:]
    return _centres(width, images.device), _centres(height, images.device)[:, None]


def smooth_noise(images: Tensor, num_fields: int, sigma: float, generator: Generator | None) -> Tensor:
    """Draw (num_fields, H, W) normal noise of unit variance, smoothed by a Gaussian of `sigma` pixels."""
    height_weights, width_weights = (_gaussian_weights(side, sigma, images.device) for side in images.shape[2:])
    shape = (height_weights.shape[1], num_fields, width_weights.shape[1])
    noise = torch.randn(shape, device=images.device, generator=generator)
    smooth: Tensor = torch.tensordot(torch.tensordot(height_weights, noise, 1), width_weights.T, 1)
    return smooth.transpose(0, 1)


@functools.lru_cache(maxsize=16)
def _centres(side: int, device: torch.device) -> Tensor:
    return (2 * torch.arange(side, dtype=torch.float32, device=device) + 1) / side - 1


@functools.lru_cache(maxsize=16)
def _gaussian_weights(side: int, sigma: float, device: torch.device) -> Tensor:
    """Return weights (side, K) that interpolate K noise samples, spaced `sigma` pixels apart, at each pixel.

    The samples extend beyond both edges. Each row has unit norm, which gives the result unit variance.
    """
    margin = math.ceil(side / 2 / sigma + 1.5)
    samples = sigma * torch.arange(-margin, margin + 1, dtype=torch.float32, device=device)
    pixels = torch.arange(side, dtype=torch.float32, device=device) - (side - 1) / 2
    distances = pixels[:, None] - samples
    return functional.normalize(torch.exp(-0.5 * (distances / sigma) ** 2), dim=1)
