"""The results of a run as a table, as Markdown and as a figure."""

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lenet5.models import kernels
from lenet5.plots import Figure

COLUMNS = ["measure", "candidate", "unit", "statistic", "value", "low", "high", "sd", "runs", "epochs", "accuracy"]
COLUMNS += ["ratio", "share", "device"]
_TITLES = {  # measure -> title, unit in the CSV file, unit in the report, conversion factor
    "training": ("Training", "images/s", "images/s", 1),
    "inference": ("Inference in batches", "images/s", "images/s", 1),
    "latency": ("Inference of one image", "s", "µs", 1e6),
    "memory": ("Peak memory of the process", "bytes", "MiB", 2**-20),
}


@dataclass(frozen=True)
class Report:
    """The results of a run.

    Parameters
    ----------
    table
        One row per candidate and measure, with the columns COLUMNS. `value` is a median over rounds with the quartiles
        `low` and `high`, or a mean over seeds with the standard deviation `sd`. It is missing if an accuracy was not
        reached. `ratio` is the speed relative to PyTorch in memory, limited to the same instruction set. `share` is
        the fraction of the FLOP/s of a large float32 matrix product.
    absent
        For each candidate that was not measured, the reason.
    environment
        Hardware and versions.
    """

    table: pd.DataFrame
    absent: dict[str, str]
    environment: dict[str, Any]

    @classmethod
    def from_rows(cls, rows: Sequence[dict[str, Any]], absent: dict[str, str], environment: dict[str, Any]) -> Self:
        """Create a report from rows that have some of the columns."""
        table = pd.DataFrame([_complete(row) for row in rows], columns=COLUMNS)
        return cls(table.astype({"epochs": "Int64", "runs": "Int64"}), absent, environment)

    def __str__(self) -> str:
        """Format the report as Markdown with aligned columns."""
        parts = [_markdown(self._formatted(measure)) for measure in self.table["measure"].unique()]
        absent = [f"- {candidate}: {reason}" for candidate, reason in self.absent.items()]
        lines = [f"- {name}: {value}" for name, value in self._environment().items()]
        return "\n\n".join(["\n".join(lines), *parts, *(["Not measured:\n\n" + "\n".join(absent)] if absent else [])])

    def plot(self, measures: Sequence[str] | None = None) -> Figure:
        """Plot one panel of bars per measure; error bars show the quartiles, or ± one standard deviation."""
        names = list(self.table["measure"].unique()) if measures is None else measures
        panels = [self.table[self.table["measure"] == name] for name in names]
        figure = Figure(figsize=(6, 0.6 + sum(0.5 + 0.42 * len(rows) for rows in panels)), layout="constrained")
        heights = [1 + len(rows) for rows in panels]
        for axes, name, rows in zip(
            figure.subplots(max(len(panels), 1), 1, squeeze=False, height_ratios=heights or [1]).flat,
            names,
            panels,
            strict=False,
        ):
            _plot_bars(axes, name, rows)
        environment = self._environment()
        figure.suptitle(f"LeNet-5 on {environment['processor']}\n{environment['computes on']}", fontsize=10)
        return figure

    def write(self, folder: Path) -> None:
        """Write results.csv, report.md, environment.json and benchmark.png."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(folder / "results.csv", index=False, lineterminator="\n")
        (folder / "report.md").write_text(f"# Benchmark of LeNet-5\n\n{self}\n", encoding="utf-8")
        environment = json.dumps(self.environment | {"absent": self.absent}, indent=2)
        (folder / "environment.json").write_text(environment + "\n", encoding="utf-8")
        self.plot().savefig(folder / "benchmark.png", dpi=120)

    def _environment(self) -> dict[str, Any]:
        """Return hardware and versions, one line each."""
        versions = ", ".join(f"{name} {version}" for name, version in self.environment["versions"].items())
        return self.environment | {"versions": versions}

    def _formatted(self, measure: str) -> pd.DataFrame:
        """Return the rows of a measure as text, without empty columns."""
        rows = self.table[self.table["measure"] == measure]
        title, _, unit, scale = _title(measure)
        columns = {
            title: rows["candidate"],
            unit: _texts(rows["value"] * scale, _rounded, missing="not reached"),
            "lower quartile": _texts(rows["low"] * scale, _rounded),
            "upper quartile": _texts(rows["high"] * scale, _rounded),
            "sd": _texts(rows["sd"] * scale, _rounded),
            "epochs": _texts(rows["epochs"], str),
            "test accuracy": _texts(rows["accuracy"], "{:.2%}".format),
            "times PyTorch": _texts(rows["ratio"], "{:.2f}".format),
            "of sgemm": _texts(rows["share"], "{:.1%}".format),
            "runs": _texts(rows["runs"], str),
            "on": _texts(rows["device"], str),
        }
        frame = pd.DataFrame(columns)
        return frame.loc[:, (frame != "").any()]


def hardware(device: str) -> dict[str, Any]:
    """Describe the processor, the device, the system and the Python version of a run."""
    on_cpu = torch.device(device).type == "cpu"
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "computes on": f"the CPU, threads: {torch.get_num_threads()}" if on_cpu else name,
        "kernels of lenet5": kernels.library.description() if on_cpu else "none on this device",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }


def _processor() -> str:
    """Return the name of the processor, or its architecture if the name is unknown."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _title(measure: str) -> tuple[str, str, str, float]:
    return _TITLES.get(measure, (f"{measure[0].upper()}{measure[1:]} test accuracy", "s", "s", 1))


