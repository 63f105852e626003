"""Following a network of stations: one shared switch, steps decided with patience.

Three things happen to a daily position, and they look alike on the first day: an
outlier, a step (an earthquake, a new antenna), and the start of slow slip. The filter
keeps them apart by what comes later, in real time:

- the switch (slip or not) is one Markov chain for all stations, an interacting multiple
  model; its probability needs every station;
- a step is a second hypothesis of its station alone. It is opened as soon as it is not
  absurd, runs beside the first one, and is accepted or dropped when the odds are clear
  or patience ends. Until then forecasts are the mixture of both;
- an outlier is the heavy tail of the noise and moves neither;
- what all stations do together for a few days is the common mode of the reference
  frame. Each station sees the common mode as the others measured it, so a shared error
  is not taken for many independent pieces of evidence.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.common_mode import CommonMode, observe_common_mode
from slipstate.assimilate.mixing import NEVER, mix_moments, mix_probabilities
from slipstate.assimilate.network_records import (
    NetworkRow,
    NetworkState,
    NetworkTick,
)
from slipstate.assimilate.outliers import student_log_density, update_series
from slipstate.ground.kept_programs import kept_jit
from slipstate.systems.network import ForecastRows, NetworkModel

_CLIP, _CLIPPED_MEAN = 9.0, 1.5115  # E min(t^2, 9) of Student's t with four degrees
_UNREST = (0.5, 1e4)  # a station may become a little quieter, or far noisier


class NetworkFilter(eqx.Module):
    """Settings of the network filter.

    Attributes:
        dof: Degrees of freedom of the observation noise.
        open_odds: Log odds above which a step is worth a hypothesis.
        accept_odds: Log odds at which it is accepted, once old enough.
        min_age: Observed ticks a step must last before it is accepted.
        max_age: Observed ticks after which the likelier hypothesis wins.
        memory: Observed ticks over which the noise level is followed: receivers age and
            trees grow, and a fit of the past must not call that slip.
    """

    dof: float = 4.0
    open_odds: float = -9.0
    accept_odds: float = 7.0
    min_age: int = eqx.field(static=True, default=10)
    max_age: int = eqx.field(static=True, default=30)
    memory: float = 60.0

    @eqx.filter_jit
    def init(self, model: NetworkModel) -> NetworkState:
        """Return the state before the first tick."""
        S, C, N = model.initial_mean.shape
        M = model.modes
        spread = (S, 2, M, C, N)
        zero = jnp.zeros(S, model.initial_mean.dtype)
        common_var = jnp.broadcast_to(model.common_sd**2, (M, C))
        return NetworkState(
            jnp.log(model.initial_probs),
            jnp.stack([zero, zero + NEVER], 1),
            jnp.broadcast_to(model.initial_mean[:, None, None], spread),
            jnp.broadcast_to(model.initial_cov[:, None, None], (*spread, N)),
            jnp.zeros(S, int),
            CommonMode(jnp.zeros_like(common_var), common_var),
            jnp.ones((S, C), model.initial_mean.dtype),
        )

    def step(
        self,
        model: NetworkModel,
        rows: ForecastRows,
        state: NetworkState,
        row: NetworkRow,
    ) -> tuple[NetworkState, NetworkTick]:
        """Let one tick pass and take in its observations.

        Args:
            model: The network.
            rows: Horizons to forecast.
            state: What was carried.
            row: What arrived.

        Returns:
            What to carry on, and what to say.
        """
        log_switch = jnp.log(model.switch)
        back_to_quiet = jnp.full_like(log_switch, NEVER).at[:, 0].set(0.0)
        log_switch = jnp.where(row.quiet, back_to_quiet, jnp.maximum(log_switch, NEVER))
        log_pred, mixing = mix_probabilities(state.log_probs, log_switch)
        mean, cov = _move(model, mixing, state)
        common = state.common.move(mixing, model.common_sd, model.common_decay)

        noise = (model.noise_scale * row.scale) ** 2 * state.unrest
        noise = jnp.where(row.mask, noise, jnp.inf)  # no gain where nothing is seen
        weights = jnp.exp(state.log_weights)
        error = jnp.where(row.mask, row.y, 0.0)[:, None, None] - mean @ model.h
        seen = observe_common_mode(
            common, weights, error, (cov @ model.h) @ model.h, noise, row.mask, self.dof
        )
        own = row.mask[:, None, None]
        error = jnp.where(own, error - seen.others_mean[:, None], 0.0)
        noise_all = jnp.broadcast_to(
            (noise[:, None] + seen.others_var)[:, None], error.shape
        )
        new_mean, new_cov, signal = update_series(
            mean, cov, model.h, error, noise_all, self.dof
        )
        kicked_cov = cov[:, 0] + model.kick_cov[:, None]
        step_mean, step_cov, step_signal = update_series(
            mean[:, 0], kicked_cov, model.h, error[:, 0], noise_all[:, 0], self.dof
        )
        # log-likelihood of each hypothesis (same, open step, new step) in each mode
        score = _log_density(error, signal + noise_all, own, self.dof)
        step_score = _log_density(
            error[:, 0], step_signal + noise_all[:, 0], own[:, 0], self.dof
        )
        any_seen = jnp.any(row.mask, -1)
        is_open = state.age > 0
        fresh = jnp.where(is_open | ~any_seen, NEVER, jnp.log(model.kick_prob))
        base = state.log_weights
        hyp = jnp.stack(
            [
                base[:, 0, None] + score[:, 0],
                jnp.where(is_open[:, None], base[:, 1, None] + score[:, 1], NEVER),
                jnp.maximum(base[:, 0, None] + fresh[:, None] + step_score, NEVER),
            ],
            1,
        )
        station = jax.nn.logsumexp(hyp, axis=1)
        joint = log_pred + jnp.sum(station + seen.chain_correction, 0)
        total = jax.nn.logsumexp(joint)
        log_probs = joint - total
        log_hyp = jax.nn.logsumexp(
            hyp - station[:, None] + log_probs[None, None], axis=2
        )
        carried, decision = self._decide(
            state, (new_mean, new_cov), (step_mean, step_cov), log_hyp, any_seen
        )
        new = NetworkState(
            log_probs,
            carried["log_weights"],
            carried["mean"],
            carried["cov"],
            carried["age"],
            CommonMode(seen.mean, seen.var),
            self._follow_unrest(
                state.unrest, weights, jnp.exp(log_pred), error, signal + noise_all, row
            ),
        )
        first_error = error[:, 0, 0]
        tick = NetworkTick(
            total,
            log_probs,
            log_pred,
            decision["prob"],
            decision["accepted"],
            decision["age"],
            first_error,
            (signal + noise_all)[:, 0, 0],
            *_signal(model, new),
            jnp.exp(log_probs) @ seen.mean,
            new.unrest,
            *_forecast(model, rows, new),
        )
        return new, tick

    def _follow_unrest(
        self,
        unrest: Float[Array, "station comp"],
        weights: Float[Array, "station 2"],
        probs: Float[Array, " mode"],
        error: Float[Array, "station 2 mode comp"],
        scale: Float[Array, "station 2 mode comp"],
        row: NetworkRow,
    ) -> Float[Array, "station comp"]:
        """Let the noise level follow squared errors, clipped so that outliers pass."""
        size = jnp.minimum(error**2 / scale, _CLIP)
        size = jnp.einsum("sh,j,shjc->sc", weights, probs, size) / _CLIPPED_MEAN
        moved = unrest * (1.0 + (size - 1.0) / self.memory)
        return jnp.where(row.mask, jnp.clip(moved, *_UNREST), unrest)

    def _decide(
        self,
        state: NetworkState,
        same: tuple[Array, Array],
        kicked: tuple[Array, Array],
        log_hyp: Float[Array, "station 3"],
        any_seen: Bool[Array, " station"],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Open, keep, accept or drop the step hypothesis of each station."""
        is_open = state.age > 0
        opens = ~is_open & any_seen & (log_hyp[:, 2] - log_hyp[:, 0] > self.open_odds)
        log_step = jnp.where(
            opens, log_hyp[:, 2], jnp.where(is_open, log_hyp[:, 1], NEVER)
        )
        norm = jnp.logaddexp(log_hyp[:, 0], log_step)
        log_same, log_step = log_hyp[:, 0] - norm, log_step - norm
        older = state.age + any_seen.astype(int)
        age = jnp.where(opens, 1, jnp.where(is_open, older, 0))
        odds = log_step - log_same
        late = age >= self.max_age
        sure = (age >= self.min_age) & (odds > self.accept_odds)
        accepted = (age > 0) & (sure | (late & (odds > 0.0)))
        dropped = (age > 0) & ~accepted & ((odds < self.open_odds - 2.0) | late)
        closed = accepted | dropped

        def choose(flag: Array, yes: Array, no: Array) -> Array:
            return jnp.where(jnp.reshape(flag, (-1,) + (1,) * (yes.ndim - 1)), yes, no)

        parts = {}
        for name, now, kick in zip(("mean", "cov"), same, kicked, strict=True):
            step = choose(opens, kick, now[:, 1])
            parts[name] = jnp.stack([choose(accepted, step, now[:, 0]), step], 1)
        weights = jnp.stack(
            [
                jnp.where(closed, 0.0, log_same),
                jnp.where(closed, NEVER, jnp.maximum(log_step, NEVER)),
            ],
            1,
        )
        carried = {**parts, "log_weights": weights, "age": jnp.where(closed, 0, age)}
        prob = jnp.where(age > 0, jnp.exp(log_step), 0.0)
        return carried, {"prob": prob, "accepted": accepted, "age": age}


