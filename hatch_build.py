"""Compile the fused convolutions where there is a C compiler; without them the package computes by torch alone."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("src", "lenet5", "models", "fused.c")
LIBRARY = "libfused.so"  # not fused.so, which Python would take for a module
FLAGS = ["-O3", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-fopenmp", "-fPIC", "-Wno-psabi"]


class FusedConvolutions(BuildHookInterface[Any]):
    """Adds `libfused.so` to the wheel, and says for which platform the wheel then is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (the interface's)
        """Compile; where that is impossible the wheel stays one for all platforms."""
        source = Path(self.root) / SOURCE
        library = source.parent / LIBRARY
        compiler = shutil.which("cc") or shutil.which("gcc")
        if sys.platform != "linux" or platform.machine() != "x86_64" or compiler is None:
            return
        # not linked with OpenMP: its functions are those of the library that torch has loaded
        steps = [
            [compiler, *FLAGS, "-c", str(source), "-o", f"{library}.o"],
            [compiler, "-shared", f"{library}.o", "-o", str(library)],
        ]
        if all(subprocess.run(step, check=False, capture_output=True).returncode == 0 for step in steps):
            build_data["artifacts"].append(str(SOURCE.parent / LIBRARY))
            build_data["pure_python"] = False
            build_data["tag"] = "py3-none-linux_x86_64"
        Path(f"{library}.o").unlink(missing_ok=True)
