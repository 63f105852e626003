"""From dx = A x dt + dw, E[dw dw^T] = W dt, to one exact step of any length.

    F = exp(A dt),   Q = integral over [0, dt] of exp(A s) W exp(A s)^T ds.

Van Loan's way reads both from one exponential of [[-A, W], [0, A^T]] dt. Where A is
stable and dt long, that holds exp(-A dt), which overflows, and Q is what is left after
cancelling it. `discretise` doubles instead: a Taylor series for a short step h, then

    Q(2 h) = Q(h) + F(h) Q(h) F(h)^T,   F(2 h) = F(h)^2,

a sum of covariances at every turn, so nothing cancels and nothing overflows that does
not grow by itself. Systems with known exponentials have closed forms below.

References:
    Van Loan (1978), Computing integrals involving the matrix exponential, IEEE Trans.
    Automatic Control 23. Axelsson & Gustafsson (2015), Discrete-time solutions to the
    continuous-time differential Lyapunov equation, IEEE Trans. Signal Processing 63.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Scalar, ScalarLike

_SHORT = 0.5  # norm of A h up to which the series is summed
_TERMS = 18  # 0.5^19 / 19! is far below rounding
_DOUBLINGS = 40  # norm of A dt up to 5e11
_SERIES = 40  # terms of the incomplete gamma function, enough for z below _FAR
_FAR = 8.0


def discretise(
    drift: Float[Array, "n n"], diffusion: Float[Array, "n n"], dt: ScalarLike
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """Return F and Q of a step of length `dt`, by doubling.

    Args:
        drift: A, per unit of time.
        diffusion: W, symmetric positive semi-definite, per unit of time.
        dt: Length of the step, not negative.

    Returns:
        F and Q; NaN where A dt is larger than 5e11.
    """
    n, dtype = drift.shape[0], drift.dtype
    dt = jnp.asarray(dt, dtype)
    size = jax.lax.stop_gradient(dt * jnp.max(jnp.sum(jnp.abs(drift), axis=1)))
    halvings = jnp.ceil(jnp.log2(jnp.maximum(size / _SHORT, 1.0)))
    lost = halvings > _DOUBLINGS
    h = dt * jnp.where(lost, jnp.nan, jnp.exp2(-halvings))
    Ah, eye = drift * h, jnp.eye(n, dtype=dtype)

    def add_term(
        carry: tuple[Array, Array, Array, Array], k: Array
    ) -> tuple[tuple[Array, Array, Array, Array], None]:
        F, Q, f, q = carry
        f = (Ah @ f) / k
        turned = Ah @ q
        q = (turned + turned.T) / (k + 1.0)
        return (F + f, Q + q, f, q), None

    start = (eye, diffusion * h, eye, diffusion * h)
    orders = jnp.arange(1, _TERMS + 1).astype(dtype)
    (F, Q, _, _), _ = jax.lax.scan(add_term, start, orders)

    def double(
        pair: tuple[Array, Array], turn: Array
    ) -> tuple[tuple[Array, Array], None]:
        again = lambda F, Q: (F @ F, symmetric(Q + F @ Q @ F.T))
        return jax.lax.cond(turn < halvings, again, lambda F, Q: (F, Q), *pair), None

    turns = jnp.arange(_DOUBLINGS).astype(dtype)
    (F, Q), _ = jax.lax.scan(double, (F, Q), turns)
    return F, Q


def van_loan(
    drift: Float[Array, "n n"], diffusion: Float[Array, "n n"], dt: ScalarLike
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """Return F and Q of a step from one matrix exponential, as Van Loan did.

    exp([[-A, W], [0, A^T]] dt) = [[., G], [0, F^T]],  Q = F G. The obvious twin of
    `discretise`, good while A dt is a few units at most.

    Args:
        drift: A.
        diffusion: W.
        dt: Length of the step.

    Returns:
        F and Q.
    """
    n = drift.shape[0]
    block = jnp.block([[-drift, diffusion], [jnp.zeros_like(drift), drift.T]])
    whole = jax.scipy.linalg.expm(block * jnp.asarray(dt, drift.dtype))
    F = whole[n:, n:].T
    return F, symmetric(F @ whole[:n, n:])


def diagonal_step(
    rates: Inexact[Array, " n"], diffusion: Inexact[Array, "n n"], dt: ScalarLike
) -> tuple[Inexact[Array, " n"], Inexact[Array, "n n"]]:
    """Return F (its diagonal) and Q for a diagonal, real or complex, drift.

    F_i = exp(a_i dt),  Q_ij = W_ij (exp((a_i + conj a_j) dt) - 1) / (a_i + conj a_j).

    Args:
        rates: The diagonal a of A.
        diffusion: W, Hermitian.
        dt: Length of the step.

    Returns:
        The diagonal of F, and Q.
    """
    dt = jnp.asarray(dt).astype(rates.dtype)
    z = (rates[:, None] + jnp.conj(rates)[None, :]) * dt
    still = z == 0
    safe = jnp.where(still, jnp.ones_like(z), z)
    mean = jnp.where(still, jnp.ones_like(z), jnp.expm1(safe) / safe)
    return jnp.exp(rates * dt), diffusion * (dt * mean)


def integrated_wiener_step(
    order: int, intensity: Scalar, dt: ScalarLike
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """Return F and Q where the derivative of number `order` is a random walk.

    F_ij = dt^(j-i) / (j-i)!,  Q_ij = q dt^(a+b+1) / ((a+b+1) a! b!), a = order - i,
    b = order - j.

    Args:
        order: Number of integrations; 0 is the random walk itself.
        intensity: q, growth of the variance of the last component per unit of time.
        dt: Length of the step.

    Returns:
        F and Q for the state (f, f', ..., f^(order)).
    """
    dt = jnp.asarray(dt, intensity.dtype)
    powers = [jnp.ones_like(dt)]
    for _ in range(2 * order + 1):
        powers.append(powers[-1] * dt)
    zero, places = jnp.zeros_like(dt), range(order + 1)
    F = [
        [powers[j - i] / math.factorial(j - i) if j >= i else zero for j in places]
        for i in places
    ]
    Q = [
        [
            powers[a + b + 1]
            * (1.0 / ((a + b + 1) * math.factorial(a) * math.factorial(b)))
            for b in reversed(places)
        ]
        for a in reversed(places)
    ]
    return jnp.array(F), intensity * jnp.array(Q)


def decaying_moments(top: int, z: Scalar) -> Float[Array, " power"]:
    """Return the integrals over [0, 1] of s^m exp(-z s) ds for m = 0, ..., top.

    All digits are kept: for small z by a positive series for the highest power and the
    recursion downwards, which only adds; for large z by the recursion upwards.

    Args:
        top: Highest power of s.
        z: Decay over the interval, not negative.

    Returns:
        The moments, lowest power first.
    """
    table = 1.0 / np.cumprod(top + 1.0 + np.arange(_SERIES))
    near = jnp.minimum(z, _FAR)
    left, gone = jnp.exp(-near), jnp.exp(-jnp.maximum(z, _FAR))
    powers = near ** jnp.arange(_SERIES, dtype=z.dtype)
    down = [left * jnp.sum(jnp.asarray(table, z.dtype) * powers)]
    for m in range(top, 0, -1):
        down.append((near * down[-1] + left) / m)
    far = jnp.maximum(z, _FAR)
    up = [(1.0 - gone) / far]
    for m in range(1, top + 1):
        up.append((m * up[-1] - gone) / far)
    return jnp.where(z < _FAR, jnp.stack(down[::-1]), jnp.stack(up))
