"""The ensemble flow filter, for comparison: a flow from noise to the analysis.

On the straight path z_t = t x + s_t e from noise to the forecast, s_t = 1 - (1 - s) t,
the velocity E[x - (1 - s) e | z] is known from the members, and the likelihood steers
by weighting the members it flows to: p_j ~ w_j N(z; t x_j, s_t^2).

References:
    Transue et al. (2025), Flow matching for efficient and scalable data assimilation,
    arXiv 2508.13313; the guidance here is the plain Monte Carlo one.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.bridge.entropic import AbstractEntropicFilter, LogLikelihood
from slipstate.ground.types import Key, ScalarLike


class FlowFilter(AbstractEntropicFilter):
    """Draws the analysis by a flow from noise to the weighted members (EnFF).

    Attributes:
        members: Size of the ensemble, at least 2.
        steps: Euler steps.
        floor: Width of the path at its end, in units of the spread; at 0 the flow ends
            on the members.
    """

    members: int = eqx.field(static=True, default=50)
    steps: int = eqx.field(static=True, default=40)
    floor: ScalarLike = 0.1

    def analyse(
        self,
        members: Float[Array, "ens state"],
        log_weights: Float[Array, " ens"],
        log_likelihood: LogLikelihood,
        *,
        key: Key,
    ) -> Float[Array, "ens state"]:
        """Return the end of the flow from one draw of noise per member."""
        del log_likelihood
        spread = jnp.std(members, axis=0)
        spread = jnp.where(spread > 0.0, spread, 1.0)[None, :]
        centre = jnp.mean(members, axis=0)[None, :]
        cloud = (members - centre) / spread
        floor = jnp.asarray(self.floor, cloud.dtype)
        dt = jnp.asarray(1.0 / self.steps, cloud.dtype)
        z = jax.random.normal(key, cloud.shape, cloud.dtype)

        def step(z: Array, k: Array) -> tuple[Array, None]:
            t = k * dt
            width = 1.0 - (1.0 - floor) * t
            apart = z[:, None, :] - t * cloud[None, :, :]
            square = jnp.sum(apart**2, axis=2) / (2.0 * width**2)
            p = jax.nn.softmax(log_weights[None, :] - square, axis=1)
            noise = (z - t * (p @ cloud)) / width
            return z + dt * (p @ cloud - (1.0 - floor) * noise), None

        z = jax.lax.scan(step, z, jnp.arange(self.steps, dtype=z.dtype))[0]
        return centre + spread * z
