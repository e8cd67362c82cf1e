"""Drawing and placing of strokes in images, and random numbers for it."""

from typing import TypeAlias

import torch
from torch import Generator, Tensor
from torch.nn import functional

SIDE = 28  # of an image, in pixels
BOX = 20  # longer side of a digit, in pixels
Range: TypeAlias = tuple[float, float]


def uniform(generator: Generator, shape: tuple[int, ...], bounds: Range = (0, 1)) -> Tensor:
    """Draw uniformly distributed numbers."""
    return torch.rand(shape, generator=generator) * (bounds[1] - bounds[0]) + bounds[0]


def to_uint8(images: Tensor) -> Tensor:
    """Convert images from 0 to 1 to bytes."""
    return (255 * images).round().clamp(0, 255).to(torch.uint8)


def dilate(ink: Tensor) -> Tensor:
    """Dilate by the mean of a square and a cross of 3x3 pixels, which is nearly round."""
    square = functional.max_pool2d(ink, 3, 1, 1)
    rows, columns = functional.max_pool2d(ink, (3, 1), 1, (1, 0)), functional.max_pool2d(ink, (1, 3), 1, (0, 1))
    return (square + torch.maximum(rows, columns)) / 2


def draw_segments(segments: Tensor, width: Tensor) -> Tensor:
    """Draw antialiased segments (N, K, 4): x, y of both ends, of widths (N,), into images (N, 28, 28) from 0 to 1."""
    pixels = torch.stack(torch.meshgrid(torch.arange(float(SIDE)), torch.arange(float(SIDE)), indexing="xy"), -1)
    start, end = segments[..., None, None, :2], segments[..., None, None, 2:]
    along = end - start
    share = ((pixels - start) * along).sum(-1) / (along * along).sum(-1).clamp_min(1e-6)
    distance = (pixels - start - share.clamp(0, 1)[..., None] * along).norm(dim=-1).amin(1)
    ink: Tensor = (width[:, None, None] / 2 + 0.5 - distance).clamp(0, 1)
    return ink


def measure_box(ink: Tensor) -> tuple[Tensor, Tensor]:
    """Return centre and size (N, 2), as x and y, of the bounding boxes of drawings; the image reaches from -1 to 1."""
    side = ink.shape[-1]
    inked, places = ink[:, 0] > 0.3, torch.arange(float(side))
    first, last = [], []
    for axis in (1, 2):
        occupied = inked.any(axis)
        first.append(torch.where(occupied, places, side).amin(1))
        last.append(torch.where(occupied, places + 1, 0).amax(1))
    low, high = torch.stack(first, 1), torch.stack(last, 1)
    low, high = torch.where(high > low, low, 0), torch.where(high > low, high, side)  # an empty image is one box
    return (low + high) / side - 1, 2 * (high - low) / side


def centre_of_mass(ink: Tensor) -> Tensor:
    """Return the centre of mass (N, 2) of drawings, as x and y; the image reaches from -1 to 1."""
    places = (torch.arange(float(ink.shape[-1])) + 0.5) * 2 / ink.shape[-1] - 1
    mass = [ink[:, 0].sum(axis) for axis in (1, 2)]
    return torch.stack([(line * places).sum(1) / line.sum(1).clamp_min(1e-6) for line in mass], 1)


def place(ink: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Move points (N, 2) of drawings to the middle, and shrink by (N, 2) in x and y."""
    maps = torch.zeros(len(ink), 2, 3)
    maps[:, [0, 1], [0, 1]], maps[:, :, 2] = scale, centre
    grid = functional.affine_grid(maps, list(ink.shape), align_corners=False)
    return functional.grid_sample(ink, grid, align_corners=False)


def fit_box(ink: Tensor) -> Tensor:
    """Scale drawings (N, 1, 28, 28) to a box of 20 pixels in the middle, as MNIST's digits."""
    centre, size = measure_box(ink)
    return place(ink, centre, (size.amax(1, keepdim=True) / (2 * BOX / SIDE)).clamp_min(0.2).expand(-1, 2))
