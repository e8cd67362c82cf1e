"""Choose the confidence below which an answer is marked, and measure what it marks: other digits, and no digits.

    python benchmarks/confidence.py --root DIR --weights NAME... [--results FILE.csv]

The threshold is the lowest at which 99.7 % of the answers that reach it are right, and at most 2 % of the answers to
noise, spots, lines and squares reach it (`choose_threshold`). The digits are those of the validation split, redrawn as
other writers and data sets draw them. With --choose, the weights are judged by such a threshold, otherwise by that of
their card. The table is measured on the test set, on Fashion-MNIST, on noise, and on letters of matplotlib's fonts.
"""

import argparse
import contextlib
import string
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import torch
from scipy import stats
from torch import Generator, Tensor

import lenet5
from no_digits import draw_no_digits
from writers import distort_strokes, distort_wildly, redraw, retrace

LETTERS = sorted(set(string.ascii_letters) - set("BDIOQSZabgijloqsz"))  # the others look like digits
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono-Oblique", "STIXGeneralItalic")
ACCURACY, ACCEPTED = 0.997, 0.02
CHUNK = 1000  # images that are distorted at once
Numbers: TypeAlias = npt.NDArray[np.float64]


def choose_threshold(model: torch.nn.Module, val: lenet5.ImageDataset) -> float:
    """Return the lowest threshold that keeps both limits on the validation split."""
    preprocess, generator = lenet5.Preprocess(), Generator().manual_seed(0)
    drawn = [redraw(val, distort, generator, chunk=CHUNK) for distort in (distort_strokes, retrace)]
    answers = lenet5.predict(model, preprocess(torch.cat(drawn))).probabilities.numpy().astype(np.float64)
    right = lenet5.abstention(val.targets.repeat(len(drawn)).numpy(), answers, accuracy=ACCURACY).threshold
    none, doubtful = draw_no_digits(val.images, val.targets, len(val), generator)
    return float(max(right, np.quantile(confidences(model, none[~doubtful]), 1 - ACCEPTED)))


def confidences(model: torch.nn.Module, images: Tensor) -> Numbers:
    """Return the probability of the predicted class of each image."""
    return lenet5.predict(model, lenet5.Preprocess()(images)).confidence.numpy().astype(np.float64)


def draw_font_letters(fonts: int = len(FONTS)) -> Tensor:
    """Draw upright and slanted letters (N, 1, 28, 28) of fonts, without those that `load_digit` refuses."""
    drawn = []
    for name in FONTS[:fonts]:
        font = PIL.ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", 120)
        for letter in LETTERS:
            for angle in (-10, 0, 10):
                page = PIL.Image.new("L", (240, 240), 255)
                PIL.ImageDraw.Draw(page).text((120, 120), letter, fill=0, font=font, anchor="mm")
                with contextlib.suppress(ValueError):  # several parts
                    drawn.append(lenet5.load_digit(page.rotate(angle, fillcolor=255)))
    return torch.stack(drawn)


def separation(digits: Numbers, others: Numbers) -> float:
    """Return the probability that a digit has a higher confidence than what is no digit (the area under the ROC)."""
    return float(stats.mannwhitneyu(digits, others).statistic / (len(digits) * len(others)))


def measure(name: str, root: str, *, choose: bool) -> list[dict[str, object]]:
    """Return one row per set of images."""
    weights, splits = lenet5.load(name), lenet5.load_data("mnist", root, download=False)
    threshold = choose_threshold(weights.model, splits.val) if choose else weights.threshold or 0.0
    generator, test = Generator().manual_seed(1), splits.test
    digits = {
        "MNIST's test set": test.images,
        "other writers": redraw(test, distort_strokes, generator, chunk=CHUNK),
        "other data sets": redraw(test, retrace, generator, chunk=CHUNK),
        "degraded": redraw(test, distort_wildly, generator, chunk=CHUNK),
    }
    fashion = lenet5.load_data("fashion_mnist", root, download=False).test.images
    others = {
        "drawings of the training": draw_no_digits(test.images, test.targets, 5000, generator)[0],
        "letters of fonts": draw_font_letters(),
        "Fashion-MNIST": fashion,
        "noise": torch.randint(256, (2000, 1, 28, 28), generator=generator, dtype=torch.uint8),
    }
    rows, known = [], np.array([])
    for kind, images in digits.items():
        predictions = lenet5.predict(weights.model, weights.preprocess(images))
        sure = predictions.confidence >= threshold
        right = (predictions.labels == test.targets).double()
        if kind == "other writers":
            known = predictions.confidence.numpy().astype(np.float64)
        shares = {"accuracy": right.mean().item(), "sure": sure.double().mean().item()}
        rows.append({"images": kind, **shares, "wrong of sure": 1 - right[sure].mean().item()})
    for kind, images in others.items():
        answers = confidences(weights.model, images)
        shares = {"sure": float((answers >= threshold).mean()), "separation": separation(known, answers)}
        rows.append({"images": kind, **shares})
    return [{"weights": Path(name).name, "threshold": threshold, **row} for row in rows]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--weights", nargs="+", required=True, help="names or folders")
    parser.add_argument("--choose", action="store_true", help="choose the threshold anew")
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    rows = [row for name in arguments.weights for row in measure(name, arguments.root, choose=arguments.choose)]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.4f}".format))
    if arguments.results:
        table.round(6).to_csv(arguments.results, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
