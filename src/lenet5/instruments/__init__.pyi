from .loggers import CSVLogger as CSVLogger
from .loggers import TensorBoardLogger as TensorBoardLogger
from .lr_finder import LRSearch as LRSearch
from .lr_finder import find_lr as find_lr
from .profiler import Profiler as Profiler
