"""Write the model card of weights: what they were made of, what they can do, and where they fail.

    python benchmarks/model_card.py NAME --data mnist --root DIR --seeds SEEDS.csv
        [--corruptions CSV] [--run RUN] [--held-out WEIGHTS] [--choice TEXT]

completes `.meta` in the weights' folder and writes docs/model_cards/NAME.md, which says the same, with two pictures.
SEEDS.csv is what benchmarks/seeds.py wrote, CSV what benchmarks/corruptions.py wrote. With RUN, the weights of that run
become those of this name first. The threshold for abstaining is chosen on the validation split, and what it gives is
measured on the test set. Weights that were trained on all images have no validation split; for them WEIGHTS are those
of the same recipe and seed without it, and the threshold is chosen with these.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

import lenet5
from lenet5.models import load_model, read_config
from lenet5.recipes import RECIPES
from lenet5.weights import PretrainedWeights

WEIGHTS, CARDS = Path("src/lenet5/weights"), Path("docs/model_cards")
LIMITS = {
    "mnist": "One digit at a time, light on dark, as MNIST has it; `lenet5.load_digit` makes that of a photograph."
    " Letters, several digits and empty pictures get an answer too, often a confident one. MNIST's writers were"
    " employees of the US Census Bureau and American high-school pupils; other countries write some digits otherwise.",
    "fashion_mnist": "One article at a time, light on dark, 28x28, as Fashion-MNIST's makers drew it from the pictures"
    " of a shop. Photographs of clothes are something else.",
}
LICENCES = {
    "mnist": "MNIST is by Y. LeCun, C. Cortes and C. J. C. Burges, under CC BY-SA 3.0.",
    "fashion_mnist": "Fashion-MNIST is by H. Xiao, K. Rasul and R. Vollgraf (Zalando SE), under the MIT licence.",
}


def markdown(table: pd.DataFrame) -> str:
    """Return a table of texts."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def calibration_floor(probabilities: npt.NDArray[np.float64], draws: int = 100) -> tuple[float, float]:
    """Return what the calibration error would be if the probabilities were right: mean and standard deviation.

    A finite test set shows an error even then, for the share of right answers in a bin varies.
    """
    random = np.random.default_rng(0)
    errors = []
    for _ in range(draws):
        targets = (probabilities.cumsum(1) > random.random((len(probabilities), 1))).argmax(1)
        errors.append(lenet5.expected_calibration_error(targets, probabilities))
    return float(np.mean(errors)), float(np.std(errors))


