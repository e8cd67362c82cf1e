"""Tables of runs: what differs, the results, and groups by seed."""

from pathlib import Path

import pandas as pd
import pytest

from lenet5.runs import SavedRun, differences, read_run, run_table, summarise

RESULTS = ["epochs", "saved_epoch", "val_accuracy", "test_accuracy", "test_loss", "test_ece"]


def test_table_has_one_row_per_run_with_settings_and_results(runs: Path) -> None:
    table = run_table(runs / "max")
    assert list(table.index) == [str(runs / "max" / f"seed-{seed}") for seed in (9, 10)]
    assert list(table.columns[:3]) == ["data", "recipe", "seed"]
    assert list(table.columns[-6:]) == RESULTS
    assert table["seed"].tolist() == [9, 10]
    run = read_run(runs / "max" / "seed-9")
    assert table["test_accuracy"].iloc[0] == run.accuracy
    assert table["val_accuracy"].iloc[0] == run.history[0]["val_accuracy"]


def test_differences_are_the_settings_of_which_the_runs_have_several(runs: Path) -> None:
    assert list(differences(run_table([runs / "max", runs / "avg"]))) == ["seed", "model.pooling", *RESULTS]
    assert list(differences(run_table(runs / "avg" / "seed-9"))) == RESULTS


def test_summary_has_mean_and_sample_standard_deviation_over_the_seeds(runs: Path) -> None:
    table = run_table([runs / "max", runs / "avg"])
    summary = summarise(table)
    assert list(summary.columns[:4]) == ["model.pooling", "seeds", "val_accuracy", "val_accuracy_sd"]
    assert summary["model.pooling"].tolist() == ["max", "avg"]
    for row, accuracies in zip(
        summary.itertuples(), (table["test_accuracy"][:2], table["test_accuracy"][2:]), strict=True
    ):
        assert (row.seeds, row.test_accuracy, row.test_accuracy_sd) == (2, accuracies.mean(), accuracies.std())


def test_settings_of_an_older_run_are_no_difference(runs: Path, old_run: Path) -> None:
    table = run_table([old_run, runs / "max" / "seed-10"])
    assert list(differences(table)) == ["seed", *RESULTS]
    assert summarise(table)["seeds"].tolist() == [2]


def test_run_that_is_given_twice_does_not_narrow_the_spread(runs: Path, old_run: Path) -> None:
    once, twice = (summarise(run_table(folders)) for folders in ([runs / "max"], [runs / "max", old_run]))
    pd.testing.assert_frame_equal(once, twice)


def test_single_run_has_no_standard_deviation(runs: Path) -> None:
    summary = summarise(run_table(runs / "max" / "seed-9"))
    assert summary["seeds"].tolist() == [1]
    assert summary["test_accuracy_sd"].isna().all()


@pytest.mark.parametrize("as_runs", [True, False])
def test_runs_are_given_by_folder_or_as_read(runs: Path, *, as_runs: bool) -> None:
    folder = runs / "max" / "seed-9"
    given: list[SavedRun | Path] = [read_run(folder) if as_runs else folder]
    pd.testing.assert_frame_equal(run_table(given), run_table(folder))
