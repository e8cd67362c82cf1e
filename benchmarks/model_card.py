"""Write the model card of bundled weights: training, accuracy, calibration and limitations.

    python benchmarks/model_card.py NAME --data mnist --root DIR --seeds SEEDS.csv
        [--corruptions CSV] [--run RUN] [--held-out WEIGHTS] [--choice TEXT]

completes `.meta` in the folder of the weights, and writes docs/results/model_cards/NAME.md with the same content. What
its figures show goes to benchmarks/results/cards. SEEDS.csv comes from benchmarks/seeds.py, CSV from
benchmarks/corruptions.py. With --run, the weights of that run are first copied into the folder. The threshold for
selective classification is chosen on the validation split; its coverage and accuracy are measured on the test set.
Weights that were trained on all images need --held-out: weights of the same recipe and seed that were trained without
the validation split, with which the threshold is chosen. With --photographs, it is chosen on what photographs show, by
benchmarks/confidence.py.
"""

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

import lenet5
from confidence import ACCEPTED, ACCURACY, choose_threshold
from lenet5.data.splits import SPLIT_VERSION
from lenet5.models import WeightsFolder, load_model, save_model
from lenet5.recipes import RECIPES
from lenet5.weights import PretrainedWeights

WEIGHTS, CARDS = Path("src/lenet5/weights"), Path("docs/results/model_cards")
FIGURES = Path("benchmarks/results/cards")
REPORTED = ("accuracy", "accuracy_interval", "loss", "expected_calibration_error", "num_examples")
FRONT_MATTER = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n"
LIMITS = {
    "mnist": "The input is one digit, light on dark, in MNIST's format; `lenet5.load_digit` converts photographs."
    " Letters, several digits and empty images also get a prediction, often with high confidence. MNIST was written by"
    " employees of the US Census Bureau and American high-school students; in other countries, some digits are written"
    " differently.",
    "fashion_mnist": "The input is one article of clothing, light on dark, 28x28, prepared like the product images of"
    " Fashion-MNIST. Photographs of clothes are not supported.",
}
MARKED = (
    "prediction, often with high confidence.",
    "prediction; the confidence is mostly below the threshold (`benchmarks/results/confidence.csv`).",
)
"""What is said of weights that were trained with drawings that are no digits."""

LICENCES = {
    "mnist": "MNIST is by Y. LeCun, C. Cortes and C. J. C. Burges, under CC BY-SA 3.0.",
    "fashion_mnist": "Fashion-MNIST is by H. Xiao, K. Rasul and R. Vollgraf (Zalando SE), under the MIT licence.",
}


