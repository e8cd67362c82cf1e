"""What starting up costs: processor seconds of whole processes, the median of several.

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
    "import torch, lenet5; lenet5.LeNet5": "import torch, lenet5; lenet5.LeNet5",
}


def processor_seconds(program: str) -> float:
    """Run a program in a process of its own; return the user and system time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds + 1):  # the first warms up
        for name, program in PROGRAMS.items():
            times[name].append(processor_seconds(program))
    for name, seconds in times.items():
        measured = sorted(seconds[1:])
        median = statistics.median(measured)
        print(f"{name:40} {1000 * median:6.0f} ms ({1000 * measured[0]:.0f} to {1000 * measured[-1]:.0f})")
    pairs = zip(times["import torch, lenet5; lenet5.LeNet5"], times["import torch"], strict=True)
    extra = statistics.median(with_ours - alone for with_ours, alone in list(pairs)[1:])
    print(f"{'lenet5.LeNet5 over torch, pair by pair':40} {1000 * extra:6.0f} ms")


if __name__ == "__main__":
    main()
