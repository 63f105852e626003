"""Following observations with a model: filters, smoothers, ensembles, scores."""

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
from slipstate.assimilate.mixtures import (
    mixture_distribution,
    mixture_log_density,
    mixture_moments,
    mixture_quantiles,
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

__all__ = [
    "Uniformity",
    "central_interval",
    "coverage",
    "coverage_target",
    "crps_ensemble",
    "crps_gaussian",
    "crps_mixture",
    "energy_score",
    "fair_crps",
    "log_score_gaussian",
    "log_score_mixture",
    "mixture_distribution",
    "mixture_log_density",
    "mixture_moments",
    "mixture_quantiles",
    "pit_gaussian",
    "pit_uniformity",
    "rank_histogram",
    "rank_uniformity",
    "spread_skill",
]
