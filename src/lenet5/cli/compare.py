"""The command `compare`: finished runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .group import echo, loading, main
from .parameters import RUN, UserPath, new_png

if TYPE_CHECKING:
    import pandas as pd

_MEASURES = ("epochs", "saved_epoch", "val_accuracy", "test_accuracy", "test_loss", "test_ece")
_HELP = """Compare runs of lenet5 train: the settings that differ, and the results.

RUNS are folders of finished runs. Where runs differ in nothing but the seed, mean and standard deviation are
printed as well.
"""


@main.command(help=_HELP)
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUNS...")
@click.option("--plot", type=UserPath(), help="Plot the curves of all runs to a new PNG file.")
@click.option("--latex", is_flag=True, help="Print the table for LaTeX (booktabs).")
@click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV, with all digits.")
def compare(runs: tuple[str, ...], plot: Path | None, latex: bool, as_csv: bool) -> None:
    """Run the command `compare`; see its help."""
    figure = None if plot is None else new_png(plot, "--plot")
    with loading():
        import pandas  # noqa: F401, ICN001 (loaded here, so that Ctrl-C is not lost)

    table = run_table({run: Path(run) for run in runs})
    if as_csv:
        echo(differences(table).to_csv(lineterminator="\n").rstrip("\n"))
    else:
        short = rounded(differences(table))
        echo(_latex(short) if latex else "\n".join([short.to_string(), *spread(table)]))
    if figure is not None:
        _plot(figure, runs)


def run_table(runs: Mapping[str, Path]) -> pd.DataFrame:
    """Return one row per run, by name; see `read_run`."""
    import pandas as pd

    rows = [read_run(folder) for folder in runs.values()]
    settings = dict.fromkeys(name for row in rows for name in row if name not in _MEASURES)
    rows = [{**dict.fromkeys(settings, "-"), **row} for row in rows]  # a setting of the recipe, if not of the run
    return pd.DataFrame(rows, index=pd.Index(list(runs), name="run"))


def read_run(folder: Path) -> dict[str, Any]:
    """Return the settings and the results of a finished run.

    Raises
    ------
    ValueError
        The run has not finished.
    """
    import pandas as pd

    from ..models.pretrained import WeightsFolder
    from ..storage import read_json

    config = WeightsFolder.open(folder).config
    if not (folder / "report.json").is_file() or config.get("settings") is None:
        raise ValueError(f"{folder} holds no finished run; expected one (lenet5 train --resume {folder})")
    report = read_json(folder / "report.json")
    history = pd.read_csv(folder / "history.csv").set_index("epoch")
    settings = {name: value for name, value in config["settings"].items() if name not in ("root", "options")}
    epoch = config["meta"]["epoch"]
    accuracies = history.get("val_accuracy", pd.Series(dtype=float))
    return {
        **settings,
        **config["settings"].get("options", {}),
        "epochs": len(history),
        "saved_epoch": epoch,
        "val_accuracy": accuracies.get(epoch),
        "test_accuracy": report["accuracy"],
        "test_loss": report["loss"],
        "test_ece": report["expected_calibration_error"],
    }


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that differ between the runs, and the results."""
    changed = [name for name in table if name != "max_epochs" and len(set(table[name].astype(str))) > 1]
    return table[[*(name for name in changed if name not in _MEASURES), *_MEASURES]]


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Format accuracies in percent, and leave out what no run has."""
    import pandas as pd

    short = table.dropna(axis="columns", how="all").copy()
    for name in short:
        if name in ("val_accuracy", "test_accuracy", "test_ece"):
            short[name] = [f"{100 * value:.2f} %" if pd.notna(value) else "-" for value in short[name]]
        elif name == "test_loss":
            short[name] = [f"{value:.4f}" for value in short[name]]
        else:
            short[name] = [str(value) for value in short[name]]
    return short


def spread(table: pd.DataFrame) -> list[str]:
    """Return mean and standard deviation over the seeds, for runs that differ in nothing else."""
    settings = [name for name in table if name not in (*_MEASURES, "seed")]
    lines = []
    keys = [str(row) for row in table[settings].to_numpy().tolist()]
    for _, runs in table.groupby(keys, sort=False):
        if len(set(runs["seed"])) > 1:
            percent = 100 * runs["test_accuracy"]
            names = ", ".join(map(str, runs.index[:3])) + (", ..." if len(runs) > 3 else "")
            lines.append(
                f"\ntest accuracy: {percent.mean():.2f} ± {percent.std():.2f} %"
                f" (mean ± sd) over {len(runs)} seeds: {names}"
            )
    return lines


def _latex(table: pd.DataFrame) -> str:
    """Format a table for LaTeX; the characters that have a meaning there are escaped."""
    special = {character: f"\\{character}" for character in "_%&#$"}
    cells = [[*map(str, table.reset_index().columns)], *table.reset_index().astype(str).to_numpy().tolist()]
    lines = [" & ".join("".join(special.get(c, c) for c in cell) for cell in row) + r" \\" for row in cells]
    columns = "l" * len(cells[0])
    body = [lines[0], r"\midrule", *lines[1:]]
    return "\n".join([f"\\begin{{tabular}}{{{columns}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"])


def _plot(file: Path, runs: tuple[str, ...]) -> None:
    import pandas as pd

    from ..plots import plot_comparison
    from ..plots.display import to_png
    from ..plots.style import default_style
    from ..storage import write_file

    histories = {run: pd.read_csv(Path(run) / "history.csv") for run in runs}
    with default_style():
        write_file(file, to_png(plot_comparison(histories)))
