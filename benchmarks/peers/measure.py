"""The schedule of a run: rounds that measure every candidate once, and training runs until an accuracy is reached."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

import lenet5
from lenet5.recipes import RECIPES

from .peer import Setup
from .report import Report, hardware
from .worker import CANDIDATES, Worker

COUNT = 8192  # images to train on and to classify in a round
SECONDS = 0.3  # over which a prediction is repeated in a round
TARGETS = (0.98, 0.99)  # test accuracies
MAX_LENGTHS = 10  # lengths of training runs to try
_MIN_IMAGES = 20_000  # by which a training run grows at least: one epoch of MNIST, 16 of the digits
_BASES = {"training": "pytorch-256", "inference": "pytorch-256"}  # candidates that ratios refer to
_BASE = "pytorch"  # for all other measures

ResultRow = dict[str, Any]
Trials = Mapping[int, Sequence[tuple[float, float]]]  # number of epochs -> seconds and accuracy of each seed


def benchmark(
    names: Sequence[str] = (),
    *,
    rounds: int = 7,
    seeds: int = 10,
    data: lenet5.DataSplits | None = None,
    device: str = "auto",
    count: int = COUNT,
    seconds: float = SECONDS,
) -> Report:
    """Measure candidates side by side, each in a process of its own, one at a time.

    Parameters
    ----------
    names
        Keys of CANDIDATES; empty for all of them. Candidates that are not installed are listed in the report.
    rounds
        Measurements of each quantity, after one round of warm-up.
    seeds
        Training runs of each length, if `data` is given.
    data
        Data set for the times to an accuracy; None to skip them.
    device
        Device in torch's spelling, or "auto". JAX and Keras choose their own accelerator unless it is "cpu".
    count, seconds
        Number of random images in an epoch, and the time over which a prediction is repeated.

    Raises
    ------
    ValueError
        A name or the device is unknown, a number is below 1, or no candidate is installed.
    """
    if unknown := set(names) - set(CANDIDATES):
        raise ValueError(f"no candidate is named {', '.join(sorted(unknown))}; expected {', '.join(CANDIDATES)}")
    if min(rounds, seeds, count) < 1:
        raise ValueError(f"rounds, seeds and count are {rounds}, {seeds} and {count}; expected at least 1 of each")
    recipe = RECIPES["fast"].config
    place = str(lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(device=device)).state.device)
    setup = Setup(
        recipe.lr,
        recipe.warmup or 0,
        recipe.weight_decay,
        recipe.label_smoothing,
        device=place,
        threads=torch.get_num_threads(),
    )
    workers = _Workers([name for name in CANDIDATES if name in names or not names], setup, count, seconds)
    try:
        rows = workers.measure_rates(rounds)
        if data is not None:
            rows += workers.measure_times(data, seeds, recipe.batch_size)
    finally:
        workers.close()
    return Report.from_rows(rows, workers.absent, hardware(place) | {"versions": workers.versions})


class _Workers:
    """The workers of a run. One that fails is dropped, and the reason is kept in `absent`."""

    def __init__(self, names: Sequence[str], setup: Setup, count: int, seconds: float) -> None:
        self.setup, self.seconds = setup, seconds
        self.workers: dict[str, Worker] = {}
        self.absent: dict[str, str] = {}
        for name in _progress(names, "starting", len(names)):
            try:
                self.workers[name] = Worker(CANDIDATES[name], setup, count, seconds)
            except (ImportError, RuntimeError) as error:
                self.absent[CANDIDATES[name].title] = str(error)
        self.about = {name: worker.about for name, worker in self.workers.items()}
        if not self.workers:
            reasons = "; ".join(f"{title}: {reason}" for title, reason in self.absent.items())
            raise ValueError(f"there is nothing to measure ({reasons})")

    @property
    def versions(self) -> dict[str, str]:
        """Versions of all packages that were measured."""
        return {package: version for about in self.about.values() for package, version in about["versions"].items()}

    def ask(self, name: str, method: str, *arguments: Any) -> Any:
        """Return a worker's reply, or None if it has failed."""
        if name not in self.workers:
            return None
        try:
            return self.workers[name].ask(method, *arguments)
        except (ImportError, RuntimeError) as error:
            self.absent[CANDIDATES[name].title] = f"failed in {method}: {error}"
            self.workers.pop(name).close()
            return None

    def measure_rates(self, rounds: int) -> list[ResultRow]:
        """Return the rows of training, inference and latency, measured in rounds, and of the peak memory."""
        results: dict[str, dict[str, list[float]]] = {"training": {}, "inference": {}, "latency": {}}
        sgemm: list[float] = []
        names = [*self.workers, "sgemm"]
        for _, name in _progress(alternate(names, rounds + 1), "rounds", len(names) * (rounds + 1)):
            if name == "sgemm":
                sgemm.append(sgemm_rate(self.setup.device, self.seconds))
                continue
            for measure, values in results.items():
                if measure in CANDIDATES[name].measures:
                    values.setdefault(name, []).append(self.ask(name, measure))
        memory = {name: self.ask(name, "memory") for name in names[:-1]}
        rows = []
        for measure, values in results.items():
            complete = {name: values[name][1:] for name in self.workers if name in values}
            rows += rate_rows(measure, complete, sgemm[1:])
        rows += [{"measure": "memory", "candidate": name, "value": memory[name]} for name in self.workers]
        return self._with_titles(rows)

    def measure_times(self, data: lenet5.DataSplits, seeds: int, batch_size: int) -> list[ResultRow]:
        """Return the rows of the times to TARGETS, from training runs that grow until all targets are reached."""
        train, test = ((part.images.numpy(), part.targets.numpy()) for part in (data.train, data.test))
        names = [name for name in self.workers if "times" in CANDIDATES[name].measures]
        trials: dict[str, dict[int, list[tuple[float, float]]]] = {name: {} for name in names}
        for name in names:
            self.ask(name, "load", train, test)
        stride = math.ceil(_MIN_IMAGES / len(train[0]))
        for epochs in range(stride, stride * MAX_LENGTHS + 1, stride):
            slow = [
                name for name in names if name in self.workers and fewest_epochs(trials[name], max(TARGETS)) is None
            ]
            if not slow:
                break
            for seed, name in _progress(alternate(slow, seeds), f"{epochs} epochs", len(slow) * seeds):
                if (trial := self.ask(name, "train_and_test", epochs, batch_size, seed)) is not None:
                    trials[name].setdefault(epochs, []).append(trial)
        trials = {name: trials[name] for name in names if name in self.workers}
        return self._with_titles([row for target in TARGETS for row in time_rows(target, trials)], batch_size)

    def _with_titles(self, rows: list[ResultRow], batch_size: int | None = None) -> list[ResultRow]:
        """Return rows with the title of each candidate, its batch size and its device."""
        titled = []
        for row in rows:
            name = row["candidate"]
            batch = "" if row["measure"] == "latency" else f", batch {batch_size or CANDIDATES[name].batch_size}"
            titled.append(row | {"candidate": CANDIDATES[name].title + batch, "device": self.about[name]["device"]})
        return titled

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers.values():
            worker.close()


