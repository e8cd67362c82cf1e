"""Tables of several runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..storage import StrPath
from .saved import SavedRun, find_runs, read_run

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("epochs", "saved_epoch", "val_accuracy", "test_accuracy", "test_loss", "test_ece")
AVERAGED = MEASURES[2:]
_LONGEST_LABEL = 60


def run_table(runs: StrPath | Iterable[StrPath | SavedRun]) -> pd.DataFrame:
    """Return the settings and the results of runs.

    Parameters
    ----------
    runs
        Runs, their folders, or folders that contain them; see `find_runs`.

    Returns
    -------
    DataFrame
        One row per run, by name. The columns are all settings of the runs, with "-" where a run has no such setting
        and "none" for None. Then come the number of epochs, the epoch whose weights were saved, its validation
        accuracy, and accuracy, loss and expected calibration error (ECE) on the test set. Accuracies and the ECE are
        fractions.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `find_runs` and `read_run`.

    Examples
    --------
    >>> table = lenet5.runs.run_table("seeds")
    >>> table["seed"].tolist(), table["recipe"].tolist()
    ([0, 1], ['digits', 'digits'])
    """
    import pandas as pd

    saved = as_runs(runs)
    settings = dict.fromkeys(name for run in saved for name in run.settings)
    rows = [{**dict.fromkeys(settings, "-"), **_without_none(run.settings), **_results(run)} for run in saved]
    return pd.DataFrame(rows, index=pd.Index([run.name for run in saved], name="run"))


def as_runs(runs: StrPath | Iterable[StrPath | SavedRun]) -> list[SavedRun]:
    """Read the runs that are given by their folders."""
    given = [runs] if isinstance(runs, str | os.PathLike) else list(runs)
    if all(isinstance(run, SavedRun) for run in given):
        return [run for run in given if isinstance(run, SavedRun)]
    paths = [run.folder if isinstance(run, SavedRun) else run for run in given]
    return [read_run(folder) for folder in find_runs(paths).values()]


def _without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the word that `--set` reads for None, because a table takes None for a missing value."""
    return {name: "none" if value is None else value for name, value in settings.items()}


def _results(run: SavedRun) -> dict[str, Any]:
    epoch = run.history.kept_epoch
    known = epoch is not None and 1 <= epoch <= len(run.history)
    return {
        "epochs": len(run.history),
        "saved_epoch": epoch,
        "val_accuracy": run.history[epoch - 1].get("val_accuracy") if known and epoch is not None else None,
        "test_accuracy": run.accuracy,
        "test_loss": run.loss,
        "test_ece": run.expected_calibration_error,
    }


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return the settings that differ between the runs, and the results.

    Parameters
    ----------
    table
        As returned by `run_table`.

    Examples
    --------
    >>> lenet5.runs.differences(lenet5.runs.run_table("seeds")).columns.tolist()[:3]
    ['seed', 'epochs', 'saved_epoch']
    """
    return table[[*(name for name in _changed(table) if name != "max_epochs"), *MEASURES]]


def grouped(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the groups of runs that differ in nothing but the seed, by the settings that differ between the groups.

    Of several runs with the same seed, the first counts.
    """
    settings = [name for name in _settings(table) if name != "seed"]
    keys = [str(row) for row in table[settings].to_numpy().tolist()]
    groups = [group.drop_duplicates("seed") for _, group in table.groupby(keys, sort=False)]
    return dict(zip(_labels(table, groups), groups, strict=True))


def _labels(table: pd.DataFrame, groups: Sequence[pd.DataFrame]) -> list[str]:
    if len(groups) == 1:
        return [str(table["recipe"].iloc[0])]
    changed = [name for name in _changed(table) if name != "seed"]
    labels = [", ".join(f"{name}={group[name].iloc[0]}" for name in changed) for group in groups]
    if max(map(len, labels)) <= _LONGEST_LABEL:
        return labels
    return [", ".join([*map(str, group.index[:2]), *(["..."] if len(group) > 2 else [])]) for group in groups]


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation over the seeds.

    Parameters
    ----------
    table
        As returned by `run_table`.

    Returns
    -------
    DataFrame
        One row per group of runs that differ in nothing but the seed. Of several runs with the same seed, the first
        counts. The columns are the settings that differ between the groups, the number of seeds, and mean and sample
        standard deviation (`_sd`; missing for a single seed) of the results.

    Examples
    --------
    >>> summary = lenet5.runs.summarise(lenet5.runs.run_table("seeds"))
    >>> summary["seeds"].tolist(), summary.columns.tolist()[-2:]
    ([2], ['test_ece', 'test_ece_sd'])
    """
    import pandas as pd

    changed = [name for name in _changed(table) if name != "seed"]
    rows = []
    for group in grouped(table).values():
        results = group[list(AVERAGED)].astype(float)
        row = {**group[changed].iloc[0].to_dict(), "seeds": len(group)}
        for name in AVERAGED:
            row |= {name: results[name].mean(), f"{name}_sd": results[name].std()}
        rows.append(row)
    return pd.DataFrame(rows)


def _changed(table: pd.DataFrame) -> list[str]:
    """Return the settings of which the runs have different values."""
    return [name for name in _settings(table) if len(set(table[name].astype(str))) > 1]


def _settings(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table.columns if name not in MEASURES]
