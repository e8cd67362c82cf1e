"""Measure the accuracy of weights on fifteen kinds of corrupted digits, modelled on MNIST-C (Mu and Gilmer 2019).

    python benchmarks/corruptions.py --root DIR [--weights DEFAULT] [--data mnist] [--split val] [--results FILE.csv]

The kinds are the paper's. The code and the severities differ, so the numbers are not comparable to the published data
set. A corruption maps an image (28, 28), from 0 to 1, and a random generator to the corrupted image.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import PIL.Image
import PIL.ImageDraw
import torch
from scipy import ndimage

import lenet5

Images: TypeAlias = npt.NDArray[np.uint8]
Grey: TypeAlias = npt.NDArray[np.float64]
Random: TypeAlias = np.random.Generator


def shot_noise(image: Grey, random: Random) -> Grey:
    """Simulate few photons per pixel (Poisson noise)."""
    photons: Grey = random.poisson(image * 12) / 12
    return photons


def impulse_noise(image: Grey, random: Random) -> Grey:
    """Set one eighth of the pixels to black or white."""
    return np.where(random.random(image.shape) < 0.125, random.random(image.shape) < 0.5, image)


def glass_blur(image: Grey, random: Random) -> Grey:
    """Swap neighbouring pixels at random, between two blurs."""
    places = np.indices(image.shape) + random.integers(-1, 2, (2, *image.shape))
    shuffled = ndimage.gaussian_filter(image, 0.6)[tuple(places.clip(0, np.array(image.shape)[:, None, None] - 1))]
    blurred: Grey = ndimage.gaussian_filter(shuffled, 0.6)
    return blurred


def motion_blur(image: Grey, random: Random) -> Grey:
    """Average along a line of seven pixels, at an angle of up to 45 degrees."""
    angle = np.deg2rad(random.uniform(-45, 45))
    shifts = [(step * np.sin(angle), step * np.cos(angle)) for step in np.linspace(-3, 3, 7)]
    blurred: Grey = np.mean([ndimage.shift(image, shift, order=1) for shift in shifts], axis=0)
    return blurred


def _affine(image: Grey, matrix: list[list[float]]) -> Grey:
    centre = np.array([13.5, 13.5])
    offset = centre - np.array(matrix) @ centre
    transformed: Grey = ndimage.affine_transform(image, np.array(matrix), offset, order=1)
    return transformed


def shear(image: Grey, random: Random) -> Grey:
    """Shear by 0.2 to 0.4, in either direction."""
    return _affine(image, [[1, 0], [random.choice([-1, 1]) * random.uniform(0.2, 0.4), 1]])


def scale(image: Grey, random: Random) -> Grey:
    """Shrink by a factor of 0.5 to 0.75."""
    factor = 1 / random.uniform(0.5, 0.75)
    return _affine(image, [[factor, 0], [0, factor]])


def rotate(image: Grey, random: Random) -> Grey:
    """Rotate by 15 to 30 degrees, in either direction."""
    angle = np.deg2rad(random.choice([-1, 1]) * random.uniform(15, 30))
    return _affine(image, [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def brightness(image: Grey, random: Random) -> Grey:
    """Brighten all pixels by 0.3 to 0.6."""
    return image + random.uniform(0.3, 0.6)


def translate(image: Grey, random: Random) -> Grey:
    """Shift by up to four pixels in each direction."""
    shifted: Grey = ndimage.shift(image, random.integers(-4, 5, 2), order=0)
    return shifted


def stripe(image: Grey, random: Random) -> Grey:
    """Invert a vertical stripe in the middle of the image."""
    start, width = random.integers(8, 14), random.integers(4, 8)
    inverted = image.copy()
    inverted[:, start : start + width] = 1 - inverted[:, start : start + width]
    return inverted


def _clouds(random: Random) -> Grey:
    """Generate smooth noise of several scales, from 0 to 1."""
    total = np.zeros((28, 28))
    for cells in (3, 5, 9, 17):
        total += ndimage.zoom(random.random((cells, cells)), 28 / cells, order=1, mode="nearest")[:28, :28] / cells
    clouds: Grey = (total - total.min()) / np.ptp(total)
    return clouds


def fog(image: Grey, random: Random) -> Grey:
    """Add clouds, and rescale to the range from 0 to 1."""
    return (image + 0.9 * _clouds(random)) / 1.9


def spatter(image: Grey, random: Random) -> Grey:
    """Add light drops."""
    drops: Grey = ndimage.gaussian_filter(random.normal(size=image.shape), 1.2)
    drops = np.clip((drops - np.quantile(drops, 0.9)) * 8, 0, 1) * random.uniform(0.6, 1)
    return np.maximum(image, drops)


def _with_lines(image: Grey, points: Sequence[tuple[float, float]], *, dotted: bool) -> Grey:
    factor = 4
    canvas = PIL.Image.new("L", (28 * factor, 28 * factor))
    pen = PIL.ImageDraw.Draw(canvas)
    line = [(x * factor, y * factor) for x, y in points]
    if dotted:
        start, end = np.array(line[0]), np.array(line[-1])
        for fraction in np.arange(0, 1, 0.11):
            x, y = start + fraction * (end - start)
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), 255)
    else:
        pen.line(line, 255, factor + 1)
    return np.maximum(image, np.asarray(canvas.resize((28, 28), PIL.Image.Resampling.BOX)) / 255)


def dotted_line(image: Grey, random: Random) -> Grey:
    """Draw a dotted line across the image."""
    return _with_lines(image, [(0, random.uniform(4, 24)), (28, random.uniform(4, 24))], dotted=True)


def zigzag(image: Grey, random: Random) -> Grey:
    """Draw a zigzag line across the image."""
    left, right = random.uniform(6, 22, 2)
    bends = [(x, left + (right - left) * x / 28 + 2.5 * (-1) ** number) for number, x in enumerate(range(0, 29, 4))]
    return _with_lines(image, bends, dotted=False)


def canny_edges(image: Grey, _random: Random) -> Grey:
    """Reduce the image to its edges (Canny 1986): non-maximum suppression of the gradient, and hysteresis."""
    down, right = (ndimage.sobel(ndimage.gaussian_filter(image, 1), axis) for axis in (0, 1))
    strength = np.hypot(down, right)
    unit = np.stack([down, right]) / np.maximum(strength, 1e-9)
    ahead, behind = (
        ndimage.map_coordinates(strength, np.indices(image.shape) + side * unit, order=1) for side in (1, -1)
    )
    ridge = (strength >= ahead) & (strength > behind)
    strong, weak = ridge & (strength > 0.8), ridge & (strength > 0.4)
    edges: Grey = ndimage.binary_propagation(strong, np.ones((3, 3)), weak).astype(float)
    return edges


CORRUPTIONS: tuple[Callable[[Grey, Random], Grey], ...] = (
    shot_noise,
    impulse_noise,
    glass_blur,
    motion_blur,
    shear,
    scale,
    rotate,
    brightness,
    translate,
    stripe,
    fog,
    spatter,
    dotted_line,
    zigzag,
    canny_edges,
)


def corrupt(images: Images, corruption: Callable[[Grey, Random], Grey], seed: int = 0) -> Images:
    """Corrupt uint8 images (N, 1, 28, 28); each result depends only on the image, its index and the seed."""
    corrupted = [corruption(image[0] / 255, np.random.default_rng([seed, index])) for index, image in enumerate(images)]
    return np.rint(255 * np.clip(corrupted, 0, 1)).astype(np.uint8)[:, None]


def main() -> None:
    """Corrupt, predict, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--weights", default="DEFAULT", help="name or folder")
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    is_default = arguments.weights.lower() == "default"
    weights = lenet5.load(lenet5.LeNet5_Weights.DEFAULT.value if is_default else arguments.weights)
    split = getattr(lenet5.load_data(arguments.data, arguments.root, download=False), arguments.split)
    clean = split.images.numpy()
    rows = []
    for corruption in (None, *CORRUPTIONS):
        images = clean if corruption is None else corrupt(clean, corruption, arguments.seed)
        predictions = weights.predict(torch.from_numpy(images)).labels
        kind = "none" if corruption is None else corruption.__name__
        rows.append({"kind": kind, "accuracy": float((predictions == split.targets).double().mean())})
        print(f"{kind:14} {rows[-1]['accuracy']:7.2%}", flush=True)
    table = pd.DataFrame(rows)
    print(f"{'mean of the 15':14} {table['accuracy'][1:].mean():7.2%}")
    if arguments.results:
        table.to_csv(arguments.results, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
