"""Where a parameter may lie: the whole line, above zero, or between two bounds.

The maps live with the arithmetic of the ground floor; whoever fits finds them here.
"""

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
    "natural",
]
