"""Estimating parameters from the past: maximum likelihood and what it is worth."""

from slipstate.fit.optimise import maximise
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
    "Interval",
    "Parameter",
    "Positive",
    "Real",
    "Unit",
    "maximise",
    "natural",
]
