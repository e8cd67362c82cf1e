"""Measure the time from the start of a process to its answer, and what of it comes after `import torch`.

python benchmarks/startup.py [--rounds 9]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image

HELP = "import sys; sys.argv = ['lenet5', '--help']; import lenet5.cli; lenet5.cli.main()"
PREDICT = "import sys; sys.argv = ['lenet5', 'predict', {!r}]; import lenet5.cli; lenet5.cli.main()"
PROGRAMS = {
    "python": "",
    "import lenet5": "import lenet5",
    "lenet5 --help": HELP,
    "import torch": "import torch",
    "lenet5.LeNet5()": "import lenet5; lenet5.LeNet5()",
    "lenet5.lenet5(weights='DEFAULT')": "import lenet5; lenet5.lenet5(weights='DEFAULT')",
}


def draw(folder: Path) -> dict[str, str]:
    """Write an upright 1 in MNIST's format, and the same as a drawing; return the programs that predict it."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:15] = 255
    image, paths = PIL.Image.fromarray(pixels), [folder / "mnist.png", folder / "drawing.png"]
    image.save(paths[0])
    PIL.Image.fromarray(255 - np.asarray(image.resize((200, 200)))).save(paths[1])
    names = "lenet5 predict, MNIST format", "lenet5 predict, drawing"
    return {name: PREDICT.format(str(path)) for name, path in zip(names, paths, strict=True)}


def measure(program: str, caches: Path) -> tuple[float, float]:
    """Run a program in a process of its own, with cached bytecode; return its CPU and wall-clock time in seconds."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(caches)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, env=environment)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, end - begin


def main() -> None:
    """Measure in rounds, the first of which is a warm-up; print minimum and median, and the rest beside torch's."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        programs = PROGRAMS | draw(Path(folder))
        runs = [[measure(program, Path(folder, "caches")) for program in programs.values()] for _ in range(rounds + 1)]
    times = dict(zip(programs, zip(*runs[1:], strict=True), strict=True))
    torch_times = [min(column) for column in zip(*times["import torch"], strict=True)]
    print(f"{'ms':34} {'CPU':>6} {'median':>7} {'wall':>6} {'median':>7}   beside import torch: CPU, wall")
    for name, pairs in times.items():
        columns = [*zip(*pairs, strict=True)]
        cells = [f"{1000 * min(column):7.0f} {1000 * statistics.median(column):7.0f}" for column in columns]
        rest = [min(column) - torch_time for column, torch_time in zip(columns, torch_times, strict=True)]
        beside = "" if rest[0] <= 0 else "   " + ", ".join(f"{1000 * seconds:.0f}" for seconds in rest)
        print(f"{name:34}{''.join(cells)}{beside}")


if __name__ == "__main__":
    main()
