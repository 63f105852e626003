"""The Kalman filter and smoother that stop computing what no longer changes.

While every row is observed and the stamps are equally spaced, the covariance of an
unchanging model settles and the filtered mean becomes a linear recurrence,

    m_k = (I - K H) F m_{k-1} + (I - K H) b_k + K (y_k - d_k),

the very thing a linear sequence layer computes (`slipstate.ground.scan.recur_matrix`).
Rows go in chunks. A chunk that starts within `tolerance` of the limit, and has every
row observed and equally spaced, takes the limit's gain; any other chunk - at the start,
at a gap, at an odd stamp, and after them until the covariance is back - is filtered row
by row (`slipstate.assimilate.limit_rows`). The smoother does the same backwards.

Covariances are kept chunk by chunk, not row by row: those of a row that are asked for
are written out at the end, and the smoother finds those it needs again. With
`cov="none"` nothing of size (time, n, n) is ever made.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from slipstate.assimilate.exact import AbstractExactSeries
from slipstate.assimilate.kalman import (
    BackwardStep,
    Kalman,
    KalmanState,
    require_linear,
)
from slipstate.assimilate.limit_rows import (
    at_limit,
    back_by_row,
    has_settled,
    limit_rows,
    repeat,
    row_by_row,
    steps_back,
)
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import Running, SeriesPass, State
from slipstate.assimilate.settled import (
    Limit,
    equal_steps,
    filter_limit,
    near,
    rounding,
    smoother_limit,
    step_of,
)
from slipstate.ground.scan import matrix_ends, matrix_fill, matrix_power
from slipstate.ground.types import Scalar
from slipstate.systems.protocol import AbstractModel

_EXACT = Kalman()


class _Found(eqx.Module):
    """What the filter knows and the smoother needs.

    Attributes:
        limit: Where the filter settles.
        dt: Length of the steps for which it does.
        starts: The state before each chunk.
        fast: Whether the chunk took the limit.
        steps: Rows of each chunk: y, mask, u, length of the step, whether it is made,
            whether there is such a row at all, and whether it is whole and equally
            spaced.
    """

    limit: Limit
    dt: Scalar
    starts: KalmanState
    fast: Bool[Array, " chunk"]
    steps: tuple[Any, ...]


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
        step, equal = step_of(gaps, rows.t)
        dt = step.astype(dtype)
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
        steps = (y, mask, u, cut(gaps).astype(dtype), cut(moves), alive, regular)

        def body(state: KalmanState, given: Any) -> tuple[KalmanState, Any]:
            end, may, steps = given
            fast = may & has_settled(state, limit, tolerance)

            def constant() -> tuple[KalmanState, Any]:
                moved = at_limit(state, power @ state.location + end, limit.filtered)
                return moved, limit_rows(state, limit, chunk)

            def stepwise() -> tuple[KalmanState, Any]:
                return row_by_row(model, limit, tolerance, state, steps)

            after, out = jax.lax.cond(fast, constant, stepwise)
            return after, (state, fast, out)

        may = jnp.all(regular, axis=1)
        given = (ends, may, steps)
        last, (starts, fast, out) = jax.lax.scan(body, running.state, given)
        first = starts.location[:, None]
        filtered = matrix_fill(limit.closed, drive, starts.location)
        before = jnp.concatenate([first, filtered[:, :-1]], axis=1)
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
        # not the last of `after`, so that nobody needs all its covariances for one
        last = eqx.tree_at(lambda s: s.location, last, after.location[-1])
        final = running.after(last, rows.t)
        found = _Found(limit, step, starts, fast, steps)
        return SeriesPass(before, after, info, final, found)

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
        found: _Found = done.found
        gaps, limit = jnp.diff(rows.t), found.limit
        equal = equal_steps(gaps, found.dt, rows.t)
        back, smoothed = smoother_limit(model, limit, found.dt.astype(dtype), count)

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
            end, may, index, later, alive, spaced, start, settled, steps = given
            gain = may & settled
            fast = gain & near(state.covariance, smoothed, tolerance)

            def constant() -> tuple[KalmanState, Any]:
                moved = at_limit(state, power @ state.location + end, smoothed)
                shared = at_limit(state, jnp.zeros_like(end), smoothed)
                return moved, repeat(shared, chunk)

            def stepwise() -> tuple[KalmanState, Any]:
                location = done.filtered.location[index]
                predicted = done.predicted.location[later]

                def shared() -> BackwardStep:
                    offset = location - predicted @ back.gain.T
                    each = repeat(back, chunk)
                    return eqx.tree_at(lambda step: step.offset, each, offset)

                def own() -> BackwardStep:
                    # covariances are found again rather than kept: few chunks come here
                    _, out = row_by_row(model, limit, tolerance, start, steps)
                    filtered = out[1]
                    at = lambda mean: eqx.tree_at(lambda s: s.location, filtered, mean)
                    inputs = jax.tree.map(lambda x: x[later], rows.u)
                    given = (at(location), at(predicted), inputs, gaps[index], spaced)
                    return steps_back(model, limit, back, given)

                elements = jax.lax.cond(gain, shared, own)
                return back_by_row(state, elements, alive)

            after, out = jax.lax.cond(fast, constant, stepwise)
            return after, (state.location, fast, out)

        last = done.final.state
        before = (found.starts, found.fast, found.steps)
        given = (ends, may, index, later, alive, spaced, *before)
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
