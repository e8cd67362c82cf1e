"""The page to draw on: both networks run in the browser, and nothing leaves it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
