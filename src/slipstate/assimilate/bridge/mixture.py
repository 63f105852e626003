"""The bridge between two Gaussian mixtures, lifted to labelled paths.

There is no closed form for the bridge between mixtures, but there is one for paths that
carry a label: components are coupled by entropic transport, and inside each pair runs
the bridge between two normal distributions. Both ends are exact, the law is a mixture
of bridges, and its relative entropy bounds that of the unlabelled one from above.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.bridge.gaussian import GaussianBridge
from slipstate.assimilate.bridge.transport import Coupling, log_sinkhorn
from slipstate.ground.elimination import psd_root
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import Gaussian, Mixture


class MixtureBridge(eqx.Module):
    """A bridge between mixtures: which component goes where, and how.

    Attributes:
        start: The mixture at time 0.
        end: The mixture at time 1.
        coupling: Joint probability of components, start by end.
        bridges: The bridge of every pair, stacked along two leading axes.
    """

    start: Mixture
    end: Mixture
    coupling: Coupling
    bridges: GaussianBridge

    def __init__(
        self, start: Mixture, end: Mixture, sigma: ScalarLike, *, sweeps: int = 200
    ) -> None:
        """Couple the components of two mixtures.

        The cost of a pair is the expected squared distance under its bridge, over
        2 sigma^2, so `sigma` means the same inside pairs and between them.

        Args:
            start: The mixture at time 0.
            end: The mixture at time 1.
            sigma: Standard deviation of the reference over the whole time, positive.
            sweeps: Number of Sinkhorn's sweeps.
        """
        self.start, self.end = start, end

        def pair(m0: Array, S0: Array, m1: Array, S1: Array) -> GaussianBridge:
            return GaussianBridge(Gaussian(m0, S0), Gaussian(m1, S1), sigma)

        ahead = jax.vmap(pair, in_axes=(None, None, 0, 0))
        self.bridges = jax.vmap(ahead, in_axes=(0, 0, None, None))(
            start.locations, start.covariances, end.locations, end.covariances
        )

        def cost(bridge: GaussianBridge) -> Scalar:
            apart = bridge.end.mean() - bridge.start.mean()
            moved = bridge.start.cov() + bridge.end.cov() - 2.0 * bridge.cross
            return 0.5 * (apart @ apart + jnp.trace(moved))

        costs = jax.vmap(jax.vmap(cost))(self.bridges)
        kernel = -costs / jnp.asarray(sigma, costs.dtype) ** 2
        self.coupling = log_sinkhorn(
            kernel,
            jax.nn.log_softmax(start.log_weights),
            jax.nn.log_softmax(end.log_weights),
            sweeps,
        )

    def marginal(self, t: ScalarLike) -> Mixture:
        """Return the distribution at time t in [0, 1], one component per pair."""
        at = jax.vmap(jax.vmap(lambda bridge: bridge.marginal(t)))(self.bridges)
        n = self.start.locations.shape[1]
        return Mixture(
            self.coupling.log_plan.reshape(-1),
            at.location.reshape(-1, n),
            at.covariance.reshape(-1, n, n),
        )

    def transport(
        self, x0: Float[Array, " state"], *, key: Key
    ) -> Float[Array, " state"]:
        """Draw the end of a path that starts at x0.

        Args:
            x0: The start.
            key: Random key.

        Returns:
            A state at time 1.
        """
        key_from, key_to, key_draw = jax.random.split(key, 3)
        each = jax.vmap(lambda m, S: Gaussian(m, S).log_prob(x0))(
            self.start.locations, self.start.covariances
        )
        row = jax.random.categorical(key_from, each + self.start.log_weights)
        column = jax.random.categorical(key_to, self.coupling.log_plan[row])
        bridge = jax.tree.map(lambda leaf: leaf[row, column], self.bridges)
        there = bridge.conditional(x0)
        draw = jax.random.normal(key_draw, x0.shape, x0.dtype)
        return there.mean() + psd_root(there.cov()) @ draw
