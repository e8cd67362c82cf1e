"""Preprocessing of images of any kind to normalised batches. Pixels are normalised only here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    import PIL.Image

Images: TypeAlias = "Tensor | npt.NDArray[Any] | PIL.Image.Image | Sequence[Images]"

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in PIL and torchvision
_CHANNELS = (1, 3, 4)  # greyscale, RGB and RGBA: the sizes that identify a channel axis


@dataclass(frozen=True)
class Preprocess:
    """Resizing and normalisation of images of any kind: `(pixel / 255 - mean) / std`.

    Parameters
    ----------
    image_size
        Height and width of the output. Images of a different size are padded with black to a square and resized
        (bilinear, antialiased).
    channels
        Channels of the output. 1 converts colour to greyscale (ITU-R BT.601); 3 repeats greyscale in three channels.
        Transparent pixels are composited on black.
    mean, std
        Mean and standard deviation of the training pixels, on a scale from 0 (black) to 1 (white). The defaults are
        MNIST's.
    padding
        Width in pixels of the black border, which is included in `image_size`. LeCun et al. (1998) centre 28x28 images
        in 32x32. Images that already have the size of the output get no border.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """

    image_size: int = 28
    channels: int = 1
    mean: float = 0.1307
    std: float = 0.3081
    padding: int = 0

    def __post_init__(self) -> None:
        if self.image_size < 1:
            raise ValueError(f"image_size is {self.image_size}; expected at least 1")
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}; expected 1 or 3")
        if not 0 <= 2 * self.padding < self.image_size:
            raise ValueError(f"padding is {self.padding}; expected at least 0, and less than half of {self.image_size}")
        if not (0 <= self.mean <= 1 and 0 < self.std <= 1):
            raise ValueError(f"mean is {self.mean} and std is {self.std}; expected them in [0, 1], and std above 0")

    @classmethod
    def original(cls) -> Self:
        """Return the preprocessing of LeCun et al. (1998), section II.B: 28x28 in 32x32, black -0.1, white 1.175."""
        return cls(image_size=32, padding=2, mean=0.1 / 1.275, std=1 / 1.275)

    def __call__(self, images: Images) -> Tensor:
        """Convert images to a normalised batch.

        Parameters
        ----------
        images
            Light digits on a dark background, as in MNIST. One of:

            - a PIL image;
            - an array (H, W), (H, W, C), (N, H, W) or (N, H, W, C);
            - a tensor (H, W), (C, H, W) or (N, C, H, W);
            - a sequence of these, of any sizes.

            C is 1, 3 or 4. Values are uint8, bool, or floating point in [0, 1].

        Returns
        -------
        Tensor
            (N, channels, image_size, image_size) float32, on the device of the images.

        Raises
        ------
        ValueError
            The images have the wrong shape or dtype, or a value is not finite or out of range.
        TypeError
            The images are not a PIL image, an array, a tensor, or a sequence of these.
        """
        if isinstance(images, Sequence) and not isinstance(images, str):
            if not images:
                raise ValueError("no images were given; expected at least one")
            return torch.cat([self(image) for image in images])
        batch = _as_batch(images)
        if batch.dtype != torch.uint8:
            batch = _unit_interval(batch).mul(255)
        if batch.shape[1:] != (self.channels, self.image_size, self.image_size):
            batch = self._fit(batch.float())
        return self.normalize(batch)

    def normalize(self, images: Tensor) -> Tensor:
        """Normalise pixels in [0, 255], of any shape and dtype; return float32."""
        return images.to(torch.float32, copy=True).mul_(1 / (255 * self.std)).sub_(self.mean / self.std)

    def _fit(self, images: Tensor) -> Tensor:
        """Convert (N, C, H, W) to (N, channels, image_size, image_size)."""
        if images.shape[1] == 4:
            images = images[:, :3] * (images[:, 3:] / 255)
        if images.shape[1] == 3 and self.channels == 1:
            images = (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        images = images.expand(-1, self.channels, -1, -1)
        height, width = images.shape[2:]
        side, inner = max(height, width), self.image_size - 2 * self.padding
        top, left = (side - height) // 2, (side - width) // 2
        images = functional.pad(images, (left, side - width - left, top, side - height - top))
        if side != inner:
            images = functional.interpolate(images, inner, mode="bilinear", align_corners=False, antialias=True)
        return functional.pad(images, (self.padding,) * 4)


def check_finite(images: Tensor) -> None:
    """Raise ValueError if a value is NaN or infinite."""
    if invalid := int((~images.isfinite()).sum()):
        raise ValueError(f"images hold {invalid} values that are NaN or infinite; expected finite values")


def _as_batch(images: object) -> Tensor:
    """Convert one image, or an array or tensor of images, to (N, C, H, W) of the same dtype."""
    if isinstance(images, Tensor):
        return _channels_first(images, channels_last=False)
    array = images if isinstance(images, np.ndarray) else _pil_to_array(images)
    return _channels_first(torch.from_numpy(np.array(array, order="C")), channels_last=True)


def _pil_to_array(image: object) -> npt.NDArray[Any]:
    import PIL.Image

    if not isinstance(image, PIL.Image.Image):
        raise TypeError(f"images are {type(image).__name__}; expected a PIL image, an array or a tensor")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"the image has mode {image.mode!r}, of more than 8 bits; convert it to 'L' first")
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image if image.mode in ("1", "L", "RGB") else image.convert("RGB"))


def _channels_first(images: Tensor, *, channels_last: bool) -> Tensor:
    """Convert to (N, C, H, W). If the first and the last axis could both be the channels, `channels_last` decides."""
    shape = tuple(images.shape)
    if not 2 <= len(shape) <= 4 or not all(shape):
        raise ValueError(f"images have shape {shape}; expected 2 to 4 dimensions, none of them empty")
    if len(shape) == 2:
        return images[None, None]
    first, last = shape[-3] in _CHANNELS, shape[-1] in _CHANNELS
    if last and (channels_last or not first):
        images = images.movedim(-1, -3)
    elif channels_last and len(shape) == 3:
        images = images[:, None]
    elif not first:
        raise ValueError(f"images have shape {shape}; expected 1, 3 or 4 channels (images[:, None] adds the axis)")
    return images if images.ndim == 4 else images[None]


def _unit_interval(images: Tensor) -> Tensor:
    """Convert bool or floating-point images to float32 after checking that they lie in [0, 1]."""
    if images.dtype == torch.bool:
        return images.float()
    if not images.is_floating_point():
        raise ValueError(f"images have dtype {images.dtype}; expected uint8, or floating point in [0, 1]")
    check_finite(images)
    low, high = images.aminmax()
    if low < 0 or high > 1:
        raise ValueError(f"images lie in [{low:.4g}, {high:.4g}]; expected [0, 1], not normalised (or pass uint8)")
    return images.float()
