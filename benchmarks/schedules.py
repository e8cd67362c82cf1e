"""The shortest training to an accuracy: this package and PyTorch in memory, each with the schedule that suits it best.

    python benchmarks/schedules.py --root DIR [--seeds 10] [--rounds 7] [--results FILE.csv]

Accuracies are on the validation split, means over the seeds. Both train the same network by the same recipe, so that a
schedule's accuracy is measured once, by this package; the times are measured in rounds, in which each trains one epoch
by each schedule in turn. What is read off: the shortest time of each whose mean accuracy is at least 99.0 %.
"""

import argparse
import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lenet5 import LeNet5, TensorLoader, Trainer, load_data
from lenet5.benchmark.peers import Lenet5, PyTorch, Settings
from lenet5.recipes import RECIPES

SCHEDULES = [  # batch size, epochs, highest learning rate
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


def accuracy(root: str, batch_size: int, epochs: int, lr: float, seeds: int) -> list[float]:
    """Return the validation accuracy of each seed."""
    train, val, _ = load_data("mnist", root)
    found = []
    for seed in range(seeds):
        config = dataclasses.replace(
            RECIPES["fast"].config, max_epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, device="cpu"
        )
        torch.manual_seed(seed)
        trainer = Trainer(LeNet5(), config)
        trainer.fit(TensorLoader(train, batch_size=batch_size, shuffle=True, seed=seed))
        found.append(trainer.evaluate(val).accuracy)
    return found


def seconds(root: str, rounds: int) -> dict[tuple[str, int], list[float]]:
    """Return the seconds of an epoch in each round, by library and batch size."""
    train = load_data("mnist", root).train
    images, targets = train.images.numpy(), train.targets.numpy()
    recipe = RECIPES["fast"].config
    settings = Settings(
        recipe.lr, recipe.warmup or 0, recipe.weight_decay, recipe.label_smoothing, threads=torch.get_num_threads()
    )
    calls = {}
    for name, peer in (("lenet5", Lenet5(settings)), ("PyTorch in memory", PyTorch(settings))):
        for size in sorted({size for size, _, _ in SCHEDULES}):
            calls[name, size] = (peer, size)
    found: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    for number in range(rounds + 1):  # the first does not count
        for key, (peer, size) in list(calls.items())[:: 1 if number % 2 else -1]:
            train_epoch = peer.training(peer.start(0), images, targets, epochs=1, batch_size=size, seed=0)
            begin = time.perf_counter()
            train_epoch()
            if number:
                found[key].append(time.perf_counter() - begin)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    epoch = seconds(arguments.root, arguments.rounds)
    rows = []
    for size, epochs, lr in SCHEDULES:
        reached = accuracy(arguments.root, size, epochs, lr, arguments.seeds)
        ours, theirs = np.array(epoch["lenet5", size]), np.array(epoch["PyTorch in memory", size])
        times = epochs * np.median(ours), epochs * np.median(theirs)
        ratio = np.median(ours / theirs)
        rows.append([size, epochs, lr, statistics.mean(reached), statistics.stdev(reached), *times, ratio])
    columns = ["batch_size", "epochs", "lr", "val_accuracy", "sd", "lenet5_s", "pytorch_s", "ratio"]
    table = pd.DataFrame(rows, columns=columns).round(5)
    print(table.to_string(index=False))
    enough = table[table["val_accuracy"] >= 0.99]
    ours, theirs = enough["lenet5_s"].min(), enough["pytorch_s"].min()
    print(f"to 99.0 %: lenet5 {ours:.2f} s, PyTorch in memory {theirs:.2f} s, ratio {ours / theirs:.3f}")
    if arguments.results:
        table.to_csv(arguments.results, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
