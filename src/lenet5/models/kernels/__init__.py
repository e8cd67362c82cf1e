"""CPU kernels: compiled C code that replaces the layers of a network if no hooks, tracing or transforms are active."""

from . import lenet5 as lenet5
from . import lenet5_gradients as lenet5_gradients
from . import original as original
