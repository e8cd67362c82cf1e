"""Run exported C on a Cortex-M4 in QEMU, and measure its size and its instructions.

    python benchmarks/cortex_m.py --results benchmarks/results/cortex_m.json

Needs Debian's gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import lenet5
from lenet5.export import export_c
from lenet5.quantization import quantize

FIRMWARE = Path(__file__).with_name("firmware")
PROGRAMS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm")
OPTIONS = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-std=c99", "-Wall", "-Wextra"]
OPTIONS += ["-Werror", "-Wdouble-promotion", "-Wconversion", "-ffunction-sections"]

_INSTRUCTIONS = 40  # in a tick of SysTick: the board has 25 MHz, and -icount shift=0 takes 1 ns for an instruction


def missing_programs() -> list[str]:
    """Return the names of the programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def build(folder: Path, inputs: npt.NDArray[Any], *options: str) -> Path:
    """Compile `lenet5.c` of a folder with the firmware; return the program.

    Parameters
    ----------
    folder
        The folder.
    inputs
        (N, C, H, W): what the program computes the logits of.
    options
        Further options of the compiler, such as "-Os".
    """
    floats = inputs.dtype == np.float32
    rows = ("{ " + ", ".join(f"{x:.9g}" for x in image.ravel().tolist()) + " }" for image in inputs)
    values = ",\n".join(rows)
    (folder / "inputs.h").write_text(
        f"typedef {'float' if floats else 'uint8_t'} input;\ntypedef {'float' if floats else 'int32_t'} logit;\n"
        f"#define NUM_INPUTS {len(inputs)}\n"
        f"static const input inputs[{len(inputs)}][{inputs[0].size}] = {{\n{values}\n}};\n",
        encoding="ascii",
    )
    gcc = ["arm-none-eabi-gcc", *OPTIONS, *options, "-I", str(folder)]
    subprocess.run([*gcc, "-pedantic", "-c", "lenet5.c", "-o", "lenet5.o"], check=True, cwd=folder)
    # the firmware has assembler and addresses; of the library, networks with tanh need the function tanhf alone
    link = [
        "-Wno-conversion",
        "-nostartfiles",
        "--specs=nosys.specs",
        "-Wl,--gc-sections",
        "-T",
        FIRMWARE / "layout.ld",
    ]
    subprocess.run(
        [*gcc, *map(str, link), FIRMWARE / "main.c", "lenet5.o", "-lm", "-o", "program"], check=True, cwd=folder
    )
    return folder / "program"


def run(program: Path, dtype: npt.DTypeLike) -> tuple[npt.NDArray[Any], list[int]]:
    """Run a program in the emulator; return the logits (N, num_classes), and the instructions for each image."""
    qemu = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-icount", "shift=0", "-semihosting-config"]
    command = [*qemu, "enable=on,target=native", "-kernel", str(program)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, stdin=subprocess.DEVNULL)
    words = [[int(word, 16) for word in line.split()] for line in (result.stdout + result.stderr).splitlines()]
    bits = np.array([line[:-1] for line in words], np.uint32)
    return bits.view(dtype), [line[-1] * _INSTRUCTIONS for line in words]


def sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of the object file in bytes: machine code, constants and buffers."""
    text = subprocess.run(
        ["arm-none-eabi-size", "-A", "lenet5.o"], capture_output=True, text=True, check=True, cwd=folder
    ).stdout
    total = {"code": 0, "constants": 0, "buffers": 0}
    for section, size in re.findall(r"^\.(\S+)\s+(\d+)", text, re.MULTILINE):
        kind = {"text": "code", "rodata": "constants", "bss": "buffers", "data": "buffers"}.get(section.split(".")[0])
        if kind:
            total[kind] += int(size)
    return total


def main() -> None:
    """Measure both networks in both kinds of numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write")
    results: dict[str, Any] = {}
    for program in ("arm-none-eabi-gcc", "qemu-system-arm"):
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        results[program] = version.splitlines()[0]
    digits = lenet5.load_data("digits")
    pixels = digits.test.images[:10]
    for name in ("mnist_v2", "original_mnist_v1"):
        pretrained = lenet5.load(name)
        inputs = {"float32": pretrained.preprocess(pixels).numpy(), "int8": pixels.numpy()}
        for dtype, images in inputs.items():
            for optimisation in ("-Os", "-O3"):
                with tempfile.TemporaryDirectory() as path:
                    network = pretrained if dtype == "float32" else quantize(pretrained, digits.train)
                    export_c(network, Path(path) / "lenet5.c")
                    program_file = build(Path(path), images, optimisation)
                    _, instructions = run(program_file, np.float32 if dtype == "float32" else np.int32)
                    measured = {**sizes(Path(path)), "instructions": round(sum(instructions) / len(instructions))}
                    results[f"{name} {dtype} {optimisation}"] = measured
                    print(name, dtype, optimisation, measured)
    arguments = parser.parse_args()
    arguments.results.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