def _complete(row: dict[str, Any]) -> dict[str, Any]:
    """Add the unit and the statistic to a row."""
    statistic = {"memory": "highest"}.get(row["measure"], "mean" if "accuracy" in row else "median")
    return row | {"unit": _title(row["measure"])[1], "statistic": statistic}


def _texts(column: Iterable[Any], text: Callable[[Any], str], missing: str = "") -> list[str]:
    return [missing if pd.isna(value) else text(value) for value in column]


def _rounded(value: float) -> str:
    """Format a number with three significant digits, and all digits before the decimal point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _markdown(frame: pd.DataFrame) -> str:
    """Format a table of texts as Markdown with aligned columns: the first to the left, the others to the right."""
    columns = [[str(name), *frame[name]] for name in frame]
    widths = [max(map(len, column)) for column in columns]
    rows = [
        [text.ljust(width) if number == 0 else text.rjust(width) for number, (text, width) in enumerate(pairs)]
        for pairs in (list(zip(row, widths, strict=True)) for row in zip(*columns, strict=True))
    ]
    rule = ["-" * width if number == 0 else "-" * (width - 1) + ":" for number, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def _plot_bars(panel: Axes, measure: str, rows: pd.DataFrame) -> None:
    """Plot the bars of a measure, the first candidate at the top and this package in a different colour.

    Names are above the bars, so that the figure is readable in a narrow column.
    """
    title, _, unit, scale = _title(measure)
    values = (rows["value"] * scale).fillna(0).to_numpy()
    below = (rows["value"] - rows["low"]).fillna(rows["sd"]).fillna(0).to_numpy(float) * scale
    above = (rows["high"] - rows["value"]).fillna(rows["sd"]).fillna(0).to_numpy(float) * scale
    colours = ["C1" if name.startswith("lenet5") else "C0" for name in rows["candidate"]]
    bars = panel.barh(range(len(rows)), values, 0.4, color=colours, xerr=[below, above], ecolor="0.3")
    texts = _texts(rows["value"] * scale, _rounded, missing="not reached")
    if rows["epochs"].notna().any():
        counts = [f"{epochs} epoch{'' if epochs == 1 else 's'}" for epochs in rows["epochs"]]
        texts = [f"{text} ({count})" for text, count in zip(texts, counts, strict=True)]
    panel.bar_label(bars, texts, padding=4, fontsize=9)
    for row, name in enumerate(rows["candidate"]):
        panel.annotate(name, (0, row - 0.22), (3, 1), textcoords="offset points", fontsize=9)
    panel.set_title(f"{title} ({unit}, {'higher' if unit == 'images/s' else 'lower'} is better)", fontsize=10)
    panel.set_yticks([])
    panel.set_ylim(len(rows) - 0.6, -0.9)
    panel.tick_params(labelsize=9)
    panel.margins(x=0.4 if rows["epochs"].notna().any() else 0.2)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.spines[["top", "right"]].set_visible(False)
