"""The command line: the only part of the package that prints, and the only one that chooses where files go."""

from . import answers, training
from .group import main

__all__ = ["answers", "main", "training"]
