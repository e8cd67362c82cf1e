"""Pretrained weights: the catalogue, the builders, `load`, and one folder for each set of weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
