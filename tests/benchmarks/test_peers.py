import functools
import importlib.util
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from torch.utils.flop_counter import FlopCounterMode

from lenet5 import DataSplits, LeNet5
from lenet5.benchmark import measure
from lenet5.benchmark.bench import CANDIDATES, Bench, Candidate, Worker, peak_memory
from lenet5.benchmark.frameworks import channels_last_weights, one_cycle
from lenet5.benchmark.measure import flops_per_image, rate_rows, sgemm_rate, shortest, time_rows, turns
from lenet5.benchmark.peers import Call, Peer, PyTorch, Settings, initial_weights
from lenet5.benchmark.report import COLUMNS, Report
from lenet5.cli import main

SETTINGS = Settings(lr=0.008, warmup=0.2, weight_decay=0.05, label_smoothing=0.05)
NEEDS = {"keras": ["keras"], "jax": ["jax", "optax"], "onnxruntime": ["onnxruntime", "onnx"]}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["benchmark", *map(str, arguments)])


class Dying(Candidate):
    def peer(self, settings: Settings) -> Peer:
        os._exit(3)


class Unlucky(Candidate):
    def peer(self, settings: Settings) -> Peer:
        return UnluckyPeer(settings)


class UnluckyPeer(PyTorch):
    def training(self, *_: Any, **__: Any) -> Call:
        raise RuntimeError("no luck\nat all")


# What is measured


@pytest.mark.parametrize("name", ["lenet5", "dataloader", "pytorch"])
def test_a_peer_of_torch_learns_and_is_measured(name: str, digits: DataSplits) -> None:
    bench = Bench(CANDIDATES[name], SETTINGS, 96, 0.0)
    assert all(getattr(bench, kind)() > 0 for kind in ("training", "inference", "latency", "memory"))
    assert bench.label().shape == (96,)
    assert np.array_equal(bench.answer(), bench.label()[:1])
    few = slice(0, 700)
    train = digits.train.images.numpy()[few], digits.train.targets.numpy()[few]
    bench.load(train, (digits.test.images.numpy(), digits.test.targets.numpy()))
    seconds, accuracy = bench.learn(epochs=6, batch_size=32, seed=0)
    assert seconds > 0
    assert accuracy > 0.9
    assert bench.about()["versions"]["torch"] == torch.__version__.partition("+")[0]


@pytest.mark.parametrize("name", list(NEEDS))
def test_a_foreign_peer_learns_and_is_measured(name: str, digits: DataSplits) -> None:
    if missing := [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    worker = Worker(CANDIDATES[name], SETTINGS, 300, 0.0)
    try:
        assert set(NEEDS[name]) <= set(worker.about["versions"])
        assert all(worker.ask(kind) > 0 for kind in CANDIDATES[name].measures if kind != "times")
        if "times" in CANDIDATES[name].measures:
            sets = [(part.images.numpy(), part.targets.numpy()) for part in (digits.train, digits.test)]
            worker.ask("load", *sets)
            assert worker.ask("learn", 6, 32, 0)[1] > 0.9
    finally:
        worker.close()


def test_all_networks_begin_with_the_same_numbers_of_torchs_distribution() -> None:
    values = initial_weights(3)
    for ours, theirs in zip(LeNet5().parameters(), values, strict=True):
        assert ours.shape == theirs.shape
        assert abs(float(ours.detach().abs().max()) / float(np.abs(theirs).max()) - 1) < 0.6
    usual = PyTorch(SETTINGS).start(3)
    for parameter, theirs in zip(usual.parameters(), values, strict=True):
        assert np.array_equal(parameter.detach().numpy(), theirs)
    assert [value.shape for value in channels_last_weights(3)][:5] == [
        (5, 5, 1, 6),
        (6,),
        (5, 5, 6, 16),
        (16,),
        (400, 120),
    ]


@pytest.mark.parametrize("num_steps", [1, 3, 21, 100])
def test_the_schedule_is_that_of_torch(num_steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.008, total_steps=num_steps, pct_start=0.2)
    expected = []
    for _ in range(num_steps):
        expected.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    if num_steps > 5:  # with fewer steps there is none to rise in
        assert np.allclose(one_cycle(SETTINGS, num_steps), expected, rtol=1e-3, atol=1e-8)
    assert np.isfinite(one_cycle(SETTINGS, num_steps)).all()


# The process


def test_a_process_that_fails_or_dies_is_told_in_a_sentence() -> None:
    with pytest.raises(ImportError, match="No module named 'lenet5.benchmark.nothing'"):
        Worker(Candidate("Nothing", "nothing.Nothing", 64), SETTINGS, 64, 0.0)
    with pytest.raises(RuntimeError, match="its process ended with exit code 3"):
        Worker(Dying("Dying", "", 64), SETTINGS, 64, 0.0)


def test_memory_is_at_least_that_of_an_array_that_was_filled() -> None:
    filled = np.ones(5_000_000)
    assert math.isnan(peak_memory()) or peak_memory() > filled.nbytes


# Numbers


def test_flops_are_those_that_torch_counts() -> None:
    model = PyTorch(SETTINGS).start(0)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, 28, 28))
    assert flops_per_image() == counter.get_total_flops() == 833_040
    assert sgemm_rate("cpu", 0.0, size=64) > 0


