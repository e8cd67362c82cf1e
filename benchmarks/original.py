"""Measure the original network, which the recipe "1998" trains, beside LeCun et al. 1998.

    python benchmarks/original.py step-sizes --root DIR --results FILE.csv
    python benchmarks/original.py step-time
    python benchmarks/original.py sizes --root DIR --runs RUNS

`step-sizes` compares the step sizes of the first two passes with the published range, 7e-5 to 0.016 (section III.B).
`step-time` times a training step with and without the CPU kernel. `sizes` trains on the first 15,000 and 30,000 images,
unless the results are in RUNS already, and writes mnist_1998_sizes.csv. The results for 60,000 images come from
`seeds.py`. docs/explained/original_training.md draws figures 5 and 6 of the paper from these results.
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from torch.utils.benchmark import Timer

import lenet5
from ablation import fit
from lenet5.models.original.layers import Init, Subsampling, uniform_bound
from lenet5.plots import Figure
from lenet5.recipes import RECIPES
from lenet5.recipes.original import PUBLISHED_LRS

RESULTS = Path(__file__).parent / "results"
RECIPE = RECIPES["1998"]
SIZES = 15_000, 30_000
SETS = (("training", "train_accuracy", "C0"), ("test", "test_accuracy", "C1"))
NUM_STEPS, ROUNDS = 1500, 7  # of step-time


# Step sizes


def step_sizes(model: lenet5.LeNet5Original, loss_fn: torch.nn.Module, train: lenet5.ImageDataset) -> dict[str, float]:
    """Estimate the step sizes of a pass with the first learning rate, from the curvature of 500 random images."""
    optimizer = lenet5.SDLM(model.parameters(), lr=PUBLISHED_LRS[0])
    patterns = train.select(torch.randperm(len(train))[:500])
    assert patterns.transform is not None
    optimizer.estimate(model, loss_fn, patterns.transform(patterns.images), patterns.targets)
    steps = torch.cat([step.flatten() for step in optimizer.step_sizes().values()])
    return {"smallest": float(steps.min()), "median": float(steps.median()), "largest": float(steps.max())}


def first_pass(
    init: Init, seed: int, train: lenet5.ImageDataset, *, random_coefficients: bool = False
) -> dict[str, object]:
    """Estimate the step sizes of the first pass, optionally with random subsampling coefficients."""
    torch.manual_seed(seed)
    model = lenet5.LeNet5Original(init=init)
    for module in model.modules():
        if isinstance(module, Subsampling) and random_coefficients:
            torch.nn.init.uniform_(module.weight, -uniform_bound(4, init), uniform_bound(4, init))
    case = f"{init}, random subsampling coefficients" if random_coefficients else init
    return {"case": case, "seed": seed, **step_sizes(model, lenet5.MLELoss(), train)}


def second_pass(seed: int, train: lenet5.ImageDataset) -> list[dict[str, object]]:
    """Train one pass, and estimate the step sizes of the second from either loss."""
    model = fit(replace(RECIPE, config=replace(RECIPE.config, max_epochs=1)), train, None, seed).model
    assert isinstance(model, lenet5.LeNet5Original)
    losses = {"second pass, equation 8": lenet5.MLELoss(), "second pass, equation 9": lenet5.MAPLoss()}
    return [{"case": case, "seed": seed, **step_sizes(model, loss_fn, train)} for case, loss_fn in losses.items()]


def measure_step_sizes(arguments: argparse.Namespace) -> None:
    """Estimate, write and print."""
    train = lenet5.load_data("mnist", arguments.root, download=False, val_size=0).train
    train.transform = RECIPE.preprocess
    seeds = range(arguments.seeds)
    rows = [first_pass("paper", seed, train) for seed in seeds]
    rows += [first_pass("lecun_uniform", seed, train) for seed in seeds]
    rows += [first_pass("lecun_uniform", seed, train, random_coefficients=True) for seed in seeds]
    rows += [row for seed in seeds for row in second_pass(seed, train)]
    table = pd.DataFrame(rows)
    table.to_csv(arguments.results, index=False, lineterminator="\n", float_format="%.3g")
    print(table.groupby("case", sort=False)[["smallest", "median", "largest"]].agg(["min", "max"]).T.to_string())


# Time of a step


class LayerByLayer(lenet5.LeNet5Original):
    """The network without its kernel, which replaces `LeNet5Original.forward` alone."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the logits (N, 10)."""
        return super().forward(images)


def time_kernel() -> float:
    """Return the time of one call of the kernel, in microseconds."""
    model = lenet5.LeNet5Original(init="lecun_uniform")
    gradients = model.fused_gradients(lenet5.MAPLoss())
    assert gradients is not None, "the kernel is not available"
    names = {"gradients": gradients, "model": model, "image": torch.rand(1, 1, 32, 32), "target": torch.tensor([3])}
    return 1e6 * Timer("gradients(image, target); model.zero_grad()", globals=names).timeit(NUM_STEPS).mean


def time_step(model: lenet5.LeNet5Original, train: lenet5.ImageDataset) -> float:
    """Return the time of one training step with one image, in microseconds."""
    config = lenet5.TrainerConfig(max_epochs=1, batch_size=1, device="cpu", progress=False)
    schedule = lenet5.SDLMSchedule(train, [1e-5], num_patterns=1)
    trainer = lenet5.Trainer(model, config, callbacks=[schedule], loss_fn=lenet5.MAPLoss(), optimizer=lenet5.SDLM)
    begin = time.perf_counter()
    trainer.fit(train)
    return (time.perf_counter() - begin) / len(train) * 1e6


