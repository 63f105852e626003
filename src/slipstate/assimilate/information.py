"""The Kalman filter for many outputs: observations enter by their information.

With the state written as m + L w, w standard normal, p observed components of noise R
are p more rows of a least-squares problem for w, solved by one transformation of

    [[R^-1/2 H L, R^-1/2 v], [I, 0]]   ->   [[U, c], [0, rho]]

whose size grows with p only in its rows: U^T U = I + L^T H^T R^-1 H L, the mean moves
by L U^-1 c, the factor becomes L U^-1, det S = det R det(U)^2, and rho^2 = v^T S^-1 v
is the squared length of what is left over, so that no large terms ever cancel.

References:
    Bierman (1977), Factorization Methods for Discrete Sequential Estimation, chapter 5.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.factor_filter import AbstractFactorKalman
from slipstate.assimilate.factors import (
    FactorState,
    Updated,
)
from slipstate.ground.elimination import psd_root
from slipstate.ground.linalg import solve_lower, triangular_factor


class InformationKalman(AbstractFactorKalman):
    """Exact filter and smoother for many more outputs than states.

    The answers are those of `Kalman`. Where the noise of the outputs is independent
    (R diagonal) the cost of an update grows as p n^2, without any loop over the p
    outputs. Noise must not vanish: where R is singular use `Kalman`. An initial belief
    of type `Diffuse` is treated exactly: while a direction is unknown the rows are
    taken in as `Kalman` takes them in.
    """

    def take_in(
        self,
        state: FactorState,
        H: Float[Array, "obs state"],
        R: Float[Array, "obs obs"],
        innovation: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
    ) -> Updated:
        """Update a proper state by the triangular form of [[W H L, W v], [I, 0]]."""
        L = state.factor
        n = L.shape[0]
        seen = mask.astype(H.dtype)[:, None]
        rows = seen * jnp.concatenate([H @ L, innovation[:, None]], axis=1)
        white, deviation = _whiten(R, rows, mask)
        prior = jnp.eye(n, n + 1, dtype=H.dtype)
        post = triangular_factor(jnp.concatenate([white, prior]).T)
        root, shift = post[:n, :n], post[n, :n]
        factor = solve_lower(root, L.T).T
        terms = 2.0 * jnp.log(deviation) + jnp.log(2.0 * jnp.pi)
        log_det = jnp.sum(jnp.where(mask, terms, 0.0))
        log_det = log_det + 2.0 * jnp.sum(jnp.log(jnp.diagonal(root)))
        after = FactorState(state.location + factor @ shift, factor, state.directions)
        return after, post[n, n] ** 2, log_det


def _whiten(
    R: Float[Array, "obs obs"],
    rows: Float[Array, "obs column"],
    mask: Bool[Array, " obs"],
) -> tuple[Float[Array, "obs column"], Float[Array, " obs"]]:
    """Return W rows with W R W^T = I over the observed components, and 1 / diag W."""

    def alone() -> tuple[Array, Array]:
        deviation = jnp.sqrt(jnp.where(mask, jnp.diagonal(R), 1.0))
        return rows / deviation[:, None], deviation

    def together() -> tuple[Array, Array]:
        seen = mask.astype(R.dtype)
        root = psd_root(R * (seen[:, None] * seen[None, :]) + jnp.diag(1.0 - seen))
        deviation = jnp.diagonal(root)
        # a component without noise has infinite information: say so, not zero
        white = jnp.where(jnp.all(deviation > 0), solve_lower(root, rows), jnp.nan)
        return white, deviation

    independent = jnp.all(jnp.diag(jnp.diagonal(R)) == R)
    return jax.lax.cond(independent, alone, together)
