"""Drawings in MNIST's format that are no digits."""

import torch
from torch import Generator, Tensor
from torch.nn import functional

from canvas import SIDE, draw_segments, fit_box, to_uint8, uniform
from writers import DEGRADE, GENTLE


def draw_no_digits(images: Tensor, targets: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw what looks like writing but is no digit.

    Half are curves and straight lines as letters have, a quarter halves of two digits side by side or above each other,
    the others digits that are mirrored or turned, and textures of paper.

    Returns
    -------
    tuple of Tensor
        (count, 1, 28, 28) uint8, and (count,) bool: whether the image may show a digit by chance.
    """
    sizes = [count // 2, count // 4, count // 8]
    sizes.append(count - sum(sizes))
    parts = [
        draw_letters(sizes[0], generator),
        GENTLE(join_halves(images, targets, sizes[1], generator), generator),
        GENTLE(turn(images, targets, sizes[2], generator), generator),
        draw_textures(sizes[3], generator),
    ]
    drawn, doubtful = torch.cat(parts), torch.arange(count) < count - sizes[3]
    rows = uniform(generator, (count,)) < 0.3
    drawn[rows] = DEGRADE(drawn[rows], generator)
    return drawn, doubtful


def draw_letters(count: int, generator: Generator) -> Tensor:
    """Draw one to four curves (quadratic Bezier) or straight lines, many of which meet."""
    points = uniform(generator, (count, 4, 3, 2), (4, 24))  # start, control point and end: x, y
    for stroke in range(1, 4):  # most strokes start where an earlier one has a point
        rows = (uniform(generator, (count,)) < 0.6).nonzero().flatten()
        points[rows, stroke, 0] = points[rows, stroke - 1, torch.randint(3, (len(rows),), generator=generator)]
    straight = uniform(generator, (count, 4)) < 0.45
    upright = uniform(generator, (count, 4))
    for axis, chosen in enumerate((upright < 0.25, (upright > 0.25) & (upright < 0.5))):
        rows = straight & chosen
        points[..., 2, axis][rows] = points[..., 0, axis][rows] + uniform(generator, (int(rows.sum()),), (-1, 1))
    points[..., 1, :][straight] = (points[..., 0, :][straight] + points[..., 2, :][straight]) / 2
    time = torch.linspace(0, 1, 14)[:, None]
    start, control, end = points[..., None, :].unbind(2)
    curve = (1 - time) ** 2 * start + 2 * time * (1 - time) * control + time**2 * end  # (N, 4, 14, 2)
    segments = torch.cat([curve[:, :, :-1], curve[:, :, 1:]], -1)
    width, num_strokes = uniform(generator, (count,), (1.6, 4.2)), torch.randint(1, 5, (count,), generator=generator)
    ink = torch.zeros(count, SIDE, SIDE)
    for stroke in range(4):
        rows = (num_strokes > stroke).nonzero().flatten()
        ink[rows] = torch.maximum(ink[rows], draw_segments(segments[rows, stroke], width[rows]))
    return to_uint8(fit_box(ink[:, None]))


def join_halves(images: Tensor, targets: Tensor, count: int, generator: Generator) -> Tensor:
    """Join the upper or left half of a digit and the other half of a different digit."""
    first, second = torch.randint(len(images), (2, 4 * count), generator=generator)
    different = (targets[first] != targets[second]).nonzero().flatten()[:count]
    first, second = first[different], second[different]
    before = torch.arange(SIDE) < torch.randint(11, 18, (count, 1), generator=generator)
    above = uniform(generator, (count, 1, 1)) < 0.5
    mask = torch.where(above, before[:, :, None], before[:, None, :])
    return torch.where(mask[:, None], images[first], images[second])


def turn(images: Tensor, targets: Tensor, count: int, generator: Generator) -> Tensor:
    """Mirror or turn digits that are no digits then."""
    order = torch.randint(len(images), (20 * count,), generator=generator)
    images, targets = images[order], targets[order]
    mirrored = images[torch.isin(targets, torch.tensor([3, 4, 7, 9]))].flip(3)
    turned = images[torch.isin(targets, torch.tensor([2, 3, 4, 5, 7]))].rot90(1, (2, 3))
    half = count // 2
    return torch.cat([mirrored[:half], turned[: count - half]])


def draw_textures(count: int, generator: Generator) -> Tensor:
    """Draw noise, spots, ruled and squared paper, and dots."""
    shape = count, SIDE, SIDE
    noise = uniform(generator, shape)
    spots = functional.avg_pool2d(torch.randn(shape, generator=generator)[:, None], 7, 1, 3)[:, 0]
    spots = (1.5 * spots / spots.std((1, 2), keepdim=True) - 0.75).clamp(0, 1)
    y, x = torch.meshgrid(torch.arange(float(SIDE)), torch.arange(float(SIDE)), indexing="ij")
    period, phase, width, slope = (
        uniform(generator, (count, 1, 1), bounds) for bounds in ((4, 14), (0, 14), (1, 2.5), (-0.15, 0.15))
    )
    rows, columns = ((axis + phase) % period < width for axis in (y + slope * x, x - slope * y))
    specks = noise > uniform(generator, (count, 1, 1), (0.5, 0.95))
    kinds = torch.stack([noise, spots, *(each.float() for each in (specks, rows, rows | columns, rows & columns))])
    chosen = kinds[torch.randint(len(kinds), (count,), generator=generator), torch.arange(count)]
    return to_uint8(chosen[:, None] * uniform(generator, (count, 1, 1, 1), (0.25, 1)))
