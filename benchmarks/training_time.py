"""Time `Trainer.fit` on the CPU.

    python benchmarks/training_time.py overhead [--rounds 41] [--steps 100] [--batch-size 64]
    python benchmarks/training_time.py growth
    python benchmarks/training_time.py schedules --root DIR [--seeds 10] [--rounds 7] [--results FILE.csv]

`overhead` compares the Trainer with a minimal training loop. `growth` shows how time and memory grow with the number of
images and epochs. `schedules` finds the shortest schedule that reaches 99.0 % validation accuracy, for this package and
for PyTorch with all images in memory.
"""

import argparse
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from lenet5 import ImageDataset, LeNet5, Preprocess, TensorLoader, Trainer, TrainerConfig, load_data
from lenet5.recipes import RECIPES
from peers.measure import alternate
from peers.peer import Setup
from peers.pytorch import Lenet5, PyTorch

BuildModel = Callable[[], nn.Module]


def random_images(count: int) -> ImageDataset:
    """Generate images of 28x28 pixels in ten classes."""
    pixels = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)
    return ImageDataset(pixels, torch.arange(count) % 10, classes="0123456789", transform=Preprocess())


# Overhead


def minimal_loop(model: nn.Module, loader: TensorLoader, config: TrainerConfig) -> None:
    """Train with AdamW, one cycle and cross-entropy."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.max_epochs * len(loader))
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(config.max_epochs):
        for batch in loader.batches(epoch):
            optimizer.zero_grad()
            loss_fn(model(batch.images), batch.targets).backward()
            optimizer.step()
            schedule.step()


def trainer_fit(model: nn.Module, loader: TensorLoader, config: TrainerConfig) -> None:
    """Train with the Trainer."""
    Trainer(model, config).fit(loader)


def compare(build_model: BuildModel, loader: TensorLoader, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds per step in each round, of the minimal loop and of the Trainer, after one warm-up round."""
    config = TrainerConfig(max_epochs=1, batch_size=loader.batch_size, device="cpu", progress=False)
    seconds: dict[Callable[..., None], list[float]] = {minimal_loop: [], trainer_fit: []}
    for number in range(rounds + 1):
        models = []
        for train in (minimal_loop, trainer_fit) if number % 2 else (trainer_fit, minimal_loop):
            torch.manual_seed(0)
            models.append(build_model())
            begin = time.perf_counter()
            train(models[-1], loader, config)
            seconds[train].append((time.perf_counter() - begin) / len(loader))
        pairs = zip(*(model.parameters() for model in models), strict=True)
        assert all(torch.equal(first, second) for first, second in pairs), "the weights differ"
    return seconds[minimal_loop][1:], seconds[trainer_fit][1:]


def measure_overhead(arguments: argparse.Namespace) -> None:
    """Print the ratio for LeNet-5, and the difference for a network of one layer.

    On a busy machine the ratio varies widely from round to round. The steps of the small network are so short that the
    overhead of the Trainer is measurable in microseconds.
    """
    data = random_images(arguments.steps * arguments.batch_size)
    loader = TensorLoader(data, batch_size=arguments.batch_size, shuffle=True)

    minimal, trainer = compare(LeNet5, loader, arguments.rounds)
    low, middle, high = statistics.quantiles((b / a for a, b in zip(minimal, trainer, strict=True)), n=4)
    step = statistics.median(minimal)
    print(f"LeNet-5: {1e3 * step:.2f} ms per step, {1e3 * statistics.median(trainer):.2f} ms with the Trainer")
    print(f"ratio per round: median {middle:.3f}, quartiles {low:.3f} and {high:.3f}")

    minimal, trainer = compare(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), loader, arguments.rounds)
    extra = statistics.median(b - a for a, b in zip(minimal, trainer, strict=True))
    print(f"one layer: {1e6 * statistics.median(minimal):.0f} µs per step, the Trainer adds {1e6 * extra:.0f} µs,")
    print(f"which is {extra / step:.2%} of a step of LeNet-5")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")


# Growth

CASES = [(5_000, 4), (10_000, 4), (20_000, 4), (40_000, 4), (10_000, 2), (10_000, 8), (10_000, 16), (10_000, 32)]


def train_case(images: int, epochs: int) -> None:
    """Train once, with a checkpoint per epoch; print the seconds of `fit` and the peak memory in MiB as JSON."""
    torch.manual_seed(0)
    data = random_images(images)
    val = data.select(slice(500))
    with tempfile.TemporaryDirectory() as folder:
        config = TrainerConfig(max_epochs=epochs, batch_size=256, device="cpu", checkpoint_dir=folder, progress=False)
        Trainer(LeNet5(), TrainerConfig(max_epochs=1, device="cpu", progress=False)).fit(val, val)  # warm-up
        begin = time.perf_counter()
        Trainer(LeNet5(), config).fit(data, val)
        seconds = time.perf_counter() - begin
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def measure_growth(arguments: argparse.Namespace) -> None:
    """Print the shortest time and the peak memory of three runs per case, each run in a process of its own."""
    if arguments.case:
        train_case(*arguments.case)
        return
    print("images  epochs  seconds  ms per 1,000 images and epoch  MiB")
    for images, epochs in CASES:
        command = [sys.executable, __file__, "growth", "--case", str(images), str(epochs)]
        runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
        seconds, memory = min(run[0] for run in runs), max(run[1] for run in runs)
        print(f"{images:6}  {epochs:6}  {seconds:7.2f}  {1e6 * seconds / images / epochs:29.1f}  {memory:4.0f}")


