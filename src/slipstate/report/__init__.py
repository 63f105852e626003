"""Figures and the one self-contained page."""
