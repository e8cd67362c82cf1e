"""Backgrounds, lighting and cameras. A scene is a float32 RGB image (H, W, 3), from 0 to 255."""

import io

import numpy as np
import PIL.Image
from scipy import ndimage

from strokes import Array, Random


def smooth_noise(shape: tuple[int, int], cells: int, random: Random) -> Array:
    """Generate smooth noise of variance about 1, with `cells` grid cells along the shorter side."""
    coarse = random.normal(size=[max(2, -(-side * cells // min(shape))) for side in shape])
    factors = [side / part for side, part in zip(shape, coarse.shape, strict=True)]
    noise: Array = ndimage.zoom(coarse, factors, order=3, mode="nearest", grid_mode=True).astype("f")
    return noise[: shape[0], : shape[1]]


def paper(shape: tuple[int, int], random: Random) -> Array:
    """Generate white to cream paper with a texture."""
    colour = random.uniform([205, 200, 175], [255, 250, 245])
    texture = random.uniform(0, 3) * random.normal(size=shape) + random.uniform(0, 4) * smooth_noise(shape, 40, random)
    return (colour + texture[..., None]).astype(np.float32)


def ruled_lines(shape: tuple[int, int], step: float, thickness: float, offset: float) -> Array:
    """Draw horizontal lines: the coverage of each pixel, from 0 to 1."""
    rows = (np.arange(shape[0]) + offset) % step
    distance = np.minimum(rows, step - rows)
    return np.broadcast_to(np.clip(thickness / 2 - distance + 0.5, 0, 1)[:, None], shape).astype(np.float32)


def choose_shape(ink: Array, random: Random, fraction: tuple[float, float]) -> tuple[int, int]:
    """Choose the size of a scene so that the ink fills a random fraction of its shorter side."""
    short = min(1000, round(max(ink.shape) / random.uniform(*fraction)))
    return (round(short * random.uniform(1, 1.4)), short) if random.random() < 0.5 else (short, round(short * 1.33))


def place(ink: Array, shape: tuple[int, int], random: Random) -> Array:
    """Place ink at a random position inside a scene."""
    rows, columns = (np.flatnonzero(ink.max(axis) > 0.05) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    room = [shape[i] - ink.shape[i] for i in range(2)]
    top, left = (int(np.clip(random.normal(side / 2, side / 6), 0.06 * side, 0.94 * side)) for side in room)
    placed = np.zeros(shape, np.float32)
    placed[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return placed


def blend(background: Array, ink: Array, colour: tuple[float, ...]) -> Array:
    """Blend ink (H, W) of one colour into a background (H, W, 3)."""
    return background + ink[..., None] * (np.array(colour, np.float32) - background)


def tilt(scene: Array, random: Random, degrees: float = 10) -> Array:
    """Rotate the scene and change its perspective."""
    height, width = scene.shape[:2]
    angle = np.deg2rad(random.uniform(-degrees, degrees))
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    perspective = np.eye(3)
    perspective[2, :2] = random.uniform(-0.12, 0.12, 2) / max(height, width)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    rows, columns = rows - height / 2, columns - width / 2
    matrix = perspective @ rotation
    y, x, z = (matrix[i, 0] * rows + matrix[i, 1] * columns + matrix[i, 2] for i in range(3))
    coordinates = np.stack([y / z + height / 2, x / z + width / 2])
    channels = [
        ndimage.map_coordinates(plane, coordinates, order=1, mode="reflect") for plane in scene.transpose(2, 0, 1)
    ]
    return np.stack(channels, -1)


def shade(scene: Array, random: Random, depth: float) -> Array:
    """Light the scene unevenly, with a gradient and soft shadows."""
    shape = scene.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    gradient = random.uniform(-depth, depth) * rows + random.uniform(-depth, depth) * columns
    light: Array = np.clip(1 + gradient + 0.3 * depth * smooth_noise(shape, 3, random), 0.15, 1.2)
    return scene * light[..., None]


def cast_shadow(scene: Array, random: Random) -> Array:
    """Cast the shadow of a hand or a phone, with a slightly blurred edge."""
    shape = scene.shape[:2]
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = random.uniform(0, 2 * np.pi)
    distance = (rows - shape[0] / 2) * np.sin(angle) + (columns - shape[1] / 2) * np.cos(angle)
    distance += 0.06 * min(shape) * smooth_noise(shape, 4, random) - random.uniform(-0.3, 0.3) * min(shape)
    softness = random.uniform(0.01, 0.06) * min(shape)
    light: Array = 1 - random.uniform(0.25, 0.5) / (1 + np.exp(-distance / softness))
    return scene * light[..., None]


def put_on_table(scene: Array, random: Random) -> Array:
    """Put the paper on a wooden table that is visible on some sides."""
    height, width = scene.shape[:2]
    wood = random.uniform([40, 25, 10], [180, 140, 110])
    grain = ndimage.gaussian_filter(random.normal(size=(height, width)), (1, 25)) * 60
    table = wood + grain[..., None] + 8 * smooth_noise((height, width), 5, random)[..., None]
    rows, columns = np.mgrid[:height, :width]
    margins = [random.uniform(0.02, 0.09) if random.random() < 0.6 else -1 for _ in range(4)]
    slant = random.uniform(-0.06, 0.06)
    y, x = rows / height + slant * (columns / width - 0.5), columns / width - slant * (rows / height - 0.5)
    on_paper = (y > margins[0]) & (y < 1 - margins[1]) & (x > margins[2]) & (x < 1 - margins[3])
    return np.where(on_paper[..., None], scene, table).astype(np.float32)


def take_photo(scene: Array, random: Random) -> PIL.Image.Image:
    """Blur the scene, add noise and compress it as JPEG."""
    size = min(scene.shape[:2])
    blurred = ndimage.gaussian_filter(scene, (*[random.uniform(0.3, max(0.5, size / 500))] * 2, 0))
    noisy = blurred + random.normal(0, random.uniform(1, 7), scene.shape)
    file = io.BytesIO()
    PIL.Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=int(random.integers(40, 95))
    )
    return PIL.Image.open(file)
