"""The filters that may follow a fault, by the names the command knows them by.

All follow the same record with the same physics. Their settings are those of their
papers or defaults; none was fitted to the fault they are compared on.
"""

from typing import NamedTuple

from slipstate.assimilate import (
    AbstractFilter,
    BridgeFilter,
    DeterministicEnsembleKalman,
    EnsembleTransformKalman,
    FiniteSizeEnsembleKalman,
    NonlinearEnsembleTransform,
    ParticleFilter,
    StochasticEnsembleKalman,
)
from slipstate.ground.errors import InputError

MEMBERS = 50
PARTICLES = 200
INFLATION = 1.02


class FaultMethod(NamedTuple):
    """A filter with its names.

    Attributes:
        name: Name on the command line.
        label: Name in tables and figures.
        words: What it is, in words.
        members: Size of its ensemble.
        method: The filter.
    """

    name: str
    label: str
    words: str
    members: int
    method: AbstractFilter


FAULT_METHODS = (
    FaultMethod(
        "bridge",
        "bridge",
        "Schroedinger-bridge filter",
        MEMBERS,
        BridgeFilter(MEMBERS),
    ),
    FaultMethod(
        "etkf",
        "ETKF",
        "ensemble transform Kalman filter",
        MEMBERS,
        EnsembleTransformKalman(MEMBERS, INFLATION),
    ),
    FaultMethod(
        "particle",
        "particle filter",
        "bootstrap particle filter",
        PARTICLES,
        ParticleFilter(PARTICLES, jitter=0.3),
    ),
    FaultMethod(
        "enkf",
        "EnKF",
        "ensemble Kalman filter with perturbed observations",
        MEMBERS,
        StochasticEnsembleKalman(MEMBERS, INFLATION),
    ),
    FaultMethod(
        "denkf",
        "DEnKF",
        "deterministic ensemble Kalman filter",
        MEMBERS,
        DeterministicEnsembleKalman(MEMBERS, INFLATION),
    ),
    FaultMethod(
        "enkf-n",
        "EnKF-N",
        "finite-size ensemble Kalman filter",
        MEMBERS,
        FiniteSizeEnsembleKalman(MEMBERS),
    ),
    FaultMethod(
        "netf",
        "NETF",
        "nonlinear ensemble transform filter",
        MEMBERS,
        NonlinearEnsembleTransform(MEMBERS, inflation=INFLATION),
    ),
)
"""The first is the default; the first three are compared on every run."""

_COMPARED = 3


def choose_method(name: str) -> FaultMethod:
    """Return the filter with a name.

    Args:
        name: Name on the command line.

    Returns:
        The filter.

    Raises:
        InputError: There is none of that name.
    """
    for method in FAULT_METHODS:
        if method.name == name:
            return method
    known = ", ".join(method.name for method in FAULT_METHODS)
    raise InputError(f"`--method` must be one of {known}; got {name!r}.")


def compared_with(chosen: FaultMethod) -> tuple[FaultMethod, ...]:
    """Return the filters that follow the same data beside the chosen one."""
    return tuple(m for m in FAULT_METHODS[:_COMPARED] if m is not chosen)
