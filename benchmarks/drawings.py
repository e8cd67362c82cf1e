"""Digits drawn from control points, in the forms that are taught in different countries."""

from typing import TypeAlias

import torch
from torch import Generator, Tensor

from canvas import BOX, SIDE, draw_segments, to_uint8, uniform

Stroke: TypeAlias = list[tuple[float, float]]

SAMPLES = 6  # line segments between two control points
CHUNK = 500  # images that are drawn at once
LONGEST = {1: 1.6, 4: 2.4, 7: 1.8, 9: 2.0}  # factors of the lower half

# Strokes of control points (x, y), in a box of 1 by 1.4 with the origin in the upper left corner.
FORMS: dict[int, list[list[Stroke]]] = {
    0: [
        [[(0.5, 0), (0.1, 0.3), (0, 0.7), (0.15, 1.2), (0.5, 1.4), (0.85, 1.2), (1, 0.7), (0.85, 0.2), (0.5, 0)]],
        [[(0.7, 0.05), (0.3, 0.1), (0, 0.7), (0.2, 1.3), (0.6, 1.35), (0.95, 0.8), (0.85, 0.2), (0.55, 0.05)]],
        [
            [
                (0.5, 0.1),
                (0.1, 0.35),
                (0, 0.7),
                (0.15, 1.1),
                (0.5, 1.3),
                (0.85, 1.1),
                (1, 0.7),
                (0.85, 0.3),
                (0.5, 0.1),
            ],
            [(0.95, 0.05), (0.05, 1.35)],
        ],
    ],
    1: [
        [[(0.5, 0), (0.5, 0.7), (0.49, 1.4)]],
        [[(0.5, 0), (0.3, 0.2), (0.1, 0.38)], [(0.5, 0), (0.5, 0.7), (0.5, 1.4)]],
        [[(0.55, 0), (0.3, 0.25), (0, 0.5)], [(0.55, 0), (0.55, 0.7), (0.54, 1.4)]],
        [[(0.5, 0), (0.38, 0.14), (0.26, 0.22)], [(0.5, 0), (0.5, 1.4)], [(0.15, 1.4), (0.5, 1.39), (0.85, 1.4)]],
        [[(0.5, 0), (0.3, 0.2), (0.08, 0.34)], [(0.5, 0), (0.5, 1.4)], [(0, 1.4), (0.5, 1.38), (1, 1.4)]],
    ],
    2: [
        [[(0.05, 0.35), (0.2, 0.05), (0.6, 0), (0.9, 0.3), (0.7, 0.8), (0, 1.4)], [(0, 1.4), (0.5, 1.36), (1, 1.4)]],
        [
            [(0.1, 0.3), (0.4, 0), (0.85, 0.15), (0.85, 0.5), (0.45, 1.05), (0.1, 1.35), (0.1, 1.15), (0.35, 1.2)],
            [(0.35, 1.2), (0.7, 1.38), (1, 1.3)],
        ],
        [[(0, 0.15), (0.4, 0), (0.8, 0.12), (0.85, 0.45), (0.5, 0.9), (0.05, 1.4)], [(0.05, 1.4), (0.95, 1.4)]],
    ],
    3: [
        [
            [(0.05, 0.15), (0.5, 0), (0.9, 0.25), (0.75, 0.55), (0.4, 0.65)],
            [(0.4, 0.65), (0.85, 0.8), (0.95, 1.1), (0.5, 1.4), (0, 1.25)],
        ],
        [
            [(0.05, 0.02), (0.5, 0), (0.9, 0)],
            [(0.9, 0), (0.65, 0.3), (0.4, 0.55)],
            [(0.4, 0.55), (0.8, 0.65), (0.95, 1), (0.6, 1.38), (0, 1.25)],
        ],
    ],
    4: [
        [
            [(0.45, 0), (0.25, 0.45), (0, 0.9)],
            [(0, 0.9), (0.5, 0.9), (1, 0.88)],
            [(0.7, 0.4), (0.68, 0.9), (0.68, 1.4)],
        ],
        [[(0.7, 0), (0.35, 0.45), (0, 0.95)], [(0, 0.95), (0.5, 0.95), (1, 0.95)], [(0.7, 0), (0.7, 0.7), (0.7, 1.4)]],
        [
            [(0.05, 0), (0.05, 0.35), (0.08, 0.7)],
            [(0.08, 0.7), (0.5, 0.72), (0.9, 0.65)],
            [(0.8, 0), (0.8, 0.7), (0.78, 1.4)],
        ],
        [
            [(0.75, 0), (0.4, 0.4), (0, 0.8)],
            [(0, 0.8), (0.4, 0.82), (0.74, 0.8)],
            [(0.75, 0), (0.74, 0.7), (0.72, 1.4)],
        ],
    ],
    5: [
        [
            [(0.9, 0), (0.5, 0.02), (0.15, 0)],
            [(0.15, 0), (0.1, 0.6)],
            [(0.1, 0.6), (0.55, 0.5), (0.95, 0.8), (0.8, 1.25), (0.4, 1.4), (0, 1.25)],
        ],
        [
            [(0.3, 0.05), (0.7, 0.02), (1.05, 0)],
            [(0.25, 0.1), (0.15, 0.55)],
            [(0.15, 0.55), (0.6, 0.5), (0.9, 0.85), (0.7, 1.3), (0.3, 1.4), (0, 1.2)],
        ],
    ],
    6: [
        [[(0.75, 0), (0.3, 0.35), (0.05, 0.9), (0.25, 1.35), (0.65, 1.38), (0.9, 1.05), (0.6, 0.75), (0.25, 0.85)]],
        [[(0.45, 0), (0.2, 0.5), (0.05, 1), (0.3, 1.38), (0.75, 1.3), (0.85, 0.95), (0.5, 0.8), (0.1, 1.05)]],
    ],
    7: [
        [[(0, 0.05), (0.5, 0.03), (0.95, 0)], [(0.95, 0), (0.6, 0.65), (0.4, 1.4)]],
        [
            [(0, 0.05), (0.5, 0.03), (0.95, 0)],
            [(0.95, 0), (0.6, 0.65), (0.4, 1.4)],
            [(0.25, 0.72), (0.6, 0.68), (0.95, 0.64)],
        ],
        [[(0, 0.25), (0.02, 0.02)], [(0.02, 0.02), (0.5, 0.05), (0.95, 0)], [(0.95, 0), (0.55, 0.7), (0.5, 1.4)]],
        [
            [(0, 0.2), (0.02, 0.02)],
            [(0.02, 0.02), (0.5, 0.06), (0.95, 0)],
            [(0.95, 0), (0.5, 0.7), (0.35, 1.4)],
            [(0.15, 0.75), (0.5, 0.72), (0.85, 0.7)],
        ],
    ],
    8: [
        [
            [(0.5, 0.65), (0.15, 0.4), (0.25, 0.05), (0.6, 0), (0.85, 0.25), (0.5, 0.65)],
            [(0.5, 0.65), (0.05, 1), (0.25, 1.38), (0.7, 1.38), (0.95, 1), (0.5, 0.65)],
        ],
        [
            [(0.85, 0.2), (0.5, 0), (0.15, 0.25), (0.4, 0.6), (0.8, 0.95), (0.7, 1.35), (0.3, 1.38), (0.15, 1.05)],
            [(0.15, 1.05), (0.4, 0.75), (0.75, 0.5), (0.85, 0.2)],
        ],
    ],
    9: [
        [
            [(0.85, 0.35), (0.5, 0.7), (0.1, 0.5), (0.2, 0.1), (0.6, 0), (0.85, 0.35)],
            [(0.85, 0.35), (0.85, 0.8), (0.7, 1.4)],
        ],
        [
            [(0.8, 0.1), (0.4, 0), (0.05, 0.3), (0.25, 0.65), (0.6, 0.6), (0.8, 0.25)],
            [(0.8, 0.1), (0.8, 0.7), (0.8, 1.4)],
        ],
        [
            [(0.8, 0.15), (0.4, 0), (0.05, 0.3), (0.25, 0.65), (0.6, 0.6), (0.8, 0.25)],
            [(0.8, 0.15), (0.85, 0.8), (0.65, 1.3), (0.3, 1.4), (0.05, 1.2)],
        ],
    ],
}


