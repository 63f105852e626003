"""The Kalman filter and smoother that stop computing what no longer changes.

While every row is observed and the stamps are equally spaced, the covariance of an
unchanging model settles and the filtered mean becomes a linear recurrence,

    m_k = (I - K H) F m_{k-1} + (I - K H) b_k + K (y_k - d_k),

the very thing a linear sequence layer computes (`slipstate.ground.scan.recur_matrix`).
Rows go in chunks. A chunk that starts within `tolerance` of the limit, and has every
row observed and equally spaced, takes the limit's gain; any other chunk - at the start,
at a gap, at an odd stamp, and after them until the covariance is back - is filtered row
by row by `Kalman`. The smoother does the same backwards.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.conditioning import Scalars
from slipstate.assimilate.exact import AbstractExactSeries
from slipstate.assimilate.kalman import (
    BackwardStep,
    Kalman,
    KalmanInfo,
    KalmanState,
    require_linear,
)
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import Running, SeriesPass, State
from slipstate.assimilate.settled import (
    Limit,
    filter_limit,
    near,
    rounding,
    smoother_limit,
    step_of,
)
from slipstate.ground.scan import matrix_ends, matrix_fill, matrix_power
from slipstate.systems.beliefs import Diffuse
from slipstate.systems.protocol import AbstractModel

_EXACT = Kalman()


class ConstantGainKalman(AbstractExactSeries):
    """Exact filter and smoother that use the limit of the gain where it is reached.

    The answers are those of `Kalman` to the tolerance: where a chunk takes the limit,
    every covariance is within `tolerance` of its own deviations, and closer with every
    row. Single precision keeps no more than 64 roundings. Fast on long regular series
    with few gaps; never slower than `Kalman` by much.

    Attributes:
        tolerance: Largest difference from the limit that counts as none.
        chunk: Rows that change over together, at least; at most twice as many are
            taken where that divides the series evenly.
    """

    tolerance: float = eqx.field(static=True, default=1e-10)
    chunk: int = eqx.field(static=True, default=32)

    def filter_rows(
        self, model: AbstractModel, running: Running, rows: Rows
    ) -> SeriesPass:
        """Take in many rows at once.

        Args:
            model: The model.
            running: Where the run stands before the first of them.
            rows: The rows.

        Returns:
            States and infos stacked along time, and where the run stands.
        """
        transition, observation = require_linear(model, "ConstantGainKalman")
        count, dtype = rows.y.shape[0], rows.y.dtype
        tolerance = rounding(dtype, self.tolerance)
        gaps, moves = running.gaps(rows.t)
        dt, equal = step_of(gaps, rows.t)
        dt = dt.astype(dtype)
        limit = filter_limit(model, dt, count, tolerance)
        F, H = limit.F, observation.matrix()

        chunk, index, alive = _layout(count, self.chunk)
        cut = lambda x: x[index]
        y, mask, u = (jax.tree.map(cut, x) for x in (rows.y, rows.mask, rows.u))
        regular = cut(equal & moves & jnp.all(rows.mask, axis=1)) & alive
        each = jax.vmap(jax.vmap(lambda u: transition.offset(u, dt)))
        seen = jax.vmap(jax.vmap(observation.offset))
        b = transition.offset(None, dt)[None, None] if u is None else each(u)
        d = observation.offset(None)[None, None] if u is None else seen(u)
        apart = y - d - b @ H.T
        drive = b + apart @ limit.gain.T
        power, ends = (
            matrix_power(limit.closed, chunk),
            matrix_ends(limit.closed, drive),
        )
        steps = (y, mask, u, cut(gaps).astype(dtype), cut(moves), alive)

        def body(state: KalmanState, given: Any) -> tuple[KalmanState, Any]:
            end, may, steps = given
            fast = (
                limit.settled & may & near(state.covariance, limit.filtered, tolerance)
            )
            if isinstance(state, Diffuse):
                fast = fast & jnp.all(state.directions == 0)

            def constant() -> tuple[KalmanState, Any]:
                moved = _at(state, power @ state.location + end, limit.filtered)
                return moved, _limit_rows(state, limit, chunk)

            def stepwise() -> tuple[KalmanState, Any]:
                return _rows(model, state, steps)

            after, out = jax.lax.cond(fast, constant, stepwise)
            return after, (state.location, fast, out)

        may = jnp.all(regular, axis=1)
        _, (starts, fast, out) = jax.lax.scan(body, running.state, (ends, may, steps))
        filtered = matrix_fill(limit.closed, drive, starts)
        before = jnp.concatenate([starts[:, None], filtered[:, :-1]], axis=1)
        predicted = before @ F.T + b
        innovation = y - d - predicted @ H.T
        scalars = (innovation @ limit.scalars.innovation.T)[..., None]
        out = eqx.tree_at(
            lambda o: (
                o[0].location,
                o[1].location,
                o[2].innovation,
                o[2].scalars.innovation,
            ),
            out,
            replace=tuple(
                jnp.where(fast.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
                for new, old in (
                    (predicted, out[0].location),
                    (filtered, out[1].location),
                    (innovation, out[2].innovation),
                    (scalars, out[2].scalars.innovation),
                )
            ),
        )
        before, after, info = jax.tree.map(lambda x: _join(x, count), out)
        last = jax.tree.map(lambda x: x[-1], after)
        return SeriesPass(before, after, info, running.after(last, rows.t))

    def smooth_rows(self, model: AbstractModel, rows: Rows, done: SeriesPass) -> State:
        """Return the state at each row given all rows, stacked along time.

        Args:
            model: The model.
            rows: The rows.
            done: What `filter_rows` returned for them.
        """
        count, dtype = rows.y.shape[0], rows.y.dtype
        if count == 1:
            return done.filtered
        tolerance = rounding(dtype, self.tolerance)
        gaps = jnp.diff(rows.t)
        dt, equal = step_of(gaps, rows.t)
        dt = dt.astype(dtype)
        limit = filter_limit(model, dt, count, tolerance)
        back, smoothed = smoother_limit(model, limit, dt, count)

        chunk, index, alive = _layout(count, self.chunk)
        later = jnp.minimum(index + 1, count - 1)
        alive = alive & (index < count - 1)
        spaced = jnp.concatenate([equal, jnp.zeros(1, bool)])[index]
        full = jnp.all(rows.mask, axis=1)[index].at[:, 0].set(True)
        may = jnp.all(alive & spaced & full, axis=1)
        location = done.filtered.location
        drive = location[index] - done.predicted.location[later] @ back.gain.T
        drive = drive[:, ::-1]
        power, ends = matrix_power(back.gain, chunk), matrix_ends(back.gain, drive)
        gaps = jnp.concatenate([gaps, gaps[-1:]]).astype(dtype)

        def body(state: KalmanState, given: Any) -> tuple[KalmanState, Any]:
            end, may, index, later, alive = given
            first = done.filtered.covariance[index[0]]
            gain = limit.settled & may & near(first, limit.filtered, tolerance)
            fast = gain & near(state.covariance, smoothed, tolerance)

            def constant() -> tuple[KalmanState, Any]:
                moved = _at(state, power @ state.location + end, smoothed)
                return moved, _repeat(_at(state, jnp.zeros_like(end), smoothed), chunk)

            def stepwise() -> tuple[KalmanState, Any]:
                at = lambda x: x[index]
                then = lambda x: x[later]
                given = (
                    jax.tree.map(at, done.filtered),
                    jax.tree.map(then, done.predicted),
                    jax.tree.map(then, rows.u),
                    gaps[index],
                )
                settled = _repeat(back, chunk)

                def shared() -> BackwardStep:
                    offset = given[0].location - given[1].location @ back.gain.T
                    return eqx.tree_at(lambda step: step.offset, settled, offset)

                steps = jax.lax.cond(gain, shared, lambda: _prepare(model, given))
                return _rows_back(state, steps, alive)

            after, out = jax.lax.cond(fast, constant, stepwise)
            return after, (state.location, fast, out)

        last = jax.tree.map(lambda x: x[-1], done.filtered)
        given = (ends, may, index, later, alive)
        _, (starts, fast, out) = jax.lax.scan(body, last, given, reverse=True)
        means = matrix_fill(back.gain, drive, starts)[:, ::-1]
        means = jnp.where(fast[:, None, None], means, out.location)
        out = eqx.tree_at(lambda o: o.location, out, means)
        return jax.tree.map(lambda x: _join(x, count), out)


def _layout(count: int, chunk: int) -> tuple[int, Array, Array]:
    """Return the length of chunks, the row at each place, and which places are rows.

    What is missing to a whole number of chunks is filled up before the first row,
    where rows are taken one by one anyway.
    """
    chunk = min(range(chunk, 2 * chunk), key=lambda size: (-count % size, size))
    chunk = min(chunk, count)
    place = jnp.arange(-(-count // chunk) * chunk) - (-count % chunk)
    place = place.reshape(-1, chunk)
    return chunk, jnp.maximum(place, 0), place >= 0


def _join(x: Array, count: int) -> Array:
    """Return chunks as one series, without what was filled up before its first row."""
    x = x.reshape(-1, *x.shape[2:])
    return x[x.shape[0] - count :]


def _at(
    state: KalmanState, mean: Float[Array, " n"], cov: Float[Array, "n n"]
) -> KalmanState:
    """Return a belief of the same kind as `state` that knows every direction."""
    known = eqx.tree_at(lambda s: (s.location, s.covariance), state, (mean, cov))
    if isinstance(known, Diffuse):
        zero = jnp.zeros_like(known.directions)
        return Diffuse(known.location, known.covariance, zero)
    return known


def _repeat(tree: Any, times: int) -> Any:
    """Return every array `times` times along a new first axis."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (times, *x.shape)), tree)


