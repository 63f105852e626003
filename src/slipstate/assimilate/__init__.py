"""Following observations with a model: filters, smoothers, ensembles, scores."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