def draw_errors(test: lenet5.ImageDataset, report: lenet5.Evaluation) -> Figure:
    """Draw the test images that are labelled wrongly, up to 100, the most confident first."""
    wrong = np.flatnonzero(report.labels != report.targets)
    confidence = report.probabilities.max(1)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:100]
    rows = -(-len(wrong) // 10)
    figure = Figure(figsize=(10, 1.25 * rows), layout="constrained")
    for axes, index in zip(figure.subplots(rows, 10).flatten(), wrong, strict=False):
        axes.imshow(test.images[index, 0], cmap="gray", vmin=0, vmax=255)
        true, label = (test.classes[values[index]] for values in (report.targets, report.labels))
        axes.set_title(f"{true} as{chr(10) if len(true) > 1 else ' '}{label}, {confidence[index]:.0%}", fontsize=6)
    for axes in figure.axes:
        axes.axis("off")
    return figure


def draw_coverage(report: lenet5.Evaluation, place: dict[str, Any]) -> Figure:
    """Draw accuracy by coverage."""
    curve = lenet5.coverage_curve(report.targets, report.probabilities)
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(curve.coverage, curve.accuracy)
    label = f"answers with a probability of {place['threshold']:.3f} or more"
    axes.plot([place["coverage"]], [place["accuracy"]], "o", label=label)
    axes.set(xlabel="share of the test images that are answered", ylabel="accuracy", xlim=(0.5, 1.005))
    axes.set_ylim(min(curve.accuracy[-1], place["accuracy"]) - 0.002, 1.0005)
    for axis, decimals in ((axes.xaxis, 0), (axes.yaxis, 1)):
        axis.set_major_formatter(PercentFormatter(1, decimals))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    return figure


def complete(
    member: PretrainedWeights, splits: lenet5.DataSplits, report: lenet5.Evaluation, arguments: argparse.Namespace
) -> None:
    """Add to `.meta` what a card says beyond the published metrics."""
    config = read_config(member.value)
    meta, data = config["meta"], arguments.data
    all_images = RECIPES[config["settings"]["recipe"]].all_images
    if all_images and not arguments.held_out:
        raise ValueError("the recipe takes all images; expected --held-out, to choose the threshold with")
    val = lenet5.Trainer(load_model(arguments.held_out or member.value)).evaluate(splits.val)
    # as Predictions holds them, so that what rounds to 1 is 1
    probabilities = val.probabilities.astype(np.float32).astype(np.float64)
    chosen = lenet5.abstention(val.targets, probabilities, accuracy=arguments.accuracy)
    answered = report.probabilities.astype(np.float32).max(1) >= chosen.threshold
    seeds = pd.read_csv(arguments.seeds)["test_accuracy"]
    meta |= {
        "data": f'the {len(splits.train) + all_images * len(splits.val):,} training images of load_data("{data}")',
        "licence": LICENCES[data],
        "limits": LIMITS[data],
        "seeds": {
            "num": len(seeds),
            "choice": arguments.choice,
            "test_accuracy_mean": float(seeds.mean()),
            "test_accuracy_sd": float(seeds.std()),
        },
        "abstention": {
            "threshold": chosen.threshold,
            "val_accuracy": arguments.accuracy,
            "coverage": float(answered.mean()),
            "accuracy": float((report.labels == report.targets)[answered].mean()),
        },
    }
    meta["metrics"][data]["calibration_floor"] = calibration_floor(report.probabilities)
    per_class = report.to_frame().reset_index(names="class")
    meta["metrics"][data]["per_class"] = per_class.to_dict("records")
    if arguments.corruptions:
        table = pd.read_csv(arguments.corruptions).set_index("kind")["accuracy"]
        meta["metrics"][data]["corruptions"] = table.drop("none").round(6).to_dict()
    extra = {name: config[name] for name in ("preprocess", "meta", "settings")}
    load_model(member.value).save_pretrained(WEIGHTS / member.value, **extra)


def page(member: PretrainedWeights) -> str:
    """Write `.meta` as a page."""
    name, meta = member.value, member.meta
    (metrics,) = meta["metrics"].values()
    low, high = metrics["accuracy_interval"]
    seeds, abstention = meta["seeds"], meta["abstention"]
    floor, spread = metrics["calibration_floor"]
    per_class = pd.DataFrame(metrics["per_class"])
    per_class[["precision", "recall", "f1"]] = per_class[["precision", "recall", "f1"]].map("{:.4f}".format)
    table = {
        "accuracy": f"{metrics['accuracy']:.2%} (95 % confidence: {low:.2%} to {high:.2%})",
        f"mean over {seeds['num']} seeds of the recipe": (
            f"{100 * seeds['test_accuracy_mean']:.2f} ± {100 * seeds['test_accuracy_sd']:.2f} %"
        ),
        "cross-entropy": f"{metrics['loss']:.4f}",
        "expected calibration error": f"{metrics['expected_calibration_error']:.2%}",
        "the same, of a classifier whose probabilities are right": f"{100 * floor:.2f} ± {100 * spread:.2f} %",
    }
    parts = [
        f"# {type(member).__name__}.{member.name}",
        (
            f"`{read_config(name)['architecture']}`, {meta['num_params']:,} parameters, trained on {meta['data']};"
            f" {seeds['choice']}, of {seeds['num']}. Made by\n\n```shell\n{meta['recipe']}\n```"
        ),
        markdown(pd.DataFrame(table.items(), columns=["on the test set", ""])),
        "## By class",
        markdown(per_class),
        "## Wrong answers",
        f"![The wrongly labelled test images]({name}_errors.png)",
        "## Abstaining",
        (
            f"With the threshold {abstention['threshold']:.4f}, the lowest that gives {abstention['val_accuracy']:.1%}"
            f" on the validation split (`Predictions.abstain`), {abstention['coverage']:.2%} of the test images are"
            f" answered, {abstention['accuracy']:.2%} of them rightly.\n\n![Accuracy by coverage]({name}_coverage.png)"
        ),
    ]
    if corruptions := metrics.get("corruptions"):
        mean = np.mean(list(corruptions.values()))
        rows = {kind: f"{accuracy:.2%}" for kind, accuracy in corruptions.items()}
        parts += [
            "## Corrupted test images",
            f"Mean of the {len(corruptions)} kinds (`benchmarks/corruptions.py`): {mean:.2%}.",
            markdown(pd.DataFrame(rows.items(), columns=["kind", "accuracy"])),
        ]
    parts += ["## Limits", meta["limits"], "## Licence of the data", meta["licence"]]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", type=Path, required=True)
    parser.add_argument("--corruptions", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("--choice", default="the seed with the best validation accuracy")
    parser.add_argument("--accuracy", type=float, default=0.999, help="that abstaining is to give")
    arguments = parser.parse_args()
    members: list[PretrainedWeights] = [*lenet5.LeNet5_Weights, *lenet5.LeNet5Original_Weights]
    (member,) = (one for one in members if one.value == arguments.weights)
    if arguments.run:
        (WEIGHTS / member.value).mkdir(exist_ok=True)
        for file in ("config.json", "model.safetensors"):
            shutil.copyfile(arguments.run / file, WEIGHTS / member.value / file)
    splits = lenet5.load_data(arguments.data, arguments.root, download=False)
    splits.val.transform = splits.test.transform = member.transforms()
    report = lenet5.Trainer(load_model(member.value)).evaluate(splits.test)
    complete(member, splits, report, arguments)
    CARDS.mkdir(exist_ok=True)
    draw_errors(splits.test, report).savefig(CARDS / f"{member.value}_errors.png", dpi=110)
    draw_coverage(report, member.meta["abstention"]).savefig(CARDS / f"{member.value}_coverage.png", dpi=110)
    (CARDS / f"{member.value}.md").write_text(page(member), encoding="utf-8")


if __name__ == "__main__":
    main()
