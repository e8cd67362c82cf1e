"""Compare ways to mark the ink of a photograph: the network of `load_digit`, and scikit-image's thresholds and ridges.

    python benchmarks/segmentation_methods.py --folder DIR [--root MNIST] [--count 10] [--results FILE.csv]

Each method marks the ink at the two resolutions at which the network does; digits are formed, outlined and normalised
alike. With --folder, real photographs are read, as in benchmarks/photographs.py: those of each kind that may guide a
choice. With --root, photographs are rendered from MNIST's validation split as well. With --networks, networks that
benchmarks/ink_network.py trained are measured instead.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import numpy as np
import pandas as pd
import PIL.Image
import skimage.filters

import lenet5
from ink_network import load
from lenet5.photo.ink import ink_probability
from lenet5.photo.pixels import Grey
from photographs import KINDS, count, measure_folder, render

Method: TypeAlias = Callable[[Grey], Grey]
filters: Any = skimage.filters  # its functions have no types
MIN_CONTRAST = 12.0  # of 255


def dark_or_light(mark: Method) -> Method:
    """Mark dark ink or light ink: that which covers less of the image, if it contrasts at all."""

    def marked(grey: Grey) -> Grey:
        if np.ptp(grey) < MIN_CONTRAST:
            return np.zeros_like(grey)
        options = [mark(grey), mark(255 - grey)]
        return min(options, key=lambda ink: float(ink.mean()))

    return marked


def otsu(grey: Grey) -> Grey:
    """Mark what is darker than one threshold (Otsu, IEEE Trans. SMC 9(1), 1979)."""
    return np.asarray((grey < filters.threshold_otsu(grey)), np.float32)


def sauvola(grey: Grey) -> Grey:
    """Mark what is darker than the local mean and deviation say (Sauvola and Pietikäinen, Pattern Recogn. 33, 2000)."""
    return np.asarray((grey < filters.threshold_sauvola(grey, window_size=25, k=0.1)), np.float32)


def local_mean(grey: Grey) -> Grey:
    """Mark what is darker than a Gaussian mean around it."""
    return np.asarray((grey < filters.threshold_local(grey, 35, offset=MIN_CONTRAST)), np.float32)


def ridges(grey: Grey) -> Grey:
    """Mark dark ridges (Sato et al., Medical Image Analysis 2(2), 1998)."""
    strength = filters.sato(grey, sigmas=range(1, 4), black_ridges=True)
    return np.asarray((strength > max(1.0, filters.threshold_otsu(strength))), np.float32)


METHODS: dict[str, Method] = {
    "Otsu's threshold": dark_or_light(otsu),
    "Sauvola's threshold": dark_or_light(sauvola),
    "local mean": dark_or_light(local_mean),
    "Sato's ridges": dark_or_light(ridges),
    "network": ink_probability,
}


def trained(run: Path) -> Method:
    """Mark ink by a network that was trained anew."""
    network = load(run)

    def marked(grey: Grey) -> Grey:
        with mock.patch("lenet5.photo.ink._network", return_value=network):
            return ink_probability(grey)

    return marked


def main() -> None:
    """Measure each method, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="real photographs, and labels.csv")
    parser.add_argument("--root", help="folder of MNIST, whose digits are rendered")
    parser.add_argument("--weights", default="mnist_photo_v1", help="name or folder")
    parser.add_argument("--count", type=int, default=10, help="rendered images per kind")
    parser.add_argument("--networks", type=Path, nargs="+", default=[], help="folders of trained networks")
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    rows = []
    methods = {run.name: trained(run) for run in arguments.networks} or METHODS
    for name, method in methods.items():
        with mock.patch("lenet5.photo.segmentation.ink_probability", method):
            table = measure_folder(arguments.folder, [arguments.weights])
            chosen_on = table[table.half == "chosen on"].sum(numeric_only=True)
            rows.append({"method": name, "images": "real, chosen on", **dict(chosen_on)})
            if arguments.root:
                val = lenet5.load_data("mnist", arguments.root, download=False).val
                weights = lenet5.load(arguments.weights)
                rendered: list[tuple[PIL.Image.Image | Path, int | None]] = [
                    image for kind in KINDS for image in render(kind, val, arguments.count, 1)
                ]
                rows.append({"method": name, "images": "rendered", **count(weights, rendered)})
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if arguments.results:
        table.to_csv(arguments.results, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
