"""Measure the accuracy of integer networks: post-training quantisation, and quantisation-aware training.

    python benchmarks/quantization.py --root DIR [--split val] [--weights mnist_v2 ...] [--results FILE.csv]
    python benchmarks/quantization.py --root DIR --train [--epochs 2] [--lr 0.0002] [--split val] [--results FILE.csv]

Each row is one network on the whole split, computed by the integer reference. `differing` counts the images whose label
is not that of the floating-point network. Choices are made on the validation split, and the test set is read once.
"""

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

import lenet5
from lenet5 import Augment, DataSplits, Pretrained, TensorLoader, Trainer, TrainerConfig
from lenet5.quantization import QuantizationAware, convert, prepare

WEIGHTS = [
    "mnist_v2",
    "mnist_photo_v1",
    "mnist_v3",
    "mnist_v1",
    "mnist_robust_v1",
    "fashion_mnist_v2",
    "fashion_mnist_v1",
    "original_mnist_v1",
]
BITS = [(8, 8), (4, 8), (4, 4)]
TRAINED_BITS = [(8, 8), (4, 4)]
AUGMENT = Augment(degrees=10, scale=0.15, shear=0.15, translate=2, elastic=0.7, interpolation="bicubic")  # of mnist_v2


def load(weights: str, root: Path) -> tuple[Pretrained, DataSplits]:
    """Load weights and the data that they were trained on."""
    name = "fashion_mnist" if weights.startswith("fashion") else "mnist"
    return lenet5.load(weights), lenet5.load_data(name, root, download=False)


def measure(
    pretrained: Pretrained, model: QuantizationAware, names: list[str], splits: DataSplits
) -> Iterator[dict[str, Any]]:
    """Evaluate the integer network of a prepared network on some of the splits."""
    network = convert(model)
    for name in names:
        dataset = getattr(splits, name)
        evaluation = network.evaluate(dataset)
        floating = pretrained.predict(dataset.images)
        yield {
            "weight_bits": model.weight_bits,
            "activation_bits": model.activation_bits,
            "power_of_two": model.power_of_two,
            "split": name,
            "num_images": len(dataset),
            "float_accuracy": (floating.labels == dataset.targets).double().mean().item(),
            "accuracy": evaluation.accuracy,
            "differing": int((floating.labels.numpy() != evaluation.predictions).sum()),
        }


def post_training(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Quantise weights without training, calibrated on their training images, or on scikit-learn's digits."""
    digits = lenet5.load_data("digits").train
    for weights in arguments.weights:
        pretrained, splits = load(weights, arguments.root)
        bits = BITS if weights == WEIGHTS[0] else BITS[:1]
        images = {"training images": splits.train, "digits": digits}
        for calibration, (weight_bits, activation_bits), power_of_two in product(images, bits, (False, True)):
            model = prepare(
                pretrained,
                images[calibration],
                weight_bits=weight_bits,
                activation_bits=activation_bits,
                power_of_two=power_of_two,
            )
            for row in measure(pretrained, model, arguments.split, splits):
                yield {"weights": weights, "calibration": calibration, **row}


def training(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Fine-tune rounded networks, calibrated on the training images."""
    for weights in arguments.weights[:1]:
        pretrained, splits = load(weights, arguments.root)
        splits.train.transform = pretrained.preprocess
        for (weight_bits, activation_bits), power_of_two in product(TRAINED_BITS, (False, True)):
            model = prepare(
                pretrained,
                splits.train,
                weight_bits=weight_bits,
                activation_bits=activation_bits,
                power_of_two=power_of_two,
            )
            config = TrainerConfig(
                max_epochs=arguments.epochs, batch_size=256, lr=arguments.lr, device="cpu", seed=arguments.seed
            )
            Trainer(model, config).fit(TensorLoader(splits.train, batch_size=256, shuffle=True, augment=AUGMENT))
            settings = {"weights": weights, "epochs": arguments.epochs, "lr": arguments.lr, "seed": arguments.seed}
            for row in measure(pretrained, model, arguments.split, splits):
                yield {**settings, **row}


def main() -> None:
    """Run the measurements of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", default=WEIGHTS)
    parser.add_argument("--split", choices=["val", "test"], nargs="+", default=["val"])
    parser.add_argument("--train", action="store_true", help="fine-tune before the conversion")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="write the rows to a .csv file")
    arguments = parser.parse_args()
    rows = []
    for row in training(arguments) if arguments.train else post_training(arguments):
        rows.append(row)
        print(row, flush=True)
        if arguments.results:
            pd.DataFrame(rows).to_csv(arguments.results, index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    main()
