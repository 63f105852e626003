"""A Gaussian conditioned on linear observations, one scalar at a time.

This one page is the update of the Kalman filter, of its exactly diffuse start and,
with the next state as the observation, of the Rauch-Tung-Striebel smoother. Noise is
made independent first (`decorrelate`), then each scalar h^T x + v, v ~ N(0, r), gives

    f = h^T P h + r,   k = P h / f,   P <- (I - k h^T) P (I - k h^T)^T + r k k^T,

the Joseph form, which stays positive semi-definite under rounding. Nothing is
factorised or inverted, a masked component is simply h = 0, and no number is added to
any diagonal. Unknown directions A (a belief N(m, P + kappa A A^T), kappa -> infinity)
come first: while a = A^T h is not zero the limit of the gain is k = A a / (a^T a), and
one direction is known afterwards: A <- A (reflection of a onto an axis), that axis
dropped, so that the number of unknown directions falls by exactly one.

References:
    Koopman & Durbin (2000), Fast filtering and smoothing for multivariate state space
    models, J. Time Series Analysis 21. Durbin & Koopman (2012), Time Series Analysis by
    State Space Methods, chapters 5 and 6.4.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.robust import StudentT
from slipstate.ground.elimination import UNROLL, Row, decorrelate, loop
from slipstate.ground.linalg import symmetric
from slipstate.ground.small import applied, dot, product
from slipstate.ground.types import Scalar


class Scalars(eqx.Module):
    """The scalar updates that one observation was split into.

    Attributes:
        innovation: Each scalar minus its prediction given the scalars before it.
        signal: Variance of that prediction without noise; of the unknown direction
            where the scalar was spent on one (then the innovation counts as 0).
        noise: Noise variance of the scalar.
        weight: Weight the scalar got; 1 except for robust noise.
    """

    innovation: Float[Array, "*obs column"]
    signal: Float[Array, "*obs"]
    noise: Float[Array, "*obs"]
    weight: Float[Array, "*obs"]


class Conditioned(eqx.Module):
    """A Gaussian after conditioning.

    Attributes:
        shift: Change of the mean, for each column of the residual.
        cov: Covariance.
        directions: Directions that are still unknown.
        scalars: The scalar updates it was done by.
    """

    shift: Float[Array, "state column"]
    cov: Float[Array, "state state"]
    directions: Float[Array, "state diffuse"]
    scalars: Scalars


def condition(
    cov: Float[Array, "state state"],
    directions: Float[Array, "state diffuse"],
    H: Float[Array, "obs state"],
    R: Float[Array, "obs obs"],
    residual: Float[Array, "obs column"],
    mask: Bool[Array, " obs"],
    *,
    robust: StudentT | None = None,
    exact: bool = False,
) -> Conditioned:
    """Condition N(m, cov) on H x + noise, observed where `mask` is True.

    Args:
        cov: Covariance before.
        directions: Unknown directions A; no columns for a proper Gaussian.
        H: Observation matrix.
        R: Noise covariance, singular or not.
        residual: Observation minus prediction. Several columns are several
            observations of the same kind, or a basis in which the answer is linear.
        mask: True where observed.
        robust: Heavy-tailed noise instead of Gaussian; for one column.
        exact: Whether noise may vanish altogether, so that what is left of a variance
            after the scalars before it may be nothing but rounding.

    Returns:
        Shift of the mean, covariance, directions and the scalars on the way.
    """
    n, columns = cov.shape[0], residual.shape[1]
    seen = mask.astype(cov.dtype)[:, None]
    R = R * (seen * seen.T) + jnp.diag(1.0 - seen[:, 0])
    # going backwards many rows are side by side: a short loop is fast and compiles soon
    longest = 0 if exact else UNROLL
    rows = seen * jnp.concatenate([H, residual], axis=1)
    R, rows = decorrelate(R, rows, longest=longest)
    H, residual = rows[:, :n], rows[:, n:]
    eps = float(jnp.finfo(cov.dtype).eps)
    if exact:
        floor = 8 * n * eps * (jnp.sum(product(H, cov) * H, axis=1) + R)
    else:
        floor = jnp.zeros_like(R)

    def scalar_update(
        carry: tuple[Array, Array, Array], row: Row
    ) -> tuple[tuple[Array, Array, Array], Scalars]:
        shift, P, A = carry
        h, r = H[row], R[row]
        v = residual[row] - applied(shift.T, h)
        Ph = applied(P, h)
        s = dot(h, Ph)
        usable = s + r > floor[row]
        noise, extra, weight = r, jnp.zeros_like(r), jnp.ones_like(r)
        if robust is not None:
            safe = jnp.where(usable, r, 1.0)
            noise, extra, weight = robust.effective_noise(v[0], s, safe)
            noise, extra = (jnp.where(usable, x, 0.0) for x in (noise, extra))
        total = jnp.where(usable, s + noise, 1.0)
        k = jnp.where(usable, Ph / total, 0.0)
        if A.shape[1]:
            # while h sees an unknown direction, the scalar is spent on that one
            spent, a = _unknown(A, h, n * eps)
            square = jnp.where(spent, a @ a, 1.0)
            k = jnp.where(spent, A @ a / square, k)
            noise, extra = jnp.where(spent, r, noise), jnp.where(spent, 0.0, extra)
            weight = jnp.where(spent, 1.0, weight)
            A = jnp.where(spent, _spend(A, a), A)
            P = _joseph(P, h, k, noise) + extra * Ph[:, None] * Ph[None, :]
            shift = shift + k[:, None] * v[None, :]
            used = Scalars(
                jnp.where(spent, 0.0, v),
                jnp.where(spent, square, s),
                jnp.where(spent, 0.0, r),
                weight,
            )
            return (shift, P, A), used
        P = _joseph(P, h, k, noise) + extra * Ph[:, None] * Ph[None, :]
        shift = shift + k[:, None] * v[None, :]
        return (shift, P, A), Scalars(v, s, r, weight)

    start = (jnp.zeros((n, columns), cov.dtype), cov, directions)
    (shift, P, A), scalars = loop(scalar_update, start, H.shape[0], longest=longest)
    return Conditioned(shift, P, A, scalars)


def _joseph(
    P: Float[Array, "n n"], h: Float[Array, " n"], k: Float[Array, " n"], r: Scalar
) -> Float[Array, "n n"]:
    """Return (I - k h^T) P (I - k h^T)^T + r k k^T without forming I - k h^T."""
    left = P - k[:, None] * applied(P.T, h)[None, :]
    both = left - applied(left, h)[:, None] * k[None, :]
    return symmetric(both + r * k[:, None] * k[None, :])


def _unknown(
    A: Float[Array, "n diffuse"], h: Float[Array, " n"], tolerance: float
) -> tuple[Bool[Array, ""], Float[Array, " diffuse"]]:
    """Tell whether h sees an unknown direction, judged against rounding; return A^T h.

    The products are compared with the size that their terms had before cancelling, so
    the answer does not depend on units.
    """
    a = A.T @ h
    size = jnp.abs(A).T @ jnp.abs(h)
    return a @ a > (tolerance * tolerance) * (size @ size), a


def _spend(
    A: Float[Array, "n diffuse"], a: Float[Array, " diffuse"]
) -> Float[Array, "n diffuse"]:
    """Return A without its part along `a`: reflect `a` onto one axis and zero that."""
    axis = jnp.argmax(jnp.abs(a))
    unit = (jnp.arange(a.shape[0]) == axis).astype(A.dtype)
    length = jnp.sqrt(jnp.where(a @ a > 0, a @ a, 1.0))
    sign = jnp.where(a[axis] < 0, -1.0, 1.0)
    normal = a / length + sign * unit
    square = normal @ normal
    reflected = A - (A @ normal)[:, None] * (2.0 / square) * normal[None, :]
    return jnp.where(unit[None, :] > 0, 0.0, reflected)
