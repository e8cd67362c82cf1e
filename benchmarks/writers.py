"""Distortions of MNIST's digits as other writers, pens, cameras and data sets make them."""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Generator, Tensor
from torch.nn import functional

import lenet5
from canvas import BOX, SIDE, centre_of_mass, dilate, draw_segments, measure_box, place, to_uint8, uniform

GENTLE = lenet5.Augment(degrees=12, scale=0.15, shear=0.2, translate=2, elastic=0.7, interpolation="bicubic")
WILD = lenet5.Augment(degrees=18, scale=0.25, shear=0.3, translate=2.5, elastic=0.6, interpolation="bicubic")
DEGRADE = lenet5.Degrade(0.12)
FINE = 3  # pixels of a mask per pixel of an image
COARSE = 16  # side of the images of older data sets, in pixels
Distort: TypeAlias = Callable[[Tensor, Tensor, Generator], Tensor]


def redraw(split: lenet5.ImageDataset, distort: Distort, generator: Generator, *, chunk: int) -> Tensor:
    """Distort all images of a split, `chunk` at once."""
    chunks = zip(torch.split(split.images, chunk), torch.split(split.targets, chunk), strict=True)
    return torch.cat([distort(*each, generator) for each in chunks])


def distort_gently(images: Tensor, _targets: Tensor, generator: Generator) -> Tensor:
    """Distort images (N, 1, 28, 28) uint8 as MNIST's own writers differ."""
    return GENTLE(images, generator)


def distort_strokes(images: Tensor, targets: Tensor, generator: Generator) -> Tensor:
    """Distort images (N, 1, 28, 28) uint8 as other writers and pens do."""
    ink = cross_and_flag(images.float() / 255, targets, generator)
    return WILD(to_uint8(change_width(ink, generator)), generator)


def distort_wildly(images: Tensor, targets: Tensor, generator: Generator) -> Tensor:
    """Distort images (N, 1, 28, 28) uint8 as other writers, pens and cameras do."""
    ink = distort_strokes(images, targets, generator).float() / 255
    return DEGRADE(to_uint8(outline_and_invert(ink, generator)), generator)


def retrace(images: Tensor, targets: Tensor, generator: Generator) -> Tensor:
    """Draw images (N, 1, 28, 28) uint8 anew from masks, with other pens and proportions.

    `load_digit` makes images from masks, and so did the makers of most data sets. A third is as coarse as 16x16 pixels.
    """
    ink = WILD(to_uint8(cross_and_flag(images.float() / 255, targets, generator)), generator)
    drawn = fit_mask(change_pen(to_mask(ink, generator), generator), generator)
    rows = uniform(generator, (len(drawn),)) < 1 / 3
    drawn[rows] = coarsen(drawn[rows], generator)
    return to_uint8(functional.avg_pool2d(drawn, FINE))


# Strokes


def change_width(ink: Tensor, generator: Generator) -> Tensor:
    """Thicken or thin the strokes of half of the images (N, 1, 28, 28), from 0 to 1, by up to a pixel."""
    shape = len(ink), 1, 1, 1
    change = uniform(generator, shape, (-0.8, 0.9)) * (uniform(generator, shape) < 0.5)
    thick, thin = dilate(ink), 1 - dilate(1 - ink)
    survives = thin.sum((1, 2, 3), keepdim=True) > 0.35 * ink.sum((1, 2, 3), keepdim=True)
    return torch.where(change > 0, ink + change * (thick - ink), ink - change * survives * (thin - ink))


def outline_and_invert(ink: Tensor, generator: Generator) -> Tensor:
    """Keep the edges of an eighth of the images (N, 1, 28, 28), and invert a stripe of an eighth.

    Of what `Degrade` does, small networks find these hardest.
    """
    shape = len(ink), 1, 1, 1
    edges = dilate(ink) + dilate(1 - ink) - 1
    places = torch.linspace(-1, 1, SIDE)
    angle = uniform(generator, shape, (0, math.pi))
    across = places * angle.cos() + places[:, None] * angle.sin()
    stripe = (across > uniform(generator, shape, (-2, 0.3))) & (across < uniform(generator, shape, (-0.3, 2)))
    chance = uniform(generator, shape)
    inverted = torch.where(chance < 1 / 4, (ink - stripe.float()).abs(), ink)
    return torch.where(chance < 1 / 8, edges, inverted)


def cross_and_flag(ink: Tensor, targets: Tensor, generator: Generator) -> Tensor:
    """Cross a third of the sevens, and give a third of the ones a flag, half of these with a base line."""
    ink, chosen = ink.clone(), uniform(generator, (len(ink),)) < 0.35
    for digit, draw in ((7, _cross_bar), (1, _flag)):
        rows = (chosen & (targets == digit)).nonzero().flatten()
        if len(rows):
            image = ink[rows, 0]
            added = draw(image, generator) * image.amax((1, 2))[:, None, None]
            ink[rows, 0] = torch.maximum(image, added)
    return ink


