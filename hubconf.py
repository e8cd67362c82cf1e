"""Entry points of PyTorch Hub: `torch.hub.load(checkout, "lenet5", source="local", weights="mnist_v2")`.

The package is imported from the checkout; it need not be installed.
"""

import pathlib  # not its class, which would be an entry point
import sys

_SOURCES = str(pathlib.Path(__file__).resolve().parent / "src")

sys.path.insert(0, _SOURCES)
try:
    from lenet5 import LeNet5_Weights, LeNet5Original_Weights, lenet5, lenet5_original, load
finally:
    sys.path.remove(_SOURCES)

__all__ = ["LeNet5Original_Weights", "LeNet5_Weights", "dependencies", "lenet5", "lenet5_original", "load"]

dependencies = ["lazy_loader", "numpy", "PIL", "safetensors", "torch"]