def alternate(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield (round, name) for each name in each round, in reverse order in every second round."""
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            yield number, name


def rate_rows(measure: str, values: Mapping[str, Sequence[float]], sgemm: Sequence[float]) -> list[ResultRow]:
    """Summarise each candidate: median and quartiles over the rounds, and the median of the ratios of each round.

    Parameters
    ----------
    measure
        "training" or "inference" (images per second), or "latency" (seconds).
    values
        One value per round, by candidate.
    sgemm
        Rate of the matrix product in each round, in FLOP/s.
    """
    rows = []
    cost = {"training": 3, "inference": 1}.get(measure, 0) * flops_per_image()
    for name, measured in values.items():
        own = np.asarray(measured)
        low, middle, high = np.quantile(own, [0.25, 0.5, 0.75])
        row: ResultRow = {"measure": measure, "candidate": name, "value": middle}
        row |= {"low": low, "high": high, "runs": len(own)}
        if (base := base_of(measure, name)) in values:
            ratios = np.asarray(values[base]) / own
            row["ratio"] = np.median(ratios if measure == "latency" else 1 / ratios)
        if cost:
            row["share"] = np.median(own * cost / np.asarray(sgemm))
        rows.append(row)
    return rows


def base_of(measure: str, name: str) -> str:
    """Return the candidate that a ratio refers to: PyTorch in memory, limited to the same instruction set."""
    _, at, limit = name.partition("@")
    return _BASES.get(measure, _BASE) + at + limit


def fewest_epochs(trials: Trials, target: float) -> int | None:
    """Return the smallest number of epochs whose mean accuracy over the seeds reaches the target, or None."""
    return min((epochs for epochs, runs in trials.items() if np.mean(runs, axis=0)[1] >= target), default=None)


def time_rows(target: float, trials: Mapping[str, Trials]) -> list[ResultRow]:
    """Summarise each candidate: mean and standard deviation of the seconds to a mean test accuracy.

    A row without a value did not reach the accuracy; its epochs are those of the longest training run.
    """
    rows = []
    for name, runs in trials.items():
        epochs = fewest_epochs(runs, target)
        seconds, accuracies = np.transpose(runs[max(runs) if epochs is None else epochs])
        row: ResultRow = {"measure": f"time to {target:.0%}", "candidate": name, "epochs": epochs or max(runs)}
        row |= {"runs": len(seconds), "accuracy": accuracies.mean()}
        if epochs is not None:
            row |= {"value": seconds.mean(), "sd": seconds.std(ddof=1) if len(seconds) > 1 else math.nan}
        rows.append(row)
    base = next((row["value"] for row in rows if row["candidate"] == _BASE and "value" in row), math.nan)
    return [row | {"ratio": base / row["value"]} if "value" in row else row for row in rows]


def flops_per_image() -> int:
    """Count the floating-point operations of a forward pass of LeNet-5 on one image.

    Only matrix products and convolutions are counted, with two operations per multiply-add. A training step is counted
    as three forward passes: the gradients of the weights and of the inputs each cost as much as the outputs.
    """
    with FlopCounterMode(display=False) as counter:
        lenet5.LeNet5()(torch.zeros(1, 1, 28, 28))
    return int(counter.get_total_flops())


def sgemm_rate(device: str, seconds: float, size: int = 2048) -> float:
    """Measure the float32 matrix product of torch on square matrices, in FLOP/s."""
    left, right = (torch.ones(size, size, device=device) for _ in range(2))
    names = {"torch": torch, "left": left, "right": right}
    timer = Timer("torch.mm(left, right)", globals=names, num_threads=torch.get_num_threads())
    return float(2 * size**3 / timer.blocked_autorange(min_run_time=seconds).mean)


def _progress(items: Any, text: str, total: int) -> Any:
    """Yield items with a progress bar on stderr, refreshed once a minute if stderr is not a terminal."""
    return tqdm(items, text, total, leave=False, mininterval=0.2 if sys.stderr.isatty() else 60)
