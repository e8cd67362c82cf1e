"""The house of docs/architecture.md, whose rules stand in pyproject.toml."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint(sources: Path) -> subprocess.CompletedProcess[str]:
    """Check the package in a folder of sources by the rules of the project."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_room_imports_only_from_rooms_below_it() -> None:
    result = lint(ROOT / "src")
    assert result.returncode == 0, result.stdout
    assert "2 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("room", "imported"),
    [
        ("storage", "models"),
        ("models/lenet5", "data"),
        ("data/loader", "metrics"),
        ("metrics/plots", "training.history"),
        ("weights/catalogue", "training"),
        ("training/trainer", "runs"),
        ("training/trainer", "models.lenet5"),
        ("runs", "cli"),
        ("benchmark/measure", "runs"),
    ],
)
def test_an_import_from_above_or_beside_is_found(tmp_path: Path, room: str, imported: str) -> None:
    shutil.copytree(ROOT / "src" / "lenet5", tmp_path / "lenet5", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "lenet5" / f"{room}.py").open("a") as file:
        file.write(f"\nimport lenet5.{imported}\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    assert "1 broken" in result.stdout


def test_a_room_that_no_floor_names_is_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "lenet5", tmp_path / "lenet5", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "lenet5" / "utils.py").write_text('"""A room with no floor."""\n')
    result = lint(tmp_path)
    assert result.returncode == 1
    assert "utils" in result.stdout


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert command.startswith("pip install ")
    assert f"```sh\n{command}\n```" in (ROOT / "README.md").read_text()


def test_no_room_reads_pickles_and_only_the_command_line_prints() -> None:
    pickles = re.compile(r"import (pickle|joblib|dill)|torch\.(load|save)\(|weights_only *= *False|allow_pickle")
    prints = re.compile(r"\bprint\(|\blogging\b")
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        assert not pickles.search(text), path
        assert not prints.search(text), path