@kept_jit
def run_network(
    method: NetworkFilter,
    model: NetworkModel,
    rows: ForecastRows,
    state: NetworkState,
    series: NetworkRow,
) -> tuple[NetworkState, NetworkTick]:
    """Follow many ticks; a long series may come in pieces of equal length.

    Args:
        method: The filter.
        model: The network.
        rows: Horizons to forecast.
        state: From `method.init`, or from the piece before.
        series: Rows with a leading time axis.

    Returns:
        The state after the last tick, and the ticks with a leading time axis.
    """
    return jax.lax.scan(
        lambda carry, row: method.step(model, rows, carry, row), state, series
    )


def _move(
    model: NetworkModel, mixing: Float[Array, "mode mode"], state: NetworkState
) -> tuple[Array, Array]:
    """Return means and covariances after one tick, in each mode."""
    # the mode must stand just before the state for mixing: (station, 2, comp, mode, .)
    mean, cov = mix_moments(
        mixing, jnp.swapaxes(state.mean, 2, 3), jnp.swapaxes(state.cov, 2, 3)
    )
    mean, cov = jnp.swapaxes(mean, 2, 3), jnp.swapaxes(cov, 2, 3)
    mean = jnp.einsum("scnm,shjcm->shjcn", model.F, mean)
    mean = mean + jnp.swapaxes(model.b, 0, 1)[:, None]
    cov = jnp.einsum("scnk,shjckl,scml->shjcnm", model.F, cov, model.F)
    return mean, cov + jnp.swapaxes(model.Q, 0, 1)[:, None]


