"""Dynamical systems as objects: the protocol every simulator and model speaks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
