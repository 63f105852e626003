"""Entropic optimal transport between two sets of weighted points, in logarithms.

The plan closest to `exp(-cost / epsilon)` in relative entropy among those with row sums
a and column sums b is

    log Pi_ij = f_i + g_j - cost_ij / epsilon,

and Sinkhorn's sweeps solve for f and g in turn. With a Markov kernel in place of the
exponential this is the static Schroedinger problem: the most likely way to get from one
cloud to the other. The number of sweeps is fixed, so a sweep costs the same every time;
the last one is on the rows, which are therefore met exactly, and what the columns miss
is returned.

References:
    Cuturi (2013), Sinkhorn distances. Peyre & Cuturi (2019), Computational optimal
    transport. Schroedinger (1931), Ueber die Umkehrung der Naturgesetze.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from slipstate.ground.types import Key, Scalar, ScalarLike

_GOLDEN = 0.6180339887498949  # the number that fractions approach worst

_NEVER = -1e4  # log of a weight of zero: exp of it underflows, its gradient is finite


class Coupling(eqx.Module):
    """A joint distribution of two sets of points.

    Attributes:
        log_plan: log Pi_ij.
        row_potential: f, of the rows.
        column_potential: g, of the columns.
        error: What the columns miss, sum_j |sum_i Pi_ij - b_j|; rows are exact.
    """

    log_plan: Float[Array, "row column"]
    row_potential: Float[Array, " row"]
    column_potential: Float[Array, " column"]
    error: Scalar

    @property
    def plan(self) -> Float[Array, "row column"]:
        """The joint probabilities Pi_ij."""
        return jnp.exp(self.log_plan)

    @property
    def conditional(self) -> Float[Array, "row column"]:
        """The probability of each column given the row; rows sum to one."""
        return jax.nn.softmax(self.log_plan, axis=1)

    def draw(
        self,
        row_place: Float[Array, " row"],
        column_place: Float[Array, " column"],
        *,
        key: Key,
    ) -> Int[Array, " row"]:
        """Draw one column for each row, evenly over rows that are close.

        Each row's uniform number is uniform by itself. Along the rows in order of
        their place they are multiples of the golden ratio, which fill [0, 1) evenly
        over any stretch, so the number of rows that go to a stretch of columns is
        what it should be up to about one: a cloud keeps the masses of its modes.

        Args:
            row_place: Where each row lies along the direction that matters.
            column_place: Where each column lies along it.
            key: Random key.

        Returns:
            The column of each row.
        """
        rank = jnp.argsort(jnp.argsort(row_place))
        order = jnp.argsort(column_place)
        shift = jax.random.uniform(key, (), self.log_plan.dtype)
        uniform = (shift + _GOLDEN * rank.astype(shift.dtype)) % 1.0
        below = jnp.cumsum(self.conditional[:, order], axis=1) < uniform[:, None]
        last = self.log_plan.shape[1] - 1
        return order[jnp.minimum(jnp.sum(below, axis=1), last)]


def sinkhorn(
    cost: Float[Array, "row column"],
    a: Float[Array, " row"],
    b: Float[Array, " column"],
    epsilon: ScalarLike = 0.05,
    iterations: int = 30,
) -> Coupling:
    """Couple two sets of weighted points by entropic optimal transport.

    Args:
        cost: Cost of each pair; divide it by its mean to make `epsilon` mean the same
            everywhere. Infinite where a pair may not be joined.
        a: Weights of the rows, sum one.
        b: Weights of the columns, sum one; may be zero.
        epsilon: Strength of the entropy, in units of the cost; small is sharp and
            converges slowly.
        iterations: Number of sweeps, fixed.

    Returns:
        The coupling, its potentials and the error of its column sums.
    """
    log_kernel = jnp.maximum(-cost / epsilon, _NEVER)
    return log_sinkhorn(log_kernel, _logs(a), _logs(b), iterations)


def log_sinkhorn(
    log_kernel: Float[Array, "row column"],
    log_a: Float[Array, " row"],
    log_b: Float[Array, " column"],
    iterations: int = 30,
) -> Coupling:
    """Scale a kernel given by its logarithm to given row and column sums.

    Args:
        log_kernel: Logarithm of the kernel, finite.
        log_a: Log weights of the rows.
        log_b: Log weights of the columns.
        iterations: Number of sweeps, fixed.

    Returns:
        The coupling.
    """

    def sweep(f: Array, _: None) -> tuple[Array, None]:
        return rows_of(columns_of(f)), None

    def columns_of(f: Array) -> Array:
        return log_b - _log_sum(log_kernel + f[:, None], 0)

    def rows_of(g: Array) -> Array:
        return log_a - _log_sum(log_kernel + g[None, :], 1)

    start = rows_of(jnp.zeros_like(log_b))
    # one sweep is left for the end, where its columns are kept
    f, _ = jax.lax.scan(sweep, start, None, length=max(iterations - 1, 0))
    g = columns_of(f)
    f = rows_of(g)
    log_plan = log_kernel + f[:, None] + g[None, :]
    missed = jnp.sum(jnp.exp(log_plan), axis=0) - jnp.exp(log_b)
    return Coupling(log_plan, f, g, jnp.sum(jnp.abs(missed)))


def absorbed_sinkhorn(
    log_kernel: Float[Array, "row column"],
    log_a: Float[Array, " row"],
    log_b: Float[Array, " column"],
    iterations: int = 30,
) -> Coupling:
    """Do what `log_sinkhorn` does with products in place of exponentials.

    One sweep in logarithms brings the kernel close to the plan; sweeps then multiply by
    factors near one. Several times as fast, and the same to rounding unless potentials
    still change by hundreds after the first sweep.

    Args:
        log_kernel: Logarithm of the kernel, finite.
        log_a: Log weights of the rows.
        log_b: Log weights of the columns.
        iterations: Number of sweeps, fixed.

    Returns:
        The coupling.
    """
    f = log_a - _log_sum(log_kernel, 1)
    g = log_b - _log_sum(log_kernel + f[:, None], 0)
    f = log_a - _log_sum(log_kernel + g[None, :], 1)
    K = jnp.exp(log_kernel + f[:, None] + g[None, :])
    a, b = jnp.exp(log_a), jnp.exp(log_b)
    tiny = jnp.asarray(jnp.finfo(K.dtype).tiny, K.dtype)

    def sweep(pair: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        v = b / jnp.maximum(pair[0] @ K, tiny)
        return (a / jnp.maximum(K @ v, tiny), v), None

    start = (jnp.ones_like(a), jnp.ones_like(b))
    (u, v), _ = jax.lax.scan(sweep, start, None, length=max(iterations - 1, 0))
    logs = lambda x: jnp.log(jnp.maximum(x, tiny))
    f, g = f + logs(u), g + logs(v)
    missed = u @ K * v - b
    return Coupling(
        log_kernel + f[:, None] + g[None, :], f, g, jnp.sum(jnp.abs(missed))
    )


def scaled_cost(
    sources: Float[Array, "row state"], targets: Float[Array, "column state"]
) -> Float[Array, "row column"]:
    """Return half the squared distances of all pairs, divided by their mean.

    Args:
        sources: Points of the rows.
        targets: Points of the columns.

    Returns:
        The cost; zero where all points coincide.
    """
    cross = sources @ targets.T
    squares = jnp.sum(sources**2, 1)[:, None] + jnp.sum(targets**2, 1)[None, :]
    cost = jnp.maximum(0.5 * squares - cross, 0.0)
    mean = jnp.mean(cost)
    return cost / jnp.where(mean > 0.0, mean, 1.0)


def _logs(weights: Float[Array, " point"]) -> Float[Array, " point"]:
    """Return log weights, finite where a weight is zero."""
    positive = weights > 0.0
    return jnp.where(positive, jnp.log(jnp.where(positive, weights, 1.0)), _NEVER)


def _log_sum(values: Float[Array, "row column"], axis: int) -> Float[Array, " other"]:
    """Return log sum exp of finite values, with one pass less than the general one."""
    top = jax.lax.stop_gradient(jnp.max(values, axis=axis, keepdims=True))
    total = jnp.sum(jnp.exp(values - top), axis=axis)
    return jnp.log(total) + jnp.squeeze(top, axis)
