"""Build hook: compile the CPU kernels if a C compiler is present. Without them the package uses torch alone."""

import platform
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src", "lenet5", "models", "kernels")
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-pthread"]
SOURCES = {"lenet5": AVX512, "original": []}  # extra flags of each source
FLAGS = ["-O3", "-fPIC", "-Wno-psabi"]


class Kernels(BuildHookInterface[Any]):
    """Add `liblenet5` and `liboriginal` to the wheel, and tag the wheel for its platform.

    The name of a library ends with a checksum of the sources, so that one of earlier sources is never loaded.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile each source; if one fails, show the compiler's output and leave that kernel out of the wheel."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if sys.platform != "linux" or platform.machine() != "x86_64" or compiler is None:
            return
        folder = Path(self.root) / FOLDER
        version = f"{zlib.crc32(b''.join(file.read_bytes() for file in sorted(folder.glob('*.[ch]')))):08x}"
        for earlier in folder.glob("lib*.so"):
            earlier.unlink()
        for name, flags in SOURCES.items():
            source = folder / f"{name}.c"
            library = folder / f"lib{name}-{version}.so"  # with a prefix, so that Python does not take it for a module
            compiled = library.with_suffix(".o")
            steps = [
                [compiler, *FLAGS, *flags, "-c", str(source), "-o", str(compiled)],
                [compiler, "-shared", "-pthread", str(compiled), "-o", str(library), "-lm"],
            ]
            if all(self.run(step) for step in steps):
                build_data["artifacts"].append(str(FOLDER / library.name))
                build_data["pure_python"] = False
                build_data["tag"] = "py3-none-linux_x86_64"
            compiled.unlink(missing_ok=True)

    def run(self, command: list[str]) -> bool:
        """Run a command; if it fails, print its output and return False."""
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            self.app.display_warning(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.returncode == 0
