"""Transforms and augmentations of batches, and those of torchvision, which draw once per call, image by image."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor, nn

from .preprocess import Preprocess

Augmentation: TypeAlias = Callable[[Tensor, Generator], Tensor] | Callable[[Tensor], Tensor]

_LARGEST_SEED = 2**63 - 1
_SAME_FOR_EVERY_IMAGE = {  # transforms of torchvision that draw nothing, and take batches as well as images
    *("CenterCrop", "Compose", "ConvertImageDtype", "Grayscale", "Identity", "Normalize", "Pad", "RGB", "Resize"),
    *("ToDtype", "ToImage", "ToPureTensor"),
}


def takes_one_image(transform: Any) -> bool:
    """Return True for a transform of torchvision, or a Sequential of them, that may draw random numbers.

    It draws once per call, so a whole batch would get the same distortion.
    """
    if isinstance(transform, nn.Sequential):
        return any(map(takes_one_image, transform))
    if not _is_torchvision(transform):
        return False
    parts = getattr(transform, "transforms", None)
    inner = parts if isinstance(parts, list | tuple | nn.ModuleList) else []
    return type(transform).__name__ not in _SAME_FOR_EVERY_IMAGE or any(not _is_batched(part) for part in inner)


def transform_images(transform: Any, images: Tensor, *, seed: int | None = None) -> Tensor:
    """Apply the transform of a dataset to images (N, C, H, W), as a batch or one by one.

    Parameters
    ----------
    transform
        Maps a batch, or one image if it is torchvision's. None to return the images.
    images
        (N, C, H, W) uint8.
    seed
        Of the random numbers that a transform of torchvision draws; None to draw from torch's global generator.
    """
    if transform is None:
        return images
    if not takes_one_image(transform):
        result = transform(images)
        return _plain(result) if _is_torchvision(transform) else _checked(result, "transform")
    with contextlib.nullcontext() if seed is None else _seeded(seed, images.device):
        return torch.stack([_plain(transform(image)) for image in images])


def as_augmentation(augment: Any) -> Callable[[Tensor, Generator | None], Tensor]:
    """Return an augmentation as a function of a batch and a generator.

    A transform of torchvision is called with one image at a time, a function of one argument with the batch. Both draw
    from torch's global generator, which is seeded from the generator and restored.

    Raises
    ------
    TypeError
        The augmentation cannot be called with images.
    """
    if not callable(augment):
        raise TypeError(f"augment is {augment!r}; expected a callable, such as an Augment or a torchvision transform")
    by_image = isinstance(augment, nn.Sequential) or _is_torchvision(augment)
    takes_generator = not by_image and _accepts(augment, 2)
    if not takes_generator and not _accepts(augment, 1):
        raise TypeError(f"augment is {augment!r}; expected a callable of images and a generator, or of images alone")

    def draw(images: Tensor, generator: Generator | None) -> Any:
        place = images.device if generator is None else generator.device
        seed = int(torch.randint(_LARGEST_SEED, (), generator=generator, device=place))
        with _seeded(seed, images.device):
            return torch.stack([_plain(augment(image)) for image in images]) if by_image else augment(images)

    def apply(images: Tensor, generator: Generator | None) -> Tensor:
        augmented = _checked(augment(images, generator) if takes_generator else draw(images, generator), "augment")
        if augmented.dtype != images.dtype or augmented.shape != images.shape:
            raise ValueError(
                f"augment returned images {tuple(augmented.shape[1:])} of {augmented.dtype}; expected"
                f" {tuple(images.shape[1:])} of {images.dtype}. Resize and convert them in the dataset's transform"
            )
        return augmented

    return apply


def _plain(result: Any) -> Tensor:
    """Return the result of a transform of torchvision, which may be a subclass of Tensor, as a Tensor."""
    return _checked(result, "transform").as_subclass(Tensor)


def _checked(result: Any, name: str) -> Tensor:
    if not isinstance(result, Tensor):
        raise TypeError(f"{name} returned a {type(result).__name__}; expected a tensor (v2.ToImage() returns one)")
    return result


def _is_torchvision(transform: Any) -> bool:
    """Return True for an object of a class of torchvision.transforms, or of one that inherits from it."""
    bases = type(transform).__mro__
    return callable(transform) and any(base.__module__.startswith("torchvision.transforms") for base in bases)


def _is_batched(part: Any) -> bool:
    """Return True for a part of a composition that treats each image of a batch alike."""
    return isinstance(part, Preprocess) or (_is_torchvision(part) and not takes_one_image(part))


def _accepts(function: Any, count: int) -> bool:
    """Return True if a function can be called with so many arguments by position; builtins may not tell."""
    try:
        inspect.signature(function.forward if isinstance(function, nn.Module) else function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of the CPU and of a device, and restore them."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for each in devices:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield
