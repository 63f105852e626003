"""Rows of a chunk one by one, where some or all of them may be at the limit.

What `slipstate.assimilate.constant_gain` does in chunks that do not take the limit as a
whole: at their rows the filter is `Kalman`, except where it has arrived already.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.conditioning import Scalars
from slipstate.assimilate.kalman import (
    BackwardStep,
    Kalman,
    KalmanInfo,
    KalmanState,
    require_linear,
)
from slipstate.assimilate.settled import Limit, near
from slipstate.ground.types import Flag
from slipstate.systems.beliefs import Diffuse
from slipstate.systems.protocol import AbstractModel

_EXACT = Kalman()


def at_limit(
    state: KalmanState, mean: Float[Array, " n"], cov: Float[Array, "n n"]
) -> KalmanState:
    """Return a belief of the same kind as `state` that knows every direction.

    Args:
        state: A belief.
        mean: The new mean.
        cov: The new covariance.
    """
    known = eqx.tree_at(lambda s: (s.location, s.covariance), state, (mean, cov))
    if isinstance(known, Diffuse):
        zero = jnp.zeros_like(known.directions)
        return Diffuse(known.location, known.covariance, zero)
    return known


def repeat(tree: Any, times: int) -> Any:
    """Return every array of a tree several times along a new first axis.

    Args:
        tree: The tree.
        times: How often.
    """
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (times, *x.shape)), tree)


def limit_rows(state: KalmanState, limit: Limit, chunk: int) -> Any:
    """Return what the rows of a chunk at the limit share; means are filled in later.

    Args:
        state: A belief of the same kind.
        limit: Where the filter settles.
        chunk: Number of rows.
    """
    zero, none = jnp.zeros_like(state.location), jnp.zeros_like(limit.scalars.signal)
    info = _limit_info(limit, none, none)
    before = at_limit(state, zero, limit.predicted)
    after = at_limit(state, zero, limit.filtered)
    return repeat((before, after, info), chunk)


def _limit_info(limit: Limit, innovation: Array, scalars: Array) -> KalmanInfo:
    """Return the diagnostics of a whole row at the limit."""
    shared, seen = limit.scalars, jnp.ones(innovation.shape, bool)
    split = Scalars(scalars[:, None], shared.signal, shared.noise, shared.weight)
    return KalmanInfo(innovation, limit.innovation_cov, seen, split)


def row_by_row(
    model: AbstractModel,
    limit: Limit,
    tolerance: float,
    state: KalmanState,
    steps: Any,
) -> tuple[KalmanState, Any]:
    """Take in the rows of one chunk one by one.

    Args:
        model: The model.
        limit: Where the filter settles.
        tolerance: Largest difference from the limit that counts as none.
        state: The state before the chunk.
        steps: For each row y, mask, u, the length of the step, whether it is made,
            whether there is such a row, and whether it is whole and equally spaced.

    Returns:
        The state after the chunk; predictions, states and infos stacked along time.
    """
    transition, observation = require_linear(model, "ConstantGainKalman")

    def body(state: KalmanState, row: Any) -> tuple[KalmanState, Any]:
        y, mask, u, dt, moves, alive, regular = row

        def constant() -> tuple[KalmanState, Any]:
            before = limit.F @ state.location + transition.offset(u, dt)
            v = y - (observation.matrix() @ before + observation.offset(u))
            after = before + limit.gain @ v
            told = _limit_info(limit, v, limit.scalars.innovation @ v)
            moved = at_limit(state, before, limit.predicted)
            kept = at_limit(state, after, limit.filtered)
            return kept, (moved, kept, told)

        def exact() -> tuple[KalmanState, Any]:
            moved = _EXACT.predict(model, state, u, dt)
            go = moves & alive
            before = jax.tree.map(
                lambda new, old: jnp.where(go, new, old), moved, state
            )
            after, info = _EXACT.update(model, before, y, mask & alive, u)
            return after, (before, after, info)

        here = regular & has_settled(state, limit, tolerance)
        return jax.lax.cond(here, constant, exact)

    return jax.lax.scan(body, state, steps)


def has_settled(state: KalmanState, limit: Limit, tolerance: float) -> Flag:
    """Tell whether a filtered belief is at the limit and knows every direction.

    Args:
        state: The belief.
        limit: Where the filter settles.
        tolerance: Largest difference from the limit that counts as none.
    """
    here = limit.settled & near(state.covariance, limit.filtered, tolerance)
    if isinstance(state, Diffuse):
        here = here & jnp.all(state.directions == 0)
    return here


def steps_back(
    model: AbstractModel, limit: Limit, back: BackwardStep, given: Any
) -> BackwardStep:
    """Return the steps backwards of the rows of one chunk.

    Args:
        model: The model.
        limit: Where the filter settles.
        back: The step backwards there.
        given: For each row the filtered belief, the predicted belief of the next row,
            its input, the length of the step to it, and whether that is the common one.
    """

    def one(row: Any) -> BackwardStep:
        *step, spaced = row
        filtered, predicted = step[:2]

        def constant() -> BackwardStep:
            offset = filtered.location - back.gain @ predicted.location
            return BackwardStep(back.gain, offset, back.cov)

        def exact() -> BackwardStep:
            return _EXACT.prepare_smoothing(model, *step)

        same = limit.settled & jnp.all(filtered.covariance == limit.filtered)
        return jax.lax.cond(same & spaced, constant, exact)

    return jax.lax.map(one, given)


def back_by_row(
    state: KalmanState, steps: BackwardStep, alive: Array
) -> tuple[KalmanState, KalmanState]:
    """Smooth the rows of one chunk one by one, the last one first.

    Args:
        state: The state after the chunk, given everything.
        steps: The steps backwards of its rows.
        alive: Whether there is such a row.

    Returns:
        The state at the first row, and at all rows, given everything.
    """

    def body(state: KalmanState, step: Any) -> tuple[KalmanState, KalmanState]:
        element, alive = step
        moved = _EXACT.smooth_step(element, state)
        state = jax.tree.map(lambda new, old: jnp.where(alive, new, old), moved, state)
        return state, state

    return jax.lax.scan(body, state, (steps, alive), reverse=True)
