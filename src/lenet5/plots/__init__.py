"""Figures of training runs, evaluations and networks, in one style; they are drawn without pyplot and a backend.

Every function takes arrays, tables or mappings, and returns a `Figure`, or the axes that it was given.
"""

import lazy_loader

from .style import import_matplotlib

import_matplotlib()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
