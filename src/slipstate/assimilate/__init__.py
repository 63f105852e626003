"""Following observations with a model: filters, smoothers, ensembles, scores."""

from slipstate.assimilate.arrivals import Arrival
from slipstate.assimilate.assimilator import Assimilator
from slipstate.assimilate.bridge import (
    BridgeFilter,
    BridgeInfo,
    BridgeState,
    Coupling,
    GaussianBridge,
    Iterated,
    Jacobian,
    SigmaPoints,
    SwitchCost,
    sinkhorn,
)
from slipstate.assimilate.calibration import (
    Uniformity,
    Whiteness,
    central_interval,
    coverage,
    coverage_target,
    innovation_whiteness,
    pit_gaussian,
    pit_uniformity,
    rank_histogram,
    rank_uniformity,
    spread_skill,
)
from slipstate.assimilate.conformal import Conformal, Interval
from slipstate.assimilate.constant_gain import ConstantGainKalman
from slipstate.assimilate.deterministic_ensemble import DeterministicEnsembleKalman
from slipstate.assimilate.ensemble import (
    EnsembleInfo,
    EnsembleTransformKalman,
)
from slipstate.assimilate.ensemble_smoothers import EnsembleKalmanSmoother
from slipstate.assimilate.ensemble_update import AbstractEnsembleFilter
from slipstate.assimilate.evaluate import (
    Evaluation,
    evaluate,
    log_prob,
)
from slipstate.assimilate.factors import (
    FactorInfo,
    FactorState,
)
from slipstate.assimilate.finite_size import FiniteSizeEnsembleKalman
from slipstate.assimilate.forecast import (
    Forecast,
    forecast,
)
from slipstate.assimilate.gaussian_sum import GaussianSum
from slipstate.assimilate.health import Alarm, Health
from slipstate.assimilate.hidden_markov import (
    ForwardBackward,
    ModeInfo,
    ModeState,
    require_hidden_markov,
)
from slipstate.assimilate.inflation import (
    AbstractInflation,
    Adaptive,
    Additive,
    Multiplicative,
    RelaxPerturbations,
    RelaxSpread,
)
from slipstate.assimilate.information import InformationKalman
from slipstate.assimilate.iterated import (
    linearised_model,
    smooth_iterated,
)
from slipstate.assimilate.iterative_smoother import IterativeEnsembleKalmanSmoother
from slipstate.assimilate.kalman import (
    Kalman,
    KalmanInfo,
    require_linear,
)
from slipstate.assimilate.ladder import Rung, ladder_of
from slipstate.assimilate.linearise import (
    AbstractPointRule,
    AbstractRule,
    Cubature,
    GaussHermite,
    Linearised,
    Points,
    SecondTaylor,
    Taylor,
    Unscented,
)
from slipstate.assimilate.live import Report
from slipstate.assimilate.local_ensemble import LocalEnsembleTransformKalman
from slipstate.assimilate.localise import (
    Localisation,
    gaspari_cohn,
    on_ring,
    ring_distances,
    step_taper,
)
from slipstate.assimilate.mixtures import (
    mixture_distribution,
    mixture_log_density,
    mixture_moments,
    mixture_quantiles,
)
from slipstate.assimilate.mode_expectations import (
    ModePosterior,
    mode_posterior,
)
from slipstate.assimilate.mode_paths import (
    ModePath,
    most_probable_path,
    sample_states,
)
from slipstate.assimilate.mode_stretches import posterior_stretches
from slipstate.assimilate.nonlinear_transform import NonlinearEnsembleTransform
from slipstate.assimilate.observations import (
    Observations,
    Rows,
)
from slipstate.assimilate.online import Stepper
from slipstate.assimilate.parallel import ParallelKalman
from slipstate.assimilate.particle import (
    ParticleFilter,
    ParticleInfo,
)
from slipstate.assimilate.particle_smoother import ParticleSmoother
from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractInfo,
    AbstractSeriesFilter,
    AbstractSmoother,
    Running,
    SeriesPass,
)
from slipstate.assimilate.rank_histogram_filter import RankHistogramFilter
from slipstate.assimilate.rao_blackwell import (
    RaoBlackwellised,
    keep_branches,
)
from slipstate.assimilate.recovery import climatology
from slipstate.assimilate.resample import (
    AbstractResampling,
    Multinomial,
    Residual,
    Stratified,
    Systematic,
)
from slipstate.assimilate.results import (
    FilterResult,
    SmoothResult,
)
from slipstate.assimilate.robust import StudentT
from slipstate.assimilate.run import (
    filter_series,
    filter_stretches,
    init,
    smooth_series,
    step,
)
from slipstate.assimilate.sampling import (
    Path,
    sample,
)
from slipstate.assimilate.scores import (
    crps_ensemble,
    crps_gaussian,
    crps_mixture,
    energy_score,
    fair_crps,
    log_score_gaussian,
    log_score_mixture,
)
from slipstate.assimilate.serial import (
    AbstractSerialFilter,
    SerialEnsembleAdjustment,
)
from slipstate.assimilate.sigma import (
    Sigma,
    SigmaInfo,
)
from slipstate.assimilate.simulation import sample_posterior
from slipstate.assimilate.square_root import SquareRootKalman
from slipstate.assimilate.state_file import (
    load_state,
    save_state,
)
from slipstate.assimilate.stochastic_ensemble import StochasticEnsembleKalman
from slipstate.assimilate.switching import (
    InteractingMultipleModel,
    SwitchingInfo,
    SwitchingState,
    require_switching,
)
from slipstate.assimilate.variational import (
    FourDVar,
    VariationalInfo,
)

