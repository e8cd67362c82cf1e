"""Measure training and prediction on an idle machine and beside busy programs.

Each setting runs in a process of its own. The processes measure in turn, once alone and once beside the neighbours,
which compute without pause. CPU time counts all threads of the process.

    python benchmarks/busy.py [--rounds 5] [--seconds 2] [--neighbours 2] [--output busy.json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

NUM_IMAGES = 8192
TASKS = ("training, batch 64", "training, batch 256", "prediction")
SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "layers": {"LENET5_KERNELS": "none"},
    "layers, one thread": {"LENET5_KERNELS": "none", "OMP_NUM_THREADS": "1"},
    "layers, spinning": {"LENET5_KERNELS": "none", "GOMP_SPINCOUNT": "300000"},  # OpenMP's own default
}
STATED = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "LENET5_KERNELS"}


def work() -> None:
    """Measure a task for a number of seconds for each line of standard input; print images/s and CPU µs per image."""
    import torch

    import lenet5

    torch.manual_seed(0)
    images, targets = torch.randint(256, (NUM_IMAGES, 1, 28, 28), dtype=torch.uint8), torch.arange(NUM_IMAGES) % 10
    data = lenet5.ImageDataset(images, targets, classes="0123456789", transform=lenet5.Preprocess())
    model = lenet5.LeNet5()

    def run(task: str) -> None:
        if task == "prediction":
            lenet5.predict(model, data)
            return
        loader = lenet5.TensorLoader(data, batch_size=int(task.rpartition(" ")[2]), shuffle=True)
        lenet5.Trainer(model, lenet5.TrainerConfig(max_epochs=1, device="cpu", progress=False)).fit(loader)

    for task in TASKS:
        run(task)
    print(f"torch {torch.__version__}", flush=True)
    for line in sys.stdin:
        task, seconds = json.loads(line)
        rates, costs, end = [], [], time.monotonic() + seconds
        while time.monotonic() < end:
            wall, cpu = time.perf_counter(), time.process_time()
            run(task)
            rates.append(NUM_IMAGES / (time.perf_counter() - wall))
            costs.append(1e6 * (time.process_time() - cpu) / NUM_IMAGES)
        print(json.dumps([median(rates), median(costs)]), flush=True)


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Run programs that compute without pause."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


class Worker:
    """A process that measures on request."""

    def __init__(self, settings: dict[str, str]) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in STATED}
        command = [sys.executable, str(Path(__file__).resolve()), "--work"]
        self.process = subprocess.Popen(
            command, env=environment | settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self.read()

    def read(self) -> str:
        """Read a line."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def measure(self, task: str, seconds: float) -> list[float]:
        """Return images/s and CPU µs per image."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([task, seconds]) + "\n")
        self.process.stdin.flush()
        values: list[float] = json.loads(self.read())
        return values

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def measure(rounds: int, seconds: float, count: int) -> tuple[str, dict[str, Any]]:
    """Return the version of torch, and the measurements by task, setting and situation."""
    workers = {name: Worker(settings) for name, settings in SETTINGS.items()}
    results: dict[str, Any] = {task: {name: {"quiet": [], "busy": []} for name in SETTINGS} for task in TASKS}
    for _ in range(rounds):
        for situation, programs in (("quiet", 0), ("busy", count)):
            with neighbours(programs):
                for task in TASKS:
                    for name, worker in workers.items():
                        results[task][name][situation].append(worker.measure(task, seconds))
    for worker in workers.values():
        worker.close()
    return worker.version, results


def main() -> None:
    """Measure, print a table, and write all measurements to a JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--neighbours", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work()
        return
    version, results = measure(arguments.rounds, arguments.seconds, arguments.neighbours)
    machine = f"{version}, {os.cpu_count()} processors, {platform.processor() or platform.machine()}"
    print(f"{machine}, {arguments.neighbours} neighbours, medians of {arguments.rounds} rounds\n")
    print(f"{'images/s (CPU µs per image)':32}{'quiet':>18}{'busy':>18}{'busy/quiet':>12}")
    for task, settings in results.items():
        for name, situations in settings.items():
            rows = [[median(values) for values in zip(*situations[key], strict=True)] for key in ("quiet", "busy")]
            cells = "".join(f"{f'{rate:,.0f} ({cost:.1f})':>18}" for rate, cost in rows)
            print(f"{task + ': ' + name:42}{cells}{rows[1][0] / rows[0][0]:12.2f}")
    if arguments.output:
        content = {"machine": machine, **{key: vars(arguments)[key] for key in ("rounds", "seconds", "neighbours")}}
        arguments.output.write_text(json.dumps({**content, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
