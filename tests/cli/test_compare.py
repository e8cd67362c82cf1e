"""Runs side by side: what differs, the results, and the spread over seeds."""

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import PIL.Image
import pytest
from click.testing import Result

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def runs(run: Invoke, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two runs that differ in the seed, and one with a weight decay of its own."""
    folder = tmp_path_factory.mktemp("runs")
    options = {"first": ("--seed", 0), "second": ("--seed", 1), "decay": ("--set", "weight_decay=0.1")}
    for name, option in options.items():
        run("train", "--epochs", 1, "--device", "cpu", *option, "--out", folder / name)
    return {name: folder / name for name in options}


def test_table_has_the_settings_that_differ_and_the_results(runs: dict[str, Path], run: Invoke) -> None:
    table = pd.read_csv(io.StringIO(run("compare", *runs.values(), "--csv").stdout), index_col="run")
    assert list(table.index) == [str(path) for path in runs.values()]
    measures = ["epochs", "saved_epoch", "val_accuracy", "test_accuracy", "test_loss", "test_ece"]
    assert list(table.columns) == ["seed", "weight_decay", *measures]
    assert table["seed"].tolist() == [0, 1, 0]
    assert table["weight_decay"].tolist() == [0.01, 0.01, 0.1]  # the recipe's own, and one that was set
    report = json.loads((runs["second"] / "report.json").read_text(encoding="utf-8"))
    assert table.loc[str(runs["second"]), "test_accuracy"] == pytest.approx(report["accuracy"], rel=1e-12)


def test_runs_that_differ_in_the_seed_get_mean_and_standard_deviation(runs: dict[str, Path], run: Invoke) -> None:
    accuracies = [
        json.loads((runs[name] / "report.json").read_text(encoding="utf-8"))["accuracy"] for name in ("first", "second")
    ]
    percent = 100 * pd.Series(accuracies)
    lines = run("compare", *runs.values()).stdout.splitlines()
    names = f"{runs['first']}, {runs['second']}"
    expected = f"test accuracy: {percent.mean():.2f} ± {percent.std():.2f} % (mean ± sd) over 2 seeds: {names}"
    assert lines[-1] == expected
    assert "mean" not in run("compare", runs["first"], runs["decay"]).stdout


def test_latex_escapes_its_special_characters(runs: dict[str, Path], run: Invoke) -> None:
    lines = run("compare", runs["first"], runs["decay"], "--latex").stdout.splitlines()
    assert (lines[0], lines[1], lines[-1]) == (r"\begin{tabular}{lrrrrrrr}", r"\toprule", r"\end{tabular}")
    assert r"weight\_decay & epochs & saved epoch & validation accuracy (\%)" in lines[2]


def test_mean_has_one_row_per_group_in_every_form(runs: dict[str, Path], run: Invoke) -> None:
    folder = runs["first"].parent
    latex, markdown, plain, table = (
        run("compare", folder, "--mean", *form).stdout.splitlines()
        for form in (["--latex"], ["--markdown"], [], ["--csv"])
    )
    assert len(latex) - 6 == len(markdown) - 2 == len(plain) - 1 == len(table) - 1 == 2
    assert r" $\pm$ " in latex[5]
    assert markdown[0].startswith("| weight\\_decay | seeds | validation accuracy (%) |")
    assert table[0].startswith("weight_decay,seeds,val_accuracy,val_accuracy_sd,")


@pytest.mark.parametrize("forms", [*itertools.permutations(["--latex", "--markdown", "--csv"], 2)])
def test_two_forms_of_the_table_are_refused(forms: tuple[str, str], runs: dict[str, Path], invoke: Invoke) -> None:
    result = invoke("compare", *runs.values(), *forms)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: the table has one form; found --")
    assert all(form in result.stderr for form in forms)


def test_folder_of_runs_stands_for_its_runs(runs: dict[str, Path], run: Invoke) -> None:
    by_folder = run("compare", runs["first"].parent, "--csv").stdout
    assert by_folder == run("compare", *sorted(runs.values()), "--csv").stdout
    assert by_folder == run("compare", runs["first"].parent, runs["second"], "--csv").stdout  # which counts once


def test_plot_overlays_the_curves_in_a_new_file(
    runs: dict[str, Path], run: Invoke, invoke: Invoke, tmp_path: Path
) -> None:
    file = tmp_path / "compared.png"
    run("compare", *runs.values(), "--plot", file)
    with PIL.Image.open(file) as figure:
        assert figure.format == "PNG"
    result = invoke("compare", *runs.values(), "--plot", file)
    assert (result.exit_code, f"Error: --plot would write {file}, which exists; expected" in result.stderr) == (2, True)


def test_unfinished_run_is_refused(runs: dict[str, Path], invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((runs["first"] / "config.json").read_bytes())
    result = invoke("compare", tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path} holds no finished run; expected one (lenet5 train --resume {tmp_path})" in result.stderr
