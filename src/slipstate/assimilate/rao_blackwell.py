"""Many pasts of the switch, each with an exact Gaussian: Rao-Blackwellised particles.

Where a model switches between linear modes, only the modes need sampling: given them
the state is Gaussian. Every particle here branches into all next modes before an
observation, so an observation weighs what it is about, and afterwards as many branches
are kept as there are particles. Heavy branches are kept as they are and light ones
drawn so that the sum of all weights is right on average (Fearnhead and Clifford 2003):
no past is carried twice, and as long as there are fewer pasts than particles the filter
enumerates them all, exactly.

References:
    Fearnhead & Clifford (2003), On-line inference for hidden Markov models via particle
    filters, JRSS B 65. Doucet, de Freitas, Murphy & Russell (2000), Rao-Blackwellised
    particle filtering for dynamic Bayesian networks, UAI.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from slipstate.assimilate.linearise import AbstractPointRule
from slipstate.assimilate.mixing import NEVER
from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo
from slipstate.assimilate.switching import (
    InteractingMultipleModel,
    SwitchingInfo,
    SwitchingState,
    require_switching,
)
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Mixture
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.switching import AbstractSwitchingModel

_EACH_MODE = InteractingMultipleModel()


class RaoBlackwellised(AbstractFilter):
    """Particle filter of the modes, Kalman filter of the state given each.

    The state it carries holds one Gaussian for each branch: particles times modes, the
    mode running faster. `mode_probs` sums over the particles.

    Attributes:
        particles: Number of pasts that are carried.
        rule: How a switch that asks the state is averaged over a Gaussian, and the
            Gaussian tilted by its answer; None asks at the mean only, which is all
            there is to know where the switch does not ask.
    """

    particles: int = eqx.field(static=True, default=100)
    rule: AbstractPointRule | None = None

    def __check_init__(self) -> None:
        """Refuse to carry nothing."""
        if self.particles < 1:
            raise InputError(
                f"`particles` must be at least 1; got {self.particles}. Pass 100."
            )

    def check(self, model: AbstractModel) -> None:
        """Raise unless `model` switches between linear modes.

        Args:
            model: The model.

        Raises:
            MethodError: It does not switch, its observation is not linear, or its
                initial belief has not one component for each mode.
        """
        require_switching(model, "RaoBlackwellised")
        _EACH_MODE.check(model)

    def init(self, model: AbstractModel, *, key: Key | None = None) -> SwitchingState:
        """Return one particle with the initial belief; the others weigh nothing."""
        start = _EACH_MODE.init(model)
        closed = jnp.full(self.particles, NEVER).at[0].set(0.0)
        log_probs = (
            closed.astype(start.log_probs.dtype)[:, None] + start.log_probs[None]
        )
        repeat = lambda x: jnp.tile(x, (self.particles,) + (1,) * (x.ndim - 1))
        return SwitchingState(
            jnp.ravel(log_probs), repeat(start.locations), repeat(start.covariances)
        )

    def predict(
        self,
        model: AbstractModel,
        state: SwitchingState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> SwitchingState:
        """Keep some branches, and let each move on in every mode.

        Args:
            model: The model.
            state: The branches.
            u: Exogenous input of the step.
            dt: Length of the step.
            key: Random key.

        Returns:
            The branches before the observation.

        Raises:
            InputError: No key was given.
        """
        if key is None:
            raise InputError(
                "`key` must be a random key for RaoBlackwellised, which draws; got "
                "None. Pass key=jax.random.key(0)."
            )
        switching, _ = require_switching(model, "RaoBlackwellised")
        uniform = jax.random.uniform(key, (), state.log_probs.dtype)
        kept, log_weights = keep_branches(state.log_probs, self.particles, uniform)
        modes = kept % switching.modes
        ask = lambda mean, cov, mode: self._ask(switching, mean, cov, mode, u, dt)
        log_switch, means, covs = jax.vmap(ask)(
            state.locations[kept], state.covariances[kept], modes
        )
        moved_means, moved_covs = [], []
        for mode, transition in enumerate(switching.transitions):
            F, b = transition.matrix(dt), transition.offset(u, dt)
            moved_means.append(means[:, mode] @ F.T + b[None])
            moved_covs.append(F @ covs[:, mode] @ F.T + transition.noise_cov(dt)[None])
        log_probs = log_weights[:, None] + jnp.maximum(log_switch, NEVER)
        n = means.shape[-1]
        return SwitchingState(
            jnp.ravel(log_probs),
            jnp.stack(moved_means, axis=1).reshape(-1, n),
            symmetric(jnp.stack(moved_covs, axis=1)).reshape(-1, n, n),
        )

    def update(
        self,
        model: AbstractModel,
        state: SwitchingState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[SwitchingState, SwitchingInfo]:
        """Return the branches given the observed entries of `y`."""
        return _EACH_MODE.update(model, state, y, mask, u, key=key)

    def belief(self, state: SwitchingState) -> AbstractBelief:
        """Return the mixture of the Gaussians of all branches."""
        return Mixture(state.log_probs, state.locations, state.covariances)

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return the log of the weighted likelihood of all branches."""
        return _EACH_MODE.log_likelihood(info)

    def mode_probs(self, states: SwitchingState) -> Float[Array, "*time mode"]:
        """Return the probability of each mode, the sum over the particles.

        Args:
            states: One state, or many stacked along time, such as `result.filtered`.
        """
        probs = states.probs
        each = probs.reshape(*probs.shape[:-1], self.particles, -1)
        return jnp.sum(each, axis=-2)

    def _ask(
        self,
        model: AbstractSwitchingModel,
        mean: Float[Array, " state"],
        cov: Float[Array, "state state"],
        mode: Int[Array, ""],
        u: Input,
        dt: ScalarLike,
    ) -> tuple[
        Float[Array, " mode"], Float[Array, "mode state"], Float[Array, "mode n n"]
    ]:
        """Return log P(next mode) and the Gaussian of the state given each answer."""
        ask = lambda x: model.switch_log_probs(x, mode, u, dt)
        if self.rule is None:
            repeat = lambda x: jnp.broadcast_to(x, (model.modes, *x.shape))
            return ask(mean), repeat(mean), repeat(cov)
        found = self.rule.points(mean.shape[0])
        z, weights = (jnp.asarray(part, mean.dtype) for part in found[:2])
        root = psd_root(cov)
        answers = jnp.exp(jax.vmap(ask)(mean[None] + z @ root.T))
        joint = weights[:, None] * answers
        total = jnp.sum(joint, axis=0)
        open_ = total > 0
        safe = jnp.where(open_, total, 1.0)
        centre = jnp.einsum("pj,pn->jn", joint, z) / safe[:, None]
        apart = z[:, None, :] - centre[None]
        spread = jnp.einsum("pj,pjn,pjm->jnm", joint, apart, apart)
        spread = spread / safe[:, None, None]
        log_probs = jnp.where(open_, jnp.log(safe), NEVER)
        return log_probs, mean[None] + centre @ root.T, root @ spread @ root.T


