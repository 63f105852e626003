"""Series of several frequencies: totals, averages and growth over a window.

A model runs at the highest frequency. A component that is published less often is
missing in between, and where it sums up a window its observation is

    y = sum_l w_l (noise-free component, l steps ago) + noise

with weights that say what kind of figure it is. `mixed_frequency` gives any model the
past values that this needs as further states. The weights do not ask when a period
begins: a figure may be released at any row, late, or not yet (a ragged edge), and its
row is simply masked until then.

References:
    Harvey (1989), Forecasting, structural time series models and the Kalman filter,
    section 6.3. Mariano & Murasawa (2003), A new coincident index of business cycles
    based on monthly and quarterly series, J. Applied Econometrics 18.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.types import ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Diffuse, Gaussian
from slipstate.systems.linear import is_linear
from slipstate.systems.protocol import (
    AbstractLinearObservation,
    AbstractLinearTransition,
    AbstractObservation,
    AbstractStateSpaceModel,
    AbstractTransition,
    Input,
    StateSpaceModel,
)


class AbstractAggregate(eqx.Module):
    """What one published figure says about the steps before it."""

    @abstractmethod
    def weights(self) -> tuple[float, ...]:
        """Return the weight of the present step, the one before, and so on."""


class Stock(AbstractAggregate):
    """The value at the time of publication; what every component is by itself."""

    def weights(self) -> tuple[float, ...]:
        """Return one weight."""
        return (1.0,)


class Total(AbstractAggregate):
    """The sum over the last `every` steps.

    Attributes:
        every: Steps in the window.
    """

    every: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse an empty window."""
        _check_every(self.every)

    def weights(self) -> tuple[float, ...]:
        """Return ones."""
        return (1.0,) * self.every


class Average(AbstractAggregate):
    """The mean over the last `every` steps.

    Attributes:
        every: Steps in the window.
    """

    every: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse an empty window."""
        _check_every(self.every)

    def weights(self) -> tuple[float, ...]:
        """Return equal weights."""
        return (1.0 / self.every,) * self.every


class Growth(AbstractAggregate):
    """Growth from one window to the next, where the component is growth per step.

    The growth of the average of `every` steps is, with geometric means, a triangle of
    weights on the growth of 2 every - 1 steps: 1/3, 2/3, 1, 2/3, 1/3 for quarters.

    Attributes:
        every: Steps in the window.
    """

    every: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse an empty window."""
        _check_every(self.every)

    def weights(self) -> tuple[float, ...]:
        """Return the triangle."""
        steps = range(1, 2 * self.every)
        return tuple(min(l, 2 * self.every - l) / self.every for l in steps)


