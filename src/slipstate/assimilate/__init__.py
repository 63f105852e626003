"""Following observations with a model: filters, smoothers, ensembles, scores."""

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
    central_interval,
    coverage,
    coverage_target,
    pit_gaussian,
    pit_uniformity,
    rank_histogram,
    rank_uniformity,
    spread_skill,
)
from slipstate.assimilate.constant_gain import (
    ConstantGainKalman,
)
from slipstate.assimilate.ensemble import (
    EnsembleInfo,
    EnsembleTransformKalman,
)
from slipstate.assimilate.evaluate import (
    Evaluation,
    evaluate,
    log_prob,
)
from slipstate.assimilate.factors import (
    FactorInfo,
    FactorState,
)
from slipstate.assimilate.forecast import (
    Forecast,
    forecast,
)
from slipstate.assimilate.hidden_markov import (
    ForwardBackward,
    ModeInfo,
    ModeState,
    require_hidden_markov,
)
from slipstate.assimilate.information import (
    InformationKalman,
)
from slipstate.assimilate.kalman import (
    Kalman,
    KalmanInfo,
    require_linear,
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
from slipstate.assimilate.observations import (
    Observations,
    Rows,
)
from slipstate.assimilate.online import (
    Stepper,
)
from slipstate.assimilate.parallel import (
    ParallelKalman,
)
from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractInfo,
    AbstractSeriesFilter,
    AbstractSmoother,
    Running,
    SeriesPass,
)
from slipstate.assimilate.results import (
    FilterResult,
    SmoothResult,
)
from slipstate.assimilate.robust import (
    StudentT,
)
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
from slipstate.assimilate.simulation import (
    sample_posterior,
)
from slipstate.assimilate.square_root import (
    SquareRootKalman,
)
from slipstate.assimilate.state_file import (
    load_state,
    save_state,
)
from slipstate.assimilate.switching import (
    InteractingMultipleModel,
    SwitchingInfo,
    SwitchingState,
    require_switching,
)

__all__ = [
    "AbstractFilter",
    "AbstractInfo",
    "AbstractSeriesFilter",
    "AbstractSmoother",
    "BridgeFilter",
    "BridgeInfo",
    "BridgeState",
    "ConstantGainKalman",
    "Coupling",
    "EnsembleInfo",
    "EnsembleTransformKalman",
    "Evaluation",
    "FactorInfo",
    "FactorState",
    "FilterResult",
    "Forecast",
    "ForwardBackward",
    "GaussianBridge",
    "InformationKalman",
    "InteractingMultipleModel",
    "Iterated",
    "Jacobian",
    "Kalman",
    "KalmanInfo",
    "ModeInfo",
    "ModePath",
    "ModePosterior",
    "ModeState",
    "Observations",
    "ParallelKalman",
    "Path",
    "Rows",
    "Running",
    "SeriesPass",
    "SigmaPoints",
    "SmoothResult",
    "SquareRootKalman",
    "Stepper",
    "StudentT",
    "SwitchCost",
    "SwitchingInfo",
    "SwitchingState",
    "Uniformity",
    "central_interval",
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
    "init",
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
    "pit_gaussian",
    "pit_uniformity",
    "rank_histogram",
    "rank_uniformity",
    "require_hidden_markov",
    "require_linear",
    "require_switching",
    "sample",
    "sample_posterior",
    "sample_states",
    "save_state",
    "sinkhorn",
    "smooth_series",
    "spread_skill",
    "step",
]
