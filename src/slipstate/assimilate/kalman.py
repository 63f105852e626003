"""The Kalman filter and the Rauch-Tung-Striebel smoother, exact and never jittered."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.conditioning import Scalars, condition
from slipstate.assimilate.protocol import (
    AbstractInfo,
    AbstractSmoother,
    require_transition,
)
from slipstate.assimilate.robust import StudentT
from slipstate.ground.errors import MethodError
from slipstate.ground.linalg import symmetric
from slipstate.ground.small import applied, congruent, product
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Diffuse, Gaussian
from slipstate.systems.protocol import (
    AbstractLinearObservation,
    AbstractLinearTransition,
    AbstractModel,
    Input,
)

KalmanState = Gaussian | Diffuse
"""A Kalman filter carries its belief and nothing else."""


class KalmanInfo(AbstractInfo):
    """Diagnostics of one Kalman update.

    Attributes:
        innovation: Observation minus prediction; 0 where nothing was observed.
        innovation_cov: H P H^T + R.
        mask: True where observed.
        scalars: The scalar updates the update was split into.
    """

    innovation: Float[Array, " obs"]
    innovation_cov: Float[Array, "obs obs"]
    mask: Bool[Array, " obs"]
    scalars: Scalars


class BackwardStep(eqx.Module):
    """One step of the smoother: x_k = offset + gain x_{k+1} + N(0, cov).

    Attributes:
        gain: G.
        offset: m_k - G m_{k+1}, both given the observations up to k.
        cov: Covariance of x_k once x_{k+1} is known.
    """

    gain: Float[Array, "state state"]
    offset: Float[Array, " state"]
    cov: Float[Array, "state state"]


class Kalman(AbstractSmoother):
    """Exact filter and smoother of linear Gaussian models.

    Updates go scalar by scalar in Joseph form (see `slipstate.assimilate.conditioning`)
    and likelihoods are formed from innovations after the loop, so that millimetre noise
    on metre signals is as good as any other unit. An initial belief of type `Diffuse`
    is treated exactly; its log-likelihood follows Durbin and Koopman: a scalar spent on
    an unknown direction contributes -(log 2 pi + log f_inf) / 2.

    Attributes:
        robust: Heavy-tailed observation noise, such as `StudentT(4.0)`, whose squared
            scale is the model's R; an outlier then neither moves the state nor decides
            the likelihood. None for the Gaussian noise of the model.
    """

    robust: StudentT | None = None

    def check(self, model: AbstractModel) -> None:
        """Raise unless `model` is linear Gaussian.

        Args:
            model: The model.

        Raises:
            MethodError: Its transition or observation is not linear.
        """
        require_linear(model, "Kalman")

    def init(self, model: AbstractModel, *, key: Key | None = None) -> KalmanState:
        """Return the initial belief, or the Gaussian of its mean and covariance."""
        initial = model.initial
        if isinstance(initial, Gaussian | Diffuse):
            return initial
        return Gaussian(initial.mean(), initial.cov())

    def predict(
        self,
        model: AbstractModel,
        state: KalmanState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None = None,
    ) -> KalmanState:
        """Return N(F m + b, F P F^T + Q)."""
        transition, _ = require_linear(model, "Kalman")
        F = transition.matrix(dt)
        mean = applied(F, state.location) + transition.offset(u, dt)
        cov = symmetric(congruent(F, state.covariance) + transition.noise_cov(dt))
        return _like(state, mean, cov, product(F, _directions(state)))

    def update(
        self,
        model: AbstractModel,
        state: KalmanState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None = None,
    ) -> tuple[KalmanState, KalmanInfo]:
        """Return the belief given the observed entries of `y`."""
        _, observation = require_linear(model, "Kalman")
        H, R = observation.matrix(), observation.noise_cov()
        predicted = applied(H, state.location) + observation.offset(u)
        innovation = jnp.where(mask, jnp.where(mask, y, 0.0) - predicted, 0.0)
        A = _directions(state)
        found = condition(
            state.covariance, A, H, R, innovation[:, None], mask, robust=self.robust
        )
        mean = state.location + found.shift[:, 0]
        # The columns of A that are still unknown make the prediction infinitely wide.
        spread = congruent(H, state.covariance) + R
        S = _like(state, predicted, spread, product(H, A)).cov()
        info = KalmanInfo(innovation, S, mask, found.scalars)
        return _like(state, mean, found.cov, found.directions), info

    def belief(self, state: KalmanState) -> AbstractBelief:
        """Return the state itself: it is a belief."""
        return state

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return the sum over observed scalars of log N(v; 0, s + r), or Student's."""
        assert isinstance(info, KalmanInfo)
        return scalar_log_likelihood(info.scalars, info.mask, self.robust)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: KalmanState,
        predicted: KalmanState,
        u: Input,
        dt: ScalarLike,
    ) -> BackwardStep:
        """Condition the state at time k on the state at time k + 1.

        The next state F x + b + w is an observation of this one with noise Q, so the
        smoother's gain and covariance come from the filter's own update, also where Q
        or the predicted covariance is singular or the belief still diffuse.

        Args:
            model: The model.
            filtered: Belief at time k given the observations up to k.
            predicted: Belief at time k + 1 given the same observations.
            u: Exogenous input of the step.
            dt: Length of the step.

        Returns:
            The step backwards.
        """
        transition, _ = require_linear(model, "Kalman")
        n = filtered.location.shape[0]
        found = condition(
            filtered.covariance,
            _directions(filtered),
            transition.matrix(dt),
            transition.noise_cov(dt),
            jnp.eye(n, dtype=filtered.location.dtype),
            jnp.ones(n, bool),
            exact=True,
        )
        gain = found.shift
        offset = filtered.location - applied(gain, predicted.location)
        return BackwardStep(gain, offset, found.cov)

    def smooth_step(self, element: BackwardStep, smoothed: KalmanState) -> KalmanState:
        """Return the belief at time k given everything."""
        G = element.gain
        mean = element.offset + applied(G, smoothed.location)
        cov = symmetric(element.cov + congruent(G, smoothed.covariance))
        return _like(smoothed, mean, cov, jnp.zeros_like(_directions(smoothed)))