class LaggedTransition(AbstractTransition):
    """A transition that carries past values of observed components along.

    Attributes:
        transition: How the state itself moves.
        observation: What is seen of it; its noise-free values are carried.
        lags: Number of past values of each observed component.
    """

    transition: AbstractTransition
    observation: AbstractObservation
    lags: tuple[int, ...] = eqx.field(static=True)

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return the moved state, and the past with the present in front."""
        n = x.shape[0] - sum(self.lags)
        seen = self.observation.predict(x[:n], u)
        parts, place = [self.transition.mean(x[:n], u, dt)], n
        for component, count in enumerate(self.lags):
            if count:
                parts += [seen[component : component + 1], x[place : place + count - 1]]
            place += count
        return jnp.concatenate(parts)

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state noise"]:
        """Return the noise of the state itself; the past has none."""
        n = x.shape[0] - sum(self.lags)
        factor = self.transition.noise_factor(x[:n], u, dt)
        return jnp.pad(factor, ((0, sum(self.lags)), (0, 0)))


class LinearLaggedTransition(AbstractLinearTransition):
    """The same for linear models.

    Attributes:
        transition: How the state itself moves.
        observation: What is seen of it; its noise-free values are carried.
        lags: Number of past values of each observed component.
    """

    transition: AbstractLinearTransition
    observation: AbstractLinearObservation
    lags: tuple[int, ...] = eqx.field(static=True)

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return F over H, with the past shifted by one."""
        F, H, more = (
            self.transition.matrix(dt),
            self.observation.matrix(),
            sum(self.lags),
        )
        n = F.shape[0]
        enter, shift = _shift(self.lags, len(self.observation.units))
        below = jnp.asarray(enter, F.dtype) @ H
        right = np.concatenate([np.zeros((n, more)), shift])
        left = jnp.concatenate([F, below])
        return jnp.concatenate([left, jnp.asarray(right, F.dtype)], axis=1)

    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return b over the entries of d that become past."""
        b, d = self.transition.offset(u, dt), self.observation.offset(u)
        enter, _ = _shift(self.lags, d.shape[0])
        return jnp.concatenate([b, jnp.asarray(enter, d.dtype) @ d])

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q with zeros for the past."""
        more = sum(self.lags)
        return jnp.pad(self.transition.noise_cov(dt), ((0, more), (0, more)))

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return F x + b."""
        return self.matrix(dt) @ x + self.offset(u, dt)

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state state"]:
        """Return the triangular L with L L^T = Q."""
        return psd_root(self.noise_cov(dt))


class AggregatedObservation(AbstractObservation):
    """What is published of a state with its past.

    Attributes:
        observation: What is seen at the highest frequency.
        weights: Weights of each component over its window, the present first.
        units: Unit of each component.
    """

    observation: AbstractObservation
    weights: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        observation: AbstractObservation,
        weights: tuple[tuple[float, ...], ...],
    ) -> None:
        """Keep what is seen, and how it is summed."""
        self.observation, self.weights = observation, weights
        self.units = observation.units

    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return the weighted sums over present and past."""
        now, past = _window(self.weights)
        n = x.shape[0] - past.shape[1]
        seen = self.observation.predict(x[:n], u)
        return jnp.asarray(now, x.dtype) * seen + jnp.asarray(past, x.dtype) @ x[n:]

    def noise_factor(self) -> Float[Array, "obs noise"]:
        """Return the noise of what is published."""
        return self.observation.noise_factor()


