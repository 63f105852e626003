"""What is kept of a stretch of a benchmark run: scores of every cycle, not members.

A belief that holds no equally likely members is represented by draws from it, so that
every method is judged by the same ensemble scores.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate import (
    AbstractFilter,
    AbstractInfo,
    BridgeInfo,
    FilterResult,
    ParticleInfo,
    crps_ensemble,
    energy_score,
    fair_crps,
    rank_histogram,
)
from slipstate.assimilate.bridge import LocalBridgeInfo
from slipstate.assimilate.cases import Case
from slipstate.ground.types import Key
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.samples import Ensemble

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SHOWN = 3
"""Components whose quantiles are kept for drawing."""


class Members(eqx.Module):
    """Ensembles of a stretch.

    Attributes:
        analysis: Members after each observation.
        forecast: Members of the observation before each, noise included.
        mean: Mean of the state after each observation.
        sd: Standard deviation of the state after each observation.
    """

    analysis: Float[Array, "*time ens state"]
    forecast: Float[Array, "*time ens obs"]
    mean: Float[Array, "*time state"]
    sd: Float[Array, "*time state"]


@eqx.filter_jit
def draw_stretch(
    case: Case, method: AbstractFilter, result: FilterResult, count: int, key: Key
) -> Members:
    """Return ensembles of every row of a result.

    Args:
        case: The case.
        method: The filter.
        result: What it found.
        count: Number of draws where a belief holds no members.
        key: Random key.
    """
    observation = case.model.observation
    factor = observation.noise_factor()
    # a row at a time: draws of a mixture hold a covariance for each component
    keys = jax.random.split(key, result.step_log_likelihoods.shape[0])

    def one(given: tuple[Array, object, object]) -> Members:
        key, predicted, filtered = given
        before, after, noise = jax.random.split(key, 3)
        belief = method.belief(filtered)
        ahead = _members(method.belief(predicted), count, before)
        seen = jax.vmap(lambda x: observation.predict(x, None))(ahead)
        draws = jax.random.normal(noise, (len(seen), factor.shape[1]), seen.dtype)
        analysis = _members(belief, count, after)
        sd = jnp.sqrt(jnp.maximum(belief.var(), 0.0))
        return Members(analysis, seen + draws @ factor.T, belief.mean(), sd)

    return jax.lax.map(one, (keys, result.predicted, result.filtered))


def _members(belief: AbstractBelief, count: int, key: Key) -> Float[Array, "ens state"]:
    if isinstance(belief, Ensemble):
        return belief.members
    draw = lambda k: belief.sample(key=k)
    return jax.vmap(draw)(jax.random.split(key, count))


def score_stretch(
    members: Members,
    result: FilterResult,
    truth: Float[np.ndarray, "time state"],
    y: Float[np.ndarray, "time obs"],
    noise: Float[np.ndarray, " obs"],
    scored: slice,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the scores of every cycle of a stretch, and counts over those scored.

    Args:
        members: Ensembles of the stretch.
        result: What the filter found.
        truth: True states.
        y: Observations.
        noise: Standard deviation of the noise of each component.
        scored: Cycles after the burn-in.
        seed: Seed of the place of a value between its neighbours in rank.

    Returns:
        Arrays by name; those that begin with "rank" are counts, all others have one
        row per cycle.
    """
    rows = len(truth)  # a last stretch is followed by rows that nobody observed
    cut = lambda x: np.asarray(x)[:rows]
    analysis, forecast = cut(members.analysis), cut(members.forecast)
    mean, sd = cut(members.mean), cut(members.sd)
    rms = lambda x: np.sqrt(np.mean(np.square(x), axis=1))
    tails = 0.5 + 0.5 * np.outer([-1.0, 1.0], LEVELS)
    ends = np.quantile(analysis, tails, axis=1)
    y_ends = np.quantile(forecast, tails, axis=1)
    v = cut(result.innovations)
    sds = np.sqrt(cut(result.innovation_variances))
    z = np.divide(v, sds, out=np.full_like(v, np.nan), where=sds > 0)
    below = (forecast < y[:, None, :]).mean(axis=1)
    M = forecast.shape[1]
    within = np.random.default_rng(seed).uniform(size=y.shape)
    return {
        "error": rms(mean - truth),
        "spread": rms(sd),
        "crps": np.asarray(fair_crps(truth, analysis, axis=1)).mean(axis=1),
        "crps_y": (np.asarray(fair_crps(y, forecast, axis=1)) / noise).mean(axis=1),
        "crps_points": np.asarray(crps_ensemble(truth, analysis, axis=1)).mean(axis=1),
        "energy": np.asarray(energy_score(truth, analysis)),
        "covered": _covered(truth, ends),
        "covered_y": _covered(y, y_ends),
        "innovation": v,
        "innovation_sd": sds,
        "standardised": z,
        # somewhere between two ranks: uniform for a calibrated ensemble of M members
        "pit": (below * M + within) / (M + 1.0),
        "log_likelihood": cut(result.step_log_likelihoods),
        "effective": _effective(result.info, rows),
        "bandwidth": _bandwidth(result.info, rows),
        "truth": truth[:, :SHOWN],
        "mean": mean[:, :SHOWN],
        "quantiles": np.moveaxis(
            np.quantile(analysis[..., :SHOWN], QUANTILES, axis=1), 0, -1
        ),
        "rank": rank_histogram(truth[scored], analysis[scored], axis=1),
        "rank_y": rank_histogram(y[scored], forecast[scored], axis=1),
    }


def _covered(value: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the share of components inside their interval (time, level)."""
    inside = (ends[0] <= value) & (value <= ends[1])
    return inside.mean(axis=-1).T


def _effective(info: AbstractInfo | object, rows: int) -> np.ndarray:
    if isinstance(info, BridgeInfo | LocalBridgeInfo | ParticleInfo):
        return np.asarray(info.effective_size)[:rows]
    return np.full(rows, np.nan)


def _bandwidth(info: AbstractInfo | object, rows: int) -> np.ndarray:
    if isinstance(info, BridgeInfo | LocalBridgeInfo):
        return np.asarray(info.bandwidth)[:rows]
    return np.full(rows, np.nan)
