"""Forecasts of what will be seen of a fault, and their scores against what came.

The forecast of an observation is the mixture of what the members predict, each with
the noise of the instrument and the weight of the member.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from slipstate.assimilate.mixtures import (
    mixture_distribution,
    mixture_log_density,
    mixture_moments,
    mixture_quantiles,
)
from slipstate.assimilate.scores import crps_mixture
from slipstate.systems.protocol import StateSpaceModel
from slipstate.watch.fault_follow import FaultRun
from slipstate.watch.forecasts import QUANTILES

_NEGLIGIBLE = 1e-6  # part of the mean weight below which a particle is left out


class FaultForecasts(NamedTuple):
    """Forecasts by valid time.

    Attributes:
        quantiles: Quantiles at `QUANTILES`.
        mean: Means.
        sd: Standard deviations.
        pit: Probability given to values below what came.
        crps: Continuous ranked probability score.
        log_score: Minus log density of what came [nats].
    """

    quantiles: Float[np.ndarray, "time station obs horizon quantile"]
    mean: Float[np.ndarray, "time station obs horizon"]
    sd: Float[np.ndarray, "time station obs horizon"]
    pit: Float[np.ndarray, "time station obs horizon"]
    crps: Float[np.ndarray, "time station obs horizon"]
    log_score: Float[np.ndarray, "time station obs horizon"]


def forecast_fault(
    model: StateSpaceModel,
    found: FaultRun,
    y: Float[np.ndarray, "time obs"],
    horizons: tuple[int, ...],
    advance: Callable[[int, int], None],
) -> FaultForecasts:
    """Return the forecasts of a run and their scores.

    Args:
        model: The fault.
        found: What the filter has to say.
        y: What was observed, NaN where missing.
        horizons: Steps ahead.
        advance: Called with horizons done and all horizons.

    Returns:
        The forecasts; NaN where there are none, scores NaN where nothing was seen.
    """
    observe = jax.vmap(jax.vmap(lambda x: model.observation.predict(x, None)))
    noise = np.sqrt(np.sum(np.asarray(model.observation.noise_factor()) ** 2, 1))
    T, C = y.shape
    shape = (T, 1, C, len(horizons))
    numbers = [np.full(shape, np.nan) for _ in range(5)]
    mean, sd, pit, crps, log_score = numbers
    quantiles = np.full((*shape, len(QUANTILES)), np.nan)
    for k, steps in enumerate(horizons):
        members = np.asarray(observe(jnp.asarray(found.ahead[k, : T - steps])))
        w = _significant(found.weights[: T - steps])
        for c in range(C):
            m = np.ascontiguousarray(members[..., c])
            spread = np.full(m.shape, noise[c])
            at = (slice(steps, T), 0, c, k)
            came = y[steps:, c]
            quantiles[at] = mixture_quantiles(np.asarray(QUANTILES), w, m, spread)
            mean[at], sd[at] = mixture_moments(w, m, spread)
            pit[at] = mixture_distribution(came, w, m, spread)
            crps[at] = crps_mixture(came, w, m, spread)
            log_score[at] = -mixture_log_density(came, w, m, spread)
        advance(k + 1, len(horizons))
    return FaultForecasts(quantiles, mean, sd, pit, crps, log_score)


def _significant(
    weights: Float[np.ndarray, "time ens"],
) -> Float[np.ndarray, "time ens"]:
    """Return weights without those that cannot matter, adding up to 1."""
    kept = np.where(weights * weights.shape[1] > _NEGLIGIBLE, weights, 0.0)
    return kept / kept.sum(1, keepdims=True)
