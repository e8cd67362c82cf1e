"""Looking inside a network: feature maps, learned parameters, saliency and the layer table."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
