"""Estimating parameters from the past: maximum likelihood and what it is worth."""

from slipstate.fit.checkpoint import (
    Checkpoint,
    ChunkLog,
    fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from slipstate.fit.optimise import maximise
from slipstate.fit.store import FolderStore
from slipstate.ground.params import (
    AbstractBijection,
    Interval,
    Parameter,
    Positive,
    Real,
    Unit,
    natural,
)

__all__ = [
    "AbstractBijection",
    "Checkpoint",
    "ChunkLog",
    "FolderStore",
    "Interval",
    "Parameter",
    "Positive",
    "Real",
    "Unit",
    "fingerprint",
    "load_checkpoint",
    "maximise",
    "natural",
    "save_checkpoint",
]
