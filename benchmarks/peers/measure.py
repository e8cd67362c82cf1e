"""The run: rounds in which every candidate is measured once, and trainings until an accuracy is reached."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ..data import DataSplits
from ..models import LeNet5
from ..recipes import RECIPES
from ..runtime.device import resolve_device
from .bench import CANDIDATES, Worker, repeated
from .peers import Settings, synchronise
from .report import Report, hardware

COUNT = 8192  # images to train on and to label in a round
SECONDS = 0.3  # that labelling is repeated in a round
TARGETS = (0.98, 0.99)  # test accuracies
MAX_LENGTHS = 10  # of trainings, that are tried
_LEAST = 20_000  # images that a training is lengthened by at least: an epoch of MNIST, 16 of the digits
_BASES = {"training": "pytorch-256", "inference": "pytorch-256"}  # what the others are compared with
_BASE = "pytorch"  # in all else

Row = dict[str, Any]
Trials = Mapping[int, Sequence[tuple[float, float]]]  # by epochs: for each seed the seconds and the accuracy


def benchmark(
    names: Sequence[str] = (),
    *,
    rounds: int = 7,
    seeds: int = 10,
    data: DataSplits | None = None,
    device: str = "cpu",
    count: int = COUNT,
    seconds: float = SECONDS,
) -> Report:
    """Measure candidates side by side: each in a process of its own, one at a time, in turn.

    Parameters
    ----------
    names
        Which of CANDIDATES; none for all. Those that are not installed are named in the report.
    rounds
        Times that each is measured; before them comes a round that does not count.
    seeds
        Trainings of each length, where there is data.
    data
        What to measure the time to an accuracy on; None for no such measure.
    device
        As torch spells it. JAX and Keras choose their own where it is not the CPU.
    count, seconds
        Random images of an epoch, and how long labelling is repeated.

    Raises
    ------
    ValueError
        A name or the device is unknown, or a number is below 1.
    """
    if unknown := set(names) - set(CANDIDATES):
        raise ValueError(
            f"no candidate is named {', '.join(sorted(unknown))}; expected some of {', '.join(CANDIDATES)}"
        )
    if min(rounds, seeds, count) < 1:
        raise ValueError(f"rounds, seeds and count are {rounds}, {seeds} and {count}; expected at least 1 of each")
    recipe, place = RECIPES["fast"].config, str(resolve_device(device))
    settings = Settings(
        recipe.lr,
        recipe.warmup or 0,
        recipe.weight_decay,
        recipe.label_smoothing,
        device=place,
        threads=torch.get_num_threads(),
    )
    chosen = [name for name in CANDIDATES if name in names or not names]
    field = _Field(chosen, settings, count, seconds)
    try:
        rows = field.in_turn(rounds)
        if data is not None:
            rows += field.to_accuracies(data, seeds, recipe.batch_size)
    finally:
        field.close()
    return Report.of_rows(rows, field.absent, hardware(place) | {"versions": field.versions})


class _Field:
    """The candidates of a run; one that fails leaves it, and its reason stays."""

    def __init__(self, names: Sequence[str], settings: Settings, count: int, seconds: float) -> None:
        self.settings, self.seconds = settings, seconds
        self.workers: dict[str, Worker] = {}
        self.absent: dict[str, str] = {}
        for name in _shown(names, "starting", len(names)):
            try:
                self.workers[name] = Worker(CANDIDATES[name], settings, count, seconds)
            except (ImportError, RuntimeError) as error:
                self.absent[CANDIDATES[name].title] = str(error)
        self.about = {name: worker.about for name, worker in self.workers.items()}
        if not self.workers:
            reasons = "; ".join(f"{title}: {reason}" for title, reason in self.absent.items())
            raise ValueError(f"there is nothing to measure ({reasons})")

    @property
    def versions(self) -> dict[str, str]:
        """Of all packages that were measured."""
        return {package: version for about in self.about.values() for package, version in about["versions"].items()}

    def ask(self, name: str, method: str, *arguments: Any) -> Any:
        """Return a worker's answer; None where it has failed."""
        if name not in self.workers:
            return None
        try:
            return self.workers[name].ask(method, *arguments)
        except (ImportError, RuntimeError) as error:
            self.absent[CANDIDATES[name].title] = f"failed in {method}: {error}"
            self.workers.pop(name).close()
            return None

    def in_turn(self, rounds: int) -> list[Row]:
        """Return the rows of what is measured in rounds, and of the memory that it took."""
        found: dict[str, dict[str, list[float]]] = {"training": {}, "inference": {}, "latency": {}}
        sgemm: list[float] = []
        names = [*self.workers, "sgemm"]
        for _, name in _shown(turns(names, rounds + 1), "rounds", len(names) * (rounds + 1)):
            if name == "sgemm":
                sgemm.append(sgemm_rate(self.settings.device, self.seconds))
                continue
            for measure, values in found.items():
                if measure in CANDIDATES[name].measures:
                    values.setdefault(name, []).append(self.ask(name, measure))
        memory = {name: self.ask(name, "memory") for name in names[:-1]}
        rows = [
            row
            for measure, values in found.items()
            for row in rate_rows(
                measure, {name: values[name][1:] for name in self.workers if name in values}, sgemm[1:]
            )
        ]
        rows += [{"measure": "memory", "candidate": name, "value": memory[name]} for name in self.workers]
        return self._labelled(rows)

    def to_accuracies(self, data: DataSplits, seeds: int, batch_size: int) -> list[Row]:
        """Return the rows of the times to each of TARGETS, by trainings of growing length until all are reached."""
        train, test = ((part.images.numpy(), part.targets.numpy()) for part in (data.train, data.test))
        names = [name for name in self.workers if "times" in CANDIDATES[name].measures]
        trials: dict[str, dict[int, list[tuple[float, float]]]] = {name: {} for name in names}
        for name in names:
            self.ask(name, "load", train, test)
        stride = math.ceil(_LEAST / len(train[0]))
        for epochs in range(stride, stride * MAX_LENGTHS + 1, stride):
            slow = [name for name in names if name in self.workers and shortest(trials[name], max(TARGETS)) is None]
            if not slow:
                break
            for seed, name in _shown(turns(slow, seeds), f"{epochs} epochs", len(slow) * seeds):
                if (trial := self.ask(name, "learn", epochs, batch_size, seed)) is not None:
                    trials[name].setdefault(epochs, []).append(trial)
        trials = {name: trials[name] for name in names if name in self.workers}
        return self._labelled([row for target in TARGETS for row in time_rows(target, trials)], batch_size)

    def _labelled(self, rows: list[Row], batch_size: int | None = None) -> list[Row]:
        """Return rows with the candidates as the report calls them, and where they computed."""
        labelled = []
        for row in rows:
            name = row["candidate"]
            batch = "" if row["measure"] == "latency" else f", batch {batch_size or CANDIDATES[name].batch_size}"
            labelled.append(row | {"candidate": CANDIDATES[name].title + batch, "device": self.about[name]["device"]})
        return labelled

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers.values():
            worker.close()


def turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield (round, name), each name once a round, in an order that is turned round every time."""
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            yield number, name


def rate_rows(measure: str, values: Mapping[str, Sequence[float]], sgemm: Sequence[float]) -> list[Row]:
    """Return a row for each candidate: median and quartiles over the rounds, and ratios taken round by round.

    Parameters
    ----------
    measure
        "training", "inference" (images a second) or "latency" (seconds).
    values
        By candidates, a value a round.
    sgemm
        FLOP a second of the matrix product, in the same rounds.
    """
    rows = []
    cost = {"training": 3, "inference": 1}.get(measure, 0) * flops_per_image()  # backward is twice forward
    for name, found in values.items():
        own = np.asarray(found)
        low, middle, high = np.quantile(own, [0.25, 0.5, 0.75])
        row: Row = {"measure": measure, "candidate": name, "value": middle, "low": low, "high": high, "runs": len(own)}
        if (base := _BASES.get(measure, _BASE)) in values:
            ratios = np.asarray(values[base]) / own
            row["ratio"] = np.median(ratios if measure == "latency" else 1 / ratios)
        if cost:
            row["share"] = np.median(own * cost / np.asarray(sgemm))
        rows.append(row)
    return rows


def shortest(trials: Trials, target: float) -> int | None:
    """Return the fewest epochs after which the mean accuracy over the seeds is at least the target."""
    return min((epochs for epochs, runs in trials.items() if np.mean(runs, axis=0)[1] >= target), default=None)


def time_rows(target: float, trials: Mapping[str, Trials]) -> list[Row]:
    """Return a row for each candidate: mean and standard deviation of the seconds to a mean test accuracy.

    Where it was not reached there is no value, and the epochs are those of the longest training.
    """
    rows = []
    for name, found in trials.items():
        epochs = shortest(found, target)
        seconds, accuracies = np.transpose(found[max(found) if epochs is None else epochs])
        row: Row = {"measure": f"time to {target:.0%}", "candidate": name, "epochs": epochs or max(found)}
        row |= {"runs": len(seconds), "accuracy": accuracies.mean()}
        if epochs is not None:
            row |= {"value": seconds.mean(), "sd": seconds.std(ddof=1) if len(seconds) > 1 else math.nan}
        rows.append(row)
    base = next((row["value"] for row in rows if row["candidate"] == _BASE and "value" in row), math.nan)
    return [row | {"ratio": base / row["value"]} if "value" in row else row for row in rows]


def flops_per_image() -> int:
    """Return the floating-point operations of LeNet-5 on one image of 28x28.

    A multiplication and an addition for every weight of a layer, and every place where it is applied. Training is
    counted as three times that: once forward, and once each for the gradients of the weights and of the inputs.
    """
    total = 0

    def count(layer: nn.Module, _: Any, outputs: torch.Tensor) -> None:
        nonlocal total
        total += 2 * layer.get_parameter("weight").numel() * outputs[0, 0].numel()

    with torch.device("meta"):
        model = LeNet5()
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        model(torch.empty(1, 1, 28, 28))
    return total


def sgemm_rate(device: str, seconds: float, size: int = 2048) -> float:
    """Return the FLOP a second of a product of square float32 matrices, as torch computes it."""
    left, right = (torch.ones(size, size, device=device) for _ in range(2))

    def multiply() -> None:
        torch.mm(left, right)
        synchronise(device)

    return float(2 * size**3 / repeated(multiply, seconds))


def _shown(items: Any, text: str, total: int) -> Any:
    """Yield items with a bar on stderr, which is drawn once a minute where that is no terminal."""
    return tqdm(items, text, total, leave=False, mininterval=0.2 if sys.stderr.isatty() else 60)
