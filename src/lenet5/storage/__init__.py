"""Files: atomic writes, bounded reads, locks, and paths as users write them.

Tensors are safetensors and everything else is JSON; reading either executes no code.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
