"""Images of any kind as batches: which axis is which, and the range of each dtype and PIL mode."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..storage import StrPath, open_file, shown

if TYPE_CHECKING:
    import PIL.Image

Images: TypeAlias = "Tensor | npt.NDArray[Any] | PIL.Image.Image | Sequence[Images]"

_CHANNELS = (1, 3, 4)  # greyscale, RGB and RGBA: the sizes that identify a channel axis
_MOST_PIXELS = 64_000_000  # of a large photograph; `load_digit` takes about 15 bytes for each
_RANGES = {"I": (255, 65535), "F": (1, 255)}  # PIL gives these modes no range; convert() keeps the numbers 0 to 255
_ORIENTATION = 0x0112  # of EXIF data
_STRAIGHT = {"La": "LA", "RGBa": "RGBA"}  # modes whose colours are multiplied by alpha, and what they are made from


def as_pixels(images: object, channels: int) -> Tensor:
    """Convert an image or a batch in one object to a tensor of pixels from 0 to 255; see `Preprocess.__call__`.

    Parameters
    ----------
    images
        A PIL image, an array or a tensor.
    channels
        A first axis of this size, of three, is a channel axis.

    Returns
    -------
    Tensor
        (C, H, W) for one image or (N, C, H, W) for a batch. float32 if the images are floating point, else uint8.

    Raises
    ------
    ValueError
        The shape is ambiguous or impossible, or a value is out of range.
    TypeError
        The object is of an unsupported type.
    """
    if isinstance(images, Tensor):
        if images.ndim == 3 and _is_torchvision_image(images):
            return scale_pixels(images.as_subclass(Tensor))
        return scale_pixels(_channels_first(images, channels))
    if isinstance(images, np.ndarray):
        return scale_pixels(_channels_first(array_to_tensor(images), channels))
    pixels = torch.from_numpy(_pil_to_uint8(images))
    return pixels.movedim(-1, 0) if pixels.ndim == 3 else pixels[None]


def read_layers(image: "PIL.Image.Image") -> tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None]:
    """Read the pixels of a PIL image of any mode, turned upright as its EXIF data says.

    Returns
    -------
    colours
        (H, W) or (H, W, 3): bool or uint8, and uint16, int32 or float32 for modes of more than 8 bits.
    alpha
        (H, W) from 0 for transparent to 1 for opaque; None if the image has no transparency.

    Raises
    ------
    ValueError
        A value is NaN or infinite.
    """
    import PIL.ImageOps

    if image.getexif().get(_ORIENTATION, 1) != 1:  # otherwise, exif_transpose would copy the image
        image = PIL.ImageOps.exif_transpose(image)
    if is_deep(image):
        colours = np.asarray(image)
        colours = colours.astype(colours.dtype.newbyteorder("="))
        check_finite(torch.from_numpy(colours.astype(np.float32)))
        level = image.info.get("transparency")  # of a PNG file: pixels of this value are transparent
        return colours, (colours != level).astype(np.float32) if isinstance(level, int) else None
    if image.mode in _STRAIGHT:
        image = image.convert(_STRAIGHT[image.mode])
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        return rgba[..., :3], np.divide(rgba[..., 3], 255, dtype=np.float32)
    return np.asarray(image if image.mode in ("1", "L", "RGB") else image.convert("RGB")), None


def open_image(path: StrPath) -> "PIL.Image.Image":
    """Read an image file of at most 64 megapixels; a larger JPEG file is read at half, a quarter or an eighth its size.

    Raises
    ------
    ValueError
        The file does not exist, is not a readable image, or is too large.
    """
    import PIL.Image

    try:
        with open_file(path) as file, PIL.Image.open(file) as image:
            _limit_pixels(image, path)
            image.load()
            return image
    except PIL.UnidentifiedImageError as error:
        raise ValueError(
            f"{shown(path)} is not a readable image; expected PNG, JPEG or another common format"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"{shown(path)} is too large: {error}") from error
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    except (OSError, SyntaxError) as error:  # Pillow's plug-ins raise SyntaxError for broken files
        raise ValueError(f"{shown(path)} cannot be read: {error}") from error


def _limit_pixels(image: "PIL.Image.Image", path: StrPath) -> None:
    """Raise ValueError for an image that is too large, before its pixels are read."""
    width, height = image.size
    scales = (scale for scale in (1, 2, 4, 8) if (width // scale) * (height // scale) <= _MOST_PIXELS)
    scale = next(scales, 1)
    if scale > 1:
        image.draft(None, (width // scale, height // scale))
    if image.width * image.height > _MOST_PIXELS * 1.01:  # sizes are rounded up
        raise ValueError(f"{shown(path)} has {width}x{height} pixels; expected at most 64 megapixels: reduce it first")


def is_deep(image: "PIL.Image.Image") -> bool:
    """Return True if a PIL image has more than 8 bits per channel: modes I, I;16 and F."""
    return image.mode.startswith(("I", "F"))


def as_image_batch(images: Tensor | npt.ArrayLike) -> Tensor:
    """Convert to a uint8 tensor that shares memory if the images are writable and uint8."""
    if not isinstance(images, Tensor):
        array = np.asarray(images)
        if array.dtype.kind not in "buif":
            raise ValueError(f"images have dtype {array.dtype}; expected uint8 (N, C, H, W)")
        if min(array.strides, default=0) < 0:  # torch has none
            array = np.ascontiguousarray(array)
        images = torch.as_tensor(np.require(array, array.dtype.newbyteorder("="), "W"))
    if images.ndim == 4 and not images.is_floating_point() and images.numel():
        images = scale_pixels(images)
    check_images(images)
    return images


def check_images(images: Tensor) -> None:
    """Raise ValueError unless images are uint8 (N, C, H, W)."""
    shape = tuple(images.shape)
    if images.ndim != 4 or images.dtype != torch.uint8:
        advice = {
            2: "; images.reshape(N, C, H, W) restores the axes of flat images",
            3: "; images[:, None] adds the axis of the channels",
        }.get(images.ndim, "")
        advice += "; a TensorDataset can hold other dtypes" if images.is_floating_point() else ""
        raise ValueError(f"images have shape {shape} and dtype {images.dtype}; expected uint8 (N, C, H, W){advice}")
    if shape[3] in (1, 3, 4) and min(shape[1:3]) > 7:
        raise ValueError(
            f"images have shape {shape}, with the channels last; expected (N, C, H, W): images.transpose(0, 3, 1, 2)"
            " of an array, images.permute(0, 3, 1, 2) of a tensor"
        )


def check_finite(images: Tensor) -> None:
    """Raise ValueError if a value is NaN or infinite."""
    if invalid := int((~images.isfinite()).sum()):
        raise ValueError(f"images hold {invalid} values that are NaN or infinite; expected finite values")


def _pil_to_uint8(image: object) -> npt.NDArray[np.uint8]:
    """Convert a PIL image to (H, W), (H, W, 3) or (H, W, 4)."""
    import PIL.Image

    if not isinstance(image, PIL.Image.Image):
        raise TypeError(f"images are {type(image).__name__}; expected a PIL image, an array or a tensor")
    if not all(image.size):
        raise ValueError(f"the image has the size {image.size}; expected at least one pixel")
    colours, alpha = read_layers(image)
    if is_deep(image):
        ranges = (65535,) if colours.dtype == np.uint16 else _RANGES[image.mode[0]]
        low, high = colours.min(), colours.max()
        if colours.dtype == np.uint16:
            _check_depth(int(high))
        limit = next((limit for limit in ranges if high <= limit), None)
        if low < 0 or limit is None:
            expected = " or ".join(f"[0, {limit}]" for limit in ranges)
            raise ValueError(f"the image of mode {image.mode!r} has values in [{low}, {high}]; expected {expected}")
        colours = np.rint(colours * (255 / limit))
    elif colours.dtype == np.bool_:
        colours = colours * np.uint8(255)
    if alpha is not None:
        colours = np.dstack([np.broadcast_to(np.atleast_3d(colours), (*alpha.shape, 3)), np.rint(alpha * 255)])
    return np.array(colours, np.uint8, order="C")


def array_to_tensor(array: npt.NDArray[Any]) -> Tensor:
    """Copy an array of numbers of any byte order and strides to a tensor."""
    if array.dtype.kind not in "buif":
        raise ValueError(f"images have dtype {array.dtype}; expected uint8, or floating point in [0, 1]")
    dtype = np.dtype(np.float64) if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(array, dtype, order="C"))


def _channels_first(images: Tensor, channels: int) -> Tensor:
    """Convert to (C, H, W) or (N, C, H, W), by the same rule for tensors and arrays."""
    shape = tuple(images.shape)
    if not 2 <= len(shape) <= 4 or not all(shape):
        raise ValueError(f"images have shape {shape}; expected 2 to 4 dimensions, none of them empty")
    if len(shape) == 2:
        return images[None]
    first, last = shape[-3] in _CHANNELS, shape[-1] in _CHANNELS
    if len(shape) == 4:
        if not (first or last):
            raise ValueError(f"images have shape {shape}; expected 1, 3 or 4 channels (images[:, None] adds the axis)")
        return images if first else images.movedim(-1, 1)
    if first and (last or shape[0] not in (1, channels)):
        raise ValueError(
            f"images have shape {shape}, which is ambiguous; expected images[None] for one image in (C, H, W),"
            f" images[:, None] for {shape[0]} greyscale images, or (N, H, W, C)"
        )
    if last:
        return images.movedim(-1, 0)
    return images if first else images[:, None]


def scale_pixels(images: Tensor) -> Tensor:
    """Convert values of any dtype to pixels from 0 to 255: uint8, or float32 for floating point."""
    if images.dtype == torch.uint8:
        return images
    if images.dtype == torch.bool:
        return images.to(torch.uint8) * 255
    if images.is_floating_point():
        return _check_range(images, 1, "[0, 1], not normalised (or pass uint8)").float() * 255
    if images.dtype == torch.uint16:
        images = images.to(torch.int32)  # torch compares no uint16
        _check_depth(int(images.max()))
        return (images / 257).round().to(torch.uint8)
    if images.is_complex():
        raise ValueError(f"images have dtype {images.dtype}; expected uint8, or floating point in [0, 1]")
    expected = "integers from 0 to 255 (16-bit images are uint16)"
    return _check_range(images.to(torch.int64), 255, expected).to(torch.uint8)


def _check_depth(highest: int) -> None:
    """Raise ValueError for 16-bit images that may hold 8 bits: the wrong choice makes them black or far too light."""
    if 0 < highest <= 255:
        raise ValueError(
            f"images of 16 bits have no value above {highest}, which is ambiguous; expected uint8 for values from 0 to"
            " 255, such as np.asarray(image).astype('uint8'), or image / 65535 for dark images"
        )


def _is_torchvision_image(images: Tensor) -> bool:
    """Return True for a tensor whose type says that it is an image (..., C, H, W): one of torchvision.tv_tensors."""
    return type(images).__module__.partition("._")[0] == "torchvision.tv_tensors"


def _check_range(images: Tensor, limit: int, expected: str) -> Tensor:
    """Return the images after checking that they are finite and lie in [0, limit]."""
    check_finite(images)
    low, high = images.aminmax()
    if low < 0 or high > limit:
        raise ValueError(f"images lie in [{low:.4g}, {high:.4g}]; expected {expected}")
    return images
