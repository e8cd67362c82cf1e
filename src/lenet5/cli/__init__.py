"""The command line: `lenet5 train` and the other commands, which `lenet5 --help` lists."""

import signal
import sys

try:
    from . import benchmark, compare, demo, evaluate, export, info, predict, report, train
    from .group import main
except KeyboardInterrupt:  # before a command handles it
    sys.stderr.write("interrupted\n")
    sys.exit(128 + signal.SIGINT)

__all__ = ["benchmark", "compare", "demo", "evaluate", "export", "info", "main", "predict", "report", "train"]
