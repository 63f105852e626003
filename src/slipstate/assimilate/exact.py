"""What the faster roads of the exact filter share: one row is one row of `Kalman`."""

from jaxtyping import Array, Bool, Float

from slipstate.assimilate.kalman import (
    BackwardStep,
    Kalman,
    KalmanInfo,
    KalmanState,
    require_linear,
)
from slipstate.assimilate.protocol import (
    AbstractInfo,
    AbstractSeriesFilter,
    AbstractSmoother,
)
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel, Input

_EXACT = Kalman()


class AbstractExactSeries(AbstractSmoother, AbstractSeriesFilter):
    """The exact filter with a road of its own over many rows.

    One row at a time, in `step` and for models whose matrices vary, it is `Kalman`.
    """

    def check(self, model: AbstractModel) -> None:
        """Raise unless `model` is linear Gaussian.

        Args:
            model: The model.

        Raises:
            MethodError: Its transition or observation is not linear.
        """
        require_linear(model, type(self).__name__)

    def init(self, model: AbstractModel, *, key: Key | None = None) -> KalmanState:
        """Return the initial belief."""
        return _EXACT.init(model, key=key)

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
        return _EXACT.predict(model, state, u, dt, key=key)

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
        return _EXACT.update(model, state, y, mask, u, key=key)

    def belief(self, state: KalmanState) -> AbstractBelief:
        """Return the state itself: it is a belief."""
        return state

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return the sum over observed scalars of log N(v; 0, s + r)."""
        return _EXACT.log_likelihood(info)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: KalmanState,
        predicted: KalmanState,
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
        """
        return _EXACT.prepare_smoothing(model, filtered, predicted, u, dt)

    def smooth_step(self, element: BackwardStep, smoothed: KalmanState) -> KalmanState:
        """Return the belief at time k given everything."""
        return _EXACT.smooth_step(element, smoothed)
