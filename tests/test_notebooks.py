"""The notebooks are stored so that they open everywhere, and so that a change of them is easy to read."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from IPython.core import inputtransformer2

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def code_cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (cell for cell in notebook["cells"] if cell["cell_type"] == "code")


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


@pytest.fixture(params=NOTEBOOKS)
def text(request: pytest.FixtureRequest) -> str:
    return (FOLDER / f"{request.param}.ipynb").read_text(encoding="utf-8")


@pytest.fixture
def notebook(text: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(text)
    return content


def test_every_notebook_is_valid(notebook: dict[str, Any]) -> None:
    nbformat.validate(notebook)


def test_every_notebook_is_written_as_jupyter_writes_it(text: str, notebook: dict[str, Any]) -> None:
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def test_no_notebook_holds_outputs_or_anything_else_of_one_execution(notebook: dict[str, Any]) -> None:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook["metadata"] == {"kernelspec": kernel, "language_info": {"name": "python"}}
    assert all(cell["metadata"] == {} for cell in notebook["cells"])
    for cell in code_cells(notebook):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_the_identifiers_of_cells_are_names_that_last(notebook: dict[str, Any]) -> None:
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() for name in names)


def test_the_code_of_every_cell_compiles(notebook: dict[str, Any]) -> None:
    python: Any = inputtransformer2  # which has no types
    for cell in code_cells(notebook):
        code = python.TransformerManager().transform_cell(source(cell))  # which may have commands, such as `%run`
        compile(code, cell["id"], "exec")


def test_every_notebook_begins_with_a_title_and_says_how_to_install(notebook: dict[str, Any]) -> None:
    title, install = notebook["cells"][:2]
    assert title["cell_type"] == "markdown"
    assert source(title).startswith("# ")
    assert "%pip install lenet5-VERSION-PLATFORM.whl" in source(install)


def test_every_notebook_ends_with_exercises(notebook: dict[str, Any]) -> None:
    assert source(notebook["cells"][-1]).startswith("## Exercises\n\n1. ")


def test_the_errors_on_mnist_in_the_notebook_of_1998_are_those_of_the_committed_results() -> None:
    notebook = json.loads((FOLDER / "network_of_1998.ipynb").read_text(encoding="utf-8"))
    lines = [line for cell in code_cells(notebook) for line in ast.parse(source(cell)).body]
    given = {
        line.targets[0].id: [float(number) for number in ast.literal_eval(line.value).split()]
        for line in lines
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
        if line.targets[0].id.endswith(("ERRORS", "SIZES"))
    }

    def mean_errors(name: str, column: str) -> pd.DataFrame:
        results = pd.read_csv(ROOT / "benchmarks" / "results" / f"mnist_1998_{name}.csv").groupby(column).mean()
        return (100 * (1 - results[["train_accuracy", "test_accuracy"]])).round(2)

    passes, sizes = mean_errors("passes", "epoch"), mean_errors("sizes", "size")
    assert given == {
        "TRAIN_ERRORS": passes["train_accuracy"].tolist(),
        "TEST_ERRORS": passes["test_accuracy"].tolist(),
        "SIZES": sizes.index.tolist(),
        "SIZES_TRAIN_ERRORS": sizes["train_accuracy"].tolist(),
        "SIZES_TEST_ERRORS": sizes["test_accuracy"].tolist(),
    }
