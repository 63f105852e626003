"""The exact filter where covariances have settled: only means are left to compute.

With matrices that do not change and rows that are whole, P_k goes to a limit within a
few time constants of the system. Once a step changes no entry of it by more than
rounding, |dP_ij| <= 4 eps (P_ii P_jj)^1/2, the gain of that step is used again,

    m_k = F m_{k-1} + b + K v_k,

until a row with a gap or a step of another length comes. Backwards likewise: the gain
of the smoother while the filtered covariance is the same to the last bit, and the
smoothed covariance once it has settled. The parts that have not settled, and all
derivatives, take the road of `sequential`: a limit says nothing about how it was
reached, so its derivative would be wrong.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate import sequential
from slipstate.assimilate.conditioning import Scalars, condition
from slipstate.assimilate.kalman import (
    Kalman,
    KalmanInfo,
    require_linear,
)
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import Running, SeriesPass
from slipstate.ground.linalg import symmetric
from slipstate.ground.small import applied, congruent
from slipstate.ground.types import Flag, Scalar
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.protocol import AbstractLinearTransition, AbstractModel
from slipstate.systems.varying import AbstractVaryingModel

_ROUNDING = 4.0  # units of rounding by which a settled covariance still trembles
_CHUNK = 64  # rows between two looks at whether covariances have settled
_SIDE_BY_SIDE = (16, 256)  # rows whose backward gains are computed together


class _Update(NamedTuple):
    """What one update does to covariances, whatever is observed."""

    predicted: Float[Array, "*time state state"]
    filtered: Float[Array, "*time state state"]
    spread: Float[Array, "*time obs obs"]
    signal: Float[Array, "*time obs"]
    noise: Float[Array, "*time obs"]


class _Settled(NamedTuple):
    """The update that goes on for as long as rows are whole and take `dt`.

    K and W, the gain and the map to independent innovations, are zero unless `yes`.
    """

    update: _Update
    K: Float[Array, "state obs"]
    W: Float[Array, "obs obs"]
    yes: Flag
    dt: Scalar


def may_settle(
    method: Kalman, model: AbstractModel, running: Running, rows: Rows
) -> bool:
    """Tell whether covariances of this run can settle, and soon enough to matter.

    Not with heavy tails, whose gains depend on the data, nor with matrices that change
    from row to row, nor while a direction of the state may be unknown.

    Args:
        method: The filter.
        model: The model.
        running: Where the run stands.
        rows: The rows.
    """
    varies = isinstance(model, AbstractVaryingModel)
    known = isinstance(running.state, Gaussian)
    long = rows.t.shape[0] > 2 * _CHUNK
    return method.robust is None and known and long and not varies


def filter_rows(
    model: AbstractModel, running: Running, rows: Rows, method: Kalman
) -> SeriesPass:
    """Take in rows, computing covariances only until they settle.

    Args:
        model: A linear model.
        running: Where the run stands.
        rows: The rows.
        method: The filter.

    Returns:
        States and diagnostics at every row.
    """
    keyless = Running(running.state, running.t, running.moves, running.count, None)
    done = _filter((model, keyless, rows, method))
    final = eqx.tree_at(
        lambda now: now.key, done.final, running.key, is_leaf=lambda x: x is None
    )
    return SeriesPass(done.predicted, done.filtered, done.info, final)


def smooth_rows(
    model: AbstractModel, rows: Rows, done: SeriesPass, method: Kalman
) -> Gaussian:
    """Revise rows, computing gains and covariances only until they settle.

    Args:
        model: A linear model.
        rows: The rows.
        done: The pass forwards, with whole states.
        method: The filter.

    Returns:
        The smoothed beliefs, stacked along time.
    """
    now = done.final
    keyless = Running(now.state, now.t, now.moves, now.count, None)
    kept = SeriesPass(done.predicted, done.filtered, done.info, keyless)
    return _smooth((model, rows, kept, method))


@eqx.filter_custom_jvp
def _filter(given: tuple[AbstractModel, Running, Rows, Kalman]) -> SeriesPass:
    model, running, rows, _ = given
    transition, observation = require_linear(model, "Kalman")
    H, R = observation.matrix(), observation.noise_cov()
    timed = _depends_on_dt(transition)

    def move(mean: Array, row: Rows, dt: Array, moves: Array) -> tuple[Array, Array]:
        moved = applied(transition.matrix(dt), mean) + transition.offset(row.u, dt)
        before = jnp.where(moves, moved, mean)
        expected = applied(H, before) + observation.offset(row.u)
        seen = jnp.where(row.mask, row.y, 0.0)
        return before, jnp.where(row.mask, seen - expected, 0.0)

    def renew(carry: tuple, step: tuple) -> tuple[tuple, tuple]:
        mean, cov = carry
        row, dt, moves = step
        before, v = move(mean, row, dt, moves)
        F = transition.matrix(dt)
        moved = symmetric(congruent(F, cov) + transition.noise_cov(dt))
        predicted = jnp.where(moves, moved, cov)
        found = _conditioned(predicted, H, R, v[:, None], row.mask)
        mean, scalars = before + found.shift[:, 0], found.scalars
        spread = congruent(H, predicted) + R
        kept = _Update(predicted, found.cov, spread, scalars.signal, scalars.noise)
        return (mean, found.cov), (before, mean, v, scalars.innovation[:, 0], kept)

    def slow(mean: Array, settled: _Settled, chunk: tuple) -> tuple:
        rows, dts, moves = chunk
        start = (mean, settled.update.filtered)
        (mean, _), out = jax.lax.scan(renew, start, chunk)
        update = jax.tree.map(lambda x: x[-1], out[-1])
        change = jnp.abs(update.filtered - out[-1].filtered[-2])
        yes = jnp.all(rows.mask) & jnp.all(moves)
        yes = yes & _is_rounding(change, update.filtered)
        if timed:
            yes = yes & jnp.all(dts == dts[0])
        gain = lambda: _gain(update.predicted, H, R)
        none = lambda: (jnp.zeros_like(H.T), jnp.zeros_like(R))
        K, W = jax.lax.cond(yes, gain, none)
        return (mean, _Settled(update, K, W, yes, dts[-1])), out

    def fast(mean: Array, settled: _Settled, chunk: tuple) -> tuple:
        def again(mean: Array, step: tuple) -> tuple[Array, tuple]:
            before, v = move(mean, *step)
            mean = before + applied(settled.K, v)
            return mean, (before, mean, v)

        mean, (before, means, v) = jax.lax.scan(again, mean, chunk)
        innovation = jnp.sum(settled.W[None] * v[:, None, :], axis=2)
        kept = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (v.shape[0], *x.shape)), settled.update
        )
        return (mean, settled), (before, means, v, innovation, kept)

    def body(carry: tuple, chunk: tuple) -> tuple[tuple, tuple]:
        rows, dts, moves = chunk
        again = carry[1].yes & jnp.all(rows.mask) & jnp.all(moves)
        if timed:
            again = again & jnp.all(dts == carry[1].dt)
        return jax.lax.cond(again, fast, slow, *carry, chunk)

    steps = (rows, *running.gaps(rows.t))
    steps = eqx.tree_at(lambda x: x[1], steps, steps[1].astype(rows.y.dtype))
    count = rows.t.shape[0]
    # a length of which the rows are a multiple, where there is one: no copies then
    sizes = range(_CHUNK, 2 * _CHUNK)
    size = min(count, min(sizes, key=lambda size: (-count % size, size)))
    # filled up with rows that neither move nor see: they leave the state as it is
    chunks = jax.tree.map(lambda x: _cut(x, size), steps)
    state, blank = running.state, jnp.zeros_like(R)
    zero = jnp.zeros_like(H.T)
    update = _Update(state.covariance, state.covariance, blank, blank[0], blank[0])
    start = _Settled(update, zero, blank, jnp.asarray(False), steps[1][0])
    (mean, settled), out = jax.lax.scan(body, (state.location, start), chunks)
    before, means, v, innovation, kept = jax.tree.map(
        lambda x: x.reshape((-1, *x.shape[2:]))[:count], out
    )
    one = jnp.ones_like(kept.signal)
    scalars = Scalars(innovation[..., None], kept.signal, kept.noise, one)
    last = Gaussian(mean, settled.update.filtered)
    return SeriesPass(
        jax.vmap(Gaussian)(before, kept.predicted),
        jax.vmap(Gaussian)(means, kept.filtered),
        jax.vmap(KalmanInfo)(v, kept.spread, rows.mask, scalars),
        running.after(last, rows.t),
    )


@_filter.def_jvp
def _(primals: tuple, tangents: tuple) -> tuple[SeriesPass, SeriesPass]:
    def slow(given: tuple[AbstractModel, Running, Rows, Kalman]) -> SeriesPass:
        model, running, rows, method = given
        return sequential.filter_rows(model, running, rows, method, "full")

    return eqx.filter_jvp(slow, primals, tangents)


@eqx.filter_custom_jvp
def _smooth(given: tuple[AbstractModel, Rows, SeriesPass, Kalman]) -> Gaussian:
    model, rows, done, method = given
    transition, _ = require_linear(model, "Kalman")
    filtered, predicted = done.filtered, done.predicted
    steps, n = rows.t.shape[0] - 1, filtered.location.shape[1]
    low, high = _SIDE_BY_SIDE
    size = min(steps, max(low, min(high, sequential.IN_CACHE // n**2)))
    chunks = -(-steps // size)
    timed = _depends_on_dt(transition)

    def prepare(k: Array) -> tuple[Array, Array]:
        dt = (rows.t[k + 1] - rows.t[k]).astype(rows.y.dtype)
        u = None if rows.u is None else rows.u[k + 1]
        before = jax.tree.map(lambda x: x[k], filtered)
        after = jax.tree.map(lambda x: x[k + 1], predicted)
        found = method.prepare_smoothing(model, before, after, u, dt)
        return found.gain, found.cov

    def body(carry: tuple, chunk: Array) -> tuple[tuple, tuple]:
        # the first chunk is filled up with row 0, whose results come last and go
        k = jnp.maximum(chunk * size + jnp.arange(size) - (chunks * size - steps), 0)
        mean, cov, known = carry
        given = (filtered.covariance[k], rows.t[k + 1] - rows.t[k])
        same = jnp.all(given[0] == given[0][:1])
        again = same & jnp.all(given[0][0] == known[0])
        if timed:
            same = same & jnp.all(given[1] == given[1][0])
            again = again & same & (given[1][0] == known[1])
        each = lambda x: jnp.broadcast_to(x, (size, *x.shape))
        gains, rests = jax.lax.cond(
            again,
            lambda: (each(known[2]), each(known[3])),
            lambda: jax.vmap(prepare)(k),
        )
        later = jnp.sum(gains * predicted.location[k + 1][:, None, :], axis=2)
        offsets = filtered.location[k] - later

        def back(carry: tuple, element: tuple) -> tuple[tuple, tuple]:
            mean, cov, settled = carry
            G, offset, rest = element
            mean = offset + applied(G, mean)
            renewed = lambda: symmetric(rest + congruent(G, cov))
            new = jax.lax.cond(settled & same, lambda: cov, renewed)
            settled = same & _is_rounding(jnp.abs(new - cov), new)
            return (mean, new, settled), (mean, new)

        start = (mean, cov, jnp.asarray(False))
        (mean, cov, _), out = jax.lax.scan(
            back, start, (gains, offsets, rests), reverse=True
        )
        known = (given[0][0], given[1][0], gains[0], rests[0])
        return (mean, cov, known), out

    last = jax.tree.map(lambda x: x[-1], filtered)
    blank = jnp.zeros_like(last.covariance)
    known = (jnp.full_like(blank, jnp.nan), rows.t[0], blank, blank)
    start = (last.location, last.covariance, known)
    _, out = jax.lax.scan(body, start, jnp.arange(chunks), reverse=True)
    flat = lambda x, end: jnp.concatenate(
        [x.reshape((chunks * size, *x.shape[2:]))[chunks * size - steps :], end[None]]
    )
    means, covs = flat(out[0], last.location), flat(out[1], last.covariance)
    return jax.vmap(Gaussian)(means, covs)


@_smooth.def_jvp
def _(primals: tuple, tangents: tuple) -> tuple[Gaussian, Gaussian]:
    slow = lambda given: sequential.smooth_rows(given[0], given[1], given[2], given[3])
    return eqx.filter_jvp(slow, primals, tangents)


def _cut(x: Array, size: int) -> Array:
    """Cut along time into chunks, the last one filled up with zeros."""
    missing = -x.shape[0] % size
    filled = jnp.concatenate([x, jnp.zeros((missing, *x.shape[1:]), x.dtype)])
    return filled.reshape((-1, size, *x.shape[1:]))


def _conditioned(
    cov: Float[Array, "n n"],
    H: Float[Array, "obs n"],
    R: Float[Array, "obs obs"],
    residual: Float[Array, "obs column"],
    mask: Bool[Array, " obs"],
) -> Any:
    """Condition a covariance whose directions are all known."""
    return condition(cov, jnp.zeros((cov.shape[0], 0), cov.dtype), H, R, residual, mask)


def _gain(
    cov: Float[Array, "n n"], H: Float[Array, "obs n"], R: Float[Array, "obs obs"]
) -> tuple[Float[Array, "n obs"], Float[Array, "obs obs"]]:
    """Return the gain of whole rows and the map to independent innovations."""
    p = H.shape[0]
    found = _conditioned(cov, H, R, jnp.eye(p, dtype=cov.dtype), jnp.ones(p, bool))
    return found.shift, found.scalars.innovation


def _is_rounding(change: Float[Array, "n n"], cov: Float[Array, "n n"]) -> Flag:
    """Tell whether a change of a covariance is nothing but rounding."""
    scale = jnp.sqrt(jnp.diagonal(cov))
    eps = float(jnp.finfo(cov.dtype).eps)
    return jnp.all(change <= (_ROUNDING * eps) * scale[:, None] * scale[None, :])


def _depends_on_dt(transition: AbstractLinearTransition) -> bool:
    """Tell whether F or Q follow from the length of the step."""
    traced = jax.make_jaxpr(
        lambda dt: (transition.matrix(dt), transition.noise_cov(dt))
    )
    program = traced(1.0).jaxpr
    needed = {id(x) for x in program.outvars}
    for equation in reversed(program.eqns):
        if any(id(x) in needed for x in equation.outvars):
            needed |= {id(x) for x in equation.invars}
    return id(program.invars[0]) in needed
