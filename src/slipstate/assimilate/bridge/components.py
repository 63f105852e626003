"""The forecast as a mixture of normal components, and what an observation makes of it.

In latent coordinates (`latent`) component i is N(s z_i, F_i F_i^T) with

    F_i F_i^T = h^2 (I - Q) + Q_i,      s^2 = (1 - h^2) M / (M - 1),

Q_i the noise of member i and Q its mean over the members (zero where noise is drawn),
so that mean and covariance of the mixture are those of the ensemble for every h.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from slipstate.assimilate.bridge.latent import Latent
from slipstate.assimilate.bridge.linearise import (
    AbstractLinearisation,
    Conditioned,
    Observe,
)
from slipstate.ground.elimination import decorrelate, psd_root
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Flag, Key, Scalar, ScalarLike

DEAD = -1e30
"""Log weight of a component whose observation is no number."""

_TURNS = 8
_RUNGS = 6
_RISE = 0.35  # share of the way to h = 1 that each rung goes


class Components(eqx.Module):
    """A mixture after an observation, in latent coordinates.

    Attributes:
        log_weights: Log density of the observation under each component [nats].
        centres: Means s z_i before the observation.
        means: Means after it.
        F: Factor of the covariance before it, one for all or one for each.
        found: What the observation says about e in z = s z_i + F_i e.
        finite: Whether a component takes part.
    """

    log_weights: Float[Array, " ens"]
    centres: Float[Array, "ens latent"]
    means: Float[Array, "ens latent"]
    F: Float[Array, "*ens latent latent"]
    found: Conditioned
    finite: Bool[Array, " ens"]

    def moments(
        self, weights: Float[Array, " ens"]
    ) -> tuple[Float[Array, " latent"], Float[Array, "latent latent"]]:
        """Return mean and covariance of the mixture with the given weights."""
        mean = weights @ self.means
        apart = self.means - mean[None, :]
        if self.F.ndim == 2:
            spent = jnp.einsum("j,jpa,jpb->ab", weights, self.found.H, self.found.H)
            inside = self.F @ (jnp.eye(len(mean), dtype=mean.dtype) - spent) @ self.F.T
        else:
            gone = jnp.einsum("jab,jpb->jap", self.F, self.found.H)
            inside = jnp.einsum("j,jab,jcb->ac", weights, self.F, self.F)
            inside = inside - jnp.einsum("j,jap,jbp->ab", weights, gone, gone)
        return mean, symmetric(inside + (apart * weights[:, None]).T @ apart)

    def places(
        self, members: Float[Array, "ens latent"]
    ) -> tuple[Float[Array, " ens"], Float[Array, " ens"]]:
        """Return members and components along the direction the posterior spreads most.

        Args:
            members: z of the members.

        Returns:
            Place of each member, and of each component's mean.
        """
        weights = jax.nn.softmax(self.log_weights)
        apart = self.means - (weights @ self.means)[None, :]
        cov = (apart * weights[:, None]).T @ apart
        ahead = jnp.sum(jnp.abs(cov), axis=0)
        for _ in range(_TURNS):  # powers of the covariance turn to its longest axis
            ahead = cov @ ahead
            size = jnp.max(jnp.abs(ahead))
            ahead = ahead / jnp.where(size > 0.0, size, 1.0)
        ahead = jax.lax.stop_gradient(ahead)
        return members @ ahead, self.means @ ahead

    def draw(
        self, label: Int[Array, " ens"], *, key: Key
    ) -> Float[Array, "ens latent"]:
        """Draw one point of the posterior of each labelled component."""
        n, p = self.means.shape[1], self.found.gain.shape[2]
        both = jax.random.normal(key, (len(label), n + p), self.means.dtype)
        e, v = both[:, :n], both[:, n:]
        chosen = jax.tree.map(lambda leaf: leaf[label], self.found)
        inside = jax.vmap(lambda one, e, v: one.draw(e, v))(chosen, e, v)
        if self.F.ndim == 2:
            return self.means[label] + inside @ self.F.T
        return self.means[label] + jnp.einsum("iab,ib->ia", self.F[label], inside)

    def ancestors(
        self, z: Float[Array, "ens latent"], *, key: Key
    ) -> Int[Array, " ens"]:
        """Draw the component each point came from, given where the point is.

        The observation is the same whatever the component, so only the components
        before it matter: P(j | z) is proportional to N(z; s z_j, F_j F_j^T).

        Args:
            z: The points.
            key: Random key.

        Returns:
            A component for each point.
        """
        eye = jnp.eye(z.shape[1], dtype=z.dtype)
        shared = self.F.ndim == 2

        def logs(centre: Array, F: Array) -> Array:
            pivots, inverse = decorrelate(F @ F.T, eye)
            usable = pivots > 0.0
            size = jnp.where(usable, pivots, 1.0)
            scale = jnp.where(usable, 1.0 / jnp.sqrt(size), 0.0)
            white = ((z - centre[None, :]) @ inverse.T) * scale[None, :]
            return -0.5 * (jnp.sum(white**2, axis=1) + jnp.sum(jnp.log(size)))

        each = jax.vmap(logs, in_axes=(0, None if shared else 0))(self.centres, self.F)
        each = jnp.where(self.finite[:, None], each, DEAD)
        return jax.random.categorical(key, jax.lax.stop_gradient(each), axis=0)


def condition_components(
    rule: AbstractLinearisation,
    observe: Observe,
    space: Latent,
    h: ScalarLike,
    y: Float[Array, " obs"],
    mask: Bool[Array, " obs"],
    R: Float[Array, "obs obs"],
) -> Components:
    """Condition every component of bandwidth h on an observation.

    Args:
        rule: How the observation is made linear over a component.
        observe: The noise-free observation as a function of z.
        space: The ensemble.
        h: Bandwidth, 0 (points at the members) to 1 (one normal distribution).
        y: What was observed; finite everywhere.
        mask: True where observed.
        R: Noise covariance, identity where masked.

    Returns:
        The posterior components; those that give no number have log weight `DEAD`.
    """
    count = len(space.members)
    h = jnp.asarray(h, y.dtype)
    shrink = jnp.sqrt(jnp.maximum(1.0 - h * h, 0.0) * count / (count - 1))
    centres = shrink * space.members
    alive = jnp.diag(space.alive)
    noisy = space.noise.shape[2] > 0
    if noisy:
        each = jnp.einsum("iak,ibk->iab", space.noise, space.noise)
        kernel = h * h * (alive - jnp.mean(each, axis=0))
        F = jax.vmap(psd_root)(symmetric(kernel[None] + each))
    else:
        F = h * alive

    def one(centre: Array, F: Array) -> tuple[Conditioned, Array]:
        found = rule.condition(
            lambda e: observe(centre + F @ e), y, mask, R, jnp.zeros_like(centre)
        )
        return found, centre + F @ found.mean

    # where F, the tangent and R are shared, so is all the linear algebra below them
    found, means = jax.vmap(one, in_axes=(0, 0 if noisy else None))(centres, F)
    finite = found.finite & space.present
    log_weights = jnp.where(finite, found.log_weight, DEAD)
    return Components(log_weights, centres, means, F, found, finite)


def bandwidth_ladder(
    space: Latent, bandwidth: ScalarLike | None
) -> Float[Array, " rung"]:
    """Return the bandwidths to try for an ensemble, from the rule of thumb up.

    Where members carry noise, the kernel has the shape of what the members spread
    beside it, so it adds little where noise rules.

    Args:
        space: The ensemble.
        bandwidth: c, factor on the rule of thumb; None for the default.

    Returns:
        h, at most 1.
    """
    count, n = space.members.shape
    return bandwidth_rungs(count, jnp.asarray(1.0 * n, space.L.dtype), bandwidth)


def bandwidth_rungs(
    members: int, directions: Scalar, bandwidth: ScalarLike | None
) -> Float[Array, " rung"]:
    """Return c (4 / (M (n + 2)))^(1 / (n + 4)) and what lies between it and 1.

    Args:
        members: Size M of the ensemble.
        directions: Number n of independent directions.
        bandwidth: c; None for the default.

    Returns:
        h, at most 1.
    """
    c = between(members, 1.0, 0.5) if bandwidth is None else bandwidth
    rule = (4.0 / (members * (directions + 2.0))) ** (1.0 / (directions + 4.0))
    h = jnp.minimum(jnp.asarray(c, directions.dtype) * rule, 1.0)
    return 1.0 - (1.0 - h) * (1.0 - _RISE) ** jnp.arange(_RUNGS + 1, dtype=h.dtype)


def first_enough(
    ladder: Float[Array, " rung"], enough: Callable[[Array], Flag]
) -> Scalar:
    """Return the first bandwidth that is enough, else the last.

    Args:
        ladder: Bandwidths to try.
        enough: Whether one is.

    Returns:
        The bandwidth, as a number without derivative.
    """

    def rung(best: tuple[Array, Array], h: Array) -> tuple[tuple[Array, Array], None]:
        chosen, done = best
        return (jnp.where(done, chosen, h), done | enough(h)), None

    (h, _), _ = jax.lax.scan(rung, (ladder[0], jnp.asarray(False)), ladder)
    return jax.lax.stop_gradient(h)


def between(members: int, few: float, many: float) -> float:
    """Return a setting for an ensemble: `few` up to 20, `many` from 50 members on."""
    share = min(max((members - 20) / 30.0, 0.0), 1.0)
    return few + share * (many - few)


def effective_size(log_weights: Float[Array, " ens"]) -> Scalar:
    """Return how many equal weights are worth as much as these."""
    return 1.0 / jnp.sum(jax.nn.softmax(log_weights) ** 2)
