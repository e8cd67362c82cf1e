"""What is shown of a run: a table, its Markdown and a picture."""

from __future__ import annotations

import io
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .. import storage
from ..models import fused

COLUMNS = ["measure", "candidate", "unit", "statistic", "value", "low", "high", "sd", "runs", "epochs", "accuracy"]
COLUMNS += ["ratio", "share", "device"]
_TITLES = {  # of a measure: its title, its unit in the table, its unit on paper, and how many of these the former is
    "training": ("Training", "images/s", "images/s", 1),
    "inference": ("Inference in batches", "images/s", "images/s", 1),
    "latency": ("Inference of one image", "s", "µs", 1e6),
    "memory": ("Peak memory of the process", "bytes", "MiB", 2**-20),
}


@dataclass(frozen=True)
class Report:
    """The result of a run.

    Parameters
    ----------
    table
        A row for each candidate and measure; the columns are COLUMNS. `value` is a median over rounds with the
        quartiles `low` and `high`, or a mean over seeds with the standard deviation `sd`, and is missing where an
        accuracy was not reached. `ratio` is how many times as fast as PyTorch in memory it is, `share` the part of the
        FLOP a second of a large matrix product.
    absent
        Of each candidate that was not measured the reason.
    environment
        Hardware and versions.
    """

    table: pd.DataFrame
    absent: dict[str, str]
    environment: dict[str, Any]

    @classmethod
    def of_rows(cls, rows: Sequence[dict[str, Any]], absent: dict[str, str], environment: dict[str, Any]) -> Report:
        """Make a report of rows that have some of the columns."""
        table = pd.DataFrame([_described(row) for row in rows], columns=COLUMNS)
        return cls(table.astype({"epochs": "Int64", "runs": "Int64"}), absent, environment)

    def __str__(self) -> str:
        """Return the report as Markdown that can be read as it is."""
        parts = [_markdown(self._shown(measure)) for measure in self.table["measure"].unique()]
        absent = [f"- {candidate}: {reason}" for candidate, reason in self.absent.items()]
        lines = [f"- {name}: {value}" for name, value in self._environment().items()]
        return "\n\n".join(["\n".join(lines), *parts, *(["Not measured:\n\n" + "\n".join(absent)] if absent else [])])

    def plot(self) -> Figure:
        """Draw a panel of bars for each measure; the whiskers are quartiles, or a standard deviation to either side."""
        measures = list(self.table["measure"].unique())
        height = 0.32 * self.table["candidate"].nunique() + 0.9
        figure = Figure(figsize=(13.5, 0.6 + height * -(-len(measures) // 2)), layout="constrained")
        panels = figure.subplots(max(-(-len(measures) // 2), 1), 2, squeeze=False).flatten()
        for panel, measure in zip(panels, measures, strict=False):
            _draw(panel, measure, self.table[self.table["measure"] == measure])
        for panel in panels[len(measures) :]:
            panel.axis("off")
        environment = self._environment()
        figure.suptitle(f"LeNet-5 on {environment['processor']}, {environment['computes on']}", fontsize=11)
        return figure

    def write(self, folder: Path) -> None:
        """Write results.csv, report.md, environment.json and benchmark.png."""
        folder.mkdir(parents=True, exist_ok=True)
        picture = io.BytesIO()
        self.plot().savefig(picture, dpi=120)
        storage.write_file(folder / "results.csv", self.table.to_csv(index=False, lineterminator="\n").encode())
        storage.write_file(folder / "report.md", f"# Benchmark of LeNet-5\n\n{self}\n".encode())
        storage.write_json(folder / "environment.json", self.environment | {"absent": self.absent})
        storage.write_file(folder / "benchmark.png", picture.getvalue())

    def _environment(self) -> dict[str, Any]:
        """Return hardware and versions, each in a line."""
        versions = ", ".join(f"{name} {version}" for name, version in self.environment["versions"].items())
        return self.environment | {"versions": versions}

    def _shown(self, measure: str) -> pd.DataFrame:
        """Return the rows of a measure as text, without the columns that say nothing."""
        rows = self.table[self.table["measure"] == measure]
        title, _, unit, scale = _title(measure)
        shown = {
            title: rows["candidate"],
            unit: _texts(rows["value"] * scale, _number, missing="not reached"),
            "lower quartile": _texts(rows["low"] * scale, _number),
            "upper quartile": _texts(rows["high"] * scale, _number),
            "sd": _texts(rows["sd"] * scale, _number),
            "epochs": _texts(rows["epochs"], str),
            "test accuracy": _texts(rows["accuracy"], "{:.2%}".format),
            "times PyTorch": _texts(rows["ratio"], "{:.2f}".format),
            "of sgemm": _texts(rows["share"], "{:.1%}".format),
            "runs": _texts(rows["runs"], str),
            "on": _texts(rows["device"], str),
        }
        frame = pd.DataFrame(shown)
        return frame.loc[:, (frame != "").any()]


def hardware(device: str) -> dict[str, Any]:
    """Return what a run was computed on, and by which Python.

    Parameters
    ----------
    device
        As torch spells it.
    """
    on_cpu = torch.device(device).type == "cpu"
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "computes on": f"the CPU, threads: {torch.get_num_threads()}" if on_cpu else name,
        "lenet5 computes C1 to S4": "in one pass" if on_cpu and fused.library() else "layer by layer",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }


def _processor() -> str:
    """Return the processor's name, or at least its kind."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _title(measure: str) -> tuple[str, str, str, float]:
    return _TITLES.get(measure, (f"{measure[0].upper()}{measure[1:]} test accuracy", "s", "s", 1))


def _described(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its unit, and with what its value is."""
    statistic = {"memory": "highest"}.get(row["measure"], "mean" if "accuracy" in row else "median")
    return row | {"unit": _title(row["measure"])[1], "statistic": statistic}


def _texts(column: pd.Series[Any], text: Callable[[Any], str], missing: str = "") -> list[str]:
    return [missing if pd.isna(value) else text(value) for value in column]


def _number(value: float) -> str:
    """Return three significant digits, and all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _markdown(frame: pd.DataFrame) -> str:
    """Return a table of texts as Markdown, padded, the first column to the left and the others to the right."""
    columns = [[str(name), *frame[name]] for name in frame]
    widths = [max(map(len, column)) for column in columns]
    rows = [
        [text.ljust(width) if number == 0 else text.rjust(width) for number, (text, width) in enumerate(pairs)]
        for pairs in (list(zip(row, widths, strict=True)) for row in zip(*columns, strict=True))
    ]
    rule = ["-" * width if number == 0 else "-" * (width - 1) + ":" for number, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def _draw(panel: Axes, measure: str, rows: pd.DataFrame) -> None:
    """Draw the bars of a measure, the first candidate at the top and this package's in another colour."""
    title, _, unit, scale = _title(measure)
    values = (rows["value"] * scale).fillna(0).to_numpy()
    below = (rows["value"] - rows["low"]).fillna(rows["sd"]).fillna(0).to_numpy(float) * scale
    above = (rows["high"] - rows["value"]).fillna(rows["sd"]).fillna(0).to_numpy(float) * scale
    colours = ["C1" if name.startswith("lenet5") else "C0" for name in rows["candidate"]]
    bars = panel.barh(rows["candidate"], values, color=colours, xerr=[below, above], ecolor="0.3")
    texts = _texts(rows["value"] * scale, _number, missing="not reached")
    if rows["epochs"].notna().any():
        counts = [f"{epochs} epoch{'' if epochs == 1 else 's'}" for epochs in rows["epochs"]]
        texts = [f"{text} ({count})" for text, count in zip(texts, counts, strict=True)]
    panel.bar_label(bars, texts, padding=4, fontsize=8)
    panel.set(title=f"{title} ({unit}, {'more' if unit == 'images/s' else 'less'} is better)")
    panel.title.set_fontsize(9)
    panel.tick_params(labelsize=8)
    panel.margins(x=0.4 if rows["epochs"].notna().any() else 0.2)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.invert_yaxis()
    panel.spines[["top", "right"]].set_visible(False)
