import functools
import importlib.util
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

from lenet5 import DataSplits, LeNet5
from peers import measure
from peers.__main__ import main
from peers.frameworks import channels_last_weights, one_cycle
from peers.measure import alternate, fewest_epochs, flops_per_image, rate_rows, sgemm_rate, time_rows
from peers.peer import Call, Peer, Setup, initial_weights
from peers.pytorch import PyTorch
from peers.report import COLUMNS, Report
from peers.worker import CANDIDATES, Candidate, MeasuredPeer, Worker, peak_memory

SETUP = Setup(lr=0.008, warmup=0.2, weight_decay=0.05, label_smoothing=0.05)
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "benchmark"
NEEDS = {"keras": ["keras"], "jax": ["jax", "optax"], "onnxruntime": ["onnxruntime", "onnx"]}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


class CrashingCandidate(Candidate):
    def peer(self, setup: Setup) -> Peer:
        os._exit(3)


class FailingCandidate(Candidate):
    def peer(self, setup: Setup) -> Peer:
        return FailingPeer(setup)


class FailingPeer(PyTorch):
    def prepare_training(self, *_: Any, **__: Any) -> Call:
        raise RuntimeError("first line\nsecond line")


# Peers


@pytest.mark.parametrize("name", ["lenet5", "dataloader", "pytorch"])
def test_torch_peer_learns_digits(name: str, digits: DataSplits) -> None:
    measured = MeasuredPeer(CANDIDATES[name], SETUP, 96, 0.0)
    assert all(getattr(measured, quantity)() > 0 for quantity in ("training", "inference", "latency", "memory"))
    assert measured.predict().shape == (96,)
    assert np.array_equal(measured.predict_one(), measured.predict()[:1])
    train = digits.train.images.numpy()[:700], digits.train.targets.numpy()[:700]
    measured.load(train, (digits.test.images.numpy(), digits.test.targets.numpy()))
    seconds, accuracy = measured.train_and_test(epochs=6, batch_size=32, seed=0)
    assert seconds > 0
    assert accuracy > 0.9
    assert measured.about()["versions"]["torch"] == torch.__version__.partition("+")[0]


