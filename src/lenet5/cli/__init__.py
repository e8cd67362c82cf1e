"""The command line: `lenet5 train`, `evaluate`, `predict`, `info` and `benchmark`."""

from . import benchmark, inference, info, train
from .group import main

__all__ = ["benchmark", "inference", "info", "main", "train"]
