"""The build hook: hatch_build.py compiles the kernels, and shows the compiler's output if it fails."""

import importlib.util
import platform
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

SCRIPT = Path(__file__).parents[3] / "hatch_build.py"
HAS_COMPILER = (
    sys.platform == "linux" and platform.machine() == "x86_64" and (shutil.which("cc") or shutil.which("gcc"))
)
GOOD, BROKEN = "int answer(void) { return 42; }\n", "int answer(void) { return missing; }\n"

Config = TypeVar("Config")

needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="kernels are built on Linux with x86-64 and a C compiler")


class App:
    """Stand-in for hatchling's application, which prints the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, message: str) -> None:
        self.warnings.append(message)


class Interface(Generic[Config]):
    """Stand-in for hatchling's BuildHookInterface, which the tests do not install."""

    def __init__(self, root: Path, app: App) -> None:
        self.root, self.app = str(root), app


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Import hatch_build.py."""
    interface = types.ModuleType("interface")
    monkeypatch.setattr(interface, "BuildHookInterface", Interface, raising=False)
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    spec = importlib.util.spec_from_file_location("hatch_build", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(script: types.ModuleType, root: Path, sources: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Run the hook on C sources; return hatchling's build data and the warnings."""
    folder = root / script.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        (folder / f"{name}.c").write_text(source, encoding="utf-8")
    app, build_data = App(), {"artifacts": [], "pure_python": True, "tag": None}
    script.Kernels(root, app).initialize("standard", build_data)
    return build_data, app.warnings


def libraries_in(root: Path, folder: Path) -> list[str]:
    return sorted(str(folder / library.name) for library in (root / folder).glob("*.so"))


@needs_compiler
def test_both_libraries_are_added_to_the_wheel(script: types.ModuleType, tmp_path: Path) -> None:
    build_data, warnings = build(script, tmp_path, {"lenet5": GOOD, "original": GOOD})
    libraries = libraries_in(tmp_path, script.FOLDER)
    assert [library.rpartition("-")[0] for library in libraries] == [
        str(script.FOLDER / f"lib{name}") for name in ("lenet5", "original")
    ]
    assert build_data == {"artifacts": libraries, "pure_python": False, "tag": "py3-none-linux_x86_64"}
    assert not list(tmp_path.rglob("*.o"))
    assert warnings == []


@needs_compiler
@pytest.mark.parametrize("name", ["lenet5", "original"])
def test_failed_compilation_shows_the_output_of_the_compiler(
    script: types.ModuleType, tmp_path: Path, name: str
) -> None:
    sources = {"lenet5": GOOD, "original": GOOD, name: BROKEN}
    build_data, (warning,) = build(script, tmp_path, sources)
    (other,) = {"lenet5", "original"} - {name}
    assert build_data["artifacts"] == libraries_in(tmp_path, script.FOLDER)
    assert f"lib{other}-" in build_data["artifacts"][0]
    assert f"{name}.c -o " in warning
    assert " failed:\n" in warning
    assert "missing" in warning.split(" failed:\n")[1]
    assert not list(tmp_path.rglob("*.o"))


@needs_compiler
def test_wheel_without_kernels_stays_pure(script: types.ModuleType, tmp_path: Path) -> None:
    build_data, warnings = build(script, tmp_path, {"lenet5": BROKEN, "original": BROKEN})
    assert build_data == {"artifacts": [], "pure_python": True, "tag": None}
    assert len(warnings) == 2


@needs_compiler
def test_libraries_of_earlier_sources_are_replaced(script: types.ModuleType, tmp_path: Path) -> None:
    names = {"lenet5": GOOD, "original": GOOD}
    (first, second) = (build(script, tmp_path, names | {"lenet5": GOOD + comment})[0] for comment in ("", "/* new */"))
    assert set(first["artifacts"]).isdisjoint(second["artifacts"])
    assert libraries_in(tmp_path, script.FOLDER) == second["artifacts"]


@pytest.mark.parametrize("missing", ["compiler", "Linux", "x86-64"])
def test_nothing_is_compiled_where_kernels_are_not_supported(
    script: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    changes = {
        "compiler": (shutil, "which", lambda _: None),
        "Linux": (sys, "platform", "darwin"),
        "x86-64": (platform, "machine", lambda: "aarch64"),
    }
    target, name, value = changes[missing]
    monkeypatch.setattr(target, name, value)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("the compiler was called"))
    build_data, warnings = build(script, tmp_path, {"lenet5": GOOD, "original": GOOD})
    assert build_data == {"artifacts": [], "pure_python": True, "tag": None}
    assert warnings == []
