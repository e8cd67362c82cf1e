"""Train one recipe with several seeds; write one row per seed, and print mean and standard deviation.

    python benchmarks/seeds.py --recipe mnist_v1 --data mnist --root DIR --runs RUNS --results RESULTS.csv

Runs that are in the folder RUNS already are not repeated, and interrupted runs are resumed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd


def train(arguments: argparse.Namespace, seed: int) -> Path:
    """Train one seed with `lenet5 train`, unless its run is complete."""
    run: Path = arguments.runs / f"seed-{seed}"
    options = ["--recipe", arguments.recipe, "--data", arguments.data, "--seed", str(seed), "--out", str(run)]
    if arguments.root:
        options += ["--root", arguments.root]
    if arguments.epochs:
        options += ["--epochs", str(arguments.epochs)]
    if (run / "config.json").exists():
        options = ["--resume", str(run)]
    if not (run / "report.json").exists():
        subprocess.run([sys.executable, "-m", "lenet5", "train", *options], check=True)
    return run


def row(run: Path, seed: int) -> dict[str, object]:
    """Return the published results of a run."""
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    history = pd.read_csv(run / "history.csv").set_index("epoch")
    epoch = config["meta"]["epoch"]  # of the saved weights
    return {
        "seed": seed,
        "epoch": epoch,
        "val_accuracy": history["val_accuracy"].get(epoch) if "val_accuracy" in history else None,
        "test_accuracy": report["accuracy"],
        "test_loss": report["loss"],
        "test_ece": report["expected_calibration_error"],
        "sha256": config["sha256"],
        "torch": config["meta"]["versions"]["torch"],
        "command": config["meta"]["recipe"],
    }


def main() -> None:
    """Train, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--root")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--histories", type=Path, help="file for the histories of all seeds")
    arguments = parser.parse_args()
    runs = [train(arguments, seed) for seed in range(arguments.seeds)]
    table = pd.DataFrame([row(run, seed) for seed, run in enumerate(runs)])
    table.to_csv(arguments.results, index=False, lineterminator="\n")
    if arguments.histories:
        histories = pd.concat({seed: pd.read_csv(run / "history.csv") for seed, run in enumerate(runs)}, names=["seed"])
        histories.reset_index("seed").to_csv(arguments.histories, index=False, lineterminator="\n")
    for name in ("val_accuracy", "test_accuracy"):
        percent = 100 * table[name].astype(float)
        print(f"{name}: {percent.mean():.3f} ± {percent.std():.3f} % over {len(table)} seeds")


if __name__ == "__main__":
    main()
