"""Tables as text: for terminals, LaTeX and Markdown."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ..storage import shown

if TYPE_CHECKING:
    import pandas as pd

_HEADERS = {
    "saved_epoch": "saved epoch",
    "val_accuracy": "validation accuracy (%)",
    "test_accuracy": "test accuracy (%)",
    "test_loss": "test loss",
    "test_ece": "test ECE (%)",
}
_DECIMALS = {"val_accuracy": (100, 2), "test_accuracy": (100, 2), "test_loss": (1, 4), "test_ece": (100, 2)}


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of runs or groups as it is printed.

    Accuracies are in percent, and rounded. A mean is written with its standard deviation. Columns without any value
    are left out.
    """
    import pandas as pd

    named = table.reset_index() if table.index.name is not None else table
    columns: dict[str, list[str]] = {}
    for name in map(str, named.columns):
        if name.removesuffix("_sd") in _DECIMALS and name.endswith("_sd"):
            continue
        if name in _DECIMALS:
            values = named[name].astype(float)
            if values.isna().all():
                continue
            scale, decimals = _DECIMALS[name]
            spread = named.get(f"{name}_sd", pd.Series([float("nan")] * len(named))).astype(float)
            columns[_HEADERS[name]] = [
                _number(scale * mean, scale * sd, decimals) for mean, sd in zip(values, spread, strict=True)
            ]
        else:
            columns[_HEADERS.get(name, shown(name))] = [shown(value) for value in named[name]]
    return pd.DataFrame(columns)


def _number(mean: float, sd: float, decimals: int) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.{decimals}f}" if math.isnan(sd) else f"{mean:.{decimals}f} ± {sd:.{decimals}f}"


def to_text(table: pd.DataFrame) -> str:
    """Return a table of runs or groups for a terminal."""
    return formatted(table).to_string(index=False)


def to_latex(table: pd.DataFrame) -> str:
    r"""Return a table of runs or groups for LaTeX, with the rules of the package booktabs.

    Parameters
    ----------
    table
        As returned by `run_table`, `differences` or `summarise`. Any other table is printed as it is.

    Returns
    -------
    str
        The environment `tabular`. Characters with a meaning in LaTeX are escaped. Numbers are aligned to the right.

    Examples
    --------
    >>> summary = lenet5.runs.summarise(lenet5.runs.run_table("seeds"))
    >>> text = lenet5.runs.to_latex(summary)
    >>> text.splitlines()[1]
    '\\toprule'
    """
    short = formatted(table)
    numeric = re.compile(r"-|[-+.\d]+( ± [.\d]+)?")
    columns = "".join("r" if all(map(numeric.fullmatch, short[name])) else "l" for name in short)
    style = short.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    return str(style.to_latex(hrules=True, column_format=columns)).replace("±", r"$\pm$")


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table of runs or groups for Markdown, as GitHub renders it.

    Parameters
    ----------
    table
        As for `to_latex`.

    Examples
    --------
    >>> import pandas as pd
    >>> print(lenet5.runs.to_markdown(pd.DataFrame({"recipe": ["fast"], "test_accuracy": [0.9901]})))
    | recipe | test accuracy (%) |
    | --- | --- |
    | fast | 99.01 |
    <BLANKLINE>
    """
    short = formatted(table)
    rows = [[_escaped(cell) for cell in row] for row in [list(short.columns), *short.to_numpy().tolist()]]
    rows.insert(1, ["---"] * len(short.columns))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)
