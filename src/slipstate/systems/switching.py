"""Systems that switch between linear modes: slip or no slip, stick or slide.

    s_{k+1} ~ p(. | s_k, x_k, u_k, dt)                  which mode rules the step
    x_{k+1} = F_s x_k + b_s + w,  w ~ N(0, Q_s),  s = s_{k+1}
    y_k     = H x_k + d + v,      v ~ N(0, R)

The mode at a time is the one that brought the state there. A switch that asks the state
is a guard made soft; one that does not is a Markov chain.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.arrays import (
    Numbers,
    as_real,
    check_covariance,
    check_finite,
    is_concrete,
)
from slipstate.ground.errors import InputError
from slipstate.ground.types import ScalarLike
from slipstate.systems.beliefs import Mixture
from slipstate.systems.linear import LinearObservation, LinearTransition
from slipstate.systems.protocol import (
    AbstractLinearTransition,
    AbstractModel,
    AbstractObservation,
    Input,
)


class AbstractSwitchingModel(AbstractModel):
    """A model whose state moves by one of several linear transitions at each step.

    Attributes:
        initial: Belief at the first observation time, one component for each mode; the
            weight of a component is the probability of its mode.
        transitions: How the state moves in each mode.
        observation: What is seen of the state, whatever the mode.
    """

    initial: eqx.AbstractVar[Mixture]
    transitions: eqx.AbstractVar[tuple[AbstractLinearTransition, ...]]
    observation: eqx.AbstractVar[AbstractObservation]

    @abstractmethod
    def switch_log_probs(
        self, x: Float[Array, " state"], mode: ScalarLike, u: Input, dt: ScalarLike
    ) -> Float[Array, " mode"]:
        """Return log P(next mode | state x, `mode` now); minus infinity for never."""

    @property
    def modes(self) -> int:
        """The number of modes."""
        return len(self.transitions)


class SwitchingLinearGaussian(AbstractSwitchingModel):
    """Linear Gaussian modes that follow each other as a Markov chain.

    The switch asks neither the state nor the length of the step: `F`, `Q`, `b` and
    `switch` belong to one step, whatever time it takes.

    Attributes:
        initial: Belief about first state and mode, independent of each other.
        transitions: x' = F_j x + b_j + w, w ~ N(0, Q_j), for each mode j.
        observation: y = H x + v, v ~ N(0, R).
        switch: P(next mode = column | mode = row).
    """

    initial: Mixture
    transitions: tuple[LinearTransition, ...]
    observation: LinearObservation
    switch: Float[Array, "mode mode"]

    def __init__(
        self,
        initial_mean: Numbers,
        initial_cov: Numbers,
        initial_probs: Numbers,
        F: Numbers,
        Q: Numbers,
        H: Numbers,
        R: Numbers,
        switch: Numbers,
        b: Numbers | None = None,
    ) -> None:
        """Check and keep the matrices.

        Args:
            initial_mean: Mean of the first state.
            initial_cov: Its covariance.
            initial_probs: Probability of each mode at the first observation.
            F: State matrix of each mode (mode, state, state).
            Q: Covariance of the model noise of each mode (mode, state, state).
            H: Observation matrix.
            R: Covariance of the observation noise.
            switch: Probability of the next mode (column) after each mode (row).
            b: Offset of each mode (mode, state); None for none.

        Raises:
            InputError: Shapes disagree, a covariance is none, or probabilities are
                negative or do not sum to one.
        """
        F = as_real("F", F, (None, None, None))
        modes, _, n = F.shape
        if modes == 0:
            raise InputError(
                "`F` must hold one matrix for each mode; got none. Pass an array of "
                "shape (mode, state, state)."
            )
        F = as_real("F", F, (modes, n, n))
        Q = as_real("Q", Q, (modes, n, n))
        offsets = as_real("b", jnp.zeros_like(F[:, 0]) if b is None else b, (modes, n))
        mean = as_real("initial_mean", initial_mean, (n,))
        cov = as_real("initial_cov", initial_cov, (n, n))
        probs = as_real("initial_probs", initial_probs, (modes,))
        self.switch = as_real("switch", switch, (modes, modes))
        for name, array in (("F", F), ("b", offsets), ("initial_mean", mean)):
            check_finite(name, array)
        check_covariance("initial_cov", cov)
        for mode in range(modes):
            check_covariance(f"Q[{mode}]", Q[mode])
            _check_probabilities(f"switch[{mode}]", self.switch[mode])
        _check_probabilities("initial_probs", probs)
        self.initial = Mixture(
            _log(probs),
            jnp.broadcast_to(mean, (modes, n)),
            jnp.broadcast_to(cov, (modes, n, n)),
        )
        self.transitions = tuple(
            LinearTransition(F[mode], Q[mode], offsets[mode]) for mode in range(modes)
        )
        self.observation = LinearObservation(as_real("H", H, (None, n)), R)

    def switch_log_probs(
        self, x: Float[Array, " state"], mode: ScalarLike, u: Input, dt: ScalarLike
    ) -> Float[Array, " mode"]:
        """Return the logarithm of row `mode` of the switch."""
        return _log(self.switch[mode])


def _log(probs: Float[Array, " mode"]) -> Float[Array, " mode"]:
    """Return log p, minus infinity where p is zero, with a finite gradient there."""
    return jnp.where(probs > 0, jnp.log(jnp.where(probs > 0, probs, 1.0)), -jnp.inf)


def _check_probabilities(name: str, probs: Float[Array, " mode"]) -> None:
    """Raise unless concrete `probs` are probabilities that sum to one.

    Args:
        name: The argument's name, for the message.
        probs: The probabilities.

    Raises:
        InputError: One is negative or not finite, or the sum is not one.
    """
    if not is_concrete(probs):
        return
    check_finite(name, probs)
    values = np.asarray(probs, float)
    if values.min() < 0.0:
        raise InputError(
            f"`{name}` must not be negative; got {values.min():.3g} for mode "
            f"{int(values.argmin())}. Pass probabilities, not their logarithms."
        )
    total = float(values.sum())
    if abs(total - 1.0) > float(np.sqrt(jnp.finfo(probs.dtype).eps)):
        raise InputError(
            f"`{name}` must sum to one; got {total:.10g}. Divide by the sum; in "
            "`switch` a row, not a column, holds what may come after one mode."
        )