def markdown(table: pd.DataFrame) -> str:
    """Format a table of texts as Markdown."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def not_run(command: str) -> str:
    """Format a command that trains."""
    return f"```{{not-run}} shell\n:because: it needs the data, and trains until the end\n\n{command}\n```"


def calibration_floor(probabilities: npt.NDArray[np.float64], draws: int = 100) -> tuple[float, float]:
    """Return mean and standard deviation of the calibration error of a perfectly calibrated model.

    It is not zero on a finite test set, because the fraction of correct predictions in a bin has sampling noise. It is
    estimated from random targets drawn with the given probabilities.
    """
    random = np.random.default_rng(0)
    errors = []
    for _ in range(draws):
        targets = (probabilities.cumsum(1) > random.random((len(probabilities), 1))).argmax(1)
        errors.append(lenet5.expected_calibration_error(targets, probabilities))
    return float(np.mean(errors)), float(np.std(errors))


def save_figures(report: lenet5.Evaluation, images: torch.Tensor, file: Path) -> None:
    """Save what the figures of the card show: the misclassified images, and the coverage curve at 500 of its points."""
    wrong = np.flatnonzero(report.predictions != report.targets)
    curve = lenet5.coverage_curve(report.targets, report.probabilities)
    points = np.unique(np.linspace(0, len(curve.coverage) - 1, 500).round().astype(int))
    np.savez_compressed(
        file,
        images=images[wrong].numpy(),
        targets=report.targets[wrong],
        predictions=report.predictions[wrong],
        probabilities=report.probabilities[wrong].astype(np.float32),
        thresholds=curve.thresholds[points],
        coverage=curve.coverage[points].astype(np.float32),
        accuracy=curve.accuracy[points].astype(np.float32),
    )


def figure_cell(code: str, alternative: str) -> str:
    """Format a cell whose code is not shown, with the text that stands for its figure."""
    options = f"---\ntags: [remove-input]\nmystnb:\n  image:\n    alt: {alternative}\n---"
    return f"```{{code-cell}} python\n{options}\n{code}\n```"


def trained_on_all_images(config: Mapping[str, Any]) -> bool:
    """Return True if the recipe of a run uses the validation split for training."""
    return "settings" in config and RECIPES[config["settings"]["recipe"]].all_images


def find_threshold(model: torch.nn.Module, val: lenet5.ImageDataset, arguments: argparse.Namespace) -> float:
    """Choose the threshold of a model on the validation split."""
    if arguments.photographs:
        return choose_threshold(model, val)
    report = lenet5.evaluate(model, val)
    # rounded like Predictions, where a probability just below 1 becomes 1
    probabilities = report.probabilities.astype(np.float32).astype(np.float64)
    return lenet5.abstention(report.targets, probabilities, accuracy=arguments.accuracy).threshold


def complete(
    member: PretrainedWeights, splits: lenet5.DataSplits, report: lenet5.Evaluation, arguments: argparse.Namespace
) -> None:
    """Add to `.meta` everything in the card that a run does not write."""
    config = WeightsFolder.open(member.value).config
    meta, data = config["meta"], arguments.data
    all_images = trained_on_all_images(config)
    if all_images and not arguments.held_out:
        raise ValueError("the recipe trains on all images; expected --held-out, to choose the threshold")
    threshold = find_threshold(load_model(arguments.held_out or member.value), splits.val, arguments)
    accepted = report.probabilities.astype(np.float32).max(1) >= threshold
    seeds = pd.read_csv(arguments.seeds)["test_accuracy"]
    meta |= {
        "data": f'the {len(splits.train) + all_images * len(splits.val):,} training images of load_data("{data}")',
        "licence": LICENCES[data],
        "limits": LIMITS[data].replace(*MARKED) if arguments.photographs else LIMITS[data],
        "seeds": {
            "num": len(seeds),
            "choice": arguments.choice,
            "test_accuracy_mean": float(seeds.mean()),
            "test_accuracy_sd": float(seeds.std()),
        },
        "abstention": {
            "threshold": threshold,
            "val_accuracy": ACCURACY if arguments.photographs else arguments.accuracy,
            **({"accepted_without_digit": ACCEPTED} if arguments.photographs else {}),
            "coverage": float(accepted.mean()),
            "accuracy": float((report.predictions == report.targets)[accepted].mean()),
        },
    }
    metrics, model = report.to_dict(), load_model(member.value)
    meta.setdefault("num_params", sum(parameter.numel() for parameter in model.parameters()))
    meta.setdefault("split_version", SPLIT_VERSION)
    meta.setdefault("metrics", {data: {name: metrics[name] for name in REPORTED}})
    meta["metrics"][data]["calibration_floor"] = calibration_floor(report.probabilities)
    per_class = report.to_frame().reset_index(names="class")
    meta["metrics"][data]["per_class"] = per_class.to_dict("records")
    if arguments.corruptions:
        table = pd.read_csv(arguments.corruptions).set_index("kind")["accuracy"]
        meta["metrics"][data]["corruptions"] = table.drop("none").round(6).to_dict()
    extra: Any = {name: config[name] for name in ("preprocess", "meta", "settings") if name in config}
    save_model(model, WEIGHTS / member.value, **extra)
    (WEIGHTS / member.value / "README.md").unlink(missing_ok=True)  # the page is the model card


MISTAKES = """import os

import numpy as np

import lenet5
from lenet5 import metrics, plots

