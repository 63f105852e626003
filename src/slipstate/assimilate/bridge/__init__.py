"""Schroedinger bridges: from a forecast to a posterior by the least change of law."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
