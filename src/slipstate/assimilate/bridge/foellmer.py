"""The bridge from each member to the weighted members as a diffusion, for comparison.

With atoms x_j of weight w_j at the end and a Brownian reference of variance s^2 t from
x_0, Foellmer's drift is known in closed form,

    u(t, x) = sum_j p_j (x_j - x) / (1 - t),
    p_j ~ w_j exp(-|x_j - x|^2 / (2 s^2 (1-t)) + |x_j - x_0|^2 / (2 s^2)).

The exact bridge ends on the atoms, like resampling; stopping at t < 1 leaves a width.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.bridge.entropic import AbstractEntropicFilter, LogLikelihood
from slipstate.ground.types import Key, ScalarLike


class FoellmerFilter(AbstractEntropicFilter):
    """Moves members by the drift of the bridge onto the weighted members.

    Attributes:
        members: Size of the ensemble, at least 2.
        width: s, in units of the spread of each component.
        steps: Euler-Maruyama steps.
        stop: Time at which it stops, below 1.
    """

    members: int = eqx.field(static=True, default=50)
    width: ScalarLike = 1.0
    steps: int = eqx.field(static=True, default=40)
    stop: ScalarLike = 0.98

    def analyse(
        self,
        members: Float[Array, "ens state"],
        log_weights: Float[Array, " ens"],
        log_likelihood: LogLikelihood,
        *,
        key: Key,
    ) -> Float[Array, "ens state"]:
        """Return the members after the diffusion."""
        del log_likelihood
        spread = jnp.std(members, axis=0)
        spread = jnp.where(spread > 0.0, spread, 1.0)[None, :]
        start = members / spread
        variance = jnp.asarray(self.width, start.dtype) ** 2
        dt = jnp.asarray(self.stop, start.dtype) / self.steps
        square = lambda a: jnp.sum((a[:, None, :] - start[None, :, :]) ** 2, axis=2)
        fixed = log_weights[None, :] + square(start) / (2.0 * variance)

        def step(x: Array, row: tuple[Array, Key]) -> tuple[Array, None]:
            k, key = row
            left = 1.0 - k * dt
            p = jax.nn.softmax(fixed - square(x) / (2.0 * variance * left), axis=1)
            drift = (p @ start - x) / left
            draw = jax.random.normal(key, x.shape, x.dtype)
            return x + dt * drift + jnp.sqrt(variance * dt) * draw, None

        rows = (
            jnp.arange(self.steps, dtype=start.dtype),
            jax.random.split(key, self.steps),
        )
        return jax.lax.scan(step, start, rows)[0] * spread
