"""LeNet-5 for PyTorch: the network, pretrained weights, MNIST-style datasets, and reproducible training.

Names are imported on first use; `__init__.pyi` lists them.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in __all__ if name != "lenet5"]  # import * would put the function in place of the package