class LinearAggregatedObservation(AbstractLinearObservation):
    """The same for linear models.

    Attributes:
        observation: What is seen at the highest frequency.
        weights: Weights of each component over its window, the present first.
        units: Unit of each component.
    """

    observation: AbstractLinearObservation
    weights: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        observation: AbstractLinearObservation,
        weights: tuple[tuple[float, ...], ...],
    ) -> None:
        """Keep what is seen, and how it is summed."""
        self.observation, self.weights = observation, weights
        self.units = observation.units

    def matrix(self) -> Float[Array, "obs state"]:
        """Return H, weighted, beside the weights of the past."""
        H = self.observation.matrix()
        now, past = (jnp.asarray(part, H.dtype) for part in _window(self.weights))
        return jnp.concatenate([now[:, None] * H, past], axis=1)

    def offset(self, u: Input) -> Float[Array, " obs"]:
        """Return d, weighted; past values hold theirs already."""
        d = self.observation.offset(u)
        return jnp.asarray(_window(self.weights)[0], d.dtype) * d

    def noise_cov(self) -> Float[Array, "obs obs"]:
        """Return R."""
        return self.observation.noise_cov()

    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return H x + d."""
        return self.matrix() @ x + self.offset(u)

    def noise_factor(self) -> Float[Array, "obs noise"]:
        """Return the noise of what is published."""
        return self.observation.noise_factor()


def mixed_frequency(
    model: AbstractStateSpaceModel,
    aggregates: tuple[AbstractAggregate, ...],
    past: Gaussian | None = None,
) -> StateSpaceModel:
    """Return a model whose components are published as `aggregates` say.

    The observation noise of the model is that of the published figures. Its state is
    that of `model`, then the past values of each component, the newest first.

    Args:
        model: Model at the highest frequency; one step per row.
        aggregates: For each observed component, such as (Stock(), Average(3)).
        past: Belief about noise-free values before the first row, in the order of the
            new states. None: nothing is known (infinite variance), for linear models;
            a figure whose window begins earlier then says nothing but its past.

    Returns:
        A linear model where `model` is linear.

    Raises:
        InputError: Not one aggregate for each component, `past` has another size, or it
            is needed and was not given.
    """
    names = model.observation.units
    if len(aggregates) != len(names):
        raise InputError(
            f"`aggregates` must name one for each of {len(names)} components; got "
            f"{len(aggregates)}. Pass Stock() for a component as it is."
        )
    weights = tuple(aggregate.weights() for aggregate in aggregates)
    lags = tuple(len(row) - 1 for row in weights)
    initial = _initial(model, sum(lags), past)
    transition, observation = model.transition, model.observation
    if is_linear(model):
        assert isinstance(transition, AbstractLinearTransition)
        assert isinstance(observation, AbstractLinearObservation)
        return StateSpaceModel(
            initial,
            LinearLaggedTransition(transition, observation, lags),
            LinearAggregatedObservation(observation, weights),
        )
    return StateSpaceModel(
        initial,
        LaggedTransition(transition, observation, lags),
        AggregatedObservation(observation, weights),
    )


def _initial(
    model: AbstractStateSpaceModel, more: int, past: Gaussian | None
) -> AbstractBelief:
    """Return the belief about the first state and its past."""
    start = model.initial
    if more == 0:
        return start
    mean = start.mean()
    n, dtype = mean.shape[0], mean.dtype
    known = start.covariance if isinstance(start, Diffuse) else start.cov()
    if past is not None and past.location.shape != (more,):
        raise InputError(
            f"`past` must have {more} components, one for each past value; got "
            f"{past.location.shape[0]}. Pass None where nothing is known."
        )
    if past is None and not is_linear(model):
        raise InputError(
            "`past` must be a Gaussian where the model is not linear; got None. Pass "
            f"Gaussian(mean, cov) of {more} components that covers what is possible."
        )
    lower = jnp.zeros((more, more), dtype) if past is None else past.covariance
    before = jnp.zeros(more, dtype) if past is None else past.location
    cov = jnp.pad(known, ((0, more), (0, more))).at[n:, n:].set(lower)
    location = jnp.concatenate([mean, before])
    unknown = jnp.zeros((n + more, 0), dtype)
    if isinstance(start, Diffuse):
        unknown = jnp.pad(start.directions, ((0, more), (0, 0)))
    if past is None:
        unknown = jnp.concatenate([unknown, jnp.eye(n + more, dtype=dtype)[:, n:]], 1)
    if unknown.shape[1]:
        return Diffuse(location, cov, unknown)
    return Gaussian(location, cov)


def _shift(lags: tuple[int, ...], components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where present components enter the past, and how the past moves on."""
    more = sum(lags)
    enter, shift = np.zeros((more, components)), np.zeros((more, more))
    place = 0
    for component, count in enumerate(lags):
        if count:
            enter[place, component] = 1.0
            shift[place : place + count, place : place + count] = np.eye(count, k=-1)
        place += count
    return enter, shift


def _window(weights: tuple[tuple[float, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the present, and those of the past by state."""
    more = sum(len(row) - 1 for row in weights)
    past, place = np.zeros((len(weights), more)), 0
    for component, row in enumerate(weights):
        past[component, place : place + len(row) - 1] = row[1:]
        place += len(row) - 1
    return np.array([row[0] for row in weights]), past


def _check_every(every: int) -> None:
    """Raise `InputError` unless `every` counts at least one step."""
    if isinstance(every, bool) or every != int(every) or every < 1:
        raise InputError(
            f"`every` must be a whole number of steps, 1 or more; got {every}. Pass 3 "
            "for quarters of monthly steps."
        )
