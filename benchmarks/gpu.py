"""Time training on a CUDA device: with and without CUDA graphs, by precision, and to an accuracy.

    python benchmarks/gpu.py --root DIR [--seeds 10] [--results FILE.json]

The data set is on the device before the timing starts, and each measurement follows a warm-up run.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any, Literal

import torch

from lenet5 import LeNet5, TensorLoader, Trainer, TrainerConfig, load_data
from lenet5.recipes import RECIPES


def fit(train: Any, config: TrainerConfig) -> tuple[Trainer, float]:
    """Train once; return the trainer and the seconds of `fit`."""
    torch.manual_seed(config.seed)
    trainer = Trainer(LeNet5(), config)
    loader = TensorLoader(train, batch_size=config.batch_size, shuffle=True, seed=config.seed, device="cuda")
    torch.cuda.synchronize()
    begin = time.perf_counter()
    trainer.fit(loader)
    torch.cuda.synchronize()
    return trainer, time.perf_counter() - begin


def time_epochs(train: Any) -> list[dict[str, Any]]:
    """Time an epoch by batch size and precision, with and without a CUDA graph."""
    rows = []
    cases: list[tuple[Literal["float32", "bfloat16"], bool]] = [
        ("float32", False),
        ("float32", True),
        ("bfloat16", True),
    ]
    for precision, cuda_graph in cases:
        for size in (64, 128, 192, 256, 512, 1024):
            config = TrainerConfig(
                max_epochs=1, batch_size=size, device="cuda", precision=precision, cuda_graph=cuda_graph, progress=False
            )
            times = [fit(train, config)[1] for _ in range(4)][1:]
            rows.append({"precision": precision, "cuda_graph": cuda_graph, "batch_size": size, "epoch_s": times})
            print(precision, "graph" if cuda_graph else "no graph", size, f"{1e3 * statistics.median(times):.0f} ms")
    return rows


def time_to_accuracy(train: Any, test: Any, seeds: int) -> list[dict[str, Any]]:
    """Measure the seconds and the test accuracy of the recipe "fast", by seed."""
    config = dataclasses.replace(RECIPES["fast"].config, device="cuda")
    fit(train, config)
    rows = []
    for seed in range(seeds):
        trainer, seconds = fit(train, dataclasses.replace(config, seed=seed))
        rows.append({"seed": seed, "seconds": seconds, "test_accuracy": trainer.evaluate(test).accuracy})
    for name in ("seconds", "test_accuracy"):
        values = [row[name] for row in rows]
        print(f"{name}: {statistics.mean(values):.4f} ± {statistics.stdev(values):.4f} over {seeds} seeds")
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    train, _, test = load_data("mnist", arguments.root)
    results = {
        "gpu": torch.cuda.get_device_name(),
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()},
        "time to accuracy": time_to_accuracy(train, test, arguments.seeds),
        "epochs": time_epochs(train),
    }
    if arguments.results:
        arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
