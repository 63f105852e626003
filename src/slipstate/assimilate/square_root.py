"""The Kalman filter and smoother in square-root form: factors instead of covariances.

One orthogonal transformation per step (see `slipstate.assimilate.factors`), for single
precision and for signals many orders of magnitude above their noise.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.factor_filter import AbstractFactorKalman
from slipstate.assimilate.factors import (
    FactorState,
    Updated,
    triangle,
)
from slipstate.ground.elimination import psd_root
from slipstate.ground.linalg import solve_lower


class SquareRootKalman(AbstractFactorKalman):
    """Exact filter and smoother of linear Gaussian models that carries factors.

    The answers are those of `Kalman`, at about twice the cost. An initial belief of
    type `Diffuse` is treated exactly: while a direction is unknown the rows are taken
    in as `Kalman` takes them in.
    """

    def take_in(
        self,
        state: FactorState,
        H: Float[Array, "obs state"],
        R: Float[Array, "obs obs"],
        innovation: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
    ) -> Updated:
        """Update a proper state by one transformation to triangular form."""
        p = H.shape[0]
        seen = mask.astype(H.dtype)
        # a masked component is a standard normal that is seen nothing of
        noise = R * (seen[:, None] * seen[None, :]) + jnp.diag(1.0 - seen)
        signal = (seen[:, None] * H) @ state.factor
        post = triangle(psd_root(noise), signal, state.factor)
        root = post[:p, :p]
        white = solve_lower(root, innovation[:, None])[:, 0]
        deviation = jnp.where(mask, jnp.diagonal(root), 1.0)
        # a scalar without variance that is not where it must be has no likelihood
        left = jnp.where(deviation == 0, innovation - root @ white, 0.0)
        lost = jnp.where(left == 0, jnp.zeros_like(left), jnp.inf)
        distance = jnp.sum(white * white) + jnp.sum(lost)
        terms = 2.0 * jnp.log(deviation) + jnp.log(2.0 * jnp.pi)
        mean = state.location + post[p:, :p] @ white
        after = FactorState(mean, post[p:, p:], state.directions)
        return after, distance, jnp.sum(jnp.where(mask, terms, 0.0))
