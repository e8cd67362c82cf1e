"""Build hook: compile the CPU kernels with the machine's C compiler, or with ziglang. Without them torch does the work.

Two variables in the environment change what it does:

- LENET5_KERNELS=none leaves the kernels out.
- LENET5_PLATFORM names one of `PLATFORMS`, and builds its wheel as a release does: with ziglang, or not at all.
"""

import functools
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src", "lenet5", "models", "kernels")
ZIGLANG = "ziglang==0.17.1"  # the C compiler on PyPI; pyproject.toml names the same for releases
KERNELS = ["lenet5.c", "original.c"]  # compiled once per instruction set
SHARED = ["pool.c", "processor.c", "compiler.c"]  # compiled once
AVX2 = ["-mavx2", "-mfma", "-mbmi", "-mbmi2"]
INSTRUCTION_SETS: dict[str, dict[str, list[str]]] = {
    "x86_64": {"avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", *AVX2], "avx2": AVX2},
    "aarch64": {"neon": []},
}
FLAGS = ["-std=gnu11", "-g0", "-fvisibility=hidden", "-ffp-contract=fast", "-ffunction-sections", "-Wno-psabi"]

REPRODUCIBLE = {"SOURCE_DATE_EPOCH": "315532800"}  # the time that a library for Windows holds: 1980


class Platform(NamedTuple):
    """How to compile for a platform."""

    target: str  # as zig names it
    tag: str  # of a release's wheel
    suffix: str  # of a library
    flags: list[str]  # for each source
    link: list[str]  # for the library
    own: list[str]  # for the machine's own compiler, in place of zig's target


NO_FLAGS: list[str] = []
ELF = (
    ".so",
    ["-fPIC", "-pthread", "-fno-asynchronous-unwind-tables"],
    ["-pthread", "-Wl,--gc-sections", "-s", "-lm"],
    NO_FLAGS,
)
MACHO = (".dylib", ["-fPIC"], ["-Wl,-dead_strip", "-s"])
PLATFORMS = {
    "x86_64-linux": Platform("x86_64-linux-gnu.2.17", "manylinux_2_17_x86_64", *ELF),
    "aarch64-linux": Platform("aarch64-linux-gnu.2.17", "manylinux_2_17_aarch64", *ELF),
    "x86_64-macos": Platform(
        "x86_64-macos.10.13", "macosx_10_13_x86_64", *MACHO, ["-arch", "x86_64", "-mmacosx-version-min=10.13"]
    ),
    "aarch64-macos": Platform(
        "aarch64-macos.11.0", "macosx_11_0_arm64", *MACHO, ["-arch", "arm64", "-mmacosx-version-min=11.0"]
    ),
    "x86_64-windows": Platform("x86_64-windows-gnu", "win_amd64", ".dll", [], ["-Wl,--gc-sections", "-s"], []),
}


