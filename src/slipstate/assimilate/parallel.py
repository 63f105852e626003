"""The Kalman filter and smoother in blocks of rows that are worked on side by side.

    1  each block is folded into its element, row after row, all blocks at once
    2  the elements are joined across blocks in log2 rounds: beliefs at block starts
    3  each block is filtered from its start by `Kalman`, all blocks at once

The steps one behind the other are block length plus log2 of the number of blocks,
not the number of rows, so many lanes (a graphics card, vector units) are kept busy. The
last stage is the sequential filter itself, so likelihoods and everything else are the
sequential ones, up to rounding of the beliefs at block starts. The smoother does the
same backwards.

References:
    Särkkä & García-Fernández (2021), Temporal parallelization of Bayesian smoothers,
    IEEE Trans. Automatic Control 66, arXiv 1905.13002.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from slipstate.assimilate.elements import (
    Element,
    after_element,
    empty_element,
    extend,
    prefixes,
)
from slipstate.assimilate.exact import AbstractExactSeries
from slipstate.assimilate.kalman import (
    BackwardStep,
    Kalman,
    KalmanState,
    require_linear,
)
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import Running, SeriesPass, State
from slipstate.ground.linalg import symmetric
from slipstate.systems.protocol import AbstractModel

_EXACT = Kalman()


class ParallelKalman(AbstractExactSeries):
    """Exact filter and smoother of linear Gaussian models, parallel in time.

    The answers are those of `Kalman` to about 1e-9, from the middle of a run, with any
    mask, any stamps and an exactly diffuse start. Noise must not vanish altogether:
    where a component is known exactly without any noise use `Kalman`.

    Attributes:
        block: Rows per block. Shorter blocks are more parallel and more work.
    """

    block: int = eqx.field(static=True, default=128)

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
        require_linear(model, "ParallelKalman")
        gaps, moves = running.gaps(rows.t)
        count = rows.y.shape[0]
        series = (rows.y, rows.mask, rows.u, gaps.astype(rows.y.dtype), moves)
        length, blocks = _cut(series, self.block)
        elements = jax.vmap(lambda block: _fold(model, block))(blocks)
        ends = prefixes(elements)
        n = elements.offset.shape[-1]
        first = empty_element(n, elements.offset.dtype)
        earlier = jax.tree.map(
            lambda one, all_: jnp.concatenate([one[None], all_[:-1]]), first, ends
        )
        starts = jax.vmap(lambda e: after_element(running.state, e))(earlier)
        done = jax.vmap(lambda start, block: _follow(model, start, block))(
            starts, blocks
        )
        predicted, filtered, info = jax.tree.map(
            lambda x: _join(x, length, count), done
        )
        last = jax.tree.map(lambda x: x[-1], filtered)
        return SeriesPass(predicted, filtered, info, running.after(last, rows.t))

    def smooth_rows(self, model: AbstractModel, rows: Rows, done: SeriesPass) -> State:
        """Return the state at each row given all rows, stacked along time.

        Args:
            model: The model.
            rows: The rows.
            done: What `filter_rows` returned for them.
        """
        count = rows.y.shape[0]
        last = jax.tree.map(lambda x: x[-1], done.filtered)
        if count == 1:
            return done.filtered
        before = jax.tree.map(lambda x: x[:-1], done.filtered)
        predicted, inputs = jax.tree.map(lambda x: x[1:], (done.predicted, rows.u))
        gaps = jnp.diff(rows.t).astype(rows.y.dtype)
        length, blocks = _cut((before, predicted, inputs, gaps), self.block)
        _, (live,) = _cut((jnp.ones(count - 1, bool),), self.block)

        def prepare(block: Any) -> BackwardStep:
            given, alive = block
            steps = jax.vmap(lambda row: _EXACT.prepare_smoothing(model, *row))(given)
            return jax.vmap(_only_live)(steps, alive)

        steps = jax.lax.map(prepare, (blocks, live))
        folded = jax.vmap(_fold_back)(steps)
        ahead = _suffixes(folded)
        # a block is smoothed from the state just after it: what all later blocks say
        later = jax.tree.map(
            lambda x, one: jnp.concatenate([x[1:], one[None]]),
            ahead,
            _stay(last.location.shape[0], last.location.dtype),
        )
        ends = jax.vmap(lambda step: _EXACT.smooth_step(step, last))(later)

        def backwards(end: KalmanState, steps: BackwardStep) -> KalmanState:
            def body(state: KalmanState, step: BackwardStep) -> tuple[Any, Any]:
                state = _EXACT.smooth_step(step, state)
                return state, state

            return jax.lax.scan(body, end, steps, reverse=True)[1]

        smoothed = jax.vmap(backwards)(ends, steps)
        smoothed = jax.tree.map(lambda x: _join(x, length, count - 1), smoothed)
        return jax.tree.map(lambda x, z: jnp.concatenate([x, z[None]]), smoothed, last)


def _cut(series: Any, block: int) -> tuple[int, Any]:
    """Cut arrays along time into blocks, filled up with zeros (False) at the end."""
    count = jax.tree.leaves(series)[0].shape[0]
    length = min(block, count)

    def one(x: Array) -> Array:
        tail = jnp.zeros((-count % length, *x.shape[1:]), x.dtype)
        return jnp.concatenate([x, tail]).reshape(-1, length, *x.shape[1:])

    return length, jax.tree.map(one, series)


def _join(x: Array, length: int, count: int) -> Array:
    """Return blocks as one series of `count` rows."""
    return x.reshape(-1, *x.shape[2:])[:count]


def _fold(model: AbstractModel, block: Any) -> Element:
    """Return the element of one block of rows."""
    transition, observation = require_linear(model, "ParallelKalman")
    H, R = observation.matrix(), observation.noise_cov()

    def body(element: Element, row: Any) -> tuple[Element, None]:
        y, mask, u, dt, moves = row
        F, Q = transition.matrix(dt), transition.noise_cov(dt)
        stay = jnp.eye(F.shape[0], dtype=F.dtype)
        step = (
            jnp.where(moves, F, stay),
            jnp.where(moves, transition.offset(u, dt), 0.0),
            jnp.where(moves, Q, 0.0),
        )
        y = jnp.where(mask, y - observation.offset(u), 0.0)
        return extend(element, step, (H, R, y), mask), None

    start = empty_element(H.shape[1], H.dtype)
    return jax.lax.scan(body, start, block)[0]


def _follow(model: AbstractModel, start: KalmanState, block: Any) -> Any:
    """Filter one block of rows from its start."""

    def body(state: KalmanState, row: Any) -> tuple[KalmanState, Any]:
        y, mask, u, dt, moves = row
        moved = _EXACT.predict(model, state, u, dt)
        predicted = jax.tree.map(
            lambda new, old: jnp.where(moves, new, old), moved, state
        )
        state, info = _EXACT.update(model, predicted, y, mask, u)
        return state, (predicted, state, info)

    return jax.lax.scan(body, start, block)[1]


def _stay(state: int, dtype: jnp.dtype) -> BackwardStep:
    """Return the step backwards that changes nothing."""
    zero = jnp.zeros(state, dtype)
    return BackwardStep(
        jnp.eye(state, dtype=dtype), zero, jnp.zeros((state, state), dtype)
    )


def _only_live(step: BackwardStep, live: Array) -> BackwardStep:
    """Return the step, or one that changes nothing where a block is filled up."""
    stay = _stay(step.offset.shape[0], step.offset.dtype)
    return jax.tree.map(lambda x, y: jnp.where(live, x, y), step, stay)


def _compose_back(earlier: BackwardStep, later: BackwardStep) -> BackwardStep:
    """Return the step backwards over two neighbouring stretches."""
    G = earlier.gain
    return BackwardStep(
        G @ later.gain,
        earlier.offset + G @ later.offset,
        symmetric(earlier.cov + G @ later.cov @ G.T),
    )


def _fold_back(steps: BackwardStep) -> BackwardStep:
    """Return the step backwards over one block."""

    def body(later: BackwardStep, step: BackwardStep) -> tuple[BackwardStep, None]:
        return _compose_back(step, later), None

    start = _stay(steps.offset.shape[-1], steps.offset.dtype)
    return jax.lax.scan(body, start, steps, reverse=True)[0]


def _suffixes(steps: BackwardStep) -> BackwardStep:
    """Return the compositions of the last ..., 3, 2, 1 of a row of steps."""
    count = steps.offset.shape[0]
    places = jnp.arange(count)

    def one_round(found: BackwardStep, level: Array) -> tuple[BackwardStep, None]:
        reach = jnp.left_shift(1, level)
        beyond = jnp.minimum(places + reach, count - 1)
        joined = jax.vmap(_compose_back)(
            found, jax.tree.map(lambda x: x[beyond], found)
        )
        near = places + reach < count

        def pick(new: Array, old: Array) -> Array:
            return jnp.where(near.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

        return jax.tree.map(pick, joined, found), None

    rounds = (count - 1).bit_length()
    return jax.lax.scan(one_round, steps, jnp.arange(rounds))[0]
