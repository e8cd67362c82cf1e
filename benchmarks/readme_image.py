"""Draw the image of README.md: a photographed digit, and what every layer of LeNet-5 makes of it.

    python benchmarks/readme_image.py

README.md is shown where nothing is built, so its image is a file: docs/images/layers.png.
"""

from pathlib import Path

import lenet5
from lenet5 import plots

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def main() -> None:
    """Draw and save the image."""
    pretrained = lenet5.load("mnist_photo_v1")
    photograph = IMAGES / "squared.jpg"
    maps = lenet5.feature_maps(pretrained, [photograph])
    predicted = int(pretrained.predict([photograph]).labels[0])
    inputs = pretrained.prepare([photograph])
    classes = pretrained.meta["categories"]
    figure = plots.plot_feature_maps(maps, inputs, classes=classes, predicted=predicted)
    figure.savefig(IMAGES / "layers.png", dpi=150)


if __name__ == "__main__":
    main()
