"""The pages agree with the raw results and with the command line."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lenet5.cli import main

ROOT = Path(__file__).parents[1]


def import_script(name: str) -> ModuleType:
    """Import a script of benchmarks."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_results_page_is_generated_from_the_raw_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    script = import_script("results_page")
    monkeypatch.setattr(script, "PAGE", tmp_path / "results.md")
    script.main()
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("command", [[], *([name] for name in sorted(main.commands))])
def test_reference_quotes_the_help_of_each_command(command: list[str]) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    environment = {**os.environ, "COLUMNS": "120"}
    program = [sys.executable, "-m", "lenet5", *command, "--help"]
    assert subprocess.run(program, capture_output=True, text=True, check=True, env=environment).stdout in page
