"""The command line: the only room that prints, and the only one that chooses where files go."""

from . import benchmark, inference, info, train
from .group import main

__all__ = ["benchmark", "inference", "info", "main", "train"]
