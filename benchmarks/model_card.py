"""Write the model card of weights: what they were made of, what they can do, and where they fail.

    python benchmarks/model_card.py mnist_v2 --data mnist --root DIR --seeds SEEDS.csv [--corruptions CORRUPTIONS.csv]

writes docs/model_cards/NAME.md and two pictures. SEEDS.csv is what benchmarks/seeds.py wrote, CORRUPTIONS.csv what
benchmarks/corruptions.py wrote. The threshold for abstaining is chosen on the validation split, and what it gives is
measured on the test set.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

import lenet5

LIMITS = {
    "mnist": """One digit at a time, light on dark, as MNIST has it; `lenet5.load_digit` makes that of a photograph.
Letters, several digits and empty pictures get an answer too, often a confident one. MNIST's writers were employees of
the US Census Bureau and American high-school students; other countries write some digits otherwise.""",
    "fashion_mnist": """One article at a time, light on dark, 28x28, as Fashion-MNIST's makers drew it from the pictures
of a shop. Photographs of clothes are something else.""",
}
LICENCES = {
    "mnist": "MNIST is by Y. LeCun, C. Cortes and C. J. C. Burges, under CC BY-SA 3.0.",
    "fashion_mnist": "Fashion-MNIST is by H. Xiao, K. Rasul and R. Vollgraf (Zalando SE), under the MIT licence.",
}


def markdown(table: pd.DataFrame) -> str:
    """Return a table of texts."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


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
        axes.set_title(f"{true} as {label}, {confidence[index]:.0%}", fontsize=6)
    for axes in figure.axes:
        axes.axis("off")
    return figure


def draw_coverage(report: lenet5.Evaluation, place: lenet5.metrics.Abstention) -> Figure:
    """Draw accuracy by coverage."""
    curve = lenet5.coverage_curve(report.targets, report.probabilities)
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(curve.coverage, curve.accuracy)
    axes.plot(
        [place.coverage], [place.accuracy], "o", label=f"answers with a probability of {place.threshold:.3f} or more"
    )
    axes.set(xlabel="share of the test images that are answered", ylabel="accuracy", xlim=(0.5, 1.005))
    axes.set_ylim(min(curve.accuracy[-1], place.accuracy) - 0.002, 1.0005)
    for axis, decimals in ((axes.xaxis, 0), (axes.yaxis, 1)):
        axis.set_major_formatter(PercentFormatter(1, decimals))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    return figure


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", type=Path, required=True)
    parser.add_argument("--corruptions", type=Path)
    parser.add_argument("--accuracy", type=float, default=0.999, help="that abstaining is to give")
    arguments = parser.parse_args()
    folder = Path("docs/model_cards")
    folder.mkdir(exist_ok=True)
    name, member = arguments.weights, lenet5.LeNet5_Weights(arguments.weights)
    trainer, splits = lenet5.Trainer(lenet5.lenet5(weights=member)), lenet5.load_data(arguments.data, arguments.root)
    splits.val.transform = splits.test.transform = member.transforms()
    val, report = trainer.evaluate(splits.val), trainer.evaluate(splits.test)
    chosen = lenet5.abstention(val.targets, val.probabilities, accuracy=arguments.accuracy)
    answered = report.probabilities.max(1) >= chosen.threshold
    right = (report.labels == report.targets)[answered]
    place = lenet5.metrics.Abstention(chosen.threshold, float(answered.mean()), float(right.mean()))
    draw_errors(splits.test, report).savefig(folder / f"{name}_errors.png", dpi=110)
    draw_coverage(report, place).savefig(folder / f"{name}_coverage.png", dpi=110)

    low, high = report.accuracy_interval
    seeds = pd.read_csv(arguments.seeds)
    test = 100 * seeds["test_accuracy"]
    per_class = report.to_frame()
    per_class[["precision", "recall", "f1"]] = per_class[["precision", "recall", "f1"]].map("{:.4f}".format)
    metrics = pd.DataFrame(
        [
            ["accuracy", f"{report.accuracy:.2%} (95 % confidence: {low:.2%} to {high:.2%})"],
            [f"mean over {len(seeds)} seeds of the recipe", f"{test.mean():.2f} ± {test.std():.2f} %"],
            ["cross-entropy", f"{report.loss:.4f}"],
            ["expected calibration error", f"{report.expected_calibration_error:.2%}"],
        ],
        columns=["on the test set", ""],
    )
    parts = [
        f"# {member.name}",
        (
            f"`LeNet5`, {member.meta['num_params']:,} parameters, trained on the 55,000 training images of the set that"
            " `load_data`"
            f" calls `{arguments.data}`; the seed with the best validation accuracy of {len(seeds)}. Made by\n\n"
            f"```shell\n{member.meta['recipe']}\n```"
        ),
        markdown(metrics),
        "## By class",
        markdown(per_class.reset_index(names="class")),
        "## Wrong answers",
        f"![The wrongly labelled test images]({name}_errors.png)",
        "## Abstaining",
        (
            f"With the threshold {chosen.threshold:.4f}, the lowest that gives {arguments.accuracy:.1%} on the"
            f" validation split (`Predictions.abstain`), {place.coverage:.2%} of the test images are answered,"
            f" {place.accuracy:.2%} of them rightly.\n\n![Accuracy by coverage]({name}_coverage.png)"
        ),
    ]
    if arguments.corruptions:
        table = pd.read_csv(arguments.corruptions)
        mean = table["accuracy"][table["kind"] != "none"].mean()
        table["accuracy"] = table["accuracy"].map("{:.2%}".format)
        parts += ["## Corrupted test images", f"Mean of the corruptions: {mean:.2%}.", markdown(table)]
    parts += ["## Limits", LIMITS[arguments.data], "## Licence of the data", LICENCES[arguments.data]]
    (folder / f"{name}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
