"""What a stretch of rows says, whatever came before it: the elements of parallel time.

Given the state x where the stretch starts, the state where it ends and what the rows
of the stretch tell about x are

    x_end | x ~ N(A x + b, C),        z = W x + N(0, I),

five arrays whose size does not grow with the stretch. Elements of neighbours compose,
and composing is associative, so stretches may be worked on side by side and joined in
any grouping. The information about x is held by its factor W, and all conditioning is
`condition`, so an element of stiff data is as good as the filter itself. Likelihoods
are not carried: they come from innovations once the states are known.

References:
    Särkkä & García-Fernández (2021), Temporal parallelization of Bayesian smoothers,
    IEEE Trans. Automatic Control 66, arXiv 1905.13002. There J = W^T W, eta = W^T z.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.conditioning import Conditioned, condition
from slipstate.assimilate.kalman import KalmanState
from slipstate.ground.linalg import symmetric, triangular_factor
from slipstate.systems.beliefs import Diffuse, Gaussian


class Element(eqx.Module):
    """What a stretch of rows says.

    Attributes:
        gain: A.
        offset: b.
        cov: C.
        seen: W, upper triangular.
        data: z.
    """

    gain: Float[Array, "*block state state"]
    offset: Float[Array, "*block state"]
    cov: Float[Array, "*block state state"]
    seen: Float[Array, "*block state state"]
    data: Float[Array, "*block state"]


def empty_element(state: int, dtype: jnp.dtype) -> Element:
    """Return the element of a stretch without rows: x_end = x, nothing seen.

    Args:
        state: Size of the state.
        dtype: Type of the numbers.
    """
    none, zero = jnp.zeros((state, state), dtype), jnp.zeros(state, dtype)
    return Element(jnp.eye(state, dtype=dtype), zero, none, none, zero)


def extend(
    element: Element,
    step: tuple[Array, Array, Array],
    seen: tuple[Array, Array, Array],
    mask: Bool[Array, " obs"],
) -> Element:
    """Return the element of a stretch with one more row.

    Args:
        element: The stretch without the row.
        step: F, b, Q of the step to the row.
        seen: H, R of the row, and y - d, 0 where masked.
        mask: True where observed.
    """
    F, b, Q = step
    H, R, y = seen
    gain, offset = F @ element.gain, F @ element.offset + b
    cov = symmetric(F @ element.cov @ F.T + Q)
    moved = Element(gain, offset, cov, element.seen, element.data)
    none = jnp.zeros((offset.shape[0], 0), cov.dtype)
    found = condition(cov, none, H, R, _apart(moved, H, y), mask)
    return _learn(moved, (found.shift, found.cov), _scaled(found, mask))


def compose(first: Element, second: Element) -> Element:
    """Return the element of two neighbouring stretches.

    Args:
        first: The earlier stretch.
        second: The later stretch.
    """
    n = first.offset.shape[0]
    none = jnp.zeros((n, 0), first.cov.dtype)
    apart = _apart(first, second.seen, second.data)
    found, _, rows = _one_by_one(first.cov, none, second.seen, apart)
    middle = _learn(first, found, rows)
    return Element(
        second.gain @ middle.gain,
        second.gain @ middle.offset + second.offset,
        symmetric(second.gain @ middle.cov @ second.gain.T + second.cov),
        middle.seen,
        middle.data,
    )


def after_element(state: KalmanState, element: Element) -> KalmanState:
    """Return the belief at the end of a stretch, given the belief at its start.

    Args:
        state: The belief at the start.
        element: The stretch.
    """
    n = element.offset.shape[0]
    diffuse = isinstance(state, Diffuse)
    unknown = state.directions if diffuse else jnp.zeros((n, 0), element.cov.dtype)
    residual = element.data - element.seen @ state.location
    found, unknown, _ = _one_by_one(
        state.covariance, unknown, element.seen, residual[:, None]
    )
    A = element.gain
    mean = A @ (state.location + found[0][:, 0]) + element.offset
    cov = symmetric(A @ found[1] @ A.T + element.cov)
    if diffuse:
        return Diffuse(mean, cov, A @ unknown)
    return Gaussian(mean, cov)


def prefixes(elements: Element) -> Element:
    """Return the compositions of the first 1, 2, 3, ... of a row of elements.

    By doubling in log2 rounds; one round is compiled once, whatever their number
    (`lax.associative_scan` compiles every round of its own).

    Args:
        elements: Elements stacked along their first axis, in order.
    """
    count = elements.offset.shape[0]
    places = jnp.arange(count)

    def one_round(found: Element, level: Array) -> tuple[Element, None]:
        reach = jnp.left_shift(1, level)
        earlier = jax.tree.map(lambda x: x[jnp.maximum(places - reach, 0)], found)
        joined = jax.vmap(compose)(earlier, found)
        return jax.tree.map(
            lambda new, old: _from(reach, new, old), joined, found
        ), None

    rounds = (count - 1).bit_length()
    return jax.lax.scan(one_round, elements, jnp.arange(rounds))[0]


def _from(reach: Array, new: Array, old: Array) -> Array:
    """Return `new` from place `reach` on and `old` before it."""
    far = jnp.arange(old.shape[0]) >= reach
    return jnp.where(far.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)


def _apart(
    element: Element, H: Float[Array, "obs state"], y: Float[Array, " obs"]
) -> Float[Array, "obs column"]:
    """Return y less its prediction H (A x + b) as the columns of x and of 1."""
    constant = y - H @ element.offset
    return jnp.concatenate([-H @ element.gain, constant[:, None]], axis=1)


def _one_by_one(
    cov: Float[Array, "n n"],
    directions: Float[Array, "n diffuse"],
    H: Float[Array, "obs n"],
    residual: Float[Array, "obs column"],
) -> tuple[tuple[Array, Array], Array, Float[Array, "obs column"]]:
    """Condition on H x + N(0, I) by a loop that is compiled once.

    Returns:
        Shift of the mean and covariance; the directions still unknown; the scalar
        innovations in units of their deviation.
    """
    unit, seen = jnp.ones((1, 1), cov.dtype), jnp.ones(1, bool)

    def body(
        carry: tuple[Array, Array, Array], row: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array, Array], Array]:
        shift, P, A = carry
        h, r = row
        found = condition(P, A, h[None], unit, (r - h @ shift)[None], seen)
        carry = (shift + found.shift, found.cov, found.directions)
        return carry, _scaled(found, seen)[0]

    start = (jnp.zeros((cov.shape[0], residual.shape[1]), cov.dtype), cov, directions)
    (shift, P, A), rows = jax.lax.scan(body, start, (H, residual))
    return (shift, P), A, rows


def _learn(
    element: Element, found: tuple[Array, Array], rows: Float[Array, "obs column"]
) -> Element:
    """Return an element after an observation made where its stretch ends.

    Args:
        element: The element before.
        found: Shift of the mean, as columns of x and of 1, and covariance.
        rows: What the observation tells about x: each row is z - W x.
    """
    n = element.offset.shape[0]
    shift, cov = found
    before = jnp.concatenate([-element.seen, element.data[:, None]], axis=1)
    columns = jnp.concatenate([before, rows]).T
    upper = triangular_factor(columns, compact=True).T
    return Element(
        element.gain + shift[:, :n],
        element.offset + shift[:, n],
        cov,
        -upper[:n, :n],
        upper[:n, n],
    )


def _scaled(
    found: Conditioned, mask: Bool[Array, " obs"]
) -> Float[Array, "obs column"]:
    """Return the scalar innovations in units of their deviation, 0 where masked."""
    scalars = found.scalars
    total = scalars.signal + scalars.noise
    # without any noise the start would be known exactly, which no W can say
    deviation = jnp.sqrt(jnp.where(total > 0, total, jnp.nan))
    rows = scalars.innovation / deviation[:, None]
    return jnp.where(mask[:, None], rows, 0.0)
