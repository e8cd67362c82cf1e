"""Integer networks: post-training quantisation, quantisation-aware training, and a reference in integers alone."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