# Schedules

SCHEDULES = [  # batch size, epochs, peak learning rate
    (64, 1, 0.01),
    (64, 2, 0.012),
    (128, 1, 0.015),
    (128, 2, 0.02),
    (192, 2, 0.025),
    (256, 2, 0.03),
    (256, 3, 0.025),
    (512, 3, 0.04),
    (512, 4, 0.04),
]


def accuracies(train: ImageDataset, val: ImageDataset, config: TrainerConfig, seeds: int) -> list[float]:
    """Train with several seeds; return the validation accuracies."""
    values = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        trainer = Trainer(LeNet5(), dataclasses.replace(config, seed=seed))
        trainer.fit(TensorLoader(train, batch_size=config.batch_size, shuffle=True, seed=seed))
        values.append(trainer.evaluate(val).accuracy)
    return values


def epoch_seconds(train: ImageDataset, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of an epoch in each round, by library and batch size, after one warm-up round."""
    images, targets = train.images.numpy(), train.targets.numpy()
    recipe = RECIPES["fast"].config
    setup = Setup(
        recipe.lr, recipe.warmup or 0, recipe.weight_decay, recipe.label_smoothing, threads=torch.get_num_threads()
    )
    sizes = sorted({size for size, _, _ in SCHEDULES})
    cases = {
        f"{type(peer).__name__} {size}": (peer, size) for peer in (Lenet5(setup), PyTorch(setup)) for size in sizes
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _, name in alternate(list(cases), rounds + 1):
        peer, size = cases[name]
        train_epoch = peer.prepare_training(peer.build(0), images, targets, epochs=1, batch_size=size, seed=0)
        begin = time.perf_counter()
        train_epoch()
        seconds[name].append(time.perf_counter() - begin)
    return {name: values[1:] for name, values in seconds.items()}


def measure_schedules(arguments: argparse.Namespace) -> None:
    """Print the accuracy and the time of each schedule; both libraries train the same network to the same accuracy."""
    train, val, _ = load_data("mnist", arguments.root)
    seconds = epoch_seconds(train, arguments.rounds)
    rows = []
    for size, epochs, lr in SCHEDULES:
        config = dataclasses.replace(
            RECIPES["fast"].config, max_epochs=epochs, batch_size=size, lr=lr, device="cpu", progress=False
        )
        reached = accuracies(train, val, config, arguments.seeds)
        ours, theirs = np.array(seconds[f"Lenet5 {size}"]), np.array(seconds[f"PyTorch {size}"])
        times = epochs * np.median(ours), epochs * np.median(theirs)
        ratio = np.median(ours / theirs)
        rows.append([size, epochs, lr, statistics.mean(reached), statistics.stdev(reached), *times, ratio])
    columns = ["batch_size", "epochs", "lr", "val_accuracy", "sd", "lenet5_s", "pytorch_s", "ratio"]
    table = pd.DataFrame(rows, columns=columns).round(5)
    print(table.to_string(index=False))
    enough = table[table["val_accuracy"] >= 0.99]
    fastest, peer = enough["lenet5_s"].min(), enough["pytorch_s"].min()
    print(f"to 99.0 %: lenet5 {fastest:.2f} s, PyTorch in memory {peer:.2f} s, ratio {fastest / peer:.3f}")
    if arguments.results:
        table.to_csv(arguments.results, index=False, lineterminator="\n")


def main() -> None:
    """Run the measurement that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    overhead = commands.add_parser("overhead", help="the Trainer against a minimal loop")
    overhead.add_argument("--rounds", type=int, default=41)
    overhead.add_argument("--steps", type=int, default=100)
    overhead.add_argument("--batch-size", type=int, default=64)
    overhead.set_defaults(measure=measure_overhead)
    growth = commands.add_parser("growth", help="time and memory by images and epochs")
    growth.add_argument("--case", type=int, nargs=2, metavar=("IMAGES", "EPOCHS"), help="run one case in this process")
    growth.set_defaults(measure=measure_growth)
    schedules = commands.add_parser("schedules", help="the shortest schedule to 99.0 %%")
    schedules.add_argument("--root", required=True)
    schedules.add_argument("--seeds", type=int, default=10)
    schedules.add_argument("--rounds", type=int, default=7)
    schedules.add_argument("--results", type=Path)
    schedules.set_defaults(measure=measure_schedules)
    arguments = parser.parse_args()
    arguments.measure(arguments)


if __name__ == "__main__":
    main()
