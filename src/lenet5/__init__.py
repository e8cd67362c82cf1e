"""LeNet-5 for PyTorch: the network, its data, its training, and weights.

Names are imported when they are first used; `__init__.pyi`, beside this file, is the list of them.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
