"""Estimating a network from its training part, by the evidence of the filter itself.

Three stages, each on the training part only:

1. steps are found with the parameters of an ordinary station;
2. every series (one component of one station) is fitted alone, steps given, by Fisher
   scoring on the log-likelihood of the switching model with weak priors. The switch
   listens to the horizontal component that moves most in the long run, and slip goes
   against that motion: slow slip gives back what was loaded;
3. the common mode is what the prediction errors of different stations share.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from slipstate.assimilate.evidence import Links, links
from slipstate.assimilate.network import NetworkFilter
from slipstate.assimilate.network_records import NetworkTick
from slipstate.earth.trajectory import NetworkParameters, NetworkPrior, network_model
from slipstate.fit.fisher import fisher_scoring
from slipstate.ground.solution import Outcome, Solution
from slipstate.systems.network import NetworkModel
from slipstate.watch.lanes import lane_evidence
from slipstate.watch.priors import network_prior, parameter_prior, primary_component
from slipstate.watch.series import TickSeries
from slipstate.watch.step_days import accepted_days

_COMMON_TIME = 5.0  # [day]
_LONGEST_FIT = 3500  # ticks; more of the past than this adds little but time


RunPieces = Callable[[NetworkFilter, NetworkModel, TickSeries, int], NetworkTick]
"""Follows the first so many ticks of a series and returns what the filter said."""


@dataclass(frozen=True)
class Estimate:
    """A fitted network.

    Attributes:
        parameters: The estimates.
        prior: What was assumed about the first day.
        primary: Index of the component the switch listens to, by station.
        fit: How the fit ended; values are the unconstrained parameters by series.
    """

    parameters: NetworkParameters
    prior: NetworkPrior
    primary: np.ndarray
    fit: Solution

    def kept(self) -> dict[str, np.ndarray]:
        """Return what makes the same estimate again, without fitting."""
        return {
            "theta": self.fit.value,
            "converged": np.asarray(self.fit.info["converged"]),
            "steps": np.asarray(self.fit.info["steps"]),
            "common_sd": np.asarray(self.parameters.common_sd),
        }


def estimate_network(
    series: TickSeries,
    method: NetworkFilter,
    run_pieces: RunPieces,
    progress: Callable[[int, int], None] | None = None,
    earlier: Mapping[str, np.ndarray] | None = None,
) -> Estimate:
    """Fit a network to the training part of its series.

    Args:
        series: The observations.
        method: The filter that will follow them.
        run_pieces: Follows a whole series in pieces, as the watch itself does; shared
            so that nothing is compiled twice.
        progress: Called with steps done and most steps.
        earlier: `Estimate.kept` of an earlier fit, to be taken instead of fitting.

    Returns:
        The estimate.
    """
    S, C = series.y.shape[1:]
    prior = network_prior(series)
    primary = primary_component(prior.rate, series.components)
    listens = np.arange(C) == primary[:, None]
    # slow slip gives back what was loaded, so it goes against the secular motion
    against = np.where(np.asarray(prior.rate) > 0, -1.0, 1.0)
    direction = np.where(listens, against, 0.0)
    mean, sd = parameter_prior(series, listens)
    if earlier is not None:
        fit = _solution(earlier["theta"], earlier["converged"], earlier["steps"])
        shared = earlier["common_sd"]
    else:
        start = _parameters(mean, direction, np.zeros(C))
        model = network_model(start, prior, series.tick)
        kicks = _training_kicks(series, method, model, run_pieces)
        fit = _fit(series, prior, direction, mean, sd, kicks, links(model), progress)
        shared = np.zeros(C)
        if S > 1:
            alone = _parameters(fit.value.reshape(S, C, -1), direction, shared)
            model = network_model(alone, prior, series.tick)
            shared = _common_sd(series, method, model, run_pieces)
    parameters = _parameters(fit.value.reshape(S, C, -1), direction, shared)
    return Estimate(parameters, prior, primary, fit)


def _parameters(
    theta: Float[np.ndarray, "station comp parameter"],
    direction: Float[np.ndarray, "station comp"],
    common_sd: Float[np.ndarray, " comp"],
) -> NetworkParameters:
    """Put fitted numbers in their places; the network's switch is the mean switch.

    The coloured noise of a station alone contains the common mode; what is shared is
    taken out of it.
    """
    scale, walk, sd, time = (np.exp(theta[..., k]) for k in range(4))
    slip = direction * np.exp(theta[..., 4])
    listens = direction != 0.0
    onset, end = (np.exp(np.mean(theta[..., k][listens])) for k in (5, 6))
    own = np.sqrt(np.maximum(sd**2 - common_sd**2, (0.3 * sd) ** 2))
    C = theta.shape[1]
    return NetworkParameters(
        *(jax.device_put(x) for x in (scale, walk, own, time, slip)),
        onset_rate=jax.device_put(onset),
        end_rate=jax.device_put(end),
        common_sd=jax.device_put(common_sd),
        common_time=jnp.full(C, _COMMON_TIME),
    )


def _training_kicks(
    series: TickSeries,
    method: NetworkFilter,
    model: NetworkModel,
    run_pieces: RunPieces,
) -> Bool[np.ndarray, "time station"]:
    """Return the days on which a step was accepted in the training part."""
    end = _fit_end(series)
    ticks = run_pieces(method, model, series, end)
    return accepted_days(
        np.asarray(ticks.accepted),
        np.asarray(ticks.age),
        np.any(series.mask[:end], axis=-1),
    )


def _fit_end(series: TickSeries) -> int:
    """Return the number of ticks that hold every station's training part."""
    return int(np.flatnonzero(series.training.any(1) & series.mask.any((1, 2)))[-1]) + 1


