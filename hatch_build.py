"""Build hook: compile the CPU kernels if a C compiler is present. Without them the package uses torch alone."""

import platform
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src", "lenet5", "models", "kernels")
KERNELS = ["lenet5.c", "original.c"]  # compiled once per instruction set
SHARED = ["pool.c", "processor.c"]  # compiled once
INSTRUCTION_SETS: dict[str, dict[str, list[str]]] = {
    "x86_64": {
        "avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx2", "-mfma", "-mbmi", "-mbmi2"],
        "avx2": ["-mavx2", "-mfma", "-mbmi", "-mbmi2"],
    },
    "aarch64": {"neon": []},
}
FLAGS = ["-std=gnu11", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=fast", "-pthread", "-Wno-psabi"]


class Kernels(BuildHookInterface[Any]):
    """Add `liblenet5` to the wheel, and tag the wheel for its platform.

    The name of the library ends with a checksum of the sources, so that one of earlier sources is never loaded.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernels; if that fails, show the compiler's output and leave them out of the wheel."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if sys.platform != "linux" or platform.machine() not in INSTRUCTION_SETS or compiler is None:
            return
        folder = Path(self.root) / FOLDER
        version = f"{zlib.crc32(b''.join(file.read_bytes() for file in sorted(folder.glob('*.[ch]')))):08x}"
        for earlier in folder.glob("lib*.so"):
            earlier.unlink()
        library = folder / f"liblenet5-{version}.so"  # with a prefix, so that Python does not take it for a module
        with tempfile.TemporaryDirectory() as objects:
            sources: list[tuple[str, str, list[str]]] = [(name, "", []) for name in SHARED]
            for suffix, flags in INSTRUCTION_SETS[platform.machine()].items():
                sources += [(name, suffix, flags) for name in KERNELS]
            compiled = [str(Path(objects, f"{name}.{suffix}.o")) for name, suffix, _ in sources]
            steps = [
                [compiler, *FLAGS, *flags, "-c", str(folder / name), "-o", output]
                for (name, _, flags), output in zip(sources, compiled, strict=True)
            ]
            steps.append([compiler, "-shared", "-pthread", *compiled, "-o", str(library), "-lm"])
            if all(self.run(step) for step in steps):
                build_data["artifacts"].append(str(FOLDER / library.name))
                build_data["pure_python"] = False
                build_data["tag"] = f"py3-none-linux_{platform.machine()}"

    def run(self, command: list[str]) -> bool:
        """Run a command; if it fails, print its output and return False."""
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            self.app.display_warning(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.returncode == 0
