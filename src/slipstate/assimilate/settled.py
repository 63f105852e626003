"""Where a filter of an unchanging model settles: its limit, without the way there.

The covariance of a filter that sees every row of an unchanging model does not depend
on the data and tends to a limit, the fixed point of the Riccati recursion. Composing
the element of one row with itself doubles the stretch, so 2^k rows cost k rounds, and
the limit is found to rounding from any detectable model, stiff or not.

References:
    Anderson & Moore (1979), Optimal Filtering, chapters 4 and 6.7 (doubling).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.conditioning import Scalars, condition
from slipstate.assimilate.elements import Element, compose, empty_element, extend
from slipstate.assimilate.kalman import BackwardStep, Kalman, require_linear
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Flag, Scalar, ScalarLike
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.protocol import AbstractModel


class Limit(eqx.Module):
    """The filter after very many rows, all observed, all `dt` apart.

    Attributes:
        settled: Whether there is such a limit, within the tolerance.
        predicted: Covariance before a row is seen.
        filtered: Covariance after it was seen.
        F: Matrix of the step.
        gain: K, of the innovation.
        closed: (I - K H) F, how a filtered mean moves.
        scalars: Scalar updates of the identity as innovation: one column per component.
        innovation_cov: S.
    """

    settled: Flag
    predicted: Float[Array, "state state"]
    filtered: Float[Array, "state state"]
    F: Float[Array, "state state"]
    gain: Float[Array, "state obs"]
    closed: Float[Array, "state state"]
    scalars: Scalars
    innovation_cov: Float[Array, "obs obs"]


def filter_limit(
    model: AbstractModel, dt: ScalarLike, rows: int, tolerance: float
) -> Limit:
    """Return where the filter settles.

    Args:
        model: A linear Gaussian model.
        dt: Length of every step.
        rows: Rows after which it must have settled, to count as settled.
        tolerance: Largest change, relative to the deviations, that counts as none.
    """
    transition, observation = require_linear(model, "ConstantGainKalman")
    F, Q = transition.matrix(dt), transition.noise_cov(dt)
    H, R = observation.matrix(), observation.noise_cov()
    n, p = F.shape[0], H.shape[0]
    every, zero = jnp.ones(p, bool), jnp.zeros(n, F.dtype)
    seen = (H, R, jnp.zeros(p, F.dtype))
    once = extend(empty_element(n, F.dtype), (F, zero, Q), seen, every)

    def double(
        found: tuple[Element, Flag], _: None
    ) -> tuple[tuple[Element, Flag], None]:
        element, done = found
        twice = jax.lax.cond(done, lambda e: e, lambda e: compose(e, e), element)
        return (twice, near(element.cov, twice.cov, 0.1 * tolerance)), None

    rounds = max(1, (rows - 1).bit_length())
    start = (once, jnp.asarray(False))
    (element, settled), _ = jax.lax.scan(double, start, None, length=rounds)
    P = symmetric(F @ element.cov @ F.T + Q)
    found = condition(
        P, jnp.zeros((n, 0), F.dtype), H, R, jnp.eye(p, dtype=F.dtype), every
    )
    settled = settled & near(found.cov, element.cov, tolerance)
    K = found.shift
    closed = F - K @ (H @ F)
    S = H @ P @ H.T + R
    return Limit(settled, P, found.cov, F, K, closed, found.scalars, S)


def smoother_limit(
    model: AbstractModel, limit: Limit, dt: ScalarLike, rows: int
) -> tuple[BackwardStep, Float[Array, "state state"]]:
    """Return the smoother's step at the limit of the filter, and its own limit.

    Args:
        model: A linear Gaussian model.
        limit: Where its filter settles.
        dt: Length of every step.
        rows: Rows after which the smoother must have settled.

    Returns:
        The step backwards, whose offset is 0, and the smoothed covariance.
    """
    zero = jnp.zeros(limit.filtered.shape[0], limit.filtered.dtype)
    filtered = Gaussian(zero, limit.filtered)
    predicted = Gaussian(zero, limit.predicted)
    step = Kalman().prepare_smoothing(model, filtered, predicted, None, dt)

    def double(found: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        G, cov = found
        return (G @ G, symmetric(cov + G @ cov @ G.T)), None

    rounds = max(1, (rows - 1).bit_length())
    (_, cov), _ = jax.lax.scan(double, (step.gain, step.cov), None, length=rounds)
    return step, cov


def near(
    cov: Float[Array, "n n"], other: Float[Array, "n n"], tolerance: ScalarLike
) -> Bool[Array, ""]:
    """Tell whether two covariances agree, each entry against its two deviations.

    Args:
        cov: A covariance.
        other: Another; its deviations are the measure, so units do not matter.
        tolerance: Largest difference that counts as none.
    """
    deviation = jnp.sqrt(jnp.diagonal(other))
    apart = jnp.abs(cov - other)
    return jnp.all(apart <= tolerance * deviation[:, None] * deviation[None, :])


def rounding(dtype: jnp.dtype, tolerance: float) -> float:
    """Return a tolerance that numbers of `dtype` can keep.

    Args:
        dtype: Type of the numbers.
        tolerance: The tolerance asked for.
    """
    return max(tolerance, 64.0 * float(jnp.finfo(dtype).eps))


def step_of(
    gaps: Float[Array, " step"], t: Float[Array, " time"]
) -> tuple[Scalar, Array]:
    """Return the commonest step of a series, and which steps equal it.

    Args:
        gaps: Length of the step to each row.
        t: Times of the rows.

    Returns:
        The median of about a hundred of them, and True where a step differs from it by
        no more than the rounding of the stamps.
    """
    dt = jnp.median(gaps[:: max(1, gaps.shape[0] // 101)])
    return dt, equal_steps(gaps, dt, t)


def equal_steps(
    gaps: Float[Array, " step"], dt: Scalar, t: Float[Array, " time"]
) -> Bool[Array, " step"]:
    """Tell which steps differ from `dt` by no more than the rounding of the stamps.

    Args:
        gaps: Lengths of steps.
        dt: The length to compare with.
        t: Times of the rows.
    """
    slack = 8.0 * jnp.finfo(t.dtype).eps * jnp.max(jnp.abs(t))
    return jnp.abs(gaps - dt) <= slack