def measure_step_time(_: argparse.Namespace) -> None:
    """Measure in alternation, and print medians."""
    torch.set_num_threads(1)
    train = lenet5.load_data("digits").train
    train = train.concat(train).select(slice(NUM_STEPS))
    train.transform = RECIPE.preprocess
    times: dict[str, list[float]] = {"kernel call": [], "step with the kernel": [], "step without the kernel": []}
    for _round in range(ROUNDS):
        times["kernel call"].append(time_kernel())
        times["step with the kernel"].append(time_step(lenet5.LeNet5Original(init="lecun_uniform"), train))
        times["step without the kernel"].append(time_step(LayerByLayer(init="lecun_uniform"), train))
    for name, values in times.items():
        print(f"{name}: {statistics.median(values):.0f} µs ({min(values):.0f} to {max(values):.0f})")


# Figures


def train_on_first(size: int, seed: int, splits: lenet5.DataSplits) -> dict[str, float]:
    """Train on the first `size` images of the file."""
    subset = splits.train.select(slice(size))
    trainer = fit(RECIPE, subset, None, seed)
    accuracies = {
        "train_accuracy": trainer.evaluate(subset).accuracy,
        "test_accuracy": trainer.evaluate(splits.test).accuracy,
    }
    return {"size": size, "seed": seed, **accuracies}


def plot_band(axes: Axes, errors: pd.DataFrame, colour: str, label: str) -> None:
    """Plot the mean and the range over the seeds (columns) against the index."""
    axes.plot(errors.index, errors.mean(axis=1), marker=".", color=colour, label=label)
    axes.fill_between(errors.index, errors.min(axis=1), errors.max(axis=1), color=colour, alpha=0.2)


def plot_passes() -> Figure:
    """Plot the errors after each pass: figure 5 of the paper."""
    table = pd.read_csv(RESULTS / "mnist_1998_passes.csv")
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, column, colour in SETS:
        errors = 100 * (1 - table.pivot_table(column, "epoch", "seed"))
        final = errors.iloc[-1]
        plot_band(axes, errors, colour, f"{name}: {final.mean():.2f} ± {final.std():.2f} % after the last pass")
        first, last, percent = (RECIPE.published or {})[name]
        axes.plot([first, last], [percent] * 2, "x--", color=colour, label=f"{name}, published: {percent} %")
    title = f"Mean and range over {table['seed'].nunique()} seeds"
    axes.set(xlabel="pass", ylabel="error (%)", ylim=(0, 4), title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def plot_sizes() -> Figure:
    """Plot the errors against the size of the training set: figure 6 of the paper."""
    sizes = pd.read_csv(RESULTS / "mnist_1998_sizes.csv")
    published = RECIPE.published or {}
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, column, colour in SETS:
        plot_band(axes, 100 * (1 - sizes.pivot_table(column, "size", "seed")), colour, name)
    for name, _, colour in SETS:
        axes.plot([60_000], [published[name][2]], "x", color=colour, label=f"{name}, published")
    distorted = 100 * (1 - pd.read_csv(RESULTS / "mnist_1998_distorted.csv")["test_accuracy"])
    num_images = RECIPES["1998_distorted"].config.max_epochs * 60_000  # each distorted image is used once
    axes.errorbar(
        [num_images],
        [distorted.mean()],
        [[distorted.mean() - distorted.min()], [distorted.max() - distorted.mean()]],
        fmt=".",
        color="C2",
        label=f"test, with distortions: {distorted.mean():.2f} ± {distorted.std():.2f} %",
    )
    axes.plot([600_000], [0.8], "x", color="C2", label="test, with 540,000 distorted images, published")
    axes.set(xscale="log", xlabel="distinct training images", ylabel="error (%)", ylim=(0, None))
    axes.set_xticks([*SIZES, 60_000, 600_000, num_images])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.minorticks_off()
    axes.tick_params(axis="x", rotation=30)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def measure_sizes(arguments: argparse.Namespace) -> None:
    """Train the missing runs, and write the table that `plot_sizes` reads."""
    splits = lenet5.load_data("mnist", arguments.root, download=False, val_size=0)
    for split in splits:
        split.transform = RECIPE.preprocess
    arguments.runs.mkdir(parents=True, exist_ok=True)
    rows = []
    for size in SIZES if arguments.only is None else (arguments.only,):
        for seed in range(arguments.seeds):
            file = arguments.runs / f"{size}-{seed}.csv"
            if not file.exists():
                pd.DataFrame([train_on_first(size, seed, splits)]).to_csv(file, index=False)
            rows.append(pd.read_csv(file))
    if arguments.only is not None:
        return
    passes = pd.read_csv(RESULTS / "mnist_1998_passes.csv")
    last = passes[passes["epoch"] == passes["epoch"].max()].assign(size=60_000)
    table = pd.concat([*rows, last[rows[0].columns]])
    table.to_csv(RESULTS / "mnist_1998_sizes.csv", index=False, lineterminator="\n")


def main() -> None:
    """Run the measurement that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    sizes = commands.add_parser("step-sizes", help="step sizes of the first two passes")
    sizes.add_argument("--root", required=True)
    sizes.add_argument("--results", type=Path, required=True)
    sizes.add_argument("--seeds", type=int, default=5)
    sizes.set_defaults(measure=measure_step_sizes)
    commands.add_parser("step-time", help="time of a training step").set_defaults(measure=measure_step_time)
    training = commands.add_parser("sizes", help="errors by size of the training set")
    training.add_argument("--root", required=True)
    training.add_argument("--runs", type=Path, required=True)
    training.add_argument("--seeds", type=int, default=3)
    training.add_argument("--only", type=int, choices=SIZES, help="train on this number of images only, and stop")
    training.set_defaults(measure=measure_sizes)
    arguments = parser.parse_args()
    arguments.measure(arguments)


if __name__ == "__main__":
    main()
