"""Friction, faults and ground motion: what the solid Earth does and what is seen of it."""