@pytest.mark.parametrize("name", list(NEEDS))
def test_foreign_peer_learns_digits(name: str, digits: DataSplits) -> None:
    if missing := [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    worker = Worker(CANDIDATES[name], SETUP, 300, 0.0)
    try:
        assert set(NEEDS[name]) <= set(worker.about["versions"])
        assert all(worker.ask(measure) > 0 for measure in CANDIDATES[name].measures if measure != "times")
        if "times" in CANDIDATES[name].measures:
            sets = [(part.images.numpy(), part.targets.numpy()) for part in (digits.train, digits.test)]
            worker.ask("load", *sets)
            assert worker.ask("train_and_test", 6, 32, 0)[1] > 0.9
    finally:
        worker.close()


def test_initial_weights_follow_torch_and_are_shared_by_all_peers() -> None:
    weights = initial_weights(3)
    for parameter, values in zip(LeNet5().parameters(), weights, strict=True):
        assert parameter.shape == values.shape
        assert abs(float(parameter.detach().abs().max()) / float(np.abs(values).max()) - 1) < 0.6
    for parameter, values in zip(PyTorch(SETUP).build(3).parameters(), weights, strict=True):
        assert np.array_equal(parameter.detach().numpy(), values)
    assert [value.shape for value in channels_last_weights(3)][:5] == [
        (5, 5, 1, 6),
        (6,),
        (5, 5, 6, 16),
        (16,),
        (400, 120),
    ]


@pytest.mark.parametrize("num_steps", [1, 3, 21, 100])
def test_one_cycle_schedule_equals_torch(num_steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.008, total_steps=num_steps, pct_start=0.2)
    expected = []
    for _ in range(num_steps):
        expected.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    if num_steps > 5:  # with fewer steps, none is left for the warm-up
        assert np.allclose(one_cycle(SETUP, num_steps), expected, rtol=1e-3, atol=1e-8)
    assert np.isfinite(one_cycle(SETUP, num_steps)).all()


# Workers


def test_worker_reports_failed_and_crashed_processes() -> None:
    with pytest.raises(ImportError, match="No module named 'peers.nothing'"):
        Worker(Candidate("Nothing", "nothing.Nothing", 64), SETUP, 64, 0.0)
    with pytest.raises(RuntimeError, match="its process ended with exit code 3"):
        Worker(CrashingCandidate("Crashing", "", 64), SETUP, 64, 0.0)


def test_peak_memory_includes_a_filled_array() -> None:
    filled = np.ones(5_000_000)
    assert math.isnan(peak_memory()) or peak_memory() > filled.nbytes


# Results


def test_flops_per_image_is_the_published_number() -> None:
    assert flops_per_image() == 833_040
    assert sgemm_rate("cpu", 0.0, size=64) > 0


def test_alternate_reverses_every_second_round() -> None:
    assert list(alternate("abc", 2)) == [(0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a")]


def test_rate_rows_take_medians_over_the_rounds() -> None:
    values = {"lenet5": [2.0, 8.0, 30.0, 4.0, 6.0], "pytorch-256": [1.0, 2.0, 3.0, 4.0, 60.0]}
    first, second = rate_rows("inference", values, [833_040.0] * 5)
    assert (first["value"], first["low"], first["high"], first["runs"]) == (6, 4, 8, 5)
    assert (first["ratio"], second["ratio"]) == (2, 1)  # the median of 2, 4, 10, 1 and 0.1
    assert first["share"] == 6
    assert rate_rows("training", values, [833_040.0] * 5)[0]["share"] == 18
    (alone,) = rate_rows("training", {"lenet5": [1.0]}, [1.0])
    assert "ratio" not in alone
    seconds = rate_rows("latency", {"lenet5": [1.0], "pytorch": [3.0]}, [1.0])
    assert seconds[0]["ratio"] == 3
    assert "share" not in seconds[0]


def test_ratio_refers_to_pytorch_limited_to_the_same_instruction_set() -> None:
    values = {"lenet5@AVX2": [6.0], "pytorch-256": [3.0], "pytorch-256@AVX2": [2.0]}
    assert [row["ratio"] for row in rate_rows("training", values, [1.0])] == [3, 1, 1]


def test_time_rows_use_the_shortest_run_whose_mean_accuracy_reaches_the_target() -> None:
    trials = {
        "lenet5": {1: [(1.0, 0.97), (1.0, 0.985)], 2: [(2.0, 0.98), (4.0, 0.99)], 3: [(5.0, 0.99), (5.0, 0.99)]},
        "pytorch": {1: [(6.0, 0.98), (6.0, 0.98)]},
    }
    assert fewest_epochs(trials["lenet5"], 0.98) == 2
    assert fewest_epochs(trials["pytorch"], 0.99) is None
    lenet5, pytorch = time_rows(0.98, trials)
    assert (lenet5["value"], lenet5["epochs"], lenet5["accuracy"], lenet5["ratio"]) == (3, 2, 0.985, 2)
    assert lenet5["sd"] == pytest.approx(2**0.5)
    assert (pytorch["value"], pytorch["sd"]) == (6, 0)
    _, missed = time_rows(0.99, trials)
    assert "value" not in missed
    assert (missed["epochs"], missed["accuracy"]) == (1, 0.98)


def test_report_lists_missed_targets_and_absent_candidates() -> None:
    rows = time_rows(0.99, {"lenet5": {1: [(1.0, 0.5)]}})
    report = Report.from_rows(rows, {"Keras": "No module named 'keras'"}, {"versions": {"torch": "2"}})
    assert "not reached" in str(report)
    assert str(report).endswith("Not measured:\n\n- Keras: No module named 'keras'")
    assert "- versions: torch 2" in str(report)


def test_report_reproduces_the_committed_file() -> None:
    table = pd.read_csv(RESULTS / "results.csv", dtype=str)
    numbers = ["value", "low", "high", "sd", "runs", "epochs", "accuracy", "ratio", "share"]
    table[numbers] = table[numbers].astype(float)  # exact in every version of pandas, which read_csv is not
    table = table.astype({"epochs": "Int64", "runs": "Int64"})
    environment = json.loads((RESULTS / "environment.json").read_text(encoding="utf-8"))
    report = Report(table, environment.pop("absent"), environment)
    assert f"# Benchmark of LeNet-5\n\n{report}\n" == (RESULTS / "report.md").read_text(encoding="utf-8")


# Command line


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = functools.partial(measure.benchmark, count=128, seconds=0.0)
    monkeypatch.setattr(measure, "benchmark", quick)
    monkeypatch.setitem(CANDIDATES, "nothing", Candidate("Nothing", "nothing.Nothing", 64))


@pytest.mark.usefixtures("small")
def test_command_writes_table_report_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "TARGETS", (0.3, 1.1))
    monkeypatch.setattr(measure, "MAX_LENGTHS", 1)
    monkeypatch.setitem(CANDIDATES, "failing", FailingCandidate("Failing", "", 64))
    candidates = ["--only", "lenet5", "--only", "failing", "--only", "nothing", "--device", "cpu"]
    result = invoke(*candidates, "--rounds", 2, "--data", "digits", "--seeds", 1)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "runs" / "benchmark-001"
    files = {"results.csv", "report.md", "environment.json", "benchmark.png"}
    assert {path.name for path in folder.iterdir()} == files
    table = pd.read_csv(folder / "results.csv")
    assert list(table.columns) == COLUMNS
    assert list(table["measure"]) == [
        "training", "inference", "latency", "memory", "time to 30%", "time to 110%"
    ]  # fmt: skip
    assert set(table["candidate"]) == {"lenet5, batch 64", "lenet5, batch 256", "lenet5"}  # the recipe has 256
    assert table["value"].isna().sum() == 1  # nothing reaches 110 %
    assert set(table["epochs"].dropna()) == {16}
    report = (folder / "report.md").read_text(encoding="utf-8")
    for text in (
        "- Nothing: No module",
        "- Failing: failed in training: RuntimeError: first line\n",
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
        (["--only", "caffe"], "no candidate is named caffe; expected lenet5, lenet5-256, dataloader"),
        (["--only", "nothing"], "there is nothing to measure (Nothing: No module named 'peers.nothing')"),
        (["--rounds", "0"], "rounds, seeds and count are 0, 10 and 128; expected at least 1 of each"),
        (["--device", "gpu"], "device 'gpu' is unknown to torch"),
        (["--out", "."], ". is not empty; expected a new folder"),
    ],
)
def test_command_rejects_bad_input(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").touch()
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
