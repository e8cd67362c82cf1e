"""Named recipes: each is a network with the settings, augmentation and optimizer to train it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
