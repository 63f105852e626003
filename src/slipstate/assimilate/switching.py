"""Following a model that switches between linear modes.

With M modes there are M^k pasts after k steps. The filter keeps M Gaussians, one for
each present mode, by mixing them before every prediction (Blom and Bar-Shalom 1988):

    c_j = sum_i p_ij mu_i,   w_ij = p_ij mu_i / c_j,   N(m_j, P_j) ~ sum_i w_ij N_i,

one Kalman step in each mode, and mu_j proportional to c_j times its likelihood. The way
back (Kim 1994) revises each pair of a mode and the next one by the Kalman smoother and
collapses over the next. Both keep mean and covariance of what they merge, so they are
approximations; exact with one mode, and up to the second row where the first belief is
the same in all modes. The smoother hears of a mode from later rows through the next
mode only, not through the next state: in a gap its mode probabilities stay vague.

References:
    Blom & Bar-Shalom (1988), The interacting multiple model algorithm for systems with
    Markovian switching coefficients, IEEE Trans. Automatic Control 33. Kim (1994),
    Dynamic linear models with Markov-switching, J. Econometrics 60.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.conditioning import Scalars, condition
from slipstate.assimilate.kalman import BackwardStep, scalar_log_likelihood
from slipstate.assimilate.mixing import (
    NEVER,
    collapse,
    mix_moments,
    mix_probabilities,
)
from slipstate.assimilate.protocol import AbstractInfo, AbstractSmoother
from slipstate.assimilate.robust import StudentT
from slipstate.ground.errors import MethodError
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Mixture
from slipstate.systems.protocol import (
    AbstractLinearObservation,
    AbstractModel,
    Input,
)
from slipstate.systems.switching import AbstractSwitchingModel


class SwitchingState(eqx.Module):
    """A Gaussian for each mode, and how probable the mode is.

    Attributes:
        log_probs: Log probability of each mode.
        locations: Mean of the state in each mode.
        covariances: Its covariance in each mode.
    """

    log_probs: Float[Array, "*time mode"]
    locations: Float[Array, "*time mode state"]
    covariances: Float[Array, "*time mode state state"]

    @property
    def probs(self) -> Float[Array, "*time mode"]:
        """The probability of each mode."""
        return jax.nn.softmax(self.log_probs, axis=-1)


class SwitchingInfo(AbstractInfo):
    """Diagnostics of one update of all modes.

    Attributes:
        innovation: Observation minus its prediction, the mean over the modes.
        innovation_cov: Covariance of the prediction, a mixture over the modes.
        mask: True where observed.
        log_predicted: Log probability of each mode before the observation.
        mode_innovations: Observation minus the prediction of each mode; 0 where nothing
            was observed.
        mode_innovation_covs: H P_j H^T + R for each mode.
        mode_scalars: The scalar updates of each mode.
    """

    innovation: Float[Array, "*time obs"]
    innovation_cov: Float[Array, "*time obs obs"]
    mask: Bool[Array, "*time obs"]
    log_predicted: Float[Array, "*time mode"]
    mode_innovations: Float[Array, "*time mode obs"]
    mode_innovation_covs: Float[Array, "*time mode obs obs"]
    mode_scalars: Scalars


class SwitchingBackwardStep(eqx.Module):
    """One step of the smoother from each next mode j to each mode i before it.

    Attributes:
        log_weights: log P(mode i | next mode j, observations so far).
        steps: x_k = offset + gain x_{k+1} + noise for each pair (i, j).
    """

    log_weights: Float[Array, "*time mode mode"]
    steps: BackwardStep


class InteractingMultipleModel(AbstractSmoother):
    """Filter and smoother of models that switch between linear modes.

    A switch that asks the state is asked at the mean of each mode. Mode probabilities
    are at `result.filtered.probs` and, from `smooth_series`, `result.smoothed.probs`,
    or as `log_probs`.

    Attributes:
        robust: Heavy-tailed observation noise, such as `StudentT(4.0)`, whose squared
            scale is the model's R; an outlier then neither moves the state nor fires
            the switch. None for the Gaussian noise of the model.
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
        switching, _ = require_switching(model, "InteractingMultipleModel")
        components = switching.initial.log_weights.shape[0]
        if components != switching.modes:
            raise MethodError(
                f"`initial` must have one component for each of {switching.modes} "
                f"modes; got {components}. Repeat the belief for modes that share it."
            )

    def init(self, model: AbstractModel, *, key: Key | None = None) -> SwitchingState:
        """Return the initial belief of each mode."""
        switching, _ = require_switching(model, "InteractingMultipleModel")
        initial = switching.initial
        log_probs = jnp.maximum(jax.nn.log_softmax(initial.log_weights), NEVER)
        return SwitchingState(log_probs, initial.locations, initial.covariances)

    def predict(
        self,
        model: AbstractModel,
        state: SwitchingState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None = None,
    ) -> SwitchingState:
        """Mix the modes and move each by its own transition."""
        switching, _ = require_switching(model, "InteractingMultipleModel")
        log_switch = log_switch_of(switching, state, u, dt)
        log_probs, weights = mix_probabilities(state.log_probs, log_switch)
        means, covs = mix_moments(weights, state.locations, state.covariances)
        F, b, Q = transitions_of(switching, u, dt)
        means = jnp.einsum("jnm,jm->jn", F, means) + b
        covs = symmetric(F @ covs @ jnp.swapaxes(F, 1, 2) + Q)
        return SwitchingState(log_probs, means, covs)

    def update(
        self,
        model: AbstractModel,
        state: SwitchingState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None = None,
    ) -> tuple[SwitchingState, SwitchingInfo]:
        """Return modes and their Gaussians given the observed entries of `y`."""
        _, observation = require_switching(model, "InteractingMultipleModel")
        H, R = observation.matrix(), observation.noise_cov()
        predicted = state.locations @ H.T + observation.offset(u)[None]
        seen = jnp.where(mask, y, 0.0)
        innovations = jnp.where(mask[None], seen[None] - predicted, 0.0)
        known = jnp.zeros((H.shape[1], 0), H.dtype)
        found = jax.vmap(
            lambda cov, residual: condition(
                cov, known, H, R, residual[:, None], mask, robust=self.robust
            )
        )(state.covariances, innovations)
        joint = state.log_probs + self._log_likelihoods(found.scalars, mask)
        log_probs = jnp.where(
            jnp.any(mask), joint - jax.nn.logsumexp(joint), state.log_probs
        )
        means = state.locations + found.shift[:, :, 0]
        S = H @ state.covariances @ H.T + R[None]
        _, cov = collapse(state.probs, predicted, S)
        info = SwitchingInfo(
            state.probs @ innovations,
            cov,
            mask,
            state.log_probs,
            innovations,
            S,
            found.scalars,
        )
        return SwitchingState(log_probs, means, found.cov), info

    def belief(self, state: SwitchingState) -> AbstractBelief:
        """Return the mixture of the Gaussians of all modes."""
        return Mixture(state.log_probs, state.locations, state.covariances)

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log sum_j c_j p(y | mode j), from the innovations of each mode."""
        assert isinstance(info, SwitchingInfo)
        each = self._log_likelihoods(info.mode_scalars, info.mask)
        # the same sum twice: exactly zero where nothing was observed
        total = jax.nn.logsumexp(info.log_predicted + each)
        return total - jax.nn.logsumexp(info.log_predicted)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: SwitchingState,
        predicted: SwitchingState,
        u: Input,
        dt: ScalarLike,
    ) -> SwitchingBackwardStep:
        """Condition the state in each mode on the next state in each next mode.

        Args:
            model: The model.
            filtered: State at time k given the observations up to k.
            predicted: State at time k + 1 given the same observations.
            u: Exogenous input of the step.
            dt: Length of the step.

        Returns:
            The steps backwards, and how probable each is.
        """
        switching, _ = require_switching(model, "InteractingMultipleModel")
        n = filtered.locations.shape[1]
        eye, seen = jnp.eye(n, dtype=filtered.locations.dtype), jnp.ones(n, bool)
        known = jnp.zeros((n, 0), filtered.locations.dtype)

        def pair(mean: Array, cov: Array, F: Array, b: Array, Q: Array) -> BackwardStep:
            found = condition(cov, known, F, Q, eye, seen, exact=True)
            gain = found.shift
            return BackwardStep(gain, mean - gain @ (F @ mean + b), found.cov)

        ahead = jax.vmap(pair, in_axes=(None, None, 0, 0, 0))
        steps = jax.vmap(ahead, in_axes=(0, 0, None, None, None))(
            filtered.locations, filtered.covariances, *transitions_of(switching, u, dt)
        )
        joint = filtered.log_probs[:, None] + log_switch_of(switching, filtered, u, dt)
        return SwitchingBackwardStep(joint - predicted.log_probs[None], steps)

    def smooth_step(
        self, element: SwitchingBackwardStep, smoothed: SwitchingState
    ) -> SwitchingState:
        """Return modes and their Gaussians at time k given everything."""
        G = element.steps.gain
        means = element.steps.offset + jnp.einsum("ijnm,jm->ijn", G, smoothed.locations)
        turned = G @ smoothed.covariances[None] @ jnp.swapaxes(G, 2, 3)
        covs = symmetric(element.steps.cov + turned)
        pairs = element.log_weights + smoothed.log_probs[None]
        log_probs = jax.nn.logsumexp(pairs, axis=1)
        weights = jnp.exp(pairs - log_probs[:, None])
        mean, cov = jax.vmap(collapse)(weights, means, covs)
        return SwitchingState(log_probs, mean, cov)

    def _log_likelihoods(
        self, scalars: Scalars, mask: Bool[Array, " obs"]
    ) -> Float[Array, " mode"]:
        """Return log p(y | mode) of each mode from its scalar updates."""
        return jax.vmap(lambda each: scalar_log_likelihood(each, mask, self.robust))(
            scalars
        )


def require_switching(
    model: AbstractModel, method: str
) -> tuple[AbstractSwitchingModel, AbstractLinearObservation]:
    """Return a model that `method` needs to switch between linear modes.

    Args:
        model: The model.
        method: Name of the method that asks.

    Returns:
        The model and its linear observation.

    Raises:
        MethodError: It does not switch, or its observation is not linear.
    """
    if not isinstance(model, AbstractSwitchingModel):
        raise MethodError(
            f"`{method}` needs a model that switches between linear modes; got "
            f"{type(model).__name__}. Use Kalman() where it is linear, or "
            "EnsembleTransformKalman(members=50)."
        )
    observation = model.observation
    if not isinstance(observation, AbstractLinearObservation):
        raise MethodError(
            f"`{method}` needs a linear observation; got {type(observation).__name__}. "
            "Linearise it around a state, or observe a linear part of it."
        )
    return model, observation


def transitions_of(
    model: AbstractSwitchingModel, u: Input, dt: ScalarLike
) -> tuple[
    Float[Array, "mode state state"],
    Float[Array, "mode state"],
    Float[Array, "mode state state"],
]:
    """Return F, b and Q of all modes.

    Args:
        model: The model.
        u: Exogenous input of the step.
        dt: Length of the step.
    """
    each = [(t.matrix(dt), t.offset(u, dt), t.noise_cov(dt)) for t in model.transitions]
    F, b, Q = (jnp.stack(parts) for parts in zip(*each, strict=True))
    return F, b, Q


def log_switch_of(
    model: AbstractSwitchingModel, state: SwitchingState, u: Input, dt: ScalarLike
) -> Float[Array, "mode mode"]:
    """Return log P(next mode | mode), asked at the mean of each mode; finite.

    Args:
        model: The model.
        state: The modes before the step.
        u: Exogenous input of the step.
        dt: Length of the step.
    """
    modes = jnp.arange(model.modes)
    ask = lambda x, mode: model.switch_log_probs(x, mode, u, dt)
    return jnp.maximum(jax.vmap(ask)(state.locations, modes), NEVER)