def _limit_rows(state: KalmanState, limit: Limit, chunk: int) -> Any:
    """Return what the rows of a chunk at the limit share; means are filled in later."""
    zero = jnp.zeros_like(state.location)
    shared = limit.scalars
    p = shared.signal.shape[0]
    scalars = Scalars(
        jnp.zeros((p, 1), zero.dtype), shared.signal, shared.noise, shared.weight
    )
    none, seen = jnp.zeros(p, zero.dtype), jnp.ones(p, bool)
    info = KalmanInfo(none, limit.innovation_cov, seen, scalars)
    before, after = (_at(state, zero, x) for x in (limit.predicted, limit.filtered))
    return _repeat((before, after, info), chunk)


def _rows(
    model: AbstractModel, state: KalmanState, steps: Any
) -> tuple[KalmanState, Any]:
    """Take in the rows of one chunk one by one."""

    def body(state: KalmanState, row: Any) -> tuple[KalmanState, Any]:
        y, mask, u, dt, moves, alive = row
        moved = _EXACT.predict(model, state, u, dt)
        go = moves & alive
        before = jax.tree.map(lambda new, old: jnp.where(go, new, old), moved, state)
        after, info = _EXACT.update(model, before, y, mask & alive, u)
        return after, (before, after, info)

    return jax.lax.scan(body, state, steps)


def _prepare(model: AbstractModel, given: Any) -> BackwardStep:
    """Return the steps backwards of the rows of one chunk."""
    return jax.vmap(lambda row: _EXACT.prepare_smoothing(model, *row))(given)


def _rows_back(
    state: KalmanState, steps: BackwardStep, alive: Array
) -> tuple[KalmanState, KalmanState]:
    """Smooth the rows of one chunk one by one, the last one first."""

    def body(state: KalmanState, step: Any) -> tuple[KalmanState, KalmanState]:
        element, alive = step
        moved = _EXACT.smooth_step(element, state)
        state = jax.tree.map(lambda new, old: jnp.where(alive, new, old), moved, state)
        return state, state

    return jax.lax.scan(body, state, (steps, alive), reverse=True)