def draw_digits(targets: Tensor, generator: Generator) -> Tensor:
    """Draw digits of classes (N,) as (N, 1, 28, 28) uint8, each in a random form, with a random pen and slant."""
    drawn = torch.zeros(len(targets), 1, SIDE, SIDE, dtype=torch.uint8)
    forms = torch.rand(len(targets), generator=generator)
    for digit, variants in FORMS.items():
        for number, strokes in enumerate(variants):
            chosen = (targets == digit) & ((forms * len(variants)).long() == number)
            chunks = torch.split(chosen.nonzero().flatten(), CHUNK) if chosen.any() else ()
            for rows in chunks:
                drawn[rows, 0] = to_uint8(_draw(strokes, len(rows), LONGEST.get(digit, 1.3), generator))
    return drawn


def _draw(strokes: list[Stroke], count: int, longest: float, generator: Generator) -> Tensor:
    """Draw one form: (N, 28, 28), from 0 to 1, in MNIST's box, and by its centre of mass for most."""
    jitter = uniform(generator, (count, 1, 1), (0.01, 0.06))
    paths = []
    for points in strokes:
        control = torch.tensor(points) + jitter * torch.randn(count, len(points), 2, generator=generator)
        paths.append(_spline(control))
    paths = _transform(paths, longest, generator)
    segments = torch.cat([torch.cat([path[:, :-1], path[:, 1:]], -1) for path in paths], 1)
    width = uniform(generator, (count,), (1.6, 3.6))
    return draw_segments(segments, width)