def keep_branches(
    log_weights: Float[Array, " branch"], count: int, uniform: Scalar
) -> tuple[Int[Array, " kept"], Float[Array, " kept"]]:
    """Choose `count` branches so that weights stay right on average.

    Branch i is kept with probability p_i = min(c w_i, 1), where sum p_i = count, and
    then weighs w_i / p_i: of all ways to keep so many, the one whose weights change
    least. One uniform number decides, systematically.

    Args:
        log_weights: Log weights, up to a common constant.
        count: How many to keep.
        uniform: Number between 0 and 1.

    Returns:
        Numbers of the branches that are kept, and their log weights; where there were
        fewer than `count` with any weight, the others weigh nothing.
    """
    normal = jax.nn.log_softmax(log_weights)
    order = jnp.argsort(-normal, stable=True)
    weights = jax.lax.stop_gradient(jnp.exp(normal[order]))
    tails = jnp.cumsum(weights[::-1])[::-1]
    places = jnp.arange(weights.shape[0])
    left = jnp.maximum(count - places, 0).astype(weights.dtype)
    # the first place from which on nothing is heavier than its share
    first = jnp.argmax(left * weights <= tails)
    tail = tails[first]
    scale = jnp.where(tail > 0, left[first] / jnp.where(tail > 0, tail, 1.0), 0.0)
    chances = jnp.where(places < first, 1.0, jnp.minimum(scale * weights, 1.0))
    edges = jnp.cumsum(chances)
    marks = uniform + jnp.arange(count).astype(weights.dtype)
    chosen = jnp.searchsorted(edges, marks, side="right")
    found = chosen < weights.shape[0]
    chosen = jnp.where(found, chosen, weights.shape[0] - 1)
    chance = chances[chosen]
    real = found & (chance > 0)
    log_chance = jnp.log(jnp.where(real, chance, 1.0))
    kept = order[chosen]
    return kept, jnp.where(real, normal[kept] - log_chance, NEVER)
