"""What a filter is: three verbs, two records, and the laws they keep.

A filter is a small frozen record of settings. It carries a *state* (whatever it has to
remember: a mean and covariance, an ensemble, mode probabilities) from one observation
to the next and hands out *info* (diagnostics of one update, never carried):

    state = filter.init(model, key=...)                       the prior
    state = filter.predict(model, state, u, dt, key=...)      time passes
    state, info = filter.update(model, state, y, mask, u, key=...)

The drivers in `slipstate.assimilate.run` are the only loops. The laws every
implementation keeps, checked by one battery of tests over all of them:

- stepping through observations one by one gives what the whole series gives;
- a row without any observed component leaves the prediction as it is;
- what stands at a masked entry matters to no result and to no gradient;
- on a linear Gaussian model the answer is the Kalman filter's (up to Monte Carlo);
- many sequences under `jax.vmap` neither hang nor differ from one after the other.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool, Float

from slipstate.ground.errors import MethodError
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import (
    AbstractModel,
    AbstractStateSpaceModel,
    AbstractTransition,
    Input,
)

State = Any
"""What a filter carries; a pytree of its own making, read through `belief`."""


class AbstractInfo(eqx.Module):
    """Diagnostics of one update.

    Attributes:
        innovation: Observation minus its prediction; 0 where nothing was observed.
        innovation_cov: Covariance of the prediction of the observation, noise included,
            of all components, observed or not.
    """

    innovation: eqx.AbstractVar[Float[Array, " obs"]]
    innovation_cov: eqx.AbstractVar[Float[Array, "obs obs"]]


class AbstractFilter(eqx.Module):
    """Settings of a filter, with the verbs that use them."""

    @abstractmethod
    def check(self, model: AbstractModel) -> None:
        """Raise `MethodError`, naming a method that fits, unless this one does."""

    @abstractmethod
    def init(self, model: AbstractModel, *, key: Key | None) -> State:
        """Return the state that says what `model.initial` says."""

    @abstractmethod
    def predict(
        self,
        model: AbstractModel,
        state: State,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> State:
        """Return the state after `dt` without observation."""

    @abstractmethod
    def update(
        self,
        model: AbstractModel,
        state: State,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[State, AbstractInfo]:
        """Return the state given the entries of `y` where `mask` is True."""

    @abstractmethod
    def belief(self, state: State) -> AbstractBelief:
        """Return what `state` says about the state of the model."""

    @abstractmethod
    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log p(y_k | y_1, ..., y_{k-1}) [nats] of the update behind `info`.

        Drivers call it for all times at once, after the loop: a sum carried through a
        loop, or formed from large terms that cancel, is silently wrong on stiff data.
        """


class AbstractSmoother(AbstractFilter):
    """A filter whose result can be revised backwards in time."""

    @abstractmethod
    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: State,
        predicted: State,
        u: Input,
        dt: ScalarLike,
    ) -> Any:
        """Return what one backward step needs; computed for all times at once.

        Args:
            model: The model.
            filtered: State at time k given the observations up to k.
            predicted: State at time k + 1 given the same observations.
            u: Exogenous input of the step from k to k + 1.
            dt: Length of that step.
        """

    @abstractmethod
    def smooth_step(self, element: Any, smoothed: State) -> State:
        """Return the state at time k given everything.

        Args:
            element: What `prepare_smoothing` returned for time k.
            smoothed: State at time k + 1 given everything.
        """


def require_transition(model: AbstractModel, method: str) -> AbstractTransition:
    """Return the one transition of a model, for a method that follows no switch.

    Args:
        model: The model.
        method: Name of the method that asks.

    Raises:
        MethodError: The model has several transitions.
    """
    if not isinstance(model, AbstractStateSpaceModel):
        raise MethodError(
            f"`{method}` follows one transition; {type(model).__name__} has several. "
            "Use InteractingMultipleModel(), or a StateSpaceModel of one mode."
        )
    return model.transition
