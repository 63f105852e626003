"""A level that drifts in one of several modes, such as slow slip and the time between.

    d level = drift_s dt + walk dW,   y = level + v,   s a Markov chain in time

Everything knows the length of its step, so stamps may be irregular.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers, as_real, check_covariance, check_finite
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.beliefs import Mixture
from slipstate.systems.continuous import AbstractContinuousTransition
from slipstate.systems.hidden_markov import safe_log
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import Input
from slipstate.systems.switching import AbstractSwitchingModel


class Drift(AbstractContinuousTransition):
    """The step of a level that drifts and walks.

    Attributes:
        rate: Drift per unit of time.
        walk: Growth of the standard deviation, per square root of time.
    """

    rate: Scalar
    walk: Scalar

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return 1."""
        return jnp.ones((1, 1), self.rate.dtype)

    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return rate dt."""
        return (self.rate * dt)[None]

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return walk^2 dt."""
        return (self.walk**2 * dt)[None, None]


class DriftSwitch(AbstractSwitchingModel):
    """A noisy level with two drifts that take turns.

    Attributes:
        initial: Belief about first level and mode, independent of each other.
        transitions: How the level moves in each mode.
        observation: y = level + v.
        leave: Rate at which each mode is left, per unit of time.
    """

    initial: Mixture
    transitions: tuple[Drift, Drift]
    observation: LinearObservation
    leave: Float[Array, "2"]

    def __init__(
        self,
        level: Numbers,
        level_sd: Numbers,
        drifts: Numbers,
        walk: Numbers,
        leave: Numbers,
        noise_sd: Numbers,
        unit: str = "1",
    ) -> None:
        """Check and keep the numbers.

        Args:
            level: Mean of the first level.
            level_sd: Its standard deviation.
            drifts: Drift in each of two modes, per unit of time.
            walk: Growth of the standard deviation, per square root of time.
            leave: Rate at which each mode is left, positive.
            noise_sd: Standard deviation of the observation noise.
            unit: Unit of the series.

        Raises:
            InputError: Shapes disagree, or a number is not finite.
        """
        rates = as_real("drifts", drifts, (2,))
        self.leave = as_real("leave", leave, (2,))
        check_finite("drifts", rates)
        check_covariance("leave", jnp.diag(self.leave))
        walks = as_real("walk", walk, ())
        check_finite("walk", walks)
        noise = as_real("noise_sd", noise_sd, ())
        mean, sd = as_real("level", level, ()), as_real("level_sd", level_sd, ())
        share = self.leave[::-1] / jnp.sum(self.leave)
        self.initial = Mixture(
            safe_log(share),
            jnp.broadcast_to(mean, (2, 1)),
            jnp.broadcast_to(sd**2, (2, 1, 1)),
        )
        self.transitions = (Drift(rates[0], walks), Drift(rates[1], walks))
        one = jnp.ones((1, 1), noise.dtype)
        self.observation = LinearObservation(one, one * noise**2, None, (unit,))

    def switch_log_probs(
        self, x: Float[Array, " state"], mode: ScalarLike, u: Input, dt: ScalarLike
    ) -> Float[Array, " mode"]:
        """Return log P(next mode | mode) after `dt`.

        P(other) = leave / (sum of both) (1 - exp(-sum dt)).
        """
        total = jnp.sum(self.leave)
        gone = self.leave / total * -jnp.expm1(-total * dt)
        moves = jnp.stack(
            [jnp.stack([1.0 - gone[0], gone[0]]), jnp.stack([gone[1], 1.0 - gone[1]])]
        )
        return safe_log(moves[mode])
