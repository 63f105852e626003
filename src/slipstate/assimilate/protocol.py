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
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from slipstate.assimilate.observations import Rows
from slipstate.ground.errors import MethodError
from slipstate.ground.types import Count, Flag, Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import (
    AbstractModel,
    AbstractStateSpaceModel,
    AbstractTransition,
    Input,
)

State = Any
"""What a filter carries; a pytree of its own making, read through `belief`."""


class Running(eqx.Module):
    """Where a run stands after an observation: all that a resumed run needs.

    Attributes:
        state: What the filter carries.
        t: Time of `state`, in the time unit of the model.
        moves: False while the initial belief waits for the first observation.
        count: Rows taken in so far.
        key: Random key of the run, the same at every row; None where none is used.
    """

    state: State
    t: Scalar
    moves: Flag
    count: Count
    key: Key | None

    def gaps(
        self, t: Float[Array, " time"]
    ) -> tuple[Float[Array, " time"], Bool[Array, " time"]]:
        """Return the length of the step that ends at each row, and whether it is made.

        The first row of a run makes no step unless the initial belief holds at a time
        of its own; its length is then 1, so that an unused branch stays finite.

        Args:
            t: Times of the rows to come.
        """
        first = jnp.where(self.moves, t[:1] - self.t[None], 1.0)
        moves = jnp.ones(t.shape, bool).at[0].set(self.moves)
        return jnp.concatenate([first, jnp.diff(t)]), moves

    def after(self, state: State, t: Float[Array, " time"]) -> "Running":
        """Return where the run stands once all rows at times `t` were taken in.

        Args:
            state: The filter's state after the last of them.
            t: Times of the rows.
        """
        count = self.count + t.shape[0]
        return Running(state, t[-1], jnp.asarray(True), count, self.key)

    def keys(self) -> tuple[Key | None, Key | None]:
        """Return the keys of the next prediction and update.

        They depend on the row's number only, so a resumed run draws what an
        uninterrupted one draws.
        """
        if self.key is None:
            return None, None
        key_predict, key_update = jax.random.split(
            jax.random.fold_in(self.key, self.count)
        )
        return key_predict, key_update

    def keys_ahead(
        self, rows: int
    ) -> tuple[Shaped[Array, "time ..."] | None, Shaped[Array, "time ..."] | None]:
        """Return what `keys` is at each of the next rows, stacked along time.

        All at once, a key costs a fraction of one in a loop over rows.

        Args:
            rows: Number of rows.
        """
        key = self.key
        if key is None:
            return None, None
        counts = self.count + jnp.arange(rows, dtype=self.count.dtype)
        pairs = jax.vmap(
            lambda count: jax.random.split(jax.random.fold_in(key, count))
        )(counts)
        return pairs[:, 0], pairs[:, 1]


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


class SeriesPass(eqx.Module):
    """What a pass over many rows leaves behind; every part stacked along time.

    Attributes:
        predicted: The state at each row before the row was seen.
        filtered: The same after it was seen.
        info: Diagnostics of each update.
        final: Where the run stands after the last row.
        found: What `smooth_rows` of the same method need not find again.
    """

    predicted: State
    filtered: State
    info: AbstractInfo
    final: Running
    found: Any = None


class AbstractSeriesFilter(AbstractFilter):
    """A filter that has a faster road over many rows than one row after the other.

    For methods that are parallel in time, work in blocks, or stop to compute what no
    longer changes. `filter_series` and `smooth_series` take this road where a method
    has it; `step` takes `predict` and `update`. Both must give the same states, infos
    and final state (to rounding), also from the middle of a run and with any mask.
    Nothing needs to be saved: what a caller does not ask for, the compiler leaves out.
    """

    @abstractmethod
    def filter_rows(
        self, model: AbstractModel, running: Running, rows: Rows
    ) -> SeriesPass:
        """Take in many rows at once.

        Args:
            model: The model.
            running: Where the run stands before the first of them; `running.gaps`
                says which steps the rows make.
            rows: The rows, at least one.

        Returns:
            States and infos as `predict` and `update` give them, stacked along time,
            and where the run stands: `running.after(state, rows.t)`.
        """

    @abstractmethod
    def smooth_rows(self, model: AbstractModel, rows: Rows, done: SeriesPass) -> State:
        """Return the state at each row given all rows, stacked along time.

        Args:
            model: The model.
            rows: The rows.
            done: What `filter_rows` returned for them.

        Raises:
            MethodError: The method only filters.
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
