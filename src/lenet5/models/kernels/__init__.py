"""CPU kernels: C code that computes what the layers of a network compute, used only where nobody could tell."""

from . import lenet5 as lenet5
from . import original as original