def require_linear(
    model: AbstractModel, method: str
) -> tuple[AbstractLinearTransition, AbstractLinearObservation]:
    """Return transition and observation of a model that `method` needs to be linear.

    Args:
        model: The model.
        method: Name of the method that asks.

    Returns:
        The linear transition and the linear observation.

    Raises:
        MethodError: One of them is not linear, or there are several transitions.
    """
    transition, observation = require_transition(model, method), model.observation
    if not isinstance(transition, AbstractLinearTransition):
        raise _not_linear(method, "transition", type(transition).__name__)
    if not isinstance(observation, AbstractLinearObservation):
        raise _not_linear(method, "observation", type(observation).__name__)
    return transition, observation


def scalar_log_likelihood(
    scalars: Scalars, mask: Bool[Array, " obs"], robust: StudentT | None
) -> Scalar:
    """Return the log density [nats] of one observation from its scalar updates.

    Args:
        scalars: Innovations and variances, one per observed component.
        mask: True where the component was observed.
        robust: Heavy-tailed noise, or None for Gaussian noise.

    Returns:
        The sum over the observed scalars.
    """
    v, s, r = scalars.innovation[:, 0], scalars.signal, scalars.noise
    if robust is None:
        total = jnp.where(mask, s + r, 1.0)
        each = -0.5 * (v * v / total + jnp.log(2.0 * jnp.pi * total))
    else:
        each = jnp.stack([robust.log_density(v[i], s[i], r[i]) for i in range(len(v))])
    return jnp.sum(jnp.where(mask, each, 0.0))


def _not_linear(method: str, part: str, name: str) -> MethodError:
    """Return the error that names a method which fits."""
    return MethodError(
        f"`{method}` needs a linear {part}; got {name}. Use "
        "EnsembleTransformKalman(members=50), which asks only for `mean` and noise."
    )


def _directions(state: KalmanState) -> Float[Array, "state diffuse"]:
    """Return the unknown directions of a belief, none for a proper one."""
    if isinstance(state, Diffuse):
        return state.directions
    return jnp.zeros((state.location.shape[0], 0), state.location.dtype)


def _like(
    state: KalmanState,
    mean: Float[Array, " n"],
    cov: Float[Array, "n n"],
    directions: Float[Array, "n diffuse"],
) -> KalmanState:
    """Return a belief of the same kind as `state`, so that loops keep their types."""
    if isinstance(state, Diffuse):
        return Diffuse(mean, cov, directions)
    return Gaussian(mean, cov)
