"""The build hook, hatch_build.py: which compiler it takes, what it adds to the wheel, and what it says."""

import importlib.util
import platform
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import types
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

SCRIPT = Path(__file__).parents[3] / "hatch_build.py"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
NATIVE = {("linux", "x86_64"): "x86_64-linux", ("linux", "aarch64"): "aarch64-linux"}.get(
    (sys.platform, platform.machine()), ""
)
GOOD, BROKEN = "static int answer(void) { return 42; }\n", "int answer(void) { return missing; }\n"
PURE = {"artifacts": [], "pure_python": True, "tag": None}

Config = TypeVar("Config")

needs_compiler = pytest.mark.skipif(not (COMPILER and NATIVE), reason="this test needs Linux and a C compiler")


class App:
    """Stand-in for hatchling's application, which prints the messages."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.infos: list[str] = []

    def display_warning(self, message: str) -> None:
        self.warnings.append(message)

    def display_info(self, message: str) -> None:
        self.infos.append(message)


class Interface(Generic[Config]):
    """Stand-in for hatchling's BuildHookInterface, which the tests do not install."""

    def __init__(self, root: Path, app: App) -> None:
        self.root, self.app = str(root), app


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import hatch_build.py, for a machine without ziglang."""
    for variable in ("CC", "LENET5_KERNELS", "LENET5_PLATFORM"):
        monkeypatch.delenv(variable, raising=False)
    interface = types.ModuleType("interface")
    monkeypatch.setattr(interface, "BuildHookInterface", Interface, raising=False)
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    spec = importlib.util.spec_from_file_location("hatch_build", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ziglang", lambda _: [])
    return module


def hook(script: Any, root: Path, **sources: str) -> tuple[Any, App]:
    """Return the hook for a folder of C sources, and its application."""
    folder = root / script.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in script.KERNELS + script.SHARED:
        (folder / name).write_text(sources.get(name.removesuffix(".c"), GOOD), encoding="utf-8")
    app = App()
    return script.Kernels(root, app), app


def build(script: Any, root: Path, **sources: str) -> tuple[dict[str, Any], App]:
    """Run the hook on C sources; return hatchling's build data and the application."""
    kernels, app = hook(script, root, **sources)
    build_data = {"artifacts": [], "pure_python": True, "tag": None}
    kernels.initialize("standard", build_data)
    kernels.finalize("standard", build_data, "lenet5.whl")
    return build_data, app


def libraries_in(root: Path, folder: Path) -> list[str]:
    return sorted((folder / library.name).as_posix() for library in (root / folder).glob("lib*"))


def compiler_that_records(folder: Path) -> tuple[str, Path]:
    """Return a command that compiles, and the file that it writes its arguments to."""
    program, calls = folder / "a compiler", folder / "calls"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{calls}"\nexec {COMPILER} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return f"'{program}' -DOPTION", calls


@needs_compiler
def test_one_library_is_added_to_the_wheel_and_the_build_ends_by_naming_the_compiler(
    script: Any, tmp_path: Path
) -> None:
    build_data, app = build(script, tmp_path)
    (library,) = libraries_in(tmp_path, script.FOLDER)
    tag = f"py3-none-linux_{platform.machine()}"
    assert build_data == {"artifacts": [library], "pure_python": False, "tag": tag}
    assert app.infos == [f"lenet5's CPU kernels: compiled by {shutil.which('cc') or COMPILER} for {NATIVE}"]
    assert app.warnings == []
    assert not list(tmp_path.rglob("*.o"))


