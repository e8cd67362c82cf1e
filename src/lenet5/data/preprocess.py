"""From any picture to what a network takes; the only place where pixels are scaled and normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    import PIL.Image

Images: TypeAlias = "Tensor | npt.NDArray[Any] | PIL.Image.Image | Sequence[Images]"

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what PIL's and torchvision's conversions to grey use
_CHANNELS = (1, 3, 4)  # grey, RGB, RGBA: what tells an axis of channels from one of pixels


@dataclass(frozen=True)
class Preprocess:
    """Make a normalised batch of one size from pictures of any kind: `(pixel / 255 - mean) / std`.

    Parameters
    ----------
    image_size
        Height and width of the result. Other pictures are padded with black to a square and resized (bilinear,
        antialiased), and get the margin of `padding`.
    channels
        1 makes grey of colour (ITU-R BT.601), 3 makes three equal channels of grey. Transparency shows black.
    mean, std
        Of the training set's pixels, with 0 for black and 1 for white. MNIST's are the default.
    padding
        Black pixels on each side of the result around what is resized, as LeCun et al. (1998) place 28x28 in 32x32.
        A picture of the size of the result already is taken as it is, for it brings its own.

    Raises
    ------
    ValueError
        A parameter is out of its range.
    """

    image_size: int = 28
    channels: int = 1
    mean: float = 0.1307
    std: float = 0.3081
    padding: int = 0

    def __post_init__(self) -> None:
        if self.image_size < 1 or self.channels not in (1, 3):
            raise ValueError(
                f"image_size is {self.image_size} and channels is {self.channels};"
                " expected a positive size, and 1 or 3 channels"
            )
        if not 0 <= 2 * self.padding < self.image_size:
            raise ValueError(f"padding is {self.padding}; expected at least 0, and less than half of {self.image_size}")
        if not (0 <= self.mean <= 1 and 0 < self.std <= 1):
            raise ValueError(f"mean is {self.mean} and std is {self.std}; expected them in [0, 1], and std above 0")

    @classmethod
    def of_1998(cls) -> Preprocess:
        """Return that of LeCun et al. 1998, section II.B: 28x28 in a field of 32x32, black -0.1 and white 1.175."""
        return cls(image_size=32, padding=2, mean=0.1 / 1.275, std=1 / 1.275)

    def __call__(self, images: Images) -> Tensor:
        """Normalise one picture or several.

        Parameters
        ----------
        images
            A PIL image; an array (H, W), (H, W, C), (N, H, W) or (N, H, W, C); a tensor (H, W), (C, H, W) or
            (N, C, H, W), with 1, 3 or 4 channels; or a sequence of these, of any sizes. Values are uint8, bool, or
            floating-point in [0, 1]. Light ink on a dark ground, as in MNIST.

        Returns
        -------
        Tensor
            (N, channels, image_size, image_size) float32, on the device of the images.

        Raises
        ------
        ValueError
            The shape or dtype is another, or a value is not finite or out of range.
        TypeError
            It is no picture.
        """
        if isinstance(images, Sequence) and not isinstance(images, str):
            if not images:
                raise ValueError("no images were given; expected at least one")
            return torch.cat([self(image) for image in images])
        batch = _as_batch(images)
        if batch.dtype != torch.uint8:
            batch = _checked_unit(batch).mul(255)
        if batch.shape[1:] != (self.channels, self.image_size, self.image_size):
            batch = self._fit(batch.float())
        return self.normalize(batch)

    def normalize(self, images: Tensor) -> Tensor:
        """Scale and shift pixel values in [0, 255], of any shape and dtype, to normalised float32."""
        return images.to(torch.float32, copy=True).mul_(1 / (255 * self.std)).sub_(self.mean / self.std)

    def _fit(self, images: Tensor) -> Tensor:
        """Change the number of channels, and the size."""
        if images.shape[1] == 4:
            images = images[:, :3] * (images[:, 3:] / 255)
        if images.shape[1] == 3 and self.channels == 1:
            images = (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        images = images.expand(-1, self.channels, -1, -1)
        height, width = images.shape[2:]
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        images = functional.pad(images, (left, side - width - left, top, side - height - top))
        inner = self.image_size - 2 * self.padding
        if side != inner:
            images = functional.interpolate(
                images, (inner, inner), mode="bilinear", align_corners=False, antialias=True
            )
        return functional.pad(images, (self.padding,) * 4)


def _as_batch(images: object) -> Tensor:
    """Turn one picture or an array of them into (N, C, H, W), whatever its dtype."""
    if isinstance(images, Tensor):
        return _channels_first(images, channels_last=False)
    if not isinstance(images, np.ndarray):
        images = _array_of_picture(images)
    return _channels_first(torch.from_numpy(np.array(images, order="C")), channels_last=True)


def _array_of_picture(picture: object) -> npt.NDArray[Any]:
    import PIL.Image

    if not isinstance(picture, PIL.Image.Image):
        raise TypeError(f"images are {type(picture).__name__}; expected a PIL image, an array or a tensor")
    if picture.has_transparency_data:
        return np.asarray(picture.convert("RGBA"))
    if picture.mode in ("1", "L", "RGB"):
        return np.asarray(picture)
    if picture.mode.startswith(("I", "F")):
        raise ValueError(f"the picture has mode {picture.mode!r}, of more than 8 bits; convert it to 'L' first")
    return np.asarray(picture.convert("RGB"))


def _channels_first(images: Tensor, *, channels_last: bool) -> Tensor:
    """Find the axis of channels: first in a tensor, last in an array; the other where only that one can be it."""
    shape = tuple(images.shape)
    if images.ndim == 2 and all(shape):
        return images[None, None]
    if images.ndim in (3, 4) and all(shape):
        first, last = shape[-3] in _CHANNELS, shape[-1] in _CHANNELS
        if last and (channels_last or not first):
            images = images.movedim(-1, -3)
        elif channels_last and images.ndim == 3:
            images = images[:, None]
        elif not first:
            raise ValueError(
                f"images have shape {shape}; expected 1, 3 or 4 channels (a tensor [:, None] adds an axis)"
            )
        return images if images.ndim == 4 else images[None]
    raise ValueError(f"images have shape {shape}; expected 2 to 4 axes, none of them empty")


def _checked_unit(images: Tensor) -> Tensor:
    """Return bool or floating-point images as float32, once they are seen to be within [0, 1]."""
    if images.dtype == torch.bool:
        return images.float()
    if not images.is_floating_point():
        raise ValueError(f"images have dtype {images.dtype}; expected uint8, or floating point in [0, 1]")
    if bad := int((~images.isfinite()).sum()):
        raise ValueError(f"images hold {bad} values that are NaN or infinite; expected finite values in [0, 1]")
    low, high = images.aminmax()
    if low < 0 or high > 1:
        raise ValueError(
            f"floating-point images lie in [{low:.4g}, {high:.4g}]; expected [0, 1], not yet normalised"
            " (divide by 255, or pass uint8)"
        )
    return images.float()
