from .aggregates import (
    AbstractAggregate as AbstractAggregate,
    Average as Average,
    Growth as Growth,
    Stock as Stock,
    Total as Total,
)
from .augmented import (
    AugmentedObservation as AugmentedObservation,
    AugmentedTransition as AugmentedTransition,
    Unknown as Unknown,
    augment as augment,
    natural_values as natural_values,
    split_state as split_state,
)
from .beliefs import (
    AbstractBelief as AbstractBelief,
    Categorical as Categorical,
    Diffuse as Diffuse,
    Gaussian as Gaussian,
    Mixture as Mixture,
    gaussian_log_density as gaussian_log_density,
    masked_log_density as masked_log_density,
)
from .categories import CategoricalEmission as CategoricalEmission
from .chains import AbstractChain as AbstractChain, MarkovChain as MarkovChain
from .continuous import (
    AbstractContinuousTransition as AbstractContinuousTransition,
    ContinuousLinearGaussian as ContinuousLinearGaussian,
    ContinuousTransition as ContinuousTransition,
    DiagonalTransition as DiagonalTransition,
    IntegratedWiener as IntegratedWiener,
)
from .counts import PoissonEmission as PoissonEmission
from .drift_switch import Drift as Drift, DriftSwitch as DriftSwitch
from .driven_chains import DrivenChain as DrivenChain, RateChain as RateChain
from .emissions import AbstractEmission as AbstractEmission, Past as Past
from .gaussian_emissions import (
    AutoregressiveEmission as AutoregressiveEmission,
    GaussianEmission as GaussianEmission,
)
from .hidden_markov import HiddenMarkov as HiddenMarkov
from .kernels import (
    AbstractKernel as AbstractKernel,
    ProductKernel as ProductKernel,
    SumKernel as SumKernel,
    gaussian_process as gaussian_process,
)
from .lagged import (
    AggregatedObservation as AggregatedObservation,
    LaggedTransition as LaggedTransition,
    LinearAggregatedObservation as LinearAggregatedObservation,
    LinearLaggedTransition as LinearLaggedTransition,
)
from .linear import (
    LinearGaussian as LinearGaussian,
    LinearObservation as LinearObservation,
    LinearTransition as LinearTransition,
    is_linear as is_linear,
)
from .matern import Matern as Matern
from .mixed_frequency import mixed_frequency as mixed_frequency
from .periodic import Periodic as Periodic
from .protocol import (
    AbstractHybrid as AbstractHybrid,
    AbstractLinearObservation as AbstractLinearObservation,
    AbstractLinearTransition as AbstractLinearTransition,
    AbstractModel as AbstractModel,
    AbstractObservation as AbstractObservation,
    AbstractStateSpaceModel as AbstractStateSpaceModel,
    AbstractTransition as AbstractTransition,
    StateSpaceModel as StateSpaceModel,
)
from .recurrent import (
    RecurrentSwitching as RecurrentSwitching,
    soft_guard as soft_guard,
)
from .samples import Ensemble as Ensemble, Particles as Particles
from .structural import (
    AbstractPart as AbstractPart,
    Level as Level,
    Season as Season,
    Stationary as Stationary,
    StructuralTransition as StructuralTransition,
    Trend as Trend,
    gauss_markov as gauss_markov,
    structural as structural,
)
from .switching import (
    AbstractSwitchingModel as AbstractSwitchingModel,
    SwitchingLinearGaussian as SwitchingLinearGaussian,
)
from .varying import (
    AbstractVaryingModel as AbstractVaryingModel,
    VaryingLinearGaussian as VaryingLinearGaussian,
)
