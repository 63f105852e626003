"""Gaussian filters and smoothers of nonlinear models: one class, any rule.

    Sigma(Taylor())          extended Kalman filter
    Sigma(Unscented())       unscented Kalman filter
    Sigma(Cubature())        cubature Kalman filter
    Sigma(GaussHermite(5))   Gauss-Hermite Kalman filter

With `iterations` above one an observation is linearised again about the belief that it
led to: Gauss-Newton with `Taylor`, posterior linearisation with the other rules. On a
linear model all of them are the Kalman filter.

References:
    Bell & Cathey (1993), The iterated Kalman filter update as a Gauss-Newton method,
    IEEE Trans. Automatic Control 38. Garcia-Fernandez, Svensson, Morelande & Sarkka
    (2015), Posterior linearization filter, IEEE Trans. Signal Processing 63.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.conditioning import Conditioned, Scalars, condition
from slipstate.assimilate.kalman import BackwardStep, scalar_log_likelihood
from slipstate.assimilate.linearise import (
    AbstractRule,
    Linearised,
    Unscented,
    in_state,
)
from slipstate.assimilate.protocol import (
    AbstractInfo,
    AbstractSmoother,
    require_transition,
)
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Diffuse, Gaussian
from slipstate.systems.protocol import (
    AbstractLinearObservation,
    AbstractLinearTransition,
    AbstractModel,
    AbstractObservation,
    AbstractTransition,
    Input,
)


class SigmaInfo(AbstractInfo):
    """Diagnostics of one update.

    Attributes:
        innovation: Observation minus its expectation before; 0 where masked.
        innovation_cov: Covariance of the predicted observation, noise included.
        mask: True where observed.
        scalars: The scalar updates of the last linearisation, which the likelihood is
            made of.
    """

    innovation: Float[Array, " obs"]
    innovation_cov: Float[Array, "obs obs"]
    mask: Bool[Array, " obs"]
    scalars: Scalars


class Sigma(AbstractSmoother):
    """Filter and smoother that carry a Gaussian through any smooth model.

    Noise whose size depends on the state counts as it is at the mean. The likelihood
    is that of the last linearisation: with several iterations of `Taylor`, Laplace's
    approximation.

    Attributes:
        rule: How functions are linearised.
        iterations: How often an observation is linearised, at least once.
    """

    rule: AbstractRule = Unscented()
    iterations: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        """Refuse to linearise never."""
        if self.iterations < 1:
            raise InputError(
                f"`iterations` must be at least 1; got {self.iterations}. Pass 1 for "
                "the plain filter."
            )

    def check(self, model: AbstractModel) -> None:
        """Raise unless the model has one transition and a proper initial belief.

        Args:
            model: The model.

        Raises:
            MethodError: It switches, or its initial belief is diffuse.
        """
        require_transition(model, "Sigma")
        if isinstance(model.initial, Diffuse):
            raise MethodError(
                "`Sigma` cannot linearise over a Diffuse initial belief. Pass a "
                "Gaussian that covers what is possible; use Kalman() where the model "
                "is linear."
            )

    def init(self, model: AbstractModel, *, key: Key | None = None) -> Gaussian:
        """Return the initial belief, or the Gaussian of its mean and covariance."""
        initial = model.initial
        if isinstance(initial, Gaussian):
            return initial
        return Gaussian(initial.mean(), initial.cov())

    def predict(
        self,
        model: AbstractModel,
        state: Gaussian,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None = None,
    ) -> Gaussian:
        """Return mean and covariance of the transition of the belief."""
        transition = require_transition(model, "Sigma")
        line = self._transition(transition, state, psd_root(state.covariance), u, dt)
        cov = line.cov() + transition_cov(transition, state.location, u, dt)
        return Gaussian(line.mean, symmetric(cov))

    def update(
        self,
        model: AbstractModel,
        state: Gaussian,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None = None,
    ) -> tuple[Gaussian, SigmaInfo]:
        """Return the belief given the observed entries of `y`."""
        n = state.location.shape[0]
        root = psd_root(state.covariance)
        R = observation_cov(model.observation)
        seen = jnp.where(mask, y, 0.0)
        # everything happens to z, standard normal before: x = m + root z
        h = lambda z: model.observation.predict(state.location + root @ z, u)
        nothing, eye = jnp.zeros(n, root.dtype), jnp.eye(n, dtype=root.dtype)
        line = self.rule.linearise(h, nothing, eye)
        innovation = jnp.where(mask, seen - line.mean, 0.0)
        found = _condition(line.slope, line.spread + R, innovation, mask)
        for _ in range(self.iterations - 1):
            centre = found.shift[:, 0]
            again = self.rule.linearise(h, centre, psd_root(found.cov))
            slope = in_state(again, found.cov)
            residual = jnp.where(mask, seen - (again.mean - slope @ centre), 0.0)
            found = _condition(slope, again.spread + R, residual, mask)
        mean = state.location + root @ found.shift[:, 0]
        cov = symmetric(root @ found.cov @ root.T)
        any_seen = jnp.any(mask)
        posterior = Gaussian(
            jnp.where(any_seen, mean, state.location),
            jnp.where(any_seen, cov, state.covariance),
        )
        return posterior, SigmaInfo(innovation, line.cov() + R, mask, found.scalars)

    def belief(self, state: Gaussian) -> AbstractBelief:
        """Return the state itself: it is a belief."""
        return state

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return the log density of the scalars of the last linearisation."""
        assert isinstance(info, SigmaInfo)
        return scalar_log_likelihood(info.scalars, info.mask, None)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: Gaussian,
        predicted: Gaussian,
        u: Input,
        dt: ScalarLike,
    ) -> BackwardStep:
        """Condition the state at time k on the state at time k + 1.

        Args:
            model: The model.
            filtered: Belief at time k given the observations up to k.
            predicted: Belief at time k + 1 given the same observations.
            u: Exogenous input of the step.
            dt: Length of the step.

        Returns:
            The step backwards.
        """
        transition = require_transition(model, "Sigma")
        root = psd_root(filtered.covariance)
        line = self._transition(transition, filtered, root, u, dt)
        Q = transition_cov(transition, filtered.location, u, dt)
        n = root.shape[0]
        eye, seen = jnp.eye(n, dtype=root.dtype), jnp.ones(n, bool)
        none = jnp.zeros((n, 0), root.dtype)
        found = condition(
            eye, none, line.slope, symmetric(line.spread + Q), eye, seen, exact=True
        )
        gain = root @ found.shift
        offset = filtered.location - gain @ predicted.location
        return BackwardStep(gain, offset, symmetric(root @ found.cov @ root.T))

    def smooth_step(self, element: BackwardStep, smoothed: Gaussian) -> Gaussian:
        """Return the belief at time k given everything."""
        G = element.gain
        cov = symmetric(element.cov + G @ smoothed.covariance @ G.T)
        return Gaussian(element.offset + G @ smoothed.location, cov)

    def _transition(
        self,
        transition: AbstractTransition,
        state: Gaussian,
        root: Float[Array, "state state"],
        u: Input,
        dt: ScalarLike,
    ) -> Linearised:
        """Return the deterministic part of the step as a line."""
        move = lambda x: transition.mean(x, u, dt)
        return self.rule.linearise(move, state.location, root)