def test_each_is_measured_once_a_round_in_alternating_order() -> None:
    assert list(turns("abc", 2)) == [(0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a")]


def test_medians_and_ratios_are_taken_over_the_rounds() -> None:
    values = {"lenet5": [2.0, 8.0, 30.0, 4.0, 6.0], "pytorch-256": [1.0, 2.0, 3.0, 4.0, 60.0]}
    first, second = rate_rows("inference", values, [833_040.0] * 5)
    assert (first["value"], first["low"], first["high"], first["runs"]) == (6, 4, 8, 5)
    assert (first["ratio"], second["ratio"]) == (2, 1)  # of 2, 4, 10, 1 and 0.1
    assert first["share"] == 6
    assert rate_rows("training", values, [833_040.0] * 5)[0]["share"] == 18
    (alone,) = rate_rows("training", {"lenet5": [1.0]}, [1.0])
    assert "ratio" not in alone
    seconds = rate_rows("latency", {"lenet5": [1.0], "pytorch": [3.0]}, [1.0])
    assert seconds[0]["ratio"] == 3
    assert "share" not in seconds[0]


def test_the_time_to_an_accuracy_is_that_of_the_shortest_training_whose_mean_reaches_it() -> None:
    trials = {
        "lenet5": {1: [(1.0, 0.97), (1.0, 0.985)], 2: [(2.0, 0.98), (4.0, 0.99)], 3: [(5.0, 0.99), (5.0, 0.99)]},
        "pytorch": {1: [(6.0, 0.98), (6.0, 0.98)]},
    }
    assert shortest(trials["lenet5"], 0.98) == 2
    assert shortest(trials["pytorch"], 0.99) is None
    ours, theirs = time_rows(0.98, trials)
    assert (ours["value"], ours["epochs"], ours["accuracy"], ours["ratio"]) == (3, 2, 0.985, 2)
    assert ours["sd"] == pytest.approx(2**0.5)
    assert (theirs["value"], theirs["sd"]) == (6, 0)
    _, missed = time_rows(0.99, trials)
    assert "value" not in missed
    assert (missed["epochs"], missed["accuracy"]) == (1, 0.98)


def test_what_is_not_reached_is_said() -> None:
    trials = {"lenet5": {1: [(1.0, 0.5)]}}
    report = Report.of_rows(time_rows(0.99, trials), {"Keras": "No module named 'keras'"}, {"versions": {"torch": "2"}})
    assert "not reached" in str(report)
    assert str(report).endswith("Not measured:\n\n- Keras: No module named 'keras'")
    assert "- versions: torch 2" in str(report)


# The command


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = functools.partial(measure.benchmark, count=128, seconds=0.0)
    monkeypatch.setattr(measure, "benchmark", quick)
    monkeypatch.setitem(CANDIDATES, "nothing", Candidate("Nothing", "nothing.Nothing", 64))


@pytest.mark.usefixtures("small")
def test_the_command_writes_a_row_for_each_measure_of_each_candidate_that_can_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "TARGETS", (0.3, 1.1))
    monkeypatch.setattr(measure, "MAX_LENGTHS", 1)
    monkeypatch.setitem(CANDIDATES, "unlucky", Unlucky("Unlucky", "", 64))
    chosen = ["--only", "lenet5", "--only", "unlucky", "--only", "nothing", "--device", "cpu"]
    result = invoke(*chosen, "--rounds", 2, "--data", "digits", "--seeds", 1)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "runs" / "benchmark-001"
    files = {"results.csv", "report.md", "environment.json", "benchmark.png"}
    assert {path.name for path in folder.iterdir()} == files
    table = pd.read_csv(folder / "results.csv")
    assert list(table.columns) == COLUMNS
    assert list(table["measure"]) == [
        "training", "inference", "latency", "memory", "time to 30%", "time to 110%"
    ]  # fmt: skip
    assert set(table["candidate"]) == {"lenet5, batch 64", "lenet5, batch 256", "lenet5"}  # 256 is the recipe's
    assert table["value"].isna().sum() == 1  # nothing reaches 110 %
    assert set(table["epochs"].dropna()) == {16}
    report = (folder / "report.md").read_text()
    for text in (
        "- Nothing: No module",
        "- Unlucky: failed in training: RuntimeError: no luck\n",
        "| lenet5, batch 64 ",
        "| Training ",
        "processor: ",
        "not reached",
    ):
        assert text in report
        assert text in result.stdout
    assert (folder / "benchmark.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "caffe"], "no candidate is named caffe; expected some of lenet5, lenet5-256, dataloader"),
        (["--only", "nothing"], "there is nothing to measure (Nothing: No module named 'lenet5.benchmark.nothing')"),
        (["--rounds", "0"], "rounds, seeds and count are 0, 10 and 128; expected at least 1 of each"),
        (["--device", "gpu"], "device 'gpu' is unknown to torch"),
        (["--out", "."], ". is not empty; expected a new folder"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("mine")
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
