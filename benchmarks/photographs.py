"""Render photographs of MNIST digits, and count how many the weights read correctly by way of `load_digit`.

    python benchmarks/photographs.py --root DIR [--split val|test] [--count 200] [--seed 0] [--results FILE.csv]
    python benchmarks/photographs.py --folder DIR [--results FILE.csv]

Each digit is reduced to its skeleton and redrawn with a different pen, size and background, then degraded as by a
camera. Images without a digit should be refused, or else get a low confidence, as `lenet5 predict` marks it. No image
is a real photograph: the counts compare versions of `load_digit` and do not predict its accuracy on real photographs.
Every parameter of `load_digit` is tuned on the validation split.

With --folder, real photographs are measured instead: files named KIND_NUMBER, and labels.csv with the columns file and
digit. Of each kind, every second photograph in the order of the names is kept aside: the others may guide a choice.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image

import lenet5
from scenes import (
    blend,
    cast_shadow,
    choose_shape,
    paper,
    place,
    put_on_table,
    ruled_lines,
    shade,
    smooth_noise,
    take_photo,
    tilt,
)
from strokes import Array, Random, draw_with_mouse, print_digit, redraw

PENS = {  # colours, and range of the stroke width as a fraction of the digit's size
    "ballpoint": ([(25, 35, 120), (20, 20, 25), (160, 25, 35), (30, 60, 150)], (0.03, 0.07)),
    "pencil": ([(95, 95, 100), (120, 118, 118)], (0.018, 0.04)),
    "marker": ([(15, 15, 20), (25, 40, 140), (170, 20, 30), (10, 100, 60)], (0.09, 0.2)),
}


def write_on_paper(
    image: Array | None,
    random: Random,
    pen: str,
    *,
    fraction: tuple[float, float] = (0.15, 0.7),
    ruling: str = "",
    extra: str = "",
) -> PIL.Image.Image:
    """Photograph a sheet of paper.

    Parameters
    ----------
    image
        The digit (28, 28) to write; None leaves the paper blank.
    random
        Source of all randomness.
    pen
        Key of PENS.
    fraction
        Range of the digit's size as a fraction of the image.
    ruling
        "lines", "squares" or "".
    extra
        "table" for a table around the paper, "shadow" for the shadow of a hand, or "".
    """
    colours, widths = PENS[pen]
    size = int(random.integers(60, 250))
    width = max(random.uniform(*widths), 1.3 / size)
    ink = np.zeros((size, size), np.float32) if image is None else redraw(image, size, width)
    shape = choose_shape(ink, random, fraction)
    scene = paper(shape, random)
    if ruling:
        step = size * random.uniform(0.35, 1.3)
        colour = [(150, 180, 220), (190, 190, 190), (120, 150, 200), (200, 150, 150)][random.integers(4)]
        thickness = max(1.0, size * random.uniform(0.008, 0.02))
        scene = blend(scene, ruled_lines(shape, step, thickness, random.uniform(0, step)), colour)
        if ruling == "squares":
            scene = blend(scene, ruled_lines(shape[::-1], step, thickness, random.uniform(0, step)).T, colour)
    grain = 1 - (0.35 if pen == "pencil" else 0.1) * np.abs(smooth_noise(shape, min(shape) // 3, random))
    placed = np.zeros(shape, np.float32) if image is None else place(ink, shape, random) * np.clip(grain, 0, 1)
    scene = blend(scene, placed * random.uniform(0.75, 1), colours[random.integers(len(colours))])
    scene = put_on_table(scene, random) if extra == "table" else scene
    scene = shade(tilt(scene, random), random, random.uniform(0, 0.35))
    return take_photo(cast_shadow(scene, random) if extra == "shadow" else scene, random)


def write_on_board(image: Array, random: Random, *, chalk: bool) -> PIL.Image.Image:
    """Photograph a digit on a blackboard or a whiteboard."""
    size = int(random.integers(80, 250))
    ink = redraw(image, size, random.uniform(0.05, 0.12))
    shape = choose_shape(ink, random, (0.15, 0.6))
    placed = place(ink, shape, random)
    if chalk:
        board = random.uniform([25, 40, 30], [60, 80, 75]) + 10 * np.abs(smooth_noise(shape, 6, random))[..., None]
        gaps: Array = np.clip(1.1 - 0.4 * np.abs(smooth_noise(shape, min(shape) // 4, random)), 0, 1)
        scene = blend(board.astype("f"), placed * gaps, (235, 235, 220))
    else:
        colours = [(20, 20, 30), (20, 50, 160), (190, 20, 30), (0, 120, 60)]
        scene = blend(np.full((*shape, 3), 215, np.float32), placed * 0.9, colours[random.integers(4)])
        rows, columns = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
        centre = random.uniform(-1, 1, 2)
        glare = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / random.uniform(0.02, 0.15))
        scene += (random.uniform(40, 140) * glare[..., None] * (255 - scene) / 255).astype("f")
    return take_photo(shade(tilt(scene, random), random, random.uniform(0, 0.3)), random)


def scan(image: Array, random: Random) -> PIL.Image.Image:
    """Scan a form at 300 dpi: flat and sharp, in greyscale or black and white."""
    ink = redraw(image, int(random.integers(70, 200)), random.uniform(0.04, 0.1))
    placed = place(ink, choose_shape(ink, random, (0.2, 0.8)), random)
    grey = 245 - placed * random.uniform(150, 230) + random.normal(0, random.uniform(0, 6), placed.shape)
    page = PIL.Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    return page.convert("1", dither=PIL.Image.Dither.NONE) if random.random() < 0.3 else page


def paint(target: int, random: Random, *, dark: bool = False, smooth: bool = True) -> PIL.Image.Image:
    """Draw a digit with the mouse in a painting program, on white or on black."""
    ink = draw_with_mouse(target, random, int(random.integers(60, 300)), random.uniform(0.02, 0.2), smooth=smooth)
    placed = 255 * place(ink, choose_shape(ink[::2, ::2], random, (0.2, 0.8)), random)
    return PIL.Image.fromarray((placed if dark else 255 - placed).astype(np.uint8))


def crop_to_16(image: Array) -> PIL.Image.Image:
    """Crop an MNIST digit to its bounding box and fit it into 16x16 pixels, light on dark."""
    rows, columns = (np.flatnonzero(image.max(axis) > 60) for axis in (1, 0))
    cropped = PIL.Image.fromarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8))
    scale = 16 / max(cropped.size)
    cropped = cropped.resize([max(1, round(side * scale)) for side in cropped.size], PIL.Image.Resampling.BICUBIC)
    canvas = PIL.Image.new("L", (16, 16))
    canvas.paste(cropped, ((16 - cropped.width) // 2, (16 - cropped.height) // 2))
    return canvas


def shrink(image: Array, random: Random) -> PIL.Image.Image:
    """Shrink an MNIST digit to 8 to 20 pixels, of either polarity."""
    side = int(random.integers(8, 21))
    small = PIL.Image.fromarray(image[3:25, 3:25].astype(np.uint8)).resize((side, side), PIL.Image.Resampling.BOX)
    return small if random.random() < 0.5 else PIL.Image.fromarray(255 - np.asarray(small))


def enlarge(image: Array, random: Random) -> PIL.Image.Image:
    """Enlarge an MNIST image to 60 to 600 pixels, of either polarity."""
    side = int(random.integers(60, 600))
    large = PIL.Image.fromarray(image.astype(np.uint8)).resize((side, side), PIL.Image.Resampling.BICUBIC)
    return large if random.random() < 0.5 else PIL.Image.fromarray(255 - np.asarray(large))


def print_on_paper(target: int, random: Random) -> PIL.Image.Image:
    """Print a digit, black on white."""
    ink = print_digit(target, random, int(random.integers(40, 200)))
    return PIL.Image.fromarray((255 - 255 * place(ink, ink.shape, random)).astype(np.uint8))


KINDS: dict[str, Callable[[Array, int, Random], PIL.Image.Image]] = {
    "ballpoint, white paper": lambda image, _, random: write_on_paper(image, random, "ballpoint"),
    "ballpoint, lined paper": lambda image, _, random: write_on_paper(image, random, "ballpoint", ruling="lines"),
    "ballpoint, squared paper": lambda image, _, random: write_on_paper(image, random, "ballpoint", ruling="squares"),
    "ballpoint, table": lambda image, _, random: write_on_paper(image, random, "ballpoint", extra="table"),
    "ballpoint, squares, table": lambda image, _, random: write_on_paper(
        image, random, "ballpoint", ruling="squares", extra="table"
    ),
    "ballpoint, shadow": lambda image, _, random: write_on_paper(image, random, "ballpoint", extra="shadow"),
    "pencil": lambda image, _, random: write_on_paper(image, random, "pencil"),
    "pencil, squared paper": lambda image, _, random: write_on_paper(image, random, "pencil", ruling="squares"),
    "marker": lambda image, _, random: write_on_paper(image, random, "marker"),
    "marker, filling the image": lambda image, _, random: write_on_paper(image, random, "marker", fraction=(0.7, 0.95)),
    "small in the image": lambda image, _, random: write_on_paper(image, random, "ballpoint", fraction=(0.1, 0.15)),
    "whiteboard": lambda image, _, random: write_on_board(image, random, chalk=False),
    "chalk": lambda image, _, random: write_on_board(image, random, chalk=True),
    "scan": lambda image, _, random: scan(image, random),
    "mouse, black on white": lambda _, target, random: paint(target, random),
    "mouse, white on black": lambda _, target, random: paint(target, random, dark=True),
    "mouse, not antialiased": lambda _, target, random: paint(target, random, smooth=False),
    "postal, 16x16": lambda image, _target, _random: crop_to_16(image),
    "8x8 to 20x20": lambda image, _, random: shrink(image, random),
    "MNIST enlarged": lambda image, _, random: enlarge(image, random),
    "printed": lambda _, target, random: print_on_paper(target, random),
}

BLANK: dict[str, Callable[[Random], PIL.Image.Image]] = {
    "no digit, white paper": lambda random: write_on_paper(None, random, "ballpoint"),
    "no digit, lined paper": lambda random: write_on_paper(None, random, "ballpoint", ruling="lines"),
    "no digit, squared paper": lambda random: write_on_paper(None, random, "ballpoint", ruling="squares"),
    "no digit, table": lambda random: write_on_paper(None, random, "ballpoint", extra="table"),
    "no digit, squares, table": lambda random: write_on_paper(
        None, random, "ballpoint", ruling="squares", extra="table"
    ),
    "no digit, shadow": lambda random: write_on_paper(None, random, "ballpoint", extra="shadow"),
}


def render(
    kind: str, split: lenet5.ImageDataset, count: int, seed: int
) -> Iterator[tuple[PIL.Image.Image, int | None]]:
    """Yield images of one kind, each with its digit or None."""
    random = np.random.default_rng([seed, [*KINDS, *BLANK].index(kind)])
    for i in random.choice(len(split), count, replace=False):
        if kind in BLANK:
            yield BLANK[kind](random), None
        else:
            target = int(split.targets[i])
            yield KINDS[kind](split.images[i, 0].numpy().astype(np.float32), target, random), target


def count(weights: lenet5.Pretrained, images: Iterable[tuple[PIL.Image.Image | Path, int | None]]) -> dict[str, int]:
    """Count the images that are read correctly, that are refused, and whose label has a low confidence."""
    counts = dict.fromkeys(("count", "correct", "refused", "low_confidence", "confidently_wrong"), 0)
    assert weights.threshold is not None
    for image, target in images:
        counts["count"] += 1
        try:
            predictions = weights.predict(image)
        except ValueError:
            counts["refused"] += 1
            continue
        correct, unsure = int(predictions.labels) == target, int(predictions.abstain(weights.threshold)) < 0
        counts["correct"] += correct
        counts["low_confidence"] += unsure
        counts["confidently_wrong"] += not (correct or unsure)
    return counts


def measure_folder(folder: Path, names: Sequence[str]) -> pd.DataFrame:
    """Measure weights on real photographs, by kind, and by the half that may guide a choice and the one kept aside."""
    labels = pd.read_csv(folder / "labels.csv").sort_values("file")
    labels["kind"] = labels.file.str.split("_").str[0]
    labels["half"] = np.where(labels.groupby("kind").cumcount() % 2, "kept aside", "chosen on")
    rows = []
    for name in names:
        weights = lenet5.load(name)
        for (kind, half), group in labels.groupby(["kind", "half"]):
            images = [(folder / file, int(digit)) for file, digit in zip(group.file, group.digit, strict=True)]
            rows.append({"weights": name, "kind": kind, "half": half, **count(weights, images)})
    return pd.DataFrame(rows)


def report(table: pd.DataFrame, results: Path | None) -> None:
    """Print a table, and write it to a file."""
    print(table.to_string(index=False))
    if results:
        table.to_csv(results, index=False, lineterminator="\n")


def main() -> None:
    """Render, predict, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--root", help="folder of MNIST, whose digits are rendered")
    source.add_argument("--folder", type=Path, help="real photographs, and labels.csv")
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--weights", nargs="+", default=["mnist_photo_v1"], help="names or folders")
    parser.add_argument("--count", type=int, default=200, help="rendered images per kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    if arguments.folder:
        table = measure_folder(arguments.folder, arguments.weights)
        report(table, arguments.results)
        print(table.groupby(["weights", "half"]).sum(numeric_only=True).to_string())
        return
    split = getattr(lenet5.load_data("mnist", arguments.root, download=False), arguments.split)
    table = pd.DataFrame(
        [
            {
                "weights": name,
                "kind": kind,
                **count(lenet5.load(name), render(kind, split, arguments.count, arguments.seed)),
            }
            for name in arguments.weights
            for kind in (*KINDS, *BLANK)
        ]
    )
    report(table, arguments.results)
    handwritten = table[table.kind.isin(set(KINDS) - {"printed"})]
    print((handwritten.correct / handwritten["count"]).groupby(handwritten.weights).mean().to_string())


if __name__ == "__main__":
    main()
