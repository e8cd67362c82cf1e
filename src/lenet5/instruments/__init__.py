"""What looks at a training from outside: loggers, a profiler, and the search for a learning rate."""

from .loggers import CSVLogger, TensorBoardLogger
from .lr_finder import LRSearch, find_lr
from .profiler import Profiler

__all__ = ["CSVLogger", "LRSearch", "Profiler", "TensorBoardLogger", "find_lr"]
