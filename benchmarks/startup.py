"""Measure the CPU time of starting Python, importing the package, and running `lenet5 --help`.

python benchmarks/startup.py [--rounds 9]
"""

import argparse
import resource
import statistics
import subprocess
import sys

PROGRAMS = {
    "python": "",
    "import lenet5": "import lenet5",
    "lenet5 --help": "import sys; sys.argv = ['lenet5', '--help']; import lenet5.cli; lenet5.cli.main()",
    "import torch": "import torch",
}
AFTER_TORCH = """
import time, torch
begin = time.process_time()
import lenet5
lenet5.LeNet5
print(time.process_time() - begin)
"""


def whole_process(program: str) -> float:
    """Run a program in a process of its own; return its user and system time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def after_torch() -> float:
    """Return the CPU time to reach `lenet5.LeNet5` in a process that has imported torch, in seconds."""
    result = subprocess.run([sys.executable, "-c", AFTER_TORCH], check=True, capture_output=True, text=True)
    return float(result.stdout)


def main() -> None:
    """Measure, and print median and range over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        measured = {name: whole_process(program) for name, program in PROGRAMS.items()}
        measured["lenet5.LeNet5 after import torch"] = after_torch()
        for name, seconds in measured.items() if number else ():  # the first round is a warm-up
            times.setdefault(name, []).append(seconds)
    for name, all_seconds in times.items():
        low, middle, high = (1000 * f(all_seconds) for f in (min, statistics.median, max))
        print(f"{name:34} {middle:6.0f} ms ({low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()
