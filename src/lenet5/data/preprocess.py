"""Preprocessing of images of any kind to normalised batches. Pixels are normalised only here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from ..arguments import as_integer, as_number, check_integer
from .images import Images, as_pixels

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in PIL and torchvision


@dataclass(frozen=True)
class Preprocess:
    """Resizing and normalisation of images of any kind: `(pixel / 255 - mean) / std`.

    Parameters
    ----------
    image_size
        Height and width of the output. Images of a different size are padded with black to a square and resized
        (bilinear, antialiased). Pixels are rounded to 256 levels, unless the images are floating point.
    channels
        Channels of the output. 1 converts colour to greyscale (ITU-R BT.601); 3 repeats greyscale in three channels.
        Transparent pixels are composited on black.
    mean, std
        Mean and standard deviation of the training pixels, on a scale from 0 (black) to 1 (white). The defaults are
        MNIST's. A sequence has one number per channel.
    padding
        Width in pixels of the black border, which is included in `image_size`. LeCun et al. (1998) centre 28x28 images
        in 32x32. Images that already have the size of the output get no border.

    Raises
    ------
    ValueError
        A parameter is out of range.

    Examples
    --------
    >>> preprocess = lenet5.Preprocess(image_size=32)
    >>> preprocess(np.zeros((5, 100, 80), np.uint8)).shape  # five greyscale images
    torch.Size([5, 1, 32, 32])
    >>> import PIL.Image
    >>> preprocess(PIL.Image.open("pencil.jpg")).shape
    torch.Size([1, 32, 32])
    >>> pixels = preprocess.resize(PIL.Image.open("pencil.jpg"))  # uint8, not normalised
    >>> restored = 255 * preprocess.denormalize(preprocess.normalize(pixels))
    >>> torch.allclose(restored, pixels.float(), atol=0.01)
    True
    """

    image_size: int = 28
    channels: int = 1
    mean: float | Sequence[float] = 0.1307
    std: float | Sequence[float] = 0.3081
    padding: int = 0

    def __post_init__(self) -> None:
        padding = as_integer(self.padding)
        image_size = check_integer("image_size", self.image_size, least=1)
        if as_integer(self.channels) not in (1, 3):
            raise ValueError(f"channels is {self.channels}; expected 1 or 3")
        if padding is None or not 0 <= 2 * padding < image_size:
            raise ValueError(
                f"padding is {self.padding}; expected an integer of at least 0, and less than half of {image_size}"
            )
        mean, std = (_statistic(value, int(self.channels)) for value in (self.mean, self.std))
        if mean is None or std is None or min(_each(std)) <= 0:
            raise ValueError(
                f"mean is {self.mean} and std is {self.std}; expected them in [0, 1], and std above 0: one number each,"
                f" or one per channel (here {self.channels})"
            )
        fields = {
            "image_size": image_size,
            "channels": int(self.channels),
            "padding": padding,
            "mean": mean,
            "std": std,
        }
        vars(self).update(fields)  # Python's own numbers, which can be saved as JSON

    @classmethod
    def original(cls) -> Self:
        """Return the preprocessing of LeCun et al. (1998), section II.B: 28x28 in 32x32, black -0.1, white 1.175.

        Examples
        --------
        >>> images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 28, 28)
        >>> lenet5.Preprocess.original()(images)[:, 0, 16, 16]
        tensor([-0.1000,  1.1750])
        """
        return cls(image_size=32, padding=2, mean=0.1 / 1.275, std=1 / 1.275)

    def without_border(self) -> Self:
        """Return the same preprocessing without the border, for images that get it later."""
        return replace(self, image_size=self.image_size - 2 * self.padding, padding=0)

    def __call__(self, images: Images) -> Tensor:
        """Convert an image or a batch of images to the input of the network.

        One image gives (channels, image_size, image_size); a batch gives (N, channels, image_size, image_size). This is
        torchvision's convention, so a `Preprocess` can be the transform of a torchvision dataset.

        Parameters
        ----------
        images
            Light digits on a dark background, as in MNIST. C is 1, 3 or 4. Tensors and arrays follow the same rule.

            - A PIL image of any mode is one image. It is turned upright as its EXIF data says.
            - (H, W) is one greyscale image.
            - (1, H, W), (`channels`, H, W) and (H, W, C) are one image.
            - (N, C, H, W) is a batch, and so is (N, H, W, C) if its second axis is not 1, 3 or 4.
            - (N, H, W) is a batch of greyscale images, unless N is 1, 3 or 4.
            - A torchvision.tv_tensors.Image of three axes is one image (C, H, W).
            - A sequence of these, of any sizes, is a batch.

            A first axis of 3 or 4 that is not `channels` is ambiguous and refused, as it could hold the channels of one
            image or several greyscale images. So is a first axis of 1, 3 or 4 if the last axis could be the channels.
            `images[None]` is one image (C, H, W); `images[:, None]` are greyscale images.

            The range depends on the dtype: bool, False to True; uint8, 0 to 255; uint16, 0 to 65535; other integers,
            0 to 255; floating point, 0 to 1. For PIL, it depends on the mode: I;16, 0 to 65535; I, 0 to 255 if no
            value is higher, else 0 to 65535; F, 0 to 1 if no value is higher, else 0 to 255; other modes have 8 bits.

            uint16 and I;16 whose highest value is from 1 to 255 are ambiguous and refused: they could be images of 8
            bits, or very dark ones of 16. All images of an array decide together. Pass `images.astype("uint8")` or
            `images / 65535`.

        Returns
        -------
        Tensor
            float32, on the device of the images.

        Raises
        ------
        ValueError
            The images have the wrong shape or dtype, or a value is not finite or out of range.
        TypeError
            The images are not a PIL image, an array, a tensor, or a sequence of these.
        """
        return self.normalize(self.resize(images))

    def resize(self, images: Images) -> Tensor:
        """Convert images to the shape of the output, without normalising them.

        Parameters
        ----------
        images
            As in `__call__`, with the same errors.

        Returns
        -------
        Tensor
            Pixels from 0 to 255, in the shape of the output. uint8, rounded, unless the images are floating point.
        """
        if isinstance(images, Sequence) and not isinstance(images, str):
            if not images:
                raise ValueError("no images were given; expected at least one")
            return torch.cat([as_batch(self.resize(image)) for image in images])
        pixels = as_pixels(images, self.channels)
        if pixels.shape[-3:] == (self.channels, self.image_size, self.image_size):
            return pixels
        resized = self._fit(as_batch(pixels).float())
        if not pixels.is_floating_point():
            resized = resized.round().to(torch.uint8)
        return resized if pixels.ndim == 4 else resized[0]

    def normalize(self, images: Tensor) -> Tensor:
        """Normalise pixels in [0, 255], of any dtype; return float32.

        The shape may be any with one mean and one standard deviation. Else it ends with (channels, H, W).
        """
        scale, offset = self.scale_and_offset()
        if isinstance(scale, Tensor) and isinstance(offset, Tensor):
            scale, offset = scale.to(images.device), offset.to(images.device)
        return images.to(torch.float32, copy=True).mul_(scale).sub_(offset)

    def scale_and_offset(self) -> tuple[float | Tensor, float | Tensor]:
        """Return what `normalize` computes with: a normalised pixel is `scale * pixel - offset`, in float32.

        Both are numbers, or tensors (channels, 1, 1) if there is a mean or a standard deviation for each channel.
        """
        if isinstance(self.mean, int | float) and isinstance(self.std, int | float):
            return 1 / (255 * self.std), self.mean / self.std
        mean, std = (torch.tensor(_each(value)).view(-1, 1, 1) for value in (self.mean, self.std))
        return 1 / (255 * std), mean / std

    def denormalize(self, images: Tensor) -> Tensor:
        """Return the pixels in [0, 1] of normalised images (..., channels, H, W)."""
        mean, std = (images.new_tensor(_each(value)).view(-1, 1, 1) for value in (self.mean, self.std))
        return images * std + mean

    def _fit(self, images: Tensor) -> Tensor:
        """Convert (N, C, H, W) to (N, channels, image_size, image_size)."""
        if images.shape[1] == 4:
            images = images[:, :3] * (images[:, 3:] / 255)
        if images.shape[1] == 3 and self.channels == 1:
            images = (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        images = images.expand(-1, self.channels, -1, -1)
        images = fit_square(images, self.image_size - 2 * self.padding)
        return functional.pad(images, (self.padding,) * 4)


def _statistic(value: Any, channels: int) -> float | tuple[float, ...] | None:
    """Return one number in [0, 1], or one per channel, as Python's own; None if the value is neither."""
    if (number := as_number(value)) is not None:
        return number if 0 <= number <= 1 else None
    try:
        numbers = [as_number(item) for item in value]
    except TypeError:  # it cannot be iterated over
        return None
    valid = tuple(number for number in numbers if number is not None and 0 <= number <= 1)
    if len(valid) < len(numbers) or len(numbers) != channels:
        return None
    return valid[0] if len({*valid}) == 1 else valid


def _each(value: float | Sequence[float]) -> tuple[float, ...]:
    return (value,) if isinstance(value, int | float) else tuple(value)


def as_batch(images: Tensor) -> Tensor:
    """Return (N, C, H, W): the tensor itself, or one image (C, H, W) as a batch of one."""
    return images if images.ndim == 4 else images[None]


def fit_square(images: Tensor, size: int) -> Tensor:
    """Pad images (N, C, H, W) with 0 to squares, and resize them (bilinear, antialiased) to (N, C, size, size)."""
    height, width = images.shape[2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    images = functional.pad(images, (left, side - width - left, top, side - height - top))
    if side == size:
        return images
    return functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