def transition_cov(
    transition: AbstractTransition,
    x: Float[Array, " state"],
    u: Input,
    dt: ScalarLike,
) -> Float[Array, "state state"]:
    """Return the noise covariance of a step from `x`.

    Args:
        transition: The transition.
        x: Where it starts.
        u: Exogenous input.
        dt: Length of the step.
    """
    if isinstance(transition, AbstractLinearTransition):
        return transition.noise_cov(dt)
    factor = transition.noise_factor(x, u, dt)
    return factor @ factor.T


def observation_cov(observation: AbstractObservation) -> Float[Array, "obs obs"]:
    """Return the covariance of the observation noise."""
    if isinstance(observation, AbstractLinearObservation):
        return observation.noise_cov()
    factor = observation.noise_factor()
    return factor @ factor.T


def _condition(
    slope: Float[Array, "obs n"],
    noise: Float[Array, "obs obs"],
    residual: Float[Array, " obs"],
    mask: Bool[Array, " obs"],
) -> Conditioned:
    """Condition a standard normal z on slope z + noise = residual."""
    n = slope.shape[1]
    eye, none = jnp.eye(n, dtype=slope.dtype), jnp.zeros((n, 0), slope.dtype)
    return condition(eye, none, slope, symmetric(noise), residual[:, None], mask)
