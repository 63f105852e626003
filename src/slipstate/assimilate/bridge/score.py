"""The ensemble score filter, for comparison.

z_t = alpha_t x + beta_t e diffuses the forecast into noise, alpha = 1 - (1 - e_a) t and
beta^2 = e_b + (1 - e_b) t. Its score is known from the members; the likelihood's score
is added with the weight 1 - t, a heuristic, and the reverse diffusion run from noise.

References:
    Bao, Zhang & Zhang (2024), An ensemble score filter for tracking high-dimensional
    nonlinear dynamical systems, arXiv 2309.00983.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.bridge.entropic import AbstractEntropicFilter, LogLikelihood
from slipstate.ground.types import Key, ScalarLike


class ScoreFilter(AbstractEntropicFilter):
    """Draws the analysis by a reverse diffusion without training (EnSF).

    Attributes:
        members: Size of the ensemble, at least 2.
        steps: Euler-Maruyama steps of the reverse diffusion.
        end: e_a, what is left of the signal at t = 1.
        floor: e_b, noise variance at t = 0.
    """

    members: int = eqx.field(static=True, default=50)
    steps: int = eqx.field(static=True, default=200)
    end: ScalarLike = 0.5
    floor: ScalarLike = 0.025

    def analyse(
        self,
        members: Float[Array, "ens state"],
        log_weights: Float[Array, " ens"],
        log_likelihood: LogLikelihood,
        *,
        key: Key,
    ) -> Float[Array, "ens state"]:
        """Return draws of the reverse diffusion."""
        del log_weights
        a, b = (jnp.asarray(x, members.dtype) for x in (self.end, self.floor))
        dt = jnp.asarray(1.0 / self.steps, members.dtype)
        spread = jnp.std(members, axis=0)
        spread = jnp.where(spread > 0.0, spread, 1.0)
        centre = jnp.mean(members, axis=0)
        cloud = (members - centre[None, :]) / spread[None, :]
        slope = jax.grad(lambda z: log_likelihood(centre + spread * z))
        key_start, key_steps = jax.random.split(key)
        z = jax.random.normal(key_start, cloud.shape, cloud.dtype)

        def step(z: Array, row: tuple[Array, Key]) -> tuple[Array, None]:
            k, key = row
            t = 1.0 - k * dt
            alpha, variance = 1.0 - (1.0 - a) * t, b + (1.0 - b) * t
            apart = alpha * cloud[None, :, :] - z[:, None, :]
            p = jax.nn.softmax(-jnp.sum(apart**2, axis=2) / (2.0 * variance), axis=1)
            prior = jnp.einsum("ij,ijd->id", p, apart) / variance
            pull = jax.vmap(slope)(z)
            score = prior + (1.0 - t) * jnp.where(jnp.isfinite(pull), pull, 0.0)
            fall = -(1.0 - a) / alpha  # d log alpha / dt
            square = (1.0 - b) - 2.0 * fall * variance  # squared diffusion
            draw = jax.random.normal(key, z.shape, z.dtype)
            back = fall * z - square * score
            return z - dt * back + jnp.sqrt(square * dt) * draw, None

        rows = (
            jnp.arange(self.steps, dtype=z.dtype),
            jax.random.split(key_steps, self.steps),
        )
        z = jax.lax.scan(step, z, rows)[0]
        return centre[None, :] + spread[None, :] * z
