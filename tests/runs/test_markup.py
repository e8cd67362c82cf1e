"""Tables as text: rounded, with units in their headers, and without a character that the format would interpret."""

import re
from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from lenet5.runs import run_table, summarise, to_latex, to_markdown

TABLE = pd.DataFrame(
    {
        "model.pooling": ["max", "avg"],
        "seeds": [5, 1],
        "val_accuracy": [None, None],
        "val_accuracy_sd": [None, None],
        "test_accuracy": [0.97654, 0.9],
        "test_accuracy_sd": [0.00123, None],
        "test_loss": [0.123456, None],
    }
)
HOSTILE = "a_b|c&d%$#{}~^\\<script>*[x](y)\n\t\0"


def test_latex_is_a_booktabs_table_with_numbers_to_the_right() -> None:
    assert to_latex(TABLE).splitlines() == [
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"model.pooling & seeds & test accuracy (\%) & test loss \\",
        r"\midrule",
        r"max & 5 & 97.65 $\pm$ 0.12 & 0.1235 \\",
        r"avg & 1 & 90.00 & - \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_markdown_is_a_pipe_table() -> None:
    assert to_markdown(TABLE).splitlines() == [
        "| model.pooling | seeds | test accuracy (%) | test loss |",
        "| --- | --- | --- | --- |",
        "| max | 5 | 97.65 ± 0.12 | 0.1235 |",
        "| avg | 1 | 90.00 | - |",
    ]


def test_characters_with_a_meaning_are_escaped() -> None:
    table = pd.DataFrame({HOSTILE: [HOSTILE]})
    latex = to_latex(table).splitlines()
    assert len(latex) == 7
    assert latex[2] == latex[4]
    assert r"a\_b|c\&d\%\$\#\{\}\textasciitilde \textasciicircum \textbackslash " in latex[2]
    markdown = to_markdown(table).splitlines()
    assert len(markdown) == 3
    assert re.findall(r"(?<!\\)[*<>_`]", markdown[2]) == []
    assert re.findall(r"(?<!\\)\|", markdown[2]) == ["|", "|"]


@given(cells=st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_any_text_stays_in_its_cell(cells: list[str]) -> None:
    table = pd.DataFrame({"name": cells, "other": "x"})
    assert all(line.endswith(r" & x \\") for line in to_latex(table).splitlines()[4:-2])
    lines = to_markdown(table).splitlines()
    assert len(lines) == 2 + len(cells)
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines} == {3}


def test_table_of_runs_is_printed_with_their_names(runs: Path) -> None:
    table = run_table(runs / "max" / "seed-9")
    assert to_markdown(table).startswith("| run | data | recipe | seed | ")
    assert to_markdown(summarise(table)).startswith("| seeds | validation accuracy (%) | test accuracy (%) |")
