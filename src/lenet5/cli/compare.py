"""The command `compare`: finished runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..runs.saved import find_runs
from .group import echo, loading, main
from .parameters import RUNS, UserPath, new_png

if TYPE_CHECKING:
    import pandas as pd

    from ..runs.saved import SavedRun

_HELP = """Compare runs of lenet5 train: the settings that differ, and the results.

RUNS are folders of finished runs, or folders of such, as lenet5 train --seeds writes. Where runs differ in nothing
but the seed, mean and standard deviation are printed as well.
"""


@main.command(help=_HELP)
@click.argument("runs", nargs=-1, required=True, type=RUNS, metavar="RUNS...")
@click.option("--mean", is_flag=True, help="Print mean and standard deviation over the seeds, and not each run.")
@click.option("--plot", type=UserPath(), help="Plot the curves of all runs to a new PNG file.")
@click.option("--latex", is_flag=True, help="Print the table for LaTeX (booktabs).")
@click.option("--markdown", is_flag=True, help="Print the table for Markdown.")
@click.option("--csv", is_flag=True, help="Print the table as CSV, with all digits.")
def compare(runs: tuple[str, ...], mean: bool, plot: Path | None, **forms: bool) -> None:
    """Run the command `compare`; see its help."""
    form = _only(forms)
    figure = None if plot is None else new_png(plot, "--plot")
    find_runs(runs)  # before anything slow is loaded
    with loading():
        from ..runs.tables import as_runs, differences, run_table, summarise

    saved = as_runs(runs)
    table = run_table(saved)
    echo(_text(summarise(table) if mean else differences(table), form))
    if form is None and not mean:
        echo("".join(f"\n{line}" for line in spread(table)))
    if figure is not None:
        _plot(figure, saved)


def _only(forms: Mapping[str, bool]) -> str | None:
    """Return the form that was asked for, if any."""
    asked = [name for name, wanted in forms.items() if wanted]
    if len(asked) > 1:
        raise click.UsageError(f"the table has one form; found {' and '.join(f'--{name}' for name in asked)}")
    return asked[0] if asked else None


def spread(table: pd.DataFrame) -> list[str]:
    """Return mean and standard deviation of the test accuracy, for each group of runs that differ in the seed."""
    from ..runs.tables import grouped

    lines = []
    for runs in grouped(table).values():
        if len(runs) > 1:
            percent = 100 * runs["test_accuracy"]
            names = ", ".join(map(str, runs.index[:3])) + (", ..." if len(runs) > 3 else "")
            lines.append(
                f"test accuracy: {percent.mean():.2f} ± {percent.std():.2f} %"
                f" (mean ± sd) over {len(runs)} seeds: {names}"
            )
    return lines


def _text(table: pd.DataFrame, form: str | None) -> str:
    from ..runs.markup import to_latex, to_markdown, to_text

    if form == "csv":
        return table.to_csv(index=table.index.name is not None, lineterminator="\n").rstrip("\n")
    writers = {"latex": to_latex, "markdown": to_markdown, None: to_text}
    return writers[form](table).rstrip("\n")


def _plot(file: Path, runs: list[SavedRun]) -> None:
    from ..plots import plot_comparison
    from ..plots.display import to_png
    from ..plots.style import default_style
    from ..storage import write_file

    with default_style():
        write_file(file, to_png(plot_comparison({run.name: run.history.to_frame() for run in runs})))