__all__ = [
    "AbstractEnsembleFilter",
    "AbstractFilter",
    "AbstractInflation",
    "AbstractInfo",
    "AbstractPointRule",
    "AbstractResampling",
    "AbstractRule",
    "AbstractSerialFilter",
    "AbstractSeriesFilter",
    "AbstractSmoother",
    "Adaptive",
    "Additive",
    "Alarm",
    "Arrival",
    "Assimilator",
    "BridgeFilter",
    "BridgeInfo",
    "BridgeState",
    "Conformal",
    "ConstantGainKalman",
    "Coupling",
    "Cubature",
    "DeterministicEnsembleKalman",
    "EnsembleInfo",
    "EnsembleKalmanSmoother",
    "EnsembleTransformKalman",
    "Evaluation",
    "FactorInfo",
    "FactorState",
    "FilterResult",
    "FiniteSizeEnsembleKalman",
    "Forecast",
    "ForwardBackward",
    "FourDVar",
    "GaussHermite",
    "GaussianBridge",
    "GaussianSum",
    "Health",
    "InformationKalman",
    "InteractingMultipleModel",
    "Interval",
    "Iterated",
    "IterativeEnsembleKalmanSmoother",
    "Jacobian",
    "Kalman",
    "KalmanInfo",
    "Linearised",
    "LocalEnsembleTransformKalman",
    "Localisation",
    "ModeInfo",
    "ModePath",
    "ModePosterior",
    "ModeState",
    "Multinomial",
    "Multiplicative",
    "NonlinearEnsembleTransform",
    "Observations",
    "ParallelKalman",
    "ParticleFilter",
    "ParticleInfo",
    "ParticleSmoother",
    "Path",
    "Points",
    "RankHistogramFilter",
    "RaoBlackwellised",
    "RelaxPerturbations",
    "RelaxSpread",
    "Report",
    "Residual",
    "Rows",
    "Rung",
    "Running",
    "SecondTaylor",
    "SerialEnsembleAdjustment",
    "SeriesPass",
    "Sigma",
    "SigmaInfo",
    "SigmaPoints",
    "SmoothResult",
    "SquareRootKalman",
    "Stepper",
    "StochasticEnsembleKalman",
    "Stratified",
    "StudentT",
    "SwitchCost",
    "SwitchingInfo",
    "SwitchingState",
    "Systematic",
    "Taylor",
    "Uniformity",
    "Unscented",
    "VariationalInfo",
    "Whiteness",
    "central_interval",
    "climatology",
    "coverage",
    "coverage_target",
    "crps_ensemble",
    "crps_gaussian",
    "crps_mixture",
    "energy_score",
    "evaluate",
    "fair_crps",
    "filter_series",
    "filter_stretches",
    "forecast",
    "gaspari_cohn",
    "init",
    "innovation_whiteness",
    "keep_branches",
    "ladder_of",
    "linearised_model",
    "load_state",
    "log_prob",
    "log_score_gaussian",
    "log_score_mixture",
    "mixture_distribution",
    "mixture_log_density",
    "mixture_moments",
    "mixture_quantiles",
    "mode_posterior",
    "most_probable_path",
    "on_ring",
    "pit_gaussian",
    "pit_uniformity",
    "posterior_stretches",
    "rank_histogram",
    "rank_uniformity",
    "require_hidden_markov",
    "require_linear",
    "require_switching",
    "ring_distances",
    "sample",
    "sample_posterior",
    "sample_states",
    "save_state",
    "sinkhorn",
    "smooth_iterated",
    "smooth_series",
    "spread_skill",
    "step",
    "step_taper",
]
