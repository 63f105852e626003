"""Particle filters: bootstrap, guided and tempered, in one class."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.members import (
    check_members,
    check_samples,
    draw_members,
    move_members,
    needed,
)
from slipstate.assimilate.particle_steps import (
    Guide,
    guide_members,
    temper,
    thin,
    weigh,
)
from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo
from slipstate.assimilate.resample import AbstractResampling, Systematic
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Particles


class ParticleInfo(AbstractInfo):
    """Diagnostics of one particle update.

    Attributes:
        innovation: Observation minus the weighted mean of its predictions.
        innovation_cov: Weighted covariance of the predictions, plus the noise R.
        mask: True where observed.
        log_evidence: log p(y | earlier observations), the log of the mean weight.
        effective_size: Number of equal weights that the weights afterwards are worth.
    """

    innovation: Float[Array, " obs"]
    innovation_cov: Float[Array, "obs obs"]
    mask: Bool[Array, " obs"]
    log_evidence: Scalar
    effective_size: Scalar


class Cloud(eqx.Module):
    """Weighted particles, and what a guided update needs to know of their last step.

    Attributes:
        particles: The particles.
        guide: Centres and noise of the last step; None unless guided.
    """

    particles: Particles
    guide: Guide | None


class ParticleFilter(AbstractFilter):
    """Weighted samples: exact in the limit of many, whatever the model.

    Before each step, members are drawn by their weights once the effective size is
    below `threshold` of `members`. A deterministic model then needs jitter: a copy that
    was taken more than once is moved by `jitter` bandwidths M^(-1 / (state + 4)) of
    the weighted covariance. It biases, and the bias vanishes with M.

    Plain, it is the bootstrap filter. `guided` draws the last part of each step given
    the observation, which is optimal where noise is additive and the observation
    linear, and needs model noise. `stages` splits the likelihood into that many factors
    at most, such that each leaves `threshold` of the effective size, with a draw and
    jitter after each.

    Attributes:
        members: Number of particles, at least 2.
        threshold: Share of `members` below which the effective size calls for a draw.
        jitter: Factor on the bandwidth of the jitter; 0 for models with noise.
        resampling: How members are drawn.
        guided: Whether steps are drawn given the observation.
        stages: Factors that a likelihood is split into at most; 1 for none.

    References:
        Gordon, Salmond & Smith (1993), IEE Proc. F 140. Doucet, Godsill & Andrieu
        (2000), Statistics and Computing 10 (guided). Musso, Oudjane & Le Gland (2001),
        in Sequential Monte Carlo Methods in Practice (regularised).
    """

    members: int = eqx.field(static=True, default=1000)
    threshold: ScalarLike = 0.5
    jitter: ScalarLike = 0.0
    resampling: AbstractResampling = eqx.field(default_factory=Systematic)
    guided: bool = eqx.field(static=True, default=False)
    stages: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        """Refuse clouds without spread."""
        check_members(self.members)

    def check(self, model: AbstractModel) -> None:
        """Raise unless the initial belief and the one transition can be sampled.

        Args:
            model: The model.

        Raises:
            MethodError: The initial belief is diffuse or has another size, or the
                model switches.
        """
        check_samples(model, "ParticleFilter", self.members)

    def init(self, model: AbstractModel, *, key: Key | None) -> Cloud:
        """Draw the first particles, with equal weights."""
        key = needed(key, "ParticleFilter")
        members = draw_members(model, self.members, key=key).members
        particles = Particles(members, jnp.zeros(self.members, members.dtype))
        # nothing is known of a step that was not made: the members themselves
        guide = Guide(members, jnp.zeros((*members.shape, members.shape[1])))
        return Cloud(particles, guide if self.guided else None)

    def predict(
        self,
        model: AbstractModel,
        state: Cloud,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> Cloud:
        """Draw members by their weights where these are uneven, and move them."""
        key_thin, key_move = jax.random.split(needed(key, "ParticleFilter"))
        particles = thin(
            state.particles, self.threshold, self.jitter, self.resampling, key=key_thin
        )
        if self.guided:
            members, guide = guide_members(
                model, particles.members, u, dt, key=key_move
            )
            return Cloud(Particles(members, particles.log_weights), guide)
        members = move_members(model, particles.members, u, dt, key=key_move)
        return Cloud(Particles(members, particles.log_weights), None)

    def update(
        self,
        model: AbstractModel,
        state: Cloud,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[Cloud, ParticleInfo]:
        """Return the particles weighted by the observed entries of `y`."""
        key = needed(key, "ParticleFilter")
        before = state.particles
        found = weigh(model, before, state.guide, y, mask, u, key=key)
        log_weights = before.log_weights + found.log_likelihoods
        evidence = jax.nn.logsumexp(log_weights) - jax.nn.logsumexp(before.log_weights)
        known = jnp.any(found.mask) & jnp.isfinite(evidence)
        after = Particles(found.members, log_weights - jnp.max(log_weights))
        if self.stages > 1:
            after = temper(
                model,
                before,
                y,
                found.mask,
                u,
                self.stages,
                self.threshold,
                self.jitter,
                self.resampling,
                key=key,
            )
        after = jax.tree.map(lambda a, b: jnp.where(known, a, b), after, before)
        info = ParticleInfo(
            found.innovation,
            found.innovation_cov,
            found.mask,
            jnp.where(known, evidence, 0.0),
            after.effective_size(),
        )
        return Cloud(after, state.guide), info

    def belief(self, state: Cloud) -> AbstractBelief:
        """Return the weighted particles: they are a belief."""
        return state.particles

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return the log evidence of the observation."""
        assert isinstance(info, ParticleInfo)
        return info.log_evidence
