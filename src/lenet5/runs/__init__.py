"""Runs of `lenet5 train`: their settings, their folders, and what is made of them: tables, comparisons, reports."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
