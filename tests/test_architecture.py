"""The rooms of docs/architecture.md obey the contracts in pyproject.toml."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FROM_ABOVE = [
    ("storage", "import lenet5.models"),
    ("plots/curves", "import lenet5.metrics.report"),
    ("models/lenet5", "import lenet5.data"),
    ("data/loader", "import lenet5.metrics"),
    ("metrics/report", "import lenet5.training.history"),
    ("runtime/device", "import lenet5.inference"),
    ("photo/digit", "import lenet5.inference"),
    ("weights/catalogue", "import lenet5.training"),
    ("training/trainer", "import lenet5.runs"),
    ("instruments/profiler", "import lenet5.recipes.catalogue"),
    ("runs/run", "import lenet5.cli"),
]
CYCLES = [
    ("training/state", "from .trainer import Trainer"),
    ("training/callbacks", "if TYPE_CHECKING:\n    from .loop import Loop"),
    ("models/original/layers", "from .network import LeNet5Original"),
    ("data/datasets", "def late() -> None:\n    from .sources import as_source"),
]
NETWORKS = [
    ("training/trainer", "from ..models.lenet5 import LeNet5"),
    ("training/loop", "from ..models.original.losses import MAPLoss"),
    ("training/optimization", "from ..models import SDLM"),
    ("inference", "from .models.kernels import library"),
]
SOURCES = sorted((ROOT / "src" / "lenet5").rglob("*.py"))


def lint(sources: Path) -> subprocess.CompletedProcess[str]:
    """Check the package in a folder of sources by the project's contracts."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        check=False,
    )


def lint_with(folder: Path, lines: list[tuple[str, str]]) -> str:
    """Check a copy of the package with one more line at the end of each named module; return the report."""
    shutil.copytree(ROOT / "src" / "lenet5", folder / "lenet5", ignore=shutil.ignore_patterns("__pycache__"))
    for module, line in lines:
        with (folder / "lenet5" / f"{module}.py").open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    result = lint(folder)
    assert result.returncode == 1
    return re.sub(r"\s+", " ", result.stdout)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report on a copy of the package with every import from above and every network planted in it."""
    return lint_with(tmp_path_factory.mktemp("planted"), [*FROM_ABOVE, *NETWORKS])


def test_package_obeys_all_contracts() -> None:
    result = lint(ROOT / "src")
    assert result.returncode == 0, result.stdout
    assert "3 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(("module", "line"), FROM_ABOVE)
def test_layers_contract_rejects_an_import_from_above_or_beside(planted: str, module: str, line: str) -> None:
    assert "A room imports only from rooms below it BROKEN" in planted
    importer, imported = module.replace("/", "."), line.removeprefix("import ")
    assert re.search(rf"lenet5\.{importer} -> {imported} \(l\.", planted)


@pytest.mark.parametrize(("module", "line"), CYCLES)
def test_cycle_contract_rejects_a_cycle_within_a_room(tmp_path: Path, module: str, line: str) -> None:
    report = lint_with(tmp_path, [(module, line)])
    assert "No cycles, within rooms either BROKEN" in report
    assert "2 kept, 1 broken" in report


@pytest.mark.parametrize(("module", "line"), NETWORKS)
def test_training_contract_rejects_a_network(planted: str, module: str, line: str) -> None:
    assert "of models it imports pretrained alone BROKEN" in planted
    imported = re.sub(r"from \.+([\w.]+) import.*", r"lenet5.\1", line)
    assert re.search(rf"lenet5\.{module.replace('/', '.')} -> {imported}[\w.]* \(l\.", planted)


def test_layers_contract_rejects_a_room_without_a_floor(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "lenet5", tmp_path / "lenet5", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "lenet5" / "utils.py").write_text('"""A room without a floor."""\n', encoding="utf-8")
    result = lint(tmp_path)
    assert result.returncode == 1
    assert "utils" in result.stdout


def test_architecture_page_lists_the_rooms_of_the_layers_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    rooms = {
        (len(layers) - 1 - position, room.strip())
        for position, layer in enumerate(layers)
        for room in layer.split("|")
        if room != "__main__"
    }
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \| `(\w+)` \| \S", page, re.MULTILINE)
    assert {(int(floor), room) for floor, room in listed} == rooms
    assert len(listed) == len(rooms)


def test_only_rooms_above_training_import_the_public_face() -> None:
    for path in SOURCES:
        imports = [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Import)
        ]
        if any(alias.name == "lenet5" for node in imports for alias in node.names):
            assert path.relative_to(ROOT / "src" / "lenet5").parts[0] in {"cli", "recipes"}, path


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert command.startswith("pip install ")
    assert f"```sh\n{command}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_module_reads_pickles_and_only_the_command_line_prints() -> None:
    pickles = re.compile(r"import (pickle|joblib|dill)|torch\.(load|save)\(|weights_only *= *False|allow_pickle")
    prints = re.compile(r"\bprint\(|\blogging\b")
    for path in SOURCES:
        text = re.sub(r"(?m)^ *(>>>|\.\.\.) .*", "", path.read_text(encoding="utf-8"))  # examples may print
        assert not pickles.search(text), path
        assert not prints.search(text), path


def test_progress_bars_come_from_one_place_that_knows_notebooks() -> None:
    importers = [path.name for path in SOURCES if re.search(r"(import|from) tqdm", path.read_text(encoding="utf-8"))]
    assert importers == ["notebook.py"]


def test_no_file_exceeds_300_lines() -> None:
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]
    }
    assert {path.name: length for path, length in lengths.items() if length > 300} == {}
