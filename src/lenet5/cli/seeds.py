"""`lenet5 train --seeds`: one run per seed, and the spread of their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import click

from ..runs.settings import RunSettings, saved_settings
from ..storage import claimed, shown, write_file
from .compare import spread
from .group import echo

TrainOne: TypeAlias = "Callable[[RunSettings, Path, bool], None]"
"""Trains a run in a folder; the last argument is whether to resume it."""


def train_seeds(settings: RunSettings, num_seeds: int, parent: Path, train_one: TrainOne) -> None:
    """Train runs with consecutive seeds in `parent/seed-NUMBER`, and write and print their results.

    Finished runs are not repeated, and interrupted ones are resumed.

    Raises
    ------
    ValueError
        A folder holds a run with different settings.
    """
    seeds = range(settings.seed, settings.seed + num_seeds)
    try:
        for seed in seeds:
            _train_seed(replace(settings, seed=seed), parent / f"seed-{seed}", train_one)
    except (click.exceptions.Exit, KeyboardInterrupt):
        echo(f"to go on with the other seeds, repeat the command with --out {shown(parent)}")
        raise
    from ..runs.report.page import REPORT_PAGE, is_report, write_report
    from ..runs.tables import as_runs, differences, run_table

    runs = [replace(run, name=run.folder.name) for run in as_runs([parent / f"seed-{seed}" for seed in seeds])]
    table = run_table(runs)
    write_file(parent / "seeds.csv", differences(table).to_csv(lineterminator="\n").encode())
    page = parent / REPORT_PAGE
    if not page.exists() or is_report(page):  # else somebody edited it
        write_report(runs, page)
    echo("\n".join([*spread(table), f"written to {shown(parent)}: {REPORT_PAGE}, seeds.csv"]))


def _train_seed(settings: RunSettings, folder: Path, train_one: TrainOne) -> None:
    saved = saved_settings(folder)
    if saved is not None and not settings.is_like(saved):
        raise ValueError(f"{folder} holds a run with different settings; expected a new folder as --out")
    if saved is not None and not settings.is_unfinished(folder):
        echo(f"{shown(folder)} has finished")
        return
    echo(f"\nseed {settings.seed}")
    with claimed(folder):
        train_one(settings, folder, saved is not None)
