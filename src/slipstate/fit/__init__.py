"""Estimating parameters: optimisers, progress, checkpoints."""
