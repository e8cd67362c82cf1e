"""Exports: a network as a file for other programs. Each format needs at most one package beside PyTorch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
