"""Draw figures 5 and 6 of LeCun et al. 1998 from our own runs, beside the points that the paper gives.

    python benchmarks/figures_1998.py --root DIR --runs RUNS [--seeds 3]

trains on the first 15,000 and the first 30,000 images, as the recipe "1998" does, what is not in the folder RUNS yet;
writes benchmarks/results/mnist_1998_sizes.csv, and the two pictures in docs/images. The runs with 60,000 images are
those of benchmarks/seeds.py, in mnist_1998_distorted.csv and mnist_1998_passes.csv.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

import lenet5
from lenet5.recipes import RECIPES

RESULTS, IMAGES = Path("benchmarks/results"), Path("docs/images")
SIZES = 15_000, 30_000
PUBLISHED = RECIPES["1998"].published or {}


def train(size: int, seed: int, splits: lenet5.DataSplits) -> dict[str, float]:
    """Train on the first images of the file."""
    recipe = RECIPES["1998"]
    subset = splits.train.select(slice(size))
    torch.manual_seed(seed)
    loader = lenet5.TensorLoader(subset, batch_size=1, shuffle=True, seed=seed)
    assert recipe.callbacks is not None
    trainer = lenet5.Trainer(
        recipe.model(10),
        lenet5.TrainerConfig(**(recipe.config.to_dict() | {"seed": seed})),
        callbacks=recipe.callbacks(subset),
        loss_fn=recipe.loss_fn,
        optimizer=recipe.optimizer,
    )
    trainer.fit(loader)
    accuracies = {
        "train_accuracy": trainer.evaluate(subset).accuracy,
        "test_accuracy": trainer.evaluate(splits.test).accuracy,
    }
    return {"size": size, "seed": seed, **accuracies}


def band(axes, x, errors: pd.DataFrame, colour: str, label: str) -> None:  # noqa: ANN001 (matplotlib's)
    """Draw the mean over the seeds, and the range of them."""
    axes.plot(x, errors.mean(axis=1), marker=".", color=colour, label=label)
    axes.fill_between(x, errors.min(axis=1), errors.max(axis=1), color=colour, alpha=0.2)


def draw_passes() -> Figure:
    """Draw the errors by pass."""
    table = pd.read_csv(RESULTS / "mnist_1998_passes.csv")
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, column, colour in (("training", "train_accuracy", "C0"), ("test", "test_accuracy", "C1")):
        errors = 100 * (1 - table.pivot_table(column, "epoch", "seed"))
        label = f"{name}: {errors.iloc[-1].mean():.2f} ± {errors.iloc[-1].std():.2f} % at the end"
        band(axes, errors.index, errors, colour, label)
        first, last, percent = PUBLISHED[name]
        axes.plot([first, last], [percent] * 2, "x--", color=colour, label=f"{name}, as published: {percent} %")
    axes.set(xlabel="pass", ylabel="error (%)", ylim=(0, 4), title=f"{table['seed'].nunique()} seeds, mean and range")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def draw_sizes(sizes: pd.DataFrame) -> Figure:
    """Draw the errors by the size of the training set."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, column, colour in (("training", "train_accuracy", "C0"), ("test", "test_accuracy", "C1")):
        errors = 100 * (1 - sizes.pivot_table(column, "size", "seed"))
        band(axes, errors.index, errors, colour, name)
    axes.plot([60_000], [PUBLISHED["training"][2]], "x", color="C0", label="training, as published")
    axes.plot([60_000], [PUBLISHED["test"][2]], "x", color="C1", label="test, as published")
    distorted = 100 * (1 - pd.read_csv(RESULTS / "mnist_1998_distorted.csv")["test_accuracy"])
    seen = RECIPES["1998_distorted"].config.max_epochs * 60_000  # no distorted image is seen twice
    label = f"test, with distortions: {distorted.mean():.2f} ± {distorted.std():.2f} %"
    axes.errorbar(
        [seen],
        [distorted.mean()],
        [[distorted.mean() - distorted.min()], [distorted.max() - distorted.mean()]],
        fmt=".",
        color="C2",
        label=label,
    )
    axes.plot([600_000], [0.8], "x", color="C2", label="test, with 540,000 distorted, as published")
    axes.set(xscale="log", xlabel="different training images", ylabel="error (%)", ylim=(0, None))
    axes.set_xticks([*SIZES, 60_000, 600_000, seen])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.minorticks_off()
    axes.tick_params(axis="x", rotation=30)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def main() -> None:
    """Train what is missing, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", type=int, choices=SIZES, help="train this size alone, and draw nothing")
    arguments = parser.parse_args()
    splits = lenet5.load_data("mnist", arguments.root, download=False, val_size=0)
    for split in splits:
        split.transform = lenet5.Preprocess.of_1998()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    rows = []
    for size in SIZES if arguments.only is None else (arguments.only,):
        for seed in range(arguments.seeds):
            file = arguments.runs / f"{size}-{seed}.csv"
            if not file.exists():
                pd.DataFrame([train(size, seed, splits)]).to_csv(file, index=False)
            rows.append(pd.read_csv(file))
    if arguments.only is not None:
        return
    passes = pd.read_csv(RESULTS / "mnist_1998_passes.csv")
    last = passes[passes["epoch"] == passes["epoch"].max()].assign(size=60_000)
    table = pd.concat([*rows, last[rows[0].columns]])
    table.to_csv(RESULTS / "mnist_1998_sizes.csv", index=False, lineterminator="\n")
    draw_passes().savefig(IMAGES / "lenet5_1998_passes.png", dpi=110)
    draw_sizes(table).savefig(IMAGES / "lenet5_1998_sizes.png", dpi=110)


if __name__ == "__main__":
    main()