def _log_density(
    error: Array, scale: Array, mask: Array, dof: float
) -> Float[Array, "..."]:
    """Return the log density summed over the observed components."""
    return jnp.sum(jnp.where(mask, student_log_density(error, scale, dof), 0.0), -1)


def _signal(model: NetworkModel, state: NetworkState) -> tuple[Array, Array]:
    """Return mean and variance of h x over hypotheses and modes."""
    weight = _weights(state)
    mean = state.mean @ model.h
    var = (state.cov @ model.h) @ model.h
    total = jnp.einsum("shj,shjc->sc", weight, mean)
    apart = mean - total[:, None, None]
    return total, jnp.einsum("shj,shjc->sc", weight, var + apart**2)


def _weights(state: NetworkState) -> Float[Array, "station 2 mode"]:
    """Return P(hypothesis) P(mode)."""
    return jnp.exp(state.log_weights)[:, :, None] * jnp.exp(state.log_probs)[None, None]


def _forecast(
    model: NetworkModel, rows: ForecastRows, state: NetworkState
) -> tuple[Array, Array, Array]:
    """Return weights, means and variances of the forecast mixture."""
    mean = jnp.einsum("Hscn,shjcn->Hshjc", rows.g, state.mean)
    var = jnp.einsum("Hscn,shjcnm,Hscm->Hshjc", rows.g, state.cov, rows.g)
    drift = jnp.moveaxis(rows.drift, 1, 2)[:, :, None]
    noise = jnp.moveaxis(rows.noise, 1, 2)[:, :, None]
    common = rows.common[:, None] * state.common.mean[None]
    common_var = rows.common[:, None] ** 2 * state.common.var[None]
    mean = mean + drift + common[:, None, None]
    return _weights(state), mean, var + noise + common_var[:, None, None]