file = f"{{os.environ['LENET5_REPOSITORY']}}/benchmarks/results/cards/{name}.npz"
card, meta = np.load(file), lenet5.load("{name}").meta
mistakes = (card[column] for column in ("images", "targets", "predictions", "probabilities"))
plots.plot_mistakes(*mistakes, classes=meta["categories"])"""
COVERAGE = """curve = metrics.CoverageCurve(card["thresholds"], card["coverage"], card["accuracy"])
figure = plots.plot_coverage(curve)
axes, chosen = figure.axes[0], meta["abstention"]
axes.plot(100 * chosen["coverage"], 100 * chosen["accuracy"], "o", label=f"threshold {chosen['threshold']:.4f}")
axes.set_xlim(50, 100.5)
axes.set_ylim(100 * min(curve.accuracy[-1], chosen["accuracy"]) - 0.2, 100.05)
axes.legend(loc="lower left")
figure"""


def page(member: PretrainedWeights) -> str:
    """Format `.meta` as a page."""
    name, meta = member.value, member.meta
    (metrics,) = meta["metrics"].values()
    low, high = metrics["accuracy_interval"]
    seeds, abstention = meta["seeds"], meta["abstention"]
    floor, spread = metrics["calibration_floor"]
    per_class = pd.DataFrame(metrics["per_class"])
    per_class[["precision", "recall", "f1"]] = per_class[["precision", "recall", "f1"]].map("{:.4f}".format)
    table = {
        "accuracy": f"{metrics['accuracy']:.2%} (95 % confidence interval: {low:.2%} to {high:.2%})",
        f"mean over {seeds['num']} seeds of the recipe": (
            f"{100 * seeds['test_accuracy_mean']:.2f} ± {100 * seeds['test_accuracy_sd']:.2f} %"
        ),
        "cross-entropy": f"{metrics['loss']:.4f}",
        "expected calibration error": f"{metrics['expected_calibration_error']:.2%}",
        "calibration error expected from a perfectly calibrated model (sampling noise)": (
            f"{100 * floor:.2f} ± {100 * spread:.2f} %"
        ),
    }
    config = WeightsFolder.open(name).config
    held_out = ""
    if share := abstention.get("accepted_without_digit"):
        held_out = (
            f" That split was redrawn as other writers and data sets draw digits. At most {share:.0%} of the answers to"
            " noise, spots, lines and squares reach it (`benchmarks/confidence.py`)."
        )
    elif trained_on_all_images(config):
        held_out = (
            " It was chosen with weights of the same recipe and seed that were trained without that split, because"
            " these weights were trained on it."
        )
    parts = [
        f"# {type(member).__name__}.{member.name}",
        (
            f"`{config['architecture']}`, {meta['num_params']:,} parameters, trained on"
            f" {meta['data']}. Selected from {seeds['num']} seeds: {seeds['choice']}. Training command:"
            f"\n\n{not_run(meta['recipe'])}"
        ),
        markdown(pd.DataFrame(table.items(), columns=["metric", "test set"])),
        "## Metrics by class",
        markdown(per_class),
        "## Misclassified images",
        figure_cell(
            MISTAKES.format(name=name), "The misclassified test images, each with its class and the prediction"
        ),
        "## Selective classification",
        (
            f"The threshold {abstention['threshold']:.4f} is the lowest that gives {abstention['val_accuracy']:.1%}"
            f" accuracy on the validation split (`Predictions.abstain`).{held_out} On the test set,"
            f" {abstention['coverage']:.2%} of the predictions reach it, and {abstention['accuracy']:.2%} of these are"
            f" correct.\n\n{figure_cell(COVERAGE, 'Accuracy against coverage, with the threshold')}"
        ),
    ]
    if corruptions := metrics.get("corruptions"):
        mean = np.mean(list(corruptions.values()))
        rows = {kind: f"{accuracy:.2%}" for kind, accuracy in corruptions.items()}
        parts += [
            "## Corrupted test images",
            f"Mean accuracy over {len(corruptions)} kinds of corruption (`benchmarks/corruptions.py`): {mean:.2%}.",
            markdown(pd.DataFrame(rows.items(), columns=["kind", "accuracy"])),
        ]
    parts += ["## Limitations", meta["limits"], "## Data licence", meta["licence"]]
    return f"{FRONT_MATTER}\n" + "\n\n".join(parts) + "\n"


def main() -> None:
    """Evaluate the weights, complete `.meta`, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", type=Path, required=True)
    parser.add_argument("--corruptions", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--held-out", type=Path)
    parser.add_argument(
        "--choice", default="the seed with the best validation accuracy", help="how the seed was chosen"
    )
    parser.add_argument("--photographs", action="store_true", help="choose the threshold for photographs")
    parser.add_argument("--accuracy", type=float, default=0.999, help="validation accuracy to reach with the threshold")
    arguments = parser.parse_args()
    members: list[PretrainedWeights] = [*lenet5.LeNet5_Weights, *lenet5.LeNet5Original_Weights]
    (member,) = (member for member in members if member.value == arguments.weights)
    if arguments.run:
        (WEIGHTS / member.value).mkdir(exist_ok=True)
        for file in ("config.json", "model.safetensors"):
            shutil.copyfile(arguments.run / file, WEIGHTS / member.value / file)
    splits = lenet5.load_data(arguments.data, arguments.root, download=False)
    splits.val.transform = splits.test.transform = member.transforms()
    report = lenet5.evaluate(load_model(member.value), splits.test)
    complete(member, splits, report, arguments)
    CARDS.mkdir(exist_ok=True)
    save_figures(report, splits.test.images, FIGURES / f"{member.value}.npz")
    (CARDS / f"{member.value}.md").write_text(page(member), encoding="utf-8")


if __name__ == "__main__":
    main()
