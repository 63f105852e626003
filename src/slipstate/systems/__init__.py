"""Dynamical systems as objects: the protocol every simulator and model speaks."""

from slipstate.systems.aggregates import (
    AbstractAggregate,
    Average,
    Growth,
    Stock,
    Total,
)
from slipstate.systems.augmented import (
    AugmentedObservation,
    AugmentedTransition,
    Unknown,
    augment,
    natural_values,
    split_state,
)
from slipstate.systems.beliefs import (
    AbstractBelief,
    Categorical,
    Diffuse,
    Gaussian,
    Mixture,
    gaussian_log_density,
    masked_log_density,
)
from slipstate.systems.categories import (
    CategoricalEmission,
)
from slipstate.systems.chains import (
    AbstractChain,
    MarkovChain,
)
from slipstate.systems.continuous import (
    AbstractContinuousTransition,
    ContinuousLinearGaussian,
    ContinuousTransition,
    DiagonalTransition,
    IntegratedWiener,
)
from slipstate.systems.counts import (
    PoissonEmission,
)
from slipstate.systems.drift_switch import (
    Drift,
    DriftSwitch,
)
from slipstate.systems.driven_chains import (
    DrivenChain,
    RateChain,
)
from slipstate.systems.emissions import (
    AbstractEmission,
    Past,
)
from slipstate.systems.gaussian_emissions import (
    AutoregressiveEmission,
    GaussianEmission,
)
from slipstate.systems.hidden_markov import (
    HiddenMarkov,
)
from slipstate.systems.kernels import (
    AbstractKernel,
    ProductKernel,
    SumKernel,
    gaussian_process,
)
from slipstate.systems.lagged import (
    AggregatedObservation,
    LaggedTransition,
    LinearAggregatedObservation,
    LinearLaggedTransition,
)
from slipstate.systems.linear import (
    LinearGaussian,
    LinearObservation,
    LinearTransition,
    is_linear,
)
from slipstate.systems.matern import (
    Matern,
)
from slipstate.systems.mixed_frequency import (
    mixed_frequency,
)
from slipstate.systems.periodic import (
    Periodic,
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
from slipstate.systems.recurrent import (
    RecurrentSwitching,
    soft_guard,
)
from slipstate.systems.samples import Ensemble, Particles
from slipstate.systems.structural import (
    AbstractPart,
    Level,
    Season,
    Stationary,
    StructuralTransition,
    Trend,
    gauss_markov,
    structural,
)
from slipstate.systems.switching import (
    AbstractSwitchingModel,
    SwitchingLinearGaussian,
)
from slipstate.systems.varying import AbstractVaryingModel, VaryingLinearGaussian

__all__ = [
    "AbstractAggregate",
    "AbstractBelief",
    "AbstractChain",
    "AbstractContinuousTransition",
    "AbstractEmission",
    "AbstractHybrid",
    "AbstractKernel",
    "AbstractLinearObservation",
    "AbstractLinearTransition",
    "AbstractModel",
    "AbstractObservation",
    "AbstractPart",
    "AbstractStateSpaceModel",
    "AbstractSwitchingModel",
    "AbstractTransition",
    "AbstractVaryingModel",
    "AggregatedObservation",
    "AugmentedObservation",
    "AugmentedTransition",
    "AutoregressiveEmission",
    "Average",
    "Categorical",
    "CategoricalEmission",
    "ContinuousLinearGaussian",
    "ContinuousTransition",
    "DiagonalTransition",
    "Diffuse",
    "Drift",
    "DriftSwitch",
    "DrivenChain",
    "Ensemble",
    "Gaussian",
    "GaussianEmission",
    "Growth",
    "HiddenMarkov",
    "IntegratedWiener",
    "LaggedTransition",
    "Level",
    "LinearAggregatedObservation",
    "LinearGaussian",
    "LinearLaggedTransition",
    "LinearObservation",
    "LinearTransition",
    "MarkovChain",
    "Matern",
    "Mixture",
    "Particles",
    "Past",
    "Periodic",
    "PoissonEmission",
    "ProductKernel",
    "RateChain",
    "RecurrentSwitching",
    "Season",
    "StateSpaceModel",
    "Stationary",
    "Stock",
    "StructuralTransition",
    "SumKernel",
    "SwitchingLinearGaussian",
    "Total",
    "Trend",
    "Unknown",
    "VaryingLinearGaussian",
    "augment",
    "gauss_markov",
    "gaussian_log_density",
    "gaussian_process",
    "is_linear",
    "masked_log_density",
    "mixed_frequency",
    "natural_values",
    "soft_guard",
    "split_state",
    "structural",
]
