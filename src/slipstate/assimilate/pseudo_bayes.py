"""Following a switching model with a Gaussian for each pair of neighbouring modes.

Where `InteractingMultipleModel` mixes the M modes before every step and keeps M
Gaussians, the second-order generalised pseudo-Bayesian filter keeps M^2, one for each
mode j and the mode i before it, and merges those that share j one step later (Ackerson
& Fu 1970; the filter of Kim 1994):

    N_ij = one Kalman step in mode j from N_i,   mu_ij proportional to mu_i p_ij L_ij,
    N_j ~ sum_i mu_ij N_ij / mu_j.

M times the work, and an approximation one step later: exact up to the second row, and
up to the third where the first belief is the same in all modes. The way back is Kim's,
from the merged Gaussians.

References:
    Ackerson & Fu (1970), On state estimation in switching environments, IEEE Trans.
    Automatic Control 15. Bar-Shalom, Li & Kirubarajan (2001), Estimation with
    applications to tracking and navigation, section 11.6. Kim (1994), Dynamic linear
    models with Markov-switching, J. Econometrics 60.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.mixing import NEVER, collapse
from slipstate.assimilate.protocol import AbstractInfo, AbstractSmoother
from slipstate.assimilate.robust import StudentT
from slipstate.assimilate.switching import (
    InteractingMultipleModel,
    SwitchingBackwardStep,
    SwitchingState,
    log_switch_of,
    require_switching,
    transitions_of,
)
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Mixture
from slipstate.systems.protocol import AbstractModel, Input


class GeneralisedPseudoBayes(AbstractSmoother):
    """Second-order filter and smoother (GPB2) of models that switch.

    The state holds a Gaussian for each pair: entry i M + j is mode j, with mode i one
    row before. `result.probs` and `result.means` are of the modes, merged.

    Attributes:
        robust: Heavy-tailed observation noise; see `InteractingMultipleModel`.
    """

    robust: StudentT | None = None

    def check(self, model: AbstractModel) -> None:
        """Raise unless `model` switches between linear modes.

        Args:
            model: The model.

        Raises:
            MethodError: It does not switch, its observation is not linear, or its
                initial belief has not one component for each mode.
        """
        self._each().check(model)

    def init(self, model: AbstractModel, *, key: Key | None = None) -> SwitchingState:
        """Return the initial belief of each mode, as if it had not switched before."""
        return as_pairs(self._each().init(model))

    def predict(
        self,
        model: AbstractModel,
        state: SwitchingState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None = None,
    ) -> SwitchingState:
        """Merge what shares its mode, then move each mode into each."""
        switching, _ = require_switching(model, "GeneralisedPseudoBayes")
        before = merged(state)
        F, b, Q = transitions_of(switching, u, dt)
        means = jnp.einsum("jnm,im->ijn", F, before.locations) + b[None]
        covs = F[None] @ before.covariances[:, None] @ jnp.swapaxes(F, 1, 2)[None]
        pairs = before.log_probs[:, None] + log_switch_of(switching, before, u, dt)
        return _flat(pairs, means, symmetric(covs + Q[None]))

    def update(
        self,
        model: AbstractModel,
        state: SwitchingState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None = None,
    ) -> tuple[SwitchingState, AbstractInfo]:
        """Return all pairs given the observed entries of `y`."""
        return self._each().update(model, state, y, mask, u)

    def belief(self, state: SwitchingState) -> AbstractBelief:
        """Return the mixture of the merged Gaussians of all modes."""
        modes = merged(state)
        return Mixture(modes.log_probs, modes.locations, modes.covariances)

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log sum_ij P(i, j) p(y | i, j), from the innovations of each pair."""
        return self._each().log_likelihood(info)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: SwitchingState,
        predicted: SwitchingState,
        u: Input,
        dt: ScalarLike,
    ) -> SwitchingBackwardStep:
        """Condition the state in each mode on the next state in each next mode."""
        return self._each().prepare_smoothing(
            model, merged(filtered), merged(predicted), u, dt
        )

    def smooth_step(
        self, element: SwitchingBackwardStep, smoothed: SwitchingState
    ) -> SwitchingState:
        """Return modes and their Gaussians at time k given everything."""
        return as_pairs(self._each().smooth_step(element, merged(smoothed)))

    def _each(self) -> InteractingMultipleModel:
        """Return the method whose update treats each Gaussian by itself."""
        return InteractingMultipleModel(self.robust)


def as_pairs(state: SwitchingState) -> SwitchingState:
    """Return a Gaussian for each mode as one for each pair, with no switch before.

    Args:
        state: A Gaussian for each mode.
    """
    modes, n = state.locations.shape
    stays = jnp.eye(modes, dtype=bool)
    pairs = jnp.where(stays, state.log_probs[None], NEVER)
    means = jnp.broadcast_to(state.locations[None], (modes, modes, n))
    covs = jnp.broadcast_to(state.covariances[None], (modes, modes, n, n))
    return _flat(pairs, means, covs)


def merged(state: SwitchingState) -> SwitchingState:
    """Return the Gaussian of each mode, whichever mode came before.

    Args:
        state: A Gaussian for each pair.
    """
    count, n = state.locations.shape
    modes = round(count**0.5)
    pairs = state.log_probs.reshape(modes, modes)
    log_probs = jax.nn.logsumexp(pairs, axis=0)
    weights = jnp.exp(pairs - log_probs[None])
    means, covs = jax.vmap(collapse, in_axes=(1, 1, 1))(
        weights,
        state.locations.reshape(modes, modes, n),
        state.covariances.reshape(modes, modes, n, n),
    )
    return SwitchingState(log_probs, means, covs)


def _flat(
    log_probs: Float[Array, "mode mode"],
    means: Float[Array, "mode mode state"],
    covs: Float[Array, "mode mode state state"],
) -> SwitchingState:
    """Return pairs one after the other."""
    n = means.shape[2]
    return SwitchingState(
        log_probs.reshape(-1), means.reshape(-1, n), covs.reshape(-1, n, n)
    )