class Kernels(BuildHookInterface[Any]):
    """Add `liblenet5` to the wheel, tag the wheel for its platform, and say who compiled it.

    The name of the library ends with a checksum of the sources, so that one of earlier sources is never loaded.
    """

    outcome = ""

    def dependencies(self) -> list[str]:
        """Require ziglang if this platform has kernels and its wheels, and no compiler here accepts the sources."""
        name = platform_name()
        if name is None or not has_ziglang_wheels() or any(self.accepts(name, found) for found in compilers(name)):
            return []
        return [ZIGLANG]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernels; if that fails, show the compiler's output and leave them out of the wheel."""
        folder = Path(self.root, FOLDER)
        for earlier in folder.glob("liblenet5-*"):
            earlier.unlink()
        name = platform_name()
        if name is None:
            self.outcome = "left out: LENET5_KERNELS=none, or none are written for this platform"
            return
        version = f"{zlib.crc32(b''.join(file.read_bytes() for file in sorted(folder.glob('*.[ch]')))):08x}"
        library = folder / f"liblenet5-{version}{PLATFORMS[name].suffix}"  # Python takes no "lib..." for a module
        for compiler in [*compilers(name), *ziglang(name)]:
            if self.compile(name, compiler, library):
                build_data["artifacts"].append((FOLDER / library.name).as_posix())
                build_data["pure_python"] = False
                build_data["tag"] = f"py3-none-{tag(name)}"
                self.outcome = f"compiled by {describe(compiler)} for {name}"
                return
        self.outcome = f"left out: no C compiler works here. To get one: pip install {ZIGLANG}"
        if "LENET5_PLATFORM" in os.environ:
            raise RuntimeError(f"lenet5's CPU kernels for {name} are {self.outcome}")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Say who compiled the kernels."""
        self.app.display_info(f"lenet5's CPU kernels: {self.outcome}")

    def accepts(self, name: str, compiler: list[str]) -> bool:
        """Return True if a compiler links a library, and finds no error in the kernels."""
        with tempfile.TemporaryDirectory() as folder:
            return self.link(name, compiler, SHARED, Path(folder, "trial")) and all(
                self.run([*step, "-fsyntax-only"], folder) for step in self.steps(name, compiler, KERNELS)
            )

    def compile(self, name: str, compiler: list[str], library: Path) -> bool:
        """Compile the library; return False if that fails."""
        return self.link(name, compiler, SHARED + KERNELS, library)

    def link(self, name: str, compiler: list[str], sources: list[str], library: Path) -> bool:
        """Compile some of the sources into a library; return False if that fails."""
        with tempfile.TemporaryDirectory() as folder:
            steps = self.steps(name, compiler, sources)
            objects = [str(Path(folder, f"{number}.o")) for number in range(len(steps))]
            output = Path(folder, library.name)  # the linkers of Windows leave more beside it
            done = all(
                self.run([*step, "-c", "-o", made], folder) for step, made in zip(steps, objects, strict=True)
            ) and self.run([*compiler, "-shared", *objects, "-o", str(output), *link_options(name, library)], folder)
            if done:
                shutil.copyfile(output, library)
        return done

    def steps(self, name: str, compiler: list[str], sources: list[str]) -> list[list[str]]:
        """Return a command for each source and instruction set, without its output."""
        sets = INSTRUCTION_SETS[name.partition("-")[0]]
        level = "-Os" if "ziglang" in compiler else "-O3"  # Clang's are equally fast, and half as large for size
        command = [*compiler, level, *FLAGS, *PLATFORMS[name].flags]
        return [
            [*command, *flags, str(Path(self.root, FOLDER, source))]
            for source in sources
            for flags in (sets.values() if source in KERNELS else [[]])
        ]

    def run(self, command: list[str], cache: str) -> bool:
        """Run a command, with a folder for zig's cache; if it fails, print its output and return False."""
        environment = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache, **os.environ, **REPRODUCIBLE}
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, errors="replace", env=environment
            )
        except OSError as error:
            self.app.display_warning(f"{shlex.join(command)} failed:\n{error}")
            return False
        if done.returncode:
            self.app.display_warning(f"{shlex.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.returncode == 0


def platform_name() -> str | None:
    """Return which of `PLATFORMS` to build for, or None."""
    if os.environ.get("LENET5_KERNELS") == "none" or sys.maxsize < 2**32:
        return None
    machine = platform.machine()
    if sys.platform == "win32":  # whatever the machine, Python may be emulated
        machine = sysconfig.get_platform().removeprefix("win-")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    name = os.environ.get("LENET5_PLATFORM", f"{machine}-{system}")
    if name not in PLATFORMS and "LENET5_PLATFORM" in os.environ:
        raise ValueError(f"LENET5_PLATFORM is {name!r}; expected one of {', '.join(PLATFORMS)}")
    return name if name in PLATFORMS else None


def link_options(name: str, library: Path) -> list[str]:
    """Return the options of the linker; a library of macOS holds its name, which must not be a path of the build."""
    own_name = [f"-Wl,-install_name,@rpath/{library.name}"] if library.suffix == ".dylib" else []
    return [*PLATFORMS[name].link, *own_name]


def tag(name: str) -> str:
    """Return the platform's tag for the wheel; a library that is built here may need the C library of this Linux."""
    if name.endswith("linux") and "LENET5_PLATFORM" not in os.environ:
        return f"linux_{name.partition('-')[0]}"
    return PLATFORMS[name].tag


def compilers(name: str) -> list[list[str]]:
    """Return the machine's C compilers, as the first words of commands: that of CC, or the usual ones."""
    if "LENET5_PLATFORM" in os.environ:
        return []
    if os.environ.get("CC"):
        return [[*shlex.split(os.environ["CC"], posix=os.name != "nt"), *PLATFORMS[name].own]]
    if sys.platform == "darwin" and not has_command_line_tools():
        return []
    found = filter(None, map(shutil.which, ("cc", "gcc", "clang")))
    return [[path, *PLATFORMS[name].own] for path in dict.fromkeys(found)]


def has_command_line_tools() -> bool:
    """Return True if macOS has a compiler; without one, its `cc` is a program that offers to install it."""
    return subprocess.run(["/usr/bin/xcode-select", "-p"], check=False, capture_output=True).returncode == 0


def has_ziglang_wheels() -> bool:
    """Return True if PyPI has wheels of `ZIGLANG` for this platform."""
    return sys.platform != "darwin" or int(platform.mac_ver()[0].partition(".")[0]) >= 13


def ziglang(name: str) -> list[list[str]]:
    """Return the command of ziglang, if it is installed."""
    if importlib.util.find_spec("ziglang") is None:
        return []
    return [[sys.executable, "-m", "ziglang", "cc", "-target", PLATFORMS[name].target, f"-DZIGLANG={zig_version()}"]]


@functools.cache
def zig_version() -> str:
    """Return the version of ziglang."""
    return importlib.metadata.version("ziglang")


def describe(compiler: list[str]) -> str:
    """Return the name of a compiler."""
    return f"ziglang {zig_version()}" if "ziglang" in compiler else compiler[0]
