"""The only loops: any filter over any series, at once or one observation at a time.

    result = filter_series(model, Observations(y), Kalman())
    result = smooth_series(model, Observations(y), Kalman())

    running = init(model, Kalman())
    running, info = step(model, running, y_k, t=t_k, method=Kalman())

Both roads are the same compiled step, so they agree to the last bit that the compiler
keeps, and a run may stop after any row and go on from `result.final`.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from slipstate.assimilate.kalman import Kalman
from slipstate.assimilate.observations import Observations, Rows
from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractInfo,
    AbstractSeriesFilter,
    AbstractSmoother,
    Running,
    SeriesPass,
    State,
)
from slipstate.assimilate.results import FilterResult, SmoothResult
from slipstate.ground.arrays import Numbers
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.types import Key, ScalarLike
from slipstate.systems.protocol import AbstractModel

_EXACT = Kalman()
_IN_CACHE = 4096  # numbers of a covariance matrix times steps treated side by side


def init(
    model: AbstractModel,
    method: AbstractFilter = _EXACT,
    *,
    t0: ScalarLike | None = None,
    key: Key | None = None,
) -> Running:
    """Start a run before its first observation.

    Args:
        model: The model; its initial belief is the start.
        method: The filter.
        t0: Time at which the initial belief holds. None: the time of the first
            observation, whenever that comes.
        key: Random key; needed by methods that draw.

    Returns:
        The running state for `step`.

    Raises:
        MethodError: The method cannot treat this model.
    """
    method.check(model)
    key_init, key_run = (None, None) if key is None else jax.random.split(key)
    state = method.init(model, key=key_init)
    t = jnp.asarray(0.0 if t0 is None else t0, float)
    moves = jnp.asarray(t0 is not None)
    return Running(state, t, moves, jnp.zeros((), int), key_run)


def step(
    model: AbstractModel,
    running: Running,
    y: Numbers,
    *,
    t: ScalarLike,
    mask: Numbers | None = None,
    u: Numbers | None = None,
    method: AbstractFilter = _EXACT,
) -> tuple[Running, AbstractInfo]:
    """Let time pass until `t` and take in one observation.

    Args:
        model: The model.
        running: Where the run stands.
        y: The observation, NaN where missing.
        t: Its time, in the time unit of the model; not before the last one.
        mask: True where observed; None for wherever `y` is not NaN.
        u: Exogenous input, or None.
        method: The filter.

    Returns:
        Where the run stands now, and the diagnostics of this update.
    """
    given = (_as_array(y), _as_array(t), _as_array(mask), _as_array(u))
    return _step(model, running, given, method)


def filter_series(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter = _EXACT,
    *,
    key: Key | None = None,
    prior_at: str = "first",
    running: Running | None = None,
) -> FilterResult:
    """Follow a whole series of observations.

    Args:
        model: The model.
        observations: The series.
        method: The filter.
        key: Random key; needed by methods that draw.
        prior_at: "first": the initial belief holds at the time of the first row.
            "before": it holds one step earlier, a step as long as the first gap.
        running: Where an earlier part of the series ended (`result.final`), to go on
            from there; then `key` and `prior_at` do not matter.

    Returns:
        Beliefs, innovations and likelihoods at every row, and the state at the end.

    Raises:
        MethodError: The method cannot treat this model.
        InputError: Observations and model disagree in size.
    """
    _check_sizes(model, observations)
    method.check(model)
    if prior_at not in ("first", "before"):
        raise InputError(f'`prior_at` must be "first" or "before"; got "{prior_at}".')
    return _filter(model, observations, method, key, prior_at == "before", running)


def smooth_series(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter = _EXACT,
    *,
    key: Key | None = None,
    prior_at: str = "first",
) -> SmoothResult:
    """Follow a series forwards, then revise every belief by what came later.

    Args:
        model: The model.
        observations: The series.
        method: A filter that can smooth.
        key: Random key; needed by methods that draw.
        prior_at: As for `filter_series`.

    Returns:
        Smoothed beliefs at every row, with the filter's result beside them.

    Raises:
        MethodError: The method cannot smooth, or cannot treat this model.
        InputError: Observations and model disagree in size.
    """
    if not isinstance(method, AbstractSmoother | AbstractSeriesFilter):
        raise MethodError(
            f"`method` must be able to smooth; {type(method).__name__} only filters. "
            "Use Kalman() where the model is linear, InteractingMultipleModel() where "
            "it switches between linear modes."
        )
    filtered = filter_series(model, observations, method, key=key, prior_at=prior_at)
    return SmoothResult(_smooth(model, observations, filtered), filtered)


def _as_array(value: Any) -> Any:
    """Return numbers as an array, without starting jax for a few of them."""
    if value is None or isinstance(value, jax.Array):
        return value
    return np.asarray(value)


def _advance(
    model: AbstractModel,
    running: Running,
    row: Rows,
    method: AbstractFilter,
) -> tuple[Running, State, AbstractInfo]:
    """Predict to the time of `row` and update; return the prediction too."""
    y, mask, t, u = row
    key_predict, key_update = running.keys()
    # A run that has not started does not move; 1 keeps the unused branch finite.
    dt = jnp.where(running.moves, t - running.t, 1.0).astype(y.dtype)
    moved = method.predict(model, running.state, u, dt, key=key_predict)
    predicted = jax.tree.map(
        lambda new, old: jnp.where(running.moves, new, old), moved, running.state
    )
    state, info = method.update(model, predicted, y, mask, u, key=key_update)
    count = running.count + 1
    return (
        Running(state, t, jnp.asarray(True), count, running.key),
        predicted,
        info,
    )


@eqx.filter_jit
def _step(
    model: AbstractModel,
    running: Running,
    given: tuple[Any, Any, Any, Any],
    method: AbstractFilter,
) -> tuple[Running, AbstractInfo]:
    y, t, mask, u = jax.tree.map(lambda x: jnp.asarray(x)[None], given)
    row = jax.tree.map(lambda x: x[0], Observations(y, t, mask, u).rows())
    running, _, info = _advance(model, running, row, method)
    return running, info


@eqx.filter_jit
def _filter(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter,
    key: Key | None,
    before: bool,
    running: Running | None,
) -> FilterResult:
    t = observations.t
    if running is None:
        gap = t[1] - t[0] if len(observations) > 1 else jnp.ones((), t.dtype)
        running = init(model, method, t0=t[0] - gap if before else None, key=key)

    if isinstance(method, AbstractSeriesFilter):
        done = method.filter_rows(model, running, observations.rows())
    else:
        done = _row_by_row(model, running, observations.rows(), method)
    terms = jax.vmap(method.log_likelihood)(done.info)
    return FilterResult(
        done.predicted, done.filtered, done.info, terms, done.final, method
    )


def _row_by_row(
    model: AbstractModel, running: Running, rows: Rows, method: AbstractFilter
) -> SeriesPass:
    """Take in one row after the other."""

    def body(
        carry: Running, row: Rows
    ) -> tuple[Running, tuple[State, State, AbstractInfo]]:
        carry, predicted, info = _advance(model, carry, row, method)
        return carry, (predicted, carry.state, info)

    final, (predicted, filtered, info) = jax.lax.scan(body, running, rows)
    return SeriesPass(predicted, filtered, info, final)


@eqx.filter_jit
def _smooth(
    model: AbstractModel, observations: Observations, result: FilterResult
) -> State:
    method = result.method
    if isinstance(method, AbstractSeriesFilter):
        done = SeriesPass(result.predicted, result.filtered, result.info, result.final)
        return method.smooth_rows(model, observations.rows(), done)
    assert isinstance(method, AbstractSmoother)
    _, _, t, u = observations.rows()
    before = jax.tree.map(lambda x: x[:-1], result.filtered)
    predicted, inputs = jax.tree.map(lambda x: x[1:], (result.predicted, u))
    dts = jnp.diff(t).astype(observations.y.dtype)
    elements = jax.lax.map(
        lambda step: method.prepare_smoothing(model, *step),
        (before, predicted, inputs, dts),
        batch_size=max(1, _IN_CACHE // model.initial.mean().shape[0] ** 2),
    )
    last = jax.tree.map(lambda x: x[-1], result.filtered)

    def body(smoothed: State, element: Any) -> tuple[State, State]:
        state = method.smooth_step(element, smoothed)
        return state, state

    _, states = jax.lax.scan(body, last, elements, reverse=True)
    return jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), states, last)


def _check_sizes(model: AbstractModel, observations: Observations) -> None:
    """Raise unless the observations are what the model's observation predicts."""
    expected = len(model.observation.units)
    got = observations.y.shape[1]
    if expected != got:
        raise InputError(
            f"`observations` must have {expected} components, as the model's "
            f"observation has; got {got}. Select columns, or change the model."
        )
