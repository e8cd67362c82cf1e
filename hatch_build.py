"""Compile what is written in C where there is a compiler; without it the package computes by torch alone."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src", "lenet5", "models")
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-fopenmp"]
SOURCES = {"fused": AVX512, "online": []}  # each with what it needs beside FLAGS
FLAGS = ["-O3", "-fPIC", "-Wno-psabi"]


class Libraries(BuildHookInterface[Any]):
    """Adds `libfused.so` and `libonline.so` to the wheel, and says for which platform the wheel then is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (the interface's)
        """Compile; where that is impossible the wheel stays one for all platforms."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if sys.platform != "linux" or platform.machine() != "x86_64" or compiler is None:
            return
        for name, flags in SOURCES.items():
            source = Path(self.root) / FOLDER / f"{name}.c"
            library = source.with_name(f"lib{name}.so")  # not fused.so, which Python would take for a module
            # not linked with OpenMP: its functions are those of the library that torch has loaded
            steps = [
                [compiler, *FLAGS, *flags, "-c", str(source), "-o", f"{library}.o"],
                [compiler, "-shared", f"{library}.o", "-o", str(library), "-lm"],
            ]
            if all(subprocess.run(step, check=False, capture_output=True).returncode == 0 for step in steps):
                build_data["artifacts"].append(str(FOLDER / library.name))
                build_data["pure_python"] = False
                build_data["tag"] = "py3-none-linux_x86_64"
            Path(f"{library}.o").unlink(missing_ok=True)
