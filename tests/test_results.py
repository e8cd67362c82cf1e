"""The pages say what the raw results and the commands say."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lenet5.cli import main

ROOT = Path(__file__).parents[1]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_results_page_is_what_the_raw_results_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))  # where a script finds its neighbours
    page = script("results_page")
    monkeypatch.setattr(page, "PAGE", tmp_path / "results.md")
    page.main()
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == (ROOT / "docs/results.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("command", [[], *([name] for name in sorted(main.commands))])
def test_the_reference_quotes_the_help_of_every_command(command: list[str]) -> None:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    environment = {**os.environ, "COLUMNS": "120"}
    program = [sys.executable, "-m", "lenet5", *command, "--help"]
    assert subprocess.run(program, capture_output=True, text=True, check=True, env=environment).stdout in page
