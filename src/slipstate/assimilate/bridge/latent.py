"""Coordinates in which an ensemble is a standard normal cloud.

With ensemble mean m and covariance P = L L^T, x = m + L z. In z the members have mean
zero and covariance one in every direction they span, distances are Mahalanobis
distances, and an update needs no matrix larger than the number of such directions:
min(state, members - 1).

Where the state is smaller than the ensemble, L is the triangular root of P. Where it is
larger, L = X^T W / sqrt(members - 1) with the anomalies X as rows and W a fixed
orthonormal basis of what sums to zero, so a state of a million components costs
products only and no factorisation.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.members import zero_sum_basis
from slipstate.ground.elimination import decorrelate


class Latent(eqx.Module):
    """An ensemble in its own coordinates.

    Attributes:
        centre: The mean m.
        L: Factor of the covariance.
        members: z of every member.
        alive: 1 for directions with spread, 0 for those without.
        noise: Factor of each member's own noise in z; no columns where there is none.
        present: Whether each member takes part.
    """

    centre: Float[Array, " state"]
    L: Float[Array, "state latent"]
    members: Float[Array, "ens latent"]
    alive: Float[Array, " latent"]
    noise: Float[Array, "ens latent noise"]
    present: Bool[Array, " ens"]

    def state(self, z: Float[Array, " latent"]) -> Float[Array, " state"]:
        """Return the state at z."""
        return self.centre + self.L @ z

    def points(self, z: Float[Array, "ens latent"]) -> Float[Array, "ens place"]:
        """Return points whose distances say how far apart states are.

        In z where the ensemble spans the state. Where it does not, any two members are
        equally far apart in z, so each component of the state is scaled by its spread
        instead.

        Args:
            z: Points in the ensemble's coordinates.

        Returns:
            Points in coordinates for measuring.
        """
        if self.L.shape[0] < len(z):
            return z
        spread = jnp.sqrt(jnp.sum(self.L**2, axis=1))
        safe = jnp.where(spread > 0.0, spread, 1.0)
        return z @ (self.L / safe[:, None]).T


def latent(
    members: Float[Array, "ens state"],
    noise: Float[Array, "ens state noise"],
    present: Bool[Array, " ens"],
) -> Latent:
    """Return the coordinates of an ensemble whose members carry their own noise.

    Args:
        members: The members, at least two.
        noise: Factor of the noise of each member, which adds to the covariance; its
            last axis is empty where members are what they are.
        present: Whether each member takes part.

    Returns:
        The ensemble in coordinates in which its whole covariance is one.
    """
    count, n = members.shape
    centre = jnp.mean(members, axis=0)
    X = members - centre[None, :]
    if n >= count and noise.shape[2] == 0:
        basis = jnp.asarray(zero_sum_basis(count), X.dtype)
        size = np.sqrt(count - 1.0)
        return Latent(
            centre,
            X.T @ basis / size,
            size * basis,
            jnp.ones(count - 1, X.dtype),
            jnp.zeros((count, count - 1, 0), X.dtype),
            present,
        )
    P = X.T @ X / (count - 1) + jnp.einsum("iak,ibk->ab", noise, noise) / count
    pivots, inverse = decorrelate(P, jnp.eye(n, dtype=X.dtype))
    alive = pivots > 0.0
    size = jnp.where(alive, jnp.sqrt(jnp.where(alive, pivots, 1.0)), 0.0)
    whiten = inverse * jnp.where(alive, 1.0 / jnp.where(alive, size, 1.0), 0.0)[:, None]
    return Latent(
        centre,
        P @ whiten.T,
        X @ whiten.T,
        alive.astype(X.dtype),
        jnp.einsum("za,iak->izk", whiten, noise),
        present,
    )
