"""Dynamical systems as objects: the protocol every simulator and model speaks."""
