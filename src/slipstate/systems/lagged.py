"""Transitions that carry past values along, and observations that weigh them."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.elimination import psd_root
from slipstate.ground.types import ScalarLike
from slipstate.systems.protocol import (
    AbstractLinearObservation,
    AbstractLinearTransition,
    AbstractObservation,
    AbstractTransition,
    Input,
)


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
