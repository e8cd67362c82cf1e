"""What a CUDA device makes of it: steps that are recorded and not, precisions, and the time to an accuracy.

    python benchmarks/gpu.py --root DIR [--seeds 10] [--results FILE.json]

The set lies on the device before anything is timed, and one training of each kind goes before those that count.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from lenet5 import LeNet5, TensorLoader, Trainer, TrainerConfig, load_data
from lenet5.recipes import RECIPES


def fit(train: Any, config: TrainerConfig) -> tuple[Trainer, float]:
    """Train once; return the trainer, and the seconds of `fit`."""
    torch.manual_seed(config.seed)
    trainer = Trainer(LeNet5(), config)
    loader = TensorLoader(train, batch_size=config.batch_size, shuffle=True, seed=config.seed, device="cuda")
    torch.cuda.synchronize()
    begin = time.perf_counter()
    trainer.fit(loader)
    torch.cuda.synchronize()
    return trainer, time.perf_counter() - begin


def steps(train: Any) -> list[dict[str, Any]]:
    """Return the seconds of an epoch, by batch size, precision and whether steps are recorded."""
    rows = []
    for precision, recorded in (("float32", False), ("float32", True), ("bfloat16", True)):
        for size in (64, 128, 192, 256, 512, 1024):
            config = TrainerConfig(
                max_epochs=1,
                batch_size=size,
                device="cuda",
                precision=precision,
                cuda_graph=recorded,  # type: ignore[arg-type]
            )
            times = [fit(train, config)[1] for _ in range(4)][1:]
            rows.append({"precision": precision, "recorded": recorded, "batch_size": size, "epoch_s": times})
            print(precision, "recorded" if recorded else "plain", size, f"{1e3 * statistics.median(times):.0f} ms")
    return rows


def to_accuracy(train: Any, test: Any, seeds: int) -> list[dict[str, Any]]:
    """Return the seconds and the test accuracy of the recipe `fast`, by seed."""
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
    found = {
        "gpu": torch.cuda.get_device_name(),
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()},
        "time to accuracy": to_accuracy(train, test, arguments.seeds),
        "steps": steps(train),
    }
    if arguments.results:
        arguments.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
