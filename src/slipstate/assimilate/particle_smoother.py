"""Smoothing by particles: paths drawn backwards through the filter's particles."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.members import needed
from slipstate.assimilate.particle import Cloud, ParticleFilter, ParticleInfo
from slipstate.assimilate.protocol import (
    AbstractInfo,
    AbstractSmoother,
    require_transition,
)
from slipstate.ground.elimination import decorrelate
from slipstate.ground.errors import MethodError
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Particles


class KeyedCloud(eqx.Module):
    """Particles, and the key of the draws that a backward pass will make of them.

    Attributes:
        cloud: The particles.
        key: Random key.
    """

    cloud: Cloud
    key: Key


class BackwardDraw(eqx.Module):
    """What a backward step needs of row k.

    Attributes:
        particles: Particles given the rows up to k.
        centres: Mean of each one's step.
        pivots: Variances of its noise in independent directions.
        whitener: Transformation to these directions.
        key: Random key.
    """

    particles: Particles
    centres: Float[Array, "*time ens state"]
    pivots: Float[Array, "*time ens state"]
    whitener: Float[Array, "*time ens state state"]
    key: Array


class ParticleSmoother(AbstractSmoother):
    """Forward filtering, backward simulation (FFBSi).

    A path is drawn from its end: given x at row k + 1, the particle at row k is drawn
    with probability proportional to w_i p(x | x_i). M paths cost M^2 densities per row.
    The model must be noisy in every direction.

    Attributes:
        filter: The particle filter that runs forwards.

    References:
        Godsill, Doucet & West (2004), Monte Carlo smoothing for nonlinear time series,
        JASA 99.
    """

    filter: ParticleFilter = eqx.field(default_factory=ParticleFilter)

    def check(self, model: AbstractModel) -> None:
        """Raise unless steps of the model have a density.

        Args:
            model: The model.

        Raises:
            MethodError: The model has too little noise, or noise moved on within a
                step.
        """
        self.filter.check(model)
        transition = require_transition(model, "ParticleSmoother")
        x = model.initial.mean()
        shape = jax.eval_shape(lambda x: transition.noise_factor(x, None, 1.0), x).shape
        if shape[1] < shape[0] or transition.parts > 1:
            raise MethodError(
                "`ParticleSmoother` needs a transition with Gaussian noise in every "
                f"direction; got {shape[1]} columns for {shape[0]} components, in "
                f"{transition.parts} parts. Use EnsembleKalmanSmoother()."
            )

    def init(self, model: AbstractModel, *, key: Key | None) -> KeyedCloud:
        """Draw the first particles, with equal weights."""
        key = needed(key, "ParticleSmoother")
        return KeyedCloud(self.filter.init(model, key=key), jax.random.fold_in(key, 1))

    def predict(
        self,
        model: AbstractModel,
        state: KeyedCloud,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> KeyedCloud:
        """Draw members by their weights where these are uneven, and move them."""
        key = needed(key, "ParticleSmoother")
        moved = self.filter.predict(model, state.cloud, u, dt, key=key)
        return KeyedCloud(moved, jax.random.fold_in(key, 1))

    def update(
        self,
        model: AbstractModel,
        state: KeyedCloud,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[KeyedCloud, ParticleInfo]:
        """Return the particles weighted by the observed entries of `y`."""
        cloud, info = self.filter.update(model, state.cloud, y, mask, u, key=key)
        return KeyedCloud(cloud, state.key), info

    def belief(self, state: KeyedCloud) -> AbstractBelief:
        """Return the weighted particles: they are a belief."""
        return state.cloud.particles

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return the log evidence of the observation."""
        return self.filter.log_likelihood(info)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: KeyedCloud,
        predicted: KeyedCloud,
        u: Input,
        dt: ScalarLike,
    ) -> BackwardDraw:
        """Return where each particle goes, and with which noise.

        Args:
            model: The model.
            filtered: Particles at row k given the rows up to k.
            predicted: Particles predicted for row k + 1.
            u: Exogenous input of the step.
            dt: Length of the step.
        """
        transition = require_transition(model, "ParticleSmoother")
        particles = filtered.cloud.particles

        def step(x: Array) -> tuple[Array, Array, Array]:
            factor = transition.noise_factor(x, u, dt)
            eye = jnp.eye(len(x), dtype=x.dtype)
            pivots, whitener = decorrelate(factor @ factor.T, eye)
            return transition.mean(x, u, dt), pivots, whitener

        centres, pivots, whitener = jax.vmap(step)(particles.members)
        return BackwardDraw(particles, centres, pivots, whitener, filtered.key)

    def smooth_step(self, element: BackwardDraw, smoothed: KeyedCloud) -> KeyedCloud:
        """Return paths drawn one row further back."""
        key_pick, key_draw = jax.random.split(element.key)
        later = smoothed.cloud.particles
        picked = self.filter.resampling(later.weights(), key=key_pick)
        x = later.members[picked]
        pivots = jnp.where(element.pivots > 0.0, element.pivots, 1.0)

        def density(centre: Array, whitener: Array, pivots: Array) -> Array:
            white = (x - centre[None, :]) @ whitener.T
            return -0.5 * jnp.sum(white**2 / pivots[None, :], axis=1)

        each = jax.vmap(density)(element.centres, element.whitener, pivots)
        each = each - 0.5 * jnp.sum(jnp.log(pivots), axis=1)[:, None]
        logits = element.particles.log_weights[:, None] + each
        drawn = jax.random.categorical(key_draw, logits, axis=0)
        members = element.particles.members[drawn]
        paths = Particles(members, jnp.zeros(len(members), members.dtype))
        return KeyedCloud(Cloud(paths, smoothed.cloud.guide), element.key)