def _spline(control: Tensor) -> Tensor:
    """Interpolate control points (N, P, 2) by a Catmull-Rom spline."""
    first, last = 2 * control[:, :1] - control[:, 1:2], 2 * control[:, -1:] - control[:, -2:-1]
    extended = torch.cat([first, control, last], 1)
    tangent = (extended[:, 2:] - extended[:, :-2]) / 2
    start, end, leave, arrive = (
        part[:, :, None] for part in (control[:, :-1], control[:, 1:], tangent[:, :-1], tangent[:, 1:])
    )
    time = torch.linspace(0, 1, SAMPLES + 1)[:-1, None]
    cubed, squared = time**3, time**2
    curve = (2 * cubed - 3 * squared + 1) * start + (cubed - 2 * squared + time) * leave
    curve = curve + (3 * squared - 2 * cubed) * end + (cubed - squared) * arrive
    return torch.cat([curve.flatten(1, 2), control[:, -1:]], 1)


def _transform(paths: list[Tensor], longest: float, generator: Generator) -> list[Tensor]:
    """Slant, stretch and turn paths (N, P, 2), and scale and move them to MNIST's box."""
    count = len(paths[0])
    slant, angle = uniform(generator, (count, 1), (-0.3, 0.45)), uniform(generator, (count, 1), (-0.2, 0.2))
    aspect, stem = uniform(generator, (count, 1), (-0.4, 0.35)).exp(), uniform(generator, (count, 1), (0.8, longest))
    changed = []
    for path in paths:
        x, y = (path[..., 0] - 0.5) * aspect, path[..., 1] - 0.7
        y = torch.where(y > 0, y * stem, y)
        x = x - slant * y
        changed.append(torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], -1))
    everything = torch.cat(changed, 1)
    low, high = everything.amin(1, keepdim=True), everything.amax(1, keepdim=True)
    size = uniform(generator, (count, 1, 1), (0.85, 0.95)) * BOX
    middle = torch.where(uniform(generator, (count, 1, 1)) < 0.75, everything.mean(1, keepdim=True), (low + high) / 2)
    scale = size / (high - low).amax(2, keepdim=True)
    return [(path - middle) * scale + (SIDE - 1) / 2 for path in changed]
