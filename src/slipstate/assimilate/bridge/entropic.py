"""Updates that move an ensemble by its likelihood weights alone, for comparison.

They share everything but one verb: from members x_j and the log-likelihood, make the
analysis. The weights w_j are those of a bootstrap particle filter, and so is their
fate where an observation is sharp: see `BridgeFilter` for components with a width.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.bridge.guard import replace_lost
from slipstate.assimilate.bridge.members import (
    move_members,
    needed,
)
from slipstate.assimilate.bridge.moments import match_moments
from slipstate.assimilate.bridge.transport import log_sinkhorn, scaled_cost
from slipstate.assimilate.members import check_members, check_samples, draw_members
from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Ensemble

LogLikelihood = Callable[[Float[Array, " state"]], Scalar]

DEAD = -1e30


class EntropicInfo(AbstractInfo):
    """Diagnostics of one update by weights.

    Attributes:
        innovation: Observation minus the mean of its predictions; 0 where masked.
        innovation_cov: Sample covariance of the predictions, plus the noise R.
        mask: True where observed.
        log_weights: Log-likelihood of each member [nats].
    """

    innovation: Float[Array, "*time obs"]
    innovation_cov: Float[Array, "*time obs obs"]
    mask: Bool[Array, "*time obs"]
    log_weights: Float[Array, "*time ens"]


class AbstractEntropicFilter(AbstractFilter):
    """A filter whose update sees members and their likelihood only.

    Attributes:
        members: Size of the ensemble, at least 2.
    """

    members: eqx.AbstractVar[int]

    @abstractmethod
    def analyse(
        self,
        members: Float[Array, "ens state"],
        log_weights: Float[Array, " ens"],
        log_likelihood: LogLikelihood,
        *,
        key: Key,
    ) -> Float[Array, "ens state"]:
        """Return the members after the observation.

        Args:
            members: The forecast, finite.
            log_weights: Log-likelihood of each member, finite.
            log_likelihood: Log-likelihood of any state.
            key: Random key.
        """

    def __check_init__(self) -> None:
        """Refuse ensembles without spread."""
        check_members(self.members)

    def check(self, model: AbstractModel) -> None:
        """Raise unless the initial belief and the one transition can be sampled."""
        check_samples(model, type(self).__name__, self.members)

    def init(self, model: AbstractModel, *, key: Key | None) -> Ensemble:
        """Draw the first ensemble, or take it from the model where it is one."""
        key = needed(key, type(self).__name__)
        return draw_members(model, self.members, key=key)

    def predict(
        self,
        model: AbstractModel,
        state: Ensemble,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> Ensemble:
        """Move every member by a draw of the transition."""
        key = needed(key, type(self).__name__)
        return Ensemble(move_members(model, state.members, u, dt, key=key))

    def update(
        self,
        model: AbstractModel,
        state: Ensemble,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[Ensemble, EntropicInfo]:
        """Return the ensemble given the observed entries of `y`."""
        key = needed(key, type(self).__name__)
        members, present = replace_lost(state.members)
        y = jnp.where(mask, y, 0.0)
        likelihood = lambda x: model.observation.log_likelihood(y, mask, x, u)
        logs = jax.vmap(likelihood)(members)
        logs = jnp.where(present & jnp.isfinite(logs), logs, DEAD)
        after = self.analyse(members, logs, likelihood, key=key)
        # a member that an unstable flow has lost stays where it was
        whole = jnp.all(jnp.isfinite(after), axis=1, keepdims=True)
        after = jnp.where(jnp.any(mask) & whole, after, members)
        after = jnp.where(jnp.any(mask), after, state.members)
        predictions = jax.vmap(lambda x: model.observation.predict(x, u))(members)
        predictions = jnp.where(jnp.isfinite(predictions), predictions, 0.0)
        factor = model.observation.noise_factor()
        mean = jnp.mean(predictions, axis=0)
        apart = predictions - mean[None, :]
        cov = apart.T @ apart / (self.members - 1) + factor @ factor.T
        return Ensemble(after), EntropicInfo(
            jnp.where(mask, y - mean, 0.0), cov, mask, logs
        )

    def belief(self, state: Ensemble) -> AbstractBelief:
        """Return the ensemble itself: it is a belief."""
        return state

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log (1/M) sum_j l(x_j), the particle filter's evidence."""
        assert isinstance(info, EntropicInfo)
        total = jax.nn.logsumexp(info.log_weights) - jnp.log(1.0 * self.members)
        total = jnp.where(total > 0.5 * DEAD, total, -jnp.inf)
        return jnp.where(jnp.any(info.mask), total, 0.0)


class SinkhornTransform(AbstractEntropicFilter):
    """Ensemble transform by entropic transport to the likelihood weights (ETPF).

    x_i <- M sum_j Pi_ij x_j is right in the mean and loses variance. With
    `second_order` the members are moved on to the covariance of the weighted ensemble.

    Attributes:
        members: Size of the ensemble, at least 2.
        second_order: Whether the covariance is put right.
        epsilon: Entropy, in units of the mean cost.
        sweeps: Number of Sinkhorn's sweeps.

    References:
        Reich (2013), A nonparametric ensemble transform method for Bayesian inference,
        SIAM J. Sci. Comput. 35. Acevedo, de Wiljes & Reich (2017), Second-order
        accurate ensemble transform particle filters, SIAM J. Sci. Comput. 39.
    """

    members: int = eqx.field(static=True, default=50)
    second_order: bool = eqx.field(static=True, default=True)
    epsilon: ScalarLike = 0.05
    sweeps: int = eqx.field(static=True, default=100)

    def analyse(
        self,
        members: Float[Array, "ens state"],
        log_weights: Float[Array, " ens"],
        log_likelihood: LogLikelihood,
        *,
        key: Key,
    ) -> Float[Array, "ens state"]:
        """Return the barycentres of the coupling."""
        del log_likelihood, key
        equal = jnp.full(self.members, -jnp.log(1.0 * self.members), members.dtype)
        logs = jax.nn.log_softmax(log_weights)
        kernel = -scaled_cost(members, members) / self.epsilon
        moved = log_sinkhorn(kernel, equal, logs, self.sweeps).conditional @ members
        if not self.second_order:
            return moved
        weights = jnp.exp(logs)
        mean = weights @ members
        apart = members - mean[None, :]
        return match_moments(moved, mean, (apart * weights[:, None]).T @ apart)
