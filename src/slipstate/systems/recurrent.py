"""Switches that ask the state: a guard made soft.

    P(next mode = j | mode i, state x) = softmax_j(W_i x + r_i)

With one row of W_i large the switch fires where the state crosses a plane: a fault that
slips once its stress is high enough, and locks once its slip rate is low.

References:
    Linderman et al. (2017), Bayesian learning and inference in recurrent switching
    linear dynamical systems, AISTATS.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers, as_real, check_finite
from slipstate.ground.errors import InputError
from slipstate.ground.types import ScalarLike
from slipstate.systems.beliefs import Mixture
from slipstate.systems.protocol import (
    AbstractLinearObservation,
    AbstractLinearTransition,
    Input,
)
from slipstate.systems.switching import AbstractSwitchingModel


class RecurrentSwitching(AbstractSwitchingModel):
    """Linear modes that follow each other as the state says.

    The switch belongs to one step, whatever time it takes; transitions may depend on
    the length of the step.

    Attributes:
        initial: Belief at the first observation, one component for each mode.
        transitions: How the state moves in each mode.
        observation: What is seen of the state, whatever the mode.
        weights: W, by present mode, next mode and state.
        bias: r, by present mode and next mode.
    """

    initial: Mixture
    transitions: tuple[AbstractLinearTransition, ...]
    observation: AbstractLinearObservation
    weights: Float[Array, "mode mode state"]
    bias: Float[Array, "mode mode"]

    def __init__(
        self,
        initial: Mixture,
        transitions: tuple[AbstractLinearTransition, ...],
        observation: AbstractLinearObservation,
        weights: Numbers,
        bias: Numbers,
    ) -> None:
        """Check and keep the parts.

        Args:
            initial: Belief at the first observation, one component for each mode.
            transitions: How the state moves in each mode.
            observation: What is seen of the state.
            weights: W (present mode, next mode, state).
            bias: r (present mode, next mode).

        Raises:
            InputError: Shapes disagree, or a number is not finite.
        """
        modes = len(transitions)
        if modes == 0 or initial.log_weights.shape[0] != modes:
            raise InputError(
                f"`initial` must have one component for each of {modes} modes; got "
                f"{initial.log_weights.shape[0]}. Repeat the belief for modes that "
                "share it."
            )
        n = initial.locations.shape[1]
        self.initial, self.transitions = initial, tuple(transitions)
        self.observation = observation
        self.weights = as_real("weights", weights, (modes, modes, n))
        self.bias = as_real("bias", bias, (modes, modes))
        check_finite("weights", self.weights)
        check_finite("bias", self.bias)

    def switch_log_probs(
        self, x: Float[Array, " state"], mode: ScalarLike, u: Input, dt: ScalarLike
    ) -> Float[Array, " mode"]:
        """Return the log of softmax(W x + r) of the row of `mode`."""
        return jax.nn.log_softmax(self.weights[mode] @ x + self.bias[mode])


def soft_guard(
    direction: Numbers, threshold: Numbers, width: Numbers
) -> tuple[Float[Array, "mode state"], Float[Array, " mode"]]:
    """Return rows of W and r for two modes that switch where direction . x is high.

    The second mode comes next with probability 1 / (1 + exp(-(direction . x -
    threshold) / width)).

    Args:
        direction: What of the state decides.
        threshold: Where both modes are equally likely.
        width: How far the switch is uncertain about it, positive.

    Returns:
        W_i (next mode, state) and r_i (next mode).
    """
    row, edge = as_real("direction", direction, (None,)), as_real("width", width, ())
    bias = -as_real("threshold", threshold, ()) / edge
    return jnp.stack([jnp.zeros_like(row), row / edge]), jnp.stack([0.0 * bias, bias])
