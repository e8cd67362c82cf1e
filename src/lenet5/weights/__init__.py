"""Pretrained weights: their catalogue, the builders, the bundle of `load`, and the folders that hold them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
