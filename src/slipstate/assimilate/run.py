"""The drivers: any filter over any series, at once or one observation at a time.

    result = filter_series(model, Observations(y), Kalman())
    result = smooth_series(model, Observations(y), Kalman())

    running = init(model, Kalman())
    running, info = step(model, running, y_k, t=t_k, method=Kalman())

Both roads are the same compiled step, so they agree to the last bit that the compiler
keeps, and a run may stop after any row and go on from `result.final`. A series that
does not fit into memory goes in stretches through `filter_stretches`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from slipstate.assimilate.kalman import Kalman
from slipstate.assimilate.kept import Keep, check_keep, keep_info, keep_state
from slipstate.assimilate.observations import Observations
from slipstate.assimilate.passes import (
    filter_pass,
    lag_one_pass,
    require_smoother,
    smooth_pass,
)
from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo, Running
from slipstate.assimilate.results import FilterResult, SmoothResult
from slipstate.assimilate.sequential import advance, row_model
from slipstate.ground.arrays import Numbers, is_concrete
from slipstate.ground.compiling import compiled
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key, ScalarLike
from slipstate.systems.protocol import AbstractModel
from slipstate.systems.varying import AbstractVaryingModel

_EXACT = Kalman()


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
    first = row_model(model, 0)
    method.check(first)
    key_init, key_run = (None, None) if key is None else jax.random.split(key)
    state = method.init(first, key=key_init)
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

    Where latency counts, `Stepper` does the same in a fraction of the time.

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

    Raises:
        InputError: Time runs backwards, or the observation has another size than the
            model's.
    """
    _check_time(running, t)
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
    cov: Keep = "full",
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
        cov: What to keep at every row: "full" covariances, their "diagonal", or "none".

    Returns:
        Beliefs, innovations and likelihoods at every row, and the state at the end.

    Raises:
        MethodError: The method cannot treat this model.
        InputError: Observations and model disagree in size, or the series begins
            before the run stands.
    """
    _check(model, observations, method, prior_at, cov, running)
    before = prior_at == "before"
    return _filter(model, observations, method, key, before, running, cov)


def filter_stretches(
    model: AbstractModel,
    stretches: Iterable[Observations],
    method: AbstractFilter = _EXACT,
    *,
    key: Key | None = None,
    running: Running | None = None,
    cov: Keep = "none",
) -> Iterator[FilterResult]:
    """Follow a series that comes in stretches, holding one stretch in memory.

    Stretches of equal length share one compiled program, so read a long file in
    stretches of a few thousand rows. The sum of the `log_likelihood`s is that of the
    whole series.

    Args:
        model: The model.
        stretches: The series, in order.
        method: The filter.
        key: Random key; needed by methods that draw.
        running: Where an earlier part ended; None to start.
        cov: What to keep at every row; see `filter_series`.

    Yields:
        The result of each stretch.
    """
    for stretch in stretches:
        result = filter_series(
            model, stretch, method, key=key, running=running, cov=cov
        )
        running = result.final
        yield result


def smooth_series(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter = _EXACT,
    *,
    key: Key | None = None,
    prior_at: str = "first",
    cov: Keep = "full",
    lag_one: bool = False,
) -> SmoothResult:
    """Follow a series forwards, then revise every belief by what came later.

    Args:
        model: The model.
        observations: The series.
        method: A filter that can smooth.
        key: Random key; needed by methods that draw.
        prior_at: As for `filter_series`.
        cov: What to keep at every row, of the pass forwards too; see `filter_series`.
        lag_one: Whether to compute the covariances between neighbouring rows, of a
            linear model.

    Returns:
        Smoothed beliefs at every row, with the filter's result beside them.

    Raises:
        MethodError: The method cannot smooth, or cannot treat this model.
        InputError: Observations and model disagree in size.
    """
    require_smoother(method, model)
    _check(model, observations, method, prior_at, cov, None)
    before = prior_at == "before"
    return _smooth(model, observations, method, key, before, cov, lag_one)


def _as_array(value: Any) -> Any:
    """Return numbers as an array, without starting jax for a few of them."""
    if value is None or isinstance(value, jax.Array):
        return value
    return np.asarray(value)


@eqx.filter_jit
def _step(
    model: AbstractModel,
    running: Running,
    given: tuple[Any, Any, Any, Any],
    method: AbstractFilter,
) -> tuple[Running, AbstractInfo]:
    y, t, mask, u = jax.tree.map(lambda x: jnp.asarray(x)[None], given)
    observation = Observations(y, t, mask, u)
    _check_sizes(model, observation, None)
    row = jax.tree.map(lambda x: x[0], observation.rows())
    running, _, info = advance(model, running, row, method)
    return running, info


@compiled
def _filter(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter,
    key: Key | None,
    before: bool,
    running: Running | None,
    cov: Keep,
) -> FilterResult:
    if running is None:
        running = _start(model, observations, method, key, before)
    done = filter_pass(model, running, observations.rows(), method, cov)
    terms = jax.vmap(method.log_likelihood)(done.info)
    info = keep_info(done.info, cov)
    return FilterResult(done.predicted, done.filtered, info, terms, done.final, method)


@compiled
def _smooth(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter,
    key: Key | None,
    before: bool,
    cov: Keep,
    lag_one: bool,
) -> SmoothResult:
    running = _start(model, observations, method, key, before)
    rows = observations.rows()
    done = filter_pass(model, running, rows, method, "full")
    smoothed = smooth_pass(model, rows, done, method)
    joint = lag_one_pass(model, rows, done, smoothed, method) if lag_one else None
    keep = jax.vmap(lambda state: keep_state(method, state, cov))
    filtered = FilterResult(
        keep(done.predicted),
        keep(done.filtered),
        keep_info(done.info, cov),
        jax.vmap(method.log_likelihood)(done.info),
        done.final,
        method,
    )
    return SmoothResult(keep(smoothed), filtered, joint)


def _start(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter,
    key: Key | None,
    before: bool,
) -> Running:
    """Return the run before the first row of a series."""
    t = observations.t
    gap = t[1] - t[0] if len(observations) > 1 else jnp.ones((), t.dtype)
    return init(model, method, t0=t[0] - gap if before else None, key=key)


def _check(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter,
    prior_at: str,
    cov: str,
    running: Running | None,
) -> None:
    """Raise unless a series can be followed."""
    _check_sizes(model, observations, running)
    method.check(row_model(model, 0))
    if prior_at not in ("first", "before"):
        raise InputError(f'`prior_at` must be "first" or "before"; got "{prior_at}".')
    check_keep(cov)
    if running is not None:
        _check_time(running, observations.t[0])


def _check_sizes(
    model: AbstractModel, observations: Observations, running: Running | None
) -> None:
    """Raise unless the observations are what the model's observation predicts."""
    expected = len(model.observation.units)
    got = observations.y.shape[1]
    if expected != got:
        raise InputError(
            f"`observations` must have {expected} components, as the model's "
            f"observation has; got {got}. Select columns, or change the model."
        )
    if not isinstance(model, AbstractVaryingModel):
        return
    done = 0 if running is None or not is_concrete(running.count) else running.count
    if int(done) + len(observations) > model.rows():
        raise InputError(
            f"`observations` must end within the {model.rows()} rows that the model "
            f"is known for; got {int(done) + len(observations)}. Give it more "
            "matrices, or fewer observations."
        )


def _check_time(running: Running, t: ScalarLike) -> None:
    """Raise where an observation comes before the time the run has reached."""
    if not (is_concrete(t) and is_concrete(running.t)):
        return
    if bool(running.moves) and float(t) < float(running.t):
        raise InputError(
            f"`t` must not be before {float(running.t):.10g}, where the run stands "
            f"after {int(running.count)} rows; got {float(t):.10g}. Sort the "
            "observations by time."
        )
