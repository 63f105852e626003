"""What exact filters that carry factors share: all but how a row is taken in."""

from abc import abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.factors import (
    FactorInfo,
    FactorState,
    FactorStep,
    Updated,
    factor_belief,
    factor_state,
    move_factor,
    smooth_back,
    spread,
    step_back,
    while_diffuse,
)
from slipstate.assimilate.kalman import require_linear
from slipstate.assimilate.protocol import AbstractInfo, AbstractSmoother
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel, Input


class AbstractFactorKalman(AbstractSmoother):
    """An exact filter of linear Gaussian models that carries factors of covariances."""

    @abstractmethod
    def take_in(
        self,
        state: FactorState,
        H: Float[Array, "obs state"],
        R: Float[Array, "obs obs"],
        innovation: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
    ) -> Updated:
        """Return a proper state given one row, with distance and log-determinant.

        Args:
            state: The predicted state; no direction of it is unknown.
            H: Observation matrix.
            R: Noise covariance.
            innovation: Observation minus prediction, 0 where masked.
            mask: True where observed.
        """

    def check(self, model: AbstractModel) -> None:
        """Raise unless `model` is linear Gaussian.

        Args:
            model: The model.

        Raises:
            MethodError: Its transition or observation is not linear.
        """
        require_linear(model, type(self).__name__)

    def init(self, model: AbstractModel, *, key: Key | None = None) -> FactorState:
        """Return the initial belief by its factor."""
        return factor_state(model.initial)

    def predict(
        self,
        model: AbstractModel,
        state: FactorState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None = None,
    ) -> FactorState:
        """Return F m + b and the triangular form of [F L, Q^1/2]."""
        transition, _ = require_linear(model, type(self).__name__)
        return move_factor(transition, state, u, dt)

    def update(
        self,
        model: AbstractModel,
        state: FactorState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None = None,
    ) -> tuple[FactorState, FactorInfo]:
        """Return the belief given the observed entries of `y`."""
        _, observation = require_linear(model, type(self).__name__)
        H, R = observation.matrix(), observation.noise_cov()
        predicted = H @ state.location + observation.offset(u)
        innovation = jnp.where(mask, jnp.where(mask, y, 0.0) - predicted, 0.0)
        HL = H @ state.factor
        S = spread(predicted, HL @ HL.T + R, H @ state.directions)

        def at_once() -> Updated:
            return self.take_in(state, H, R, innovation, mask)

        found = while_diffuse(state, H, R, innovation, mask, at_once)
        # a row without observations must not even turn a factor
        after = jax.tree.map(
            lambda new, old: jnp.where(jnp.any(mask), new, old), found[0], state
        )
        return after, FactorInfo(innovation, S, *found[1:])

    def belief(self, state: FactorState) -> AbstractBelief:
        """Return the Gaussian with covariance L L^T."""
        return factor_belief(state)

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return -(v^T S^-1 v + log det 2 pi S) / 2 of the observed components."""
        assert isinstance(info, FactorInfo)
        return -0.5 * (info.distance + info.log_det)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: FactorState,
        predicted: FactorState,
        u: Input,
        dt: ScalarLike,
    ) -> FactorStep:
        """Condition the state at time k on the state at time k + 1.

        Args:
            model: The model.
            filtered: State at time k given the observations up to k.
            predicted: State at time k + 1 given the same observations.
            u: Exogenous input of the step.
            dt: Length of the step.

        Returns:
            The step backwards.
        """
        transition, _ = require_linear(model, type(self).__name__)
        return step_back(transition, filtered, predicted, dt)

    def smooth_step(self, element: FactorStep, smoothed: FactorState) -> FactorState:
        """Return the state at time k given everything."""
        return smooth_back(element, smoothed)
