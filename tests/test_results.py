"""The pages agree with the raw results."""

import importlib.util
from itertools import product
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

import lenet5

ROOT = Path(__file__).parents[1]


def import_script(name: str) -> ModuleType:
    """Import a script of benchmarks."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_results_page_is_generated_from_the_raw_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    script = import_script("results_page")
    monkeypatch.setattr(script, "PAGE", tmp_path / "results.md")
    script.main()
    page = (ROOT / "docs" / "results" / "results.md").read_text(encoding="utf-8")
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == page


def test_integer_networks_lose_at_most_a_twentieth_of_a_point() -> None:
    table = pd.read_csv(ROOT / "benchmarks" / "results" / "quantization.csv")
    rows = table.query("split == 'test' and weight_bits == 8 and calibration == 'training images'")
    assert set(rows["weights"]) == {member.value for member in (*lenet5.LeNet5_Weights, *lenet5.LeNet5Original_Weights)}
    assert (rows["float_accuracy"] - rows["accuracy"]).max() < 0.00051


def test_page_of_integer_networks_quotes_the_raw_results() -> None:
    page = (ROOT / "docs" / "bridges" / "integers.md").read_text(encoding="utf-8")
    results = ROOT / "benchmarks" / "results"
    table, trained = (pd.read_csv(results / f"quantization{name}.csv") for name in ("", "_training"))
    for bits, power_of_two in product((8, 4), (False, True)):
        rows = "split == 'test' and weights == 'mnist_v2' and weight_bits == @bits and activation_bits == @bits"
        frames = pd.concat([table.query(rows), trained.query(rows)])
        percent = [f"{100 * value:.2f} %" for value in frames.query("power_of_two == @power_of_two")["accuracy"]]
        assert f"| {bits} | {'powers of two' if power_of_two else 'any'} | {' | '.join(percent)} |" in page


def test_distilled_weights_are_the_most_accurate() -> None:
    results = ROOT / "benchmarks" / "results"
    assert pd.read_csv(results / "distilled_gentle.csv")["test_accuracy"].mean() >= 0.9965


def test_digits_of_others_are_read_from_photographs() -> None:
    table = pd.read_csv(ROOT / "benchmarks" / "results" / "photographs.csv").query("weights == 'mnist_photo_v1'")
    counts = table.groupby("half").sum(numeric_only=True)
    assert (counts["correct"] / counts["count"]).min() >= 0.97
    assert counts["refused"].max() <= 1
    assert counts["confidently_wrong"].max() == 0


def test_weights_for_photographs_are_robust_and_mark_what_they_do_not_know() -> None:
    results = ROOT / "benchmarks" / "results"
    corrupted = pd.read_csv(results / "corruptions_mnist_photo_v1.csv").query("kind != 'none'")
    assert corrupted["accuracy"].mean() >= 0.97
    table = pd.read_csv(results / "confidence.csv").set_index("images").query("weights == 'mnist_photo_v1'")
    assert table.loc[["MNIST's test set", "other writers", "other data sets"], "wrong of sure"].max() <= 0.005
    assert table.loc[["noise"], "sure"].max() <= 0.02
    assert table["separation"].min() >= 0.95