def _fit(
    series: TickSeries,
    prior: NetworkPrior,
    direction: np.ndarray,
    mean: np.ndarray,
    sd: np.ndarray,
    kicks: np.ndarray,
    heard: Links,
    progress: Callable[[int, int], None] | None,
) -> Solution:
    """Fit all series, each alone, in one batch."""
    S, C, P = mean.shape
    K = S * C
    end = kicks.shape[0]
    used = series.mask[:end] & series.training[:end, :, None]
    first = max(0, end - _LONGEST_FIT)

    def by_series(x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x[first:end].reshape(end - first, K), 1, 0)

    kicked = np.broadcast_to(kicks[..., None], used.shape)
    level = np.asarray(prior.level) + np.asarray(prior.rate) * first * series.tick
    data = (
        level.reshape(K),
        np.asarray(prior.rate).reshape(K),
        direction.reshape(K),
        *(by_series(x) for x in (series.y, used, series.scale, kicked)),
    )

    flat = mean.reshape(K, P)
    with lane_evidence(data, series.tick, heard) as terms:
        found = fisher_scoring(
            terms,
            flat,
            flat,
            sd.reshape(K, P),
            tolerance=0.05,
            max_steps=15,
            progress=progress,
        )
    converged, steps = (np.asarray(found.info[k]) for k in ("converged", "steps"))
    return _solution(found.value, converged, steps)


def _solution(theta: np.ndarray, converged: np.ndarray, steps: np.ndarray) -> Solution:
    """Return how a fit ended, whether just now or in the run that is resumed."""
    outcome = Outcome.successful if converged.all() else Outcome.not_converged
    words = (
        "Fisher scoring (BHHH) with a normal prior: "
        f"{int(converged.sum())} of {converged.size} series converged, "
        f"{int(steps)} steps"
    )
    return Solution(theta, outcome, {"converged": converged, "steps": steps}, words)


def _common_sd(
    series: TickSeries,
    method: NetworkFilter,
    model: NetworkModel,
    run_pieces: RunPieces,
) -> Float[np.ndarray, " comp"]:
    """Return the standard deviation the prediction errors of stations share."""
    end = _fit_end(series)
    ticks = run_pieces(method, model, series, end)
    used = series.mask[:end] & series.training[:end, :, None]
    error = np.asarray(ticks.innovation)
    counts = used | ~used.any(0)  # innovations of what is masked are 0
    sd = 1.48 * np.nanmedian(np.where(counts, np.abs(error), np.nan), axis=0)
    error = np.where(used, np.clip(error, -5.0 * sd, 5.0 * sd), 0.0)
    shared = np.zeros(used.shape[2])
    for c in range(used.shape[2]):
        e, w = error[..., c], used[..., c].astype(float)
        together = w.T @ w
        off = ~np.eye(len(together), dtype=bool) & (together > 200)
        if off.any():
            shared[c] = max(np.mean((e.T @ e)[off] / together[off]), 0.0)
    return np.sqrt(shared)