def _cross_bar(image: Tensor, generator: Generator) -> Tensor:
    top, bottom, width = _extent(image, generator)
    count = len(image)
    row = top + (bottom - top) * uniform(generator, (count,), (0.42, 0.62))
    column = _column_of_ink(image, row)
    reach, tilt = uniform(generator, (count,), (2.5, 5)), uniform(generator, (count,), (-0.9, 0.9))
    return draw_segments(torch.stack([column - reach, row + tilt, column + reach, row - tilt], 1)[:, None], width)


def _flag(image: Tensor, generator: Generator) -> Tensor:
    top, bottom, width = _extent(image, generator)
    count = len(image)
    head, foot = _column_of_ink(image, top + 1), _column_of_ink(image, bottom - 1)
    left, down = uniform(generator, (count,), (2.5, 6.5)), uniform(generator, (count,), (2, 6.5))
    reach = uniform(generator, (count,), (2.5, 5.5))
    flag = draw_segments(torch.stack([head, top + 0.5, head - left, top + down], 1)[:, None], width)
    base = draw_segments(torch.stack([foot - reach, bottom, foot + reach, bottom], 1)[:, None], width)
    return torch.maximum(flag, base * (uniform(generator, (count,)) < 0.5)[:, None, None])


def _extent(image: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return the first and the last row of upright strokes (N, 28, 28), and about their width."""
    rows, inked = torch.arange(float(SIDE)), image.amax(2) > 0.4
    top, bottom = torch.where(inked, rows, SIDE).amin(1), torch.where(inked, rows, -1).amax(1)
    width = image.sum((1, 2)) / (1.6 * (bottom - top).clamp_min(4))
    return top, bottom, width.clamp(1.2, 3.2) * uniform(generator, (len(image),), (0.7, 1))


def _column_of_ink(image: Tensor, row: Tensor) -> Tensor:
    """Return the mean column of the ink of a row of each image."""
    line = image[torch.arange(len(image)), row.round().long().clamp(0, SIDE - 1)] + 1e-6
    return (line * torch.arange(float(SIDE))).sum(1) / line.sum(1)


# Masks


def to_mask(images: Tensor, generator: Generator) -> Tensor:
    """Threshold images (N, 1, 28, 28) uint8 at three times their resolution, and leave out some spots of a few."""
    smooth = functional.interpolate(images.float() / 255, scale_factor=FINE, mode="bicubic")
    peak = smooth.amax((1, 2, 3), keepdim=True)
    mask = smooth > peak * uniform(generator, (len(images), 1, 1, 1), (0.25, 0.6))
    spots = functional.interpolate(torch.randn(images.shape, generator=generator), scale_factor=FINE, mode="bilinear")
    spotted = uniform(generator, (len(images), 1, 1, 1)) < 0.15
    return (mask & ~(spotted & (spots > 1.2))).float()


def change_pen(mask: Tensor, generator: Generator) -> Tensor:
    """Thin some masks (N, 1, H, W) by two pixels; thicken others by two, four or six."""
    steps = torch.randint(-1, 4, (len(mask),), generator=generator)
    thinner = steps < 0
    thin = -functional.max_pool2d(-mask[thinner], 3, 1, 1)
    survives = thin.sum((1, 2, 3), keepdim=True) > 0.35 * mask[thinner].sum((1, 2, 3), keepdim=True)
    changed = mask.clone()
    changed[thinner] = torch.where(survives, thin, mask[thinner])
    for step in range(1, 4):
        thicker = steps >= step
        changed[thicker] = (dilate(changed[thicker]) > (0.4 if step % 2 else 0.6)).float()  # a square, then a cross
    return changed


def fit_mask(mask: Tensor, generator: Generator) -> Tensor:
    """Make masks up to 1.4 times wider or narrower, and fit them to MNIST's box, mostly by their centre of mass."""
    shape = len(mask), 1
    stretch = uniform(generator, shape, (-0.36, 0.36)).exp()
    stretch = torch.cat([stretch, 1 / stretch], 1).sqrt()
    centre, size = measure_box(mask)
    centre = torch.where(uniform(generator, shape) < 0.75, centre_of_mass(mask), centre)
    longer = (size * stretch).amax(1, keepdim=True)
    box = 2 * BOX / SIDE * uniform(generator, shape, (0.9, 1.05))
    return place(mask, centre, longer / box / stretch)


def coarsen(drawn: Tensor, generator: Generator) -> Tensor:
    """Reduce drawings (N, 1, 84, 84) so that the box has 16 pixels; keep grey, or threshold; enlarge in two ways."""
    pixels = round(SIDE * COARSE / BOX)
    grey = functional.adaptive_avg_pool2d(drawn, pixels)
    black, blocky = (uniform(generator, (len(drawn), 1, 1, 1)) < 0.5 for _ in range(2))
    reduced = torch.where(black, (grey > 0.4).float(), grey)
    nearest, smooth = (functional.interpolate(reduced, drawn.shape[-1], mode=mode) for mode in ("nearest", "bilinear"))
    return torch.where(blocky, nearest, smooth)
