"""Dynamical systems as objects: the protocol every simulator and model speaks."""

from slipstate.systems.beliefs import (
    AbstractBelief,
    Categorical,
    Diffuse,
    Gaussian,
    Mixture,
    gaussian_log_density,
    masked_log_density,
)
from slipstate.systems.linear import (
    LinearGaussian,
    LinearObservation,
    LinearTransition,
)
from slipstate.systems.protocol import (
    AbstractHybrid,
    AbstractLinearObservation,
    AbstractLinearTransition,
    AbstractObservation,
    AbstractStateSpaceModel,
    AbstractTransition,
    StateSpaceModel,
    is_linear,
)
from slipstate.systems.samples import Ensemble, Particles

__all__ = [
    "AbstractBelief",
    "AbstractHybrid",
    "AbstractLinearObservation",
    "AbstractLinearTransition",
    "AbstractObservation",
    "AbstractStateSpaceModel",
    "AbstractTransition",
    "Categorical",
    "Diffuse",
    "Ensemble",
    "Gaussian",
    "LinearGaussian",
    "LinearObservation",
    "LinearTransition",
    "Mixture",
    "Particles",
    "StateSpaceModel",
    "gaussian_log_density",
    "is_linear",
    "masked_log_density",
]
