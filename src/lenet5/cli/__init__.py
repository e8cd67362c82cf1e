"""The command line: `lenet5 train`, `evaluate`, `predict`, `compare`, `info` and `benchmark`."""

import signal
import sys

try:
    from . import benchmark, compare, evaluate, info, predict, train
    from .group import main
except KeyboardInterrupt:  # before a command handles it
    sys.stderr.write("interrupted\n")
    sys.exit(128 + signal.SIGINT)

__all__ = ["benchmark", "compare", "evaluate", "info", "main", "predict", "train"]