@needs_compiler
def test_compiler_and_options_in_cc_are_used(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, calls = compiler_that_records(tmp_path)
    monkeypatch.setenv("CC", command)
    build_data, app = build(script, tmp_path)
    assert build_data["artifacts"] == libraries_in(tmp_path, script.FOLDER) != []
    assert "a compiler" in app.infos[0]
    assert all(line.startswith("-DOPTION ") for line in calls.read_text(encoding="utf-8").splitlines())


@needs_compiler
@pytest.mark.parametrize("name", ["lenet5", "original", "pool"])
def test_failed_compilation_shows_the_output_of_the_compiler_and_leaves_the_wheel_pure(
    script: Any, tmp_path: Path, name: str
) -> None:
    build_data, app = build(script, tmp_path, **{name: BROKEN})
    assert build_data == PURE
    assert libraries_in(tmp_path, script.FOLDER) == []
    assert f"{name}.c " in app.warnings[0]
    assert "missing" in app.warnings[0].split(" failed:\n")[1]
    (info,) = app.infos
    assert info.startswith("lenet5's CPU kernels: left out: no C compiler works here.")
    assert not list(tmp_path.rglob("*.o"))


@pytest.mark.parametrize("command", ["/no/such/compiler", f"'{sys.executable}' -c exit(1)"])
def test_compiler_that_does_not_work_fails_no_installation(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("CC", command)
    monkeypatch.setattr(script, "platform_name", lambda: "x86_64-linux")
    build_data, app = build(script, tmp_path)
    assert build_data == PURE
    assert len(app.warnings) == 1
    assert "left out" in app.infos[0]
    assert hook(script, tmp_path)[0].dependencies() == [script.ZIGLANG]


@needs_compiler
def test_ziglang_compiles_where_no_other_compiler_works(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")
    monkeypatch.setattr(script, "ziglang", lambda _: [[COMPILER, "-DZIGLANG=1.2.3"]])
    build_data, app = build(script, tmp_path)
    assert build_data["artifacts"] == libraries_in(tmp_path, script.FOLDER) != []
    assert "compiled by" in app.infos[0]


@needs_compiler
def test_libraries_of_earlier_sources_are_replaced(script: Any, tmp_path: Path) -> None:
    first, second = (build(script, tmp_path, lenet5=GOOD + comment)[0] for comment in ("", "/* new */"))
    assert set(first["artifacts"]).isdisjoint(second["artifacts"])
    assert libraries_in(tmp_path, script.FOLDER) == second["artifacts"]


@needs_compiler
def test_ziglang_is_required_only_where_no_compiler_accepts_the_sources(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hook(script, tmp_path)[0].dependencies() == []
    assert hook(script, tmp_path, original=BROKEN)[0].dependencies() == [script.ZIGLANG]
    assert libraries_in(tmp_path, script.FOLDER) == []
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert hook(script, tmp_path)[0].dependencies() == [script.ZIGLANG]


@pytest.mark.parametrize(("version", "required"), [("12.7", False), ("13.0", True), ("26.1", True)])
def test_ziglang_is_required_only_where_it_has_wheels(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, required: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(platform, "mac_ver", lambda: (version, ("", "", ""), "arm64"))
    monkeypatch.setattr(script, "has_command_line_tools", lambda: False)
    assert hook(script, tmp_path)[0].dependencies() == [script.ZIGLANG] * required


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("linux", "x86_64", "x86_64-linux"),
        ("linux", "aarch64", "aarch64-linux"),
        ("darwin", "x86_64", "x86_64-macos"),
        ("darwin", "arm64", "aarch64-macos"),
        ("win32", "win-amd64", "x86_64-windows"),
        ("win32", "win-arm64", None),
        ("win32", "win32", None),
        ("linux", "riscv64", None),
        ("freebsd14", "x86_64", None),
    ],
)
def test_platforms(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, name: str | None
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: machine)
    assert script.platform_name() == name
    if name is None:
        check_that_nothing_is_compiled(script, tmp_path, monkeypatch)


@pytest.mark.parametrize(("name", "value"), [("LENET5_KERNELS", "none"), ("maxsize", 2**31 - 1)])
def test_nothing_is_compiled_if_turned_off_or_in_32_bits(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    if name == "maxsize":
        monkeypatch.setattr(sys, name, value)
    else:
        monkeypatch.setenv(name, value)
    check_that_nothing_is_compiled(script, tmp_path, monkeypatch)


def check_that_nothing_is_compiled(script: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("the compiler was called"))
    build_data, app = build(script, root)
    assert build_data == PURE
    assert app.warnings == []
    assert "left out: LENET5_KERNELS=none, or none are written for this platform" in app.infos[0]
    assert hook(script, root)[0].dependencies() == []


@needs_compiler
def test_release_takes_ziglang_alone_and_has_the_tag_of_its_platform(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENET5_PLATFORM", NATIVE)
    monkeypatch.setenv("CC", "/no/such/compiler")
    assert hook(script, tmp_path)[0].dependencies() == [script.ZIGLANG]
    monkeypatch.setattr(script, "ziglang", lambda _: [[COMPILER]])
    build_data, app = build(script, tmp_path)
    assert build_data["tag"] == f"py3-none-manylinux_2_17_{platform.machine()}"
    assert app.warnings == []


def test_release_without_kernels_fails(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENET5_PLATFORM", "aarch64-macos")
    with pytest.raises(RuntimeError, match="CPU kernels for aarch64-macos are left out"):
        build(script, tmp_path)


def test_unknown_platform_is_refused(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENET5_PLATFORM", "riscv64-linux")
    with pytest.raises(ValueError, match="LENET5_PLATFORM is 'riscv64-linux'; expected one of x86_64-linux, "):
        script.platform_name()


def test_releases_pin_the_ziglang_that_the_hook_requires(script: Any) -> None:
    groups = tomllib.loads((SCRIPT.parent / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    assert script.ZIGLANG in groups["wheels"]
