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
    is_linear,
)
from slipstate.systems.protocol import (
    AbstractHybrid,
    AbstractLinearObservation,
    AbstractLinearTransition,
    AbstractModel,
    AbstractObservation,
    AbstractStateSpaceModel,
    AbstractTransition,
    StateSpaceModel,
)
from slipstate.systems.samples import Ensemble, Particles
from slipstate.systems.switching import (
    AbstractSwitchingModel,
    SwitchingLinearGaussian,
)
from slipstate.systems.varying import AbstractVaryingModel, VaryingLinearGaussian

__all__ = [
    "AbstractBelief",
    "AbstractHybrid",
    "AbstractLinearObservation",
    "AbstractLinearTransition",
    "AbstractModel",
    "AbstractObservation",
    "AbstractStateSpaceModel",
    "AbstractSwitchingModel",
    "AbstractTransition",
    "AbstractVaryingModel",
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
    "SwitchingLinearGaussian",
    "VaryingLinearGaussian",
    "gaussian_log_density",
    "is_linear",
    "masked_log_density",
]
