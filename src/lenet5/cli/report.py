"""The command `report`: runs as one HTML file."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from pathlib import Path

import click

from ..runs.saved import find_runs
from ..storage import shown
from .group import echo, loading, main
from .parameters import RUNS, UserPath, new_file

_PAGE = "report.html"
_HELP = """Write a report of runs of lenet5 train: one HTML file, which needs no other file and no network.

RUNS are folders of finished runs, or folders of such, as lenet5 train --seeds writes. Of one run, the report shows the
curves, the errors by class, the misclassified images, the calibration and the settings. Of several, it shows them side
by side, with mean and standard deviation over the seeds, the difference of two groups with its confidence interval,
and tables for LaTeX and Markdown.
"""


@main.command(help=_HELP)
@click.argument("runs", nargs=-1, required=True, type=RUNS, metavar="RUNS...")
@click.option(
    "--out", type=UserPath(), help="New HTML file.  [default: report.html, in the folder if there is one RUNS]"
)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser.")
def report(runs: tuple[str, ...], out: Path | None, show: bool) -> None:
    """Run the command `report`; see its help."""
    file = default_page(runs) if out is None else new_file(out, "--out", "HTML")
    found = find_runs(runs)  # before anything slow is loaded
    with loading():
        from ..runs.report.page import check_replaceable, write_report

    if out is None:
        check_replaceable(file)
    write_report(found.values(), file)
    echo(f"written to {shown(file)}")
    if show and not webbrowser.open(file.absolute().as_uri()):
        echo("no browser could be opened", err=True)


def default_page(runs: Sequence[str]) -> Path:
    """Return the file of a report: in the folder of the runs, or else in the current one."""
    return Path(runs[0]) / _PAGE if len(runs) == 1 else Path(_PAGE)
