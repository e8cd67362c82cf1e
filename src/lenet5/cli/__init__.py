"""The command line: `lenet5 train`, `evaluate`, `predict`, `compare`, `info` and `benchmark`."""

from . import benchmark, compare, evaluate, info, predict, train
from .group import main

__all__ = ["benchmark", "compare", "evaluate", "info", "main", "predict", "train"]
