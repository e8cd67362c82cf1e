"""The command line: `lenet5 train`, `evaluate`, `predict`, `info` and `benchmark`."""

from . import benchmark, evaluate, info, predict, train
from .group import main

__all__ = ["benchmark", "evaluate", "info", "main", "predict", "train"]
