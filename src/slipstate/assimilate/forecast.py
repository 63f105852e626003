"""What comes after the last row: beliefs about state and observation, further ahead."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from slipstate.assimilate.kalman import Kalman
from slipstate.assimilate.kept import covs_of, means_of, probs_of, variances_of
from slipstate.assimilate.memory_forecast import forecast_memory
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import AbstractFilter, Running, State
from slipstate.assimilate.results import FilterResult, SmoothResult
from slipstate.assimilate.sequential import advance, row_model
from slipstate.ground.arrays import Numbers, as_real, check_finite, is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import ScalarLike
from slipstate.systems.gaussian_emissions import AutoregressiveEmission
from slipstate.systems.hidden_markov import HiddenMarkov
from slipstate.systems.protocol import AbstractModel


class Forecast(eqx.Module):
    """Beliefs at times without observations, given the rows that came before.

    Attributes:
        t: The times.
        states: The filter's state at each of them.
        observation_means: Mean of what would be observed there.
        observation_covs: Its covariance, noise included.
        method: The filter.
    """

    t: Float[Array, " time"]
    states: State
    observation_means: Float[Array, "time obs"]
    observation_covs: Float[Array, "time obs obs"]
    method: AbstractFilter

    @property
    def means(self) -> Float[Array, "time state"]:
        """Mean of the state at each time."""
        return means_of(self.method, self.states)

    @property
    def covs(self) -> Float[Array, "time state state"]:
        """Covariance of the state at each time."""
        return covs_of(self.method, self.states)

    @property
    def variances(self) -> Float[Array, "time state"]:
        """Variance of each component of the state at each time."""
        return variances_of(self.method, self.states)

    @property
    def probs(self) -> Float[Array, "time mode"]:
        """Probability of each mode at each time, of a method that follows modes."""
        return probs_of(self.method, self.states)

    @property
    def observation_sds(self) -> Float[Array, "time obs"]:
        """Standard deviation of each component of the observation."""
        variances = jnp.diagonal(self.observation_covs, axis1=1, axis2=2)
        return jnp.sqrt(variances)

    def quantile(self, q: ScalarLike) -> Float[Array, "time obs"]:
        """Return the quantile `q` of each observed component, taken as normal.

        Exact for linear Gaussian models; by mean and variance for others.

        Args:
            q: Probability, between 0 and 1.
        """
        return self.observation_means + self.observation_sds * ndtri(q)


def forecast(
    model: AbstractModel,
    start: Running | FilterResult | SmoothResult,
    t: Numbers | None = None,
    *,
    steps: int | None = None,
    dt: ScalarLike = 1.0,
    u: Numbers | None = None,
    method: AbstractFilter | None = None,
) -> Forecast:
    """Let time pass beyond the last row.

    Args:
        model: The model.
        start: Where the run stands, or the result of one.
        t: Times to forecast for, none before the run stands; None for `steps` of `dt`.
        steps: Number of equal steps, in place of `t`.
        dt: Length of each of them.
        u: Exogenous input of each time, or None.
        method: The filter; None for the one of the result, or Kalman().

    Returns:
        Beliefs about state and observation at each time.

    Raises:
        InputError: Times are missing, decrease, or lie before the run stands.
        MethodError: The method cannot treat this model.
    """
    if isinstance(start, SmoothResult):
        start = start.filter
    if isinstance(start, FilterResult):
        method = start.method if method is None else method
        start = start.final
    method = Kalman() if method is None else method
    method.check(row_model(model, 0))
    times = _times(start, t, steps, dt)
    inputs = None if u is None else as_real("u", u, (times.shape[0], None))
    return _forecast(model, start, times, inputs, method)


def _times(
    start: Running, t: Numbers | None, steps: int | None, dt: ScalarLike
) -> Float[Array, " time"]:
    """Return the times to forecast for."""
    if (t is None) == (steps is None):
        raise InputError(
            "`t` or `steps` must be given, and not both. Pass the times to forecast "
            "for, or a number of steps of length `dt`."
        )
    if t is None:
        assert steps is not None
        if steps < 1:
            raise InputError(f"`steps` must be at least 1; got {steps}. Ask for one.")
        return start.t + dt * jnp.arange(1, steps + 1, dtype=float)
    times = as_real("t", t, (None,)).astype(float)
    check_finite("t", times)
    if is_concrete(times) and is_concrete(start.t):
        known = bool(start.moves)
        before = jnp.concatenate([start.t[None] if known else times[:1], times[:-1]])
        if bool(jnp.any(times < before)):
            raise InputError(
                f"`t` must not decrease, nor begin before {float(start.t):.10g}, where "
                "the run stands. Sort the times and drop those in the past."
            )
    return times


@eqx.filter_jit
def _forecast(
    model: AbstractModel,
    start: Running,
    t: Float[Array, " time"],
    u: Float[Array, "time input"] | None,
    method: AbstractFilter,
) -> Forecast:
    obs = len(model.observation.units)
    dtype = jax.tree.leaves(eqx.filter(start.state, eqx.is_inexact_array))[0].dtype
    blank = jnp.zeros((t.shape[0], obs), dtype)
    rows = Rows(blank, jnp.zeros(blank.shape, bool), t, u)

    def body(running: Running, row: Rows) -> tuple[Running, tuple[Any, Array, Array]]:
        there = row_model(model, running.count)
        key = running.keys()[1]
        running, predicted, _ = advance(model, running, row, method)
        # observing 0 makes minus the prediction the innovation, whatever the method
        seen = jnp.ones(obs, bool)
        _, info = method.update(there, predicted, row.y, seen, row.u, key=key)
        return running, (predicted, -info.innovation, info.innovation_cov)

    _, (states, means, covs) = jax.lax.scan(body, start, rows)
    if isinstance(model, HiddenMarkov):
        emission = model.observation
        if isinstance(emission, AutoregressiveEmission):
            # rows to come are remembered too, although nobody has seen them
            dts, moves = start.gaps(t)
            steps = jax.vmap(model.chain.matrix)(u, dts.astype(dtype))
            stay = jnp.eye(model.modes, dtype=dtype)[None]
            steps = jnp.where(moves[:, None, None], steps, stay)
            probs, past = start.state.probs, start.state.past
            means, covs = forecast_memory(emission, probs, past, steps)
    return Forecast(t, states, means, covs, method)
