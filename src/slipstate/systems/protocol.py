"""The page to read first: what a dynamical system is, for every other floor.

Everything that moves is one of three things, and every estimator says which it needs:

    transition   x_{k+1} ~ p(. | x_k, u_k, dt)      how a state moves
    observation  y_k     ~ p(. | x_k)               what is seen of it
    hybrid       flow between events, guard, reset  how a state jumps

A simulator of a rupture, a trajectory of a GNSS station and a learned network are all
`AbstractTransition`s; a filter cannot tell them apart. An exact method asks for linear
interfaces, or names a method that fits; others ask for `mean` and `noise_factor` only.

Time is data: every step takes `dt`, in the time unit of the model [s unless stated],
and nothing assumes a regular grid. The exogenous input `u` is None where there is none.
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import (
    AbstractBelief,
    gaussian_log_density,
    masked_log_density,
)

Input = Float[Array, " input"] | None
"""What acts on the system from outside during one step."""


class AbstractTransition(eqx.Module):
    """How a state moves during `dt`: x' = mean(x, u, dt) + L w, w standard normal.

    Attributes:
        parts: Equal parts in which a step is drawn, each with noise of its own. 1 where
            the noise is Gaussian however long the step; more for a diffusion whose
            noise is moved on by the state it has made.
    """

    parts: ClassVar[int] = 1

    @abstractmethod
    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return the deterministic part of the step."""

    @abstractmethod
    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state noise"]:
        """Return L with noise covariance L L^T; no columns where there is no noise."""

    def sample(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike, *, key: Key
    ) -> Float[Array, " state"]:
        """Draw one successor of `x`, part by part."""
        if self.parts == 1:
            return self._draw(x, u, dt, key)
        keys = jax.random.split(key, self.parts)
        part = dt / self.parts
        return jax.lax.scan(lambda x, k: (self._draw(x, u, part, k), None), x, keys)[0]

    def log_density(
        self,
        x_next: Float[Array, " state"],
        x: Float[Array, " state"],
        u: Input,
        dt: ScalarLike,
    ) -> Scalar:
        """Return log p(x_next | x) [nats] of a step drawn as one part.

        NaN where noise leaves out a direction.
        """
        factor = self.noise_factor(x, u, dt)
        return gaussian_log_density(x_next - self.mean(x, u, dt), factor @ factor.T)

    def _draw(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike, key: Key
    ) -> Float[Array, " state"]:
        """Draw one successor of `x` with noise that is Gaussian over the whole `dt`."""
        factor = self.noise_factor(x, u, dt)
        draw = jax.random.normal(key, factor.shape[-1:], factor.dtype)
        return self.mean(x, u, dt) + factor @ draw


class AbstractLinearTransition(AbstractTransition):
    """A transition x' = F x + b + L w whose F, b, L depend on `dt` and `u` only."""

    @abstractmethod
    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return F."""

    @abstractmethod
    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return b."""

    @abstractmethod
    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q = L L^T."""


class AbstractObservation(eqx.Module):
    """What is seen of a state: y = predict(x) + L v, v standard normal.

    Attributes:
        units: Unit of each observed component, e.g. ("mm", "mm").
    """

    units: eqx.AbstractVar[tuple[str, ...]]

    @abstractmethod
    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return the noise-free observation of `x`."""

    @abstractmethod
    def noise_factor(self) -> Float[Array, "obs noise"]:
        """Return L with observation noise covariance L L^T."""

    def log_likelihood(
        self,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        x: Float[Array, " state"],
        u: Input,
    ) -> Scalar:
        """Return log p(y | x) [nats] over the components where `mask` is True.

        What stands at a masked entry matters neither to the value nor to a gradient.
        """
        factor = self.noise_factor()
        residual = jnp.where(mask, jnp.where(mask, y, 0.0) - self.predict(x, u), 0.0)
        return masked_log_density(residual, factor @ factor.T, mask)


class AbstractLinearObservation(AbstractObservation):
    """An observation with y = H x + d + L v."""

    @abstractmethod
    def matrix(self) -> Float[Array, "obs state"]:
        """Return H."""

    @abstractmethod
    def offset(self, u: Input) -> Float[Array, " obs"]:
        """Return d."""

    @abstractmethod
    def noise_cov(self) -> Float[Array, "obs obs"]:
        """Return R = L L^T."""


class AbstractHybrid(eqx.Module):
    """A smooth flow interrupted by events: what ruptures, sticks or switches.

    The energy law: unless the system declares a source, `energy` never rises over a
    reset. Each jump is paid for.
    """

    @abstractmethod
    def flow(
        self, x: Float[Array, " state"], mode: ScalarLike, u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return the state after `dt` of smooth motion in `mode`, without events."""

    @abstractmethod
    def guards(
        self, x: Float[Array, " state"], mode: ScalarLike
    ) -> Float[Array, " guard"]:
        """Return one number per guard; an event happens where one crosses zero."""

    @abstractmethod
    def reset(
        self, x: Float[Array, " state"], mode: ScalarLike, guard: ScalarLike
    ) -> tuple[Float[Array, " state"], ScalarLike]:
        """Return state and mode just after the event of `guard`."""

    @abstractmethod
    def energy(self, x: Float[Array, " state"], mode: ScalarLike) -> Scalar:
        """Return the stored energy [J, or J/m^2 where the system is per area]."""


class AbstractModel(eqx.Module):
    """What every driver asks for: a belief about the first state, and an observation.

    That belief holds AT the first observation unless `prior_at="before"` is asked for.
    The state moves by one transition, or by one of several: `systems.switching`.

    Attributes:
        initial: Belief about the state at the first observation time.
        observation: What is seen of the state.
    """

    initial: eqx.AbstractVar[AbstractBelief]
    observation: eqx.AbstractVar[AbstractObservation]


class AbstractStateSpaceModel(AbstractModel):
    """A model whose state moves by one transition.

    Attributes:
        transition: How the state moves.
    """

    transition: eqx.AbstractVar[AbstractTransition]


class StateSpaceModel(AbstractStateSpaceModel):
    """A state-space model put together from its three parts.

    Attributes:
        initial: Belief about the first state.
        transition: How the state moves.
        observation: What is seen of it.
    """

    initial: AbstractBelief
    transition: AbstractTransition
    observation: AbstractObservation

    def __init__(
        self,
        initial: AbstractBelief,
        transition: AbstractTransition,
        observation: AbstractObservation,
    ) -> None:
        """Keep the parts, in this order."""
        self.initial, self.transition = initial, transition
        self.observation = observation
