"""How a hidden mode moves: the contract of a chain, and the chain of one matrix.

A chain gives P(next mode = column | mode = row) of one step. Chains whose steps differ
are in `slipstate.systems.driven_chains`.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from slipstate.ground.arrays import Numbers, as_real, check_finite, is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.protocol import Input


class AbstractChain(eqx.Module):
    """The law by which one mode follows another.

    Attributes:
        steady: Whether every step has the same matrix, whatever `u` and `dt`.
    """

    steady: eqx.AbstractVar[bool]

    @property
    @abstractmethod
    def modes(self) -> int:
        """The number of modes."""

    @property
    @abstractmethod
    def free_parameters(self) -> int:
        """The number of parameters a fit may choose."""

    @abstractmethod
    def matrix(self, u: Input, dt: ScalarLike) -> Float[Array, "mode mode"]:
        """Return P(next mode = column | mode = row) of one step."""

    @abstractmethod
    def reordered(self, order: Int[Array, " mode"]) -> "AbstractChain":
        """Return the same chain with mode `order[i]` called i."""

    @abstractmethod
    def reestimate(
        self,
        pairs: Float[Array, "step mode mode"],
        u: Float[Array, "step input"] | None,
        dts: Float[Array, " gap"],
        pseudo: Float[Array, "mode mode"],
    ) -> "AbstractChain":
        """Return the chain under which expected pairs of modes are more likely.

        Args:
            pairs: Expected number of passages from row to column at each step; one
                entry with their sum where the chain is steady.
            u: Exogenous input of each step, or None.
            dts: Length of each step; not used where the chain is steady.
            pseudo: Passages believed to have been seen before, for a chain that holds
                a matrix; the prior of a Dirichlet distribution.

        Returns:
            The chain of the next iteration of expectation maximisation.
        """

    @abstractmethod
    def log_prior(self, pseudo: Float[Array, "mode mode"]) -> Scalar:
        """Return the log density of the prior that `pseudo` means, up to a constant."""


class MarkovChain(AbstractChain):
    """A chain with one matrix for every step.

    Attributes:
        probs: P(next mode = column | mode = row).
        steady: True.
    """

    probs: Float[Array, "mode mode"]
    steady: bool = eqx.field(static=True)

    def __init__(self, probs: Numbers) -> None:
        """Check and keep the matrix.

        Args:
            probs: Rows of probabilities, each summing to one.

        Raises:
            InputError: It is not square, or a row holds no probabilities.
        """
        self.probs = as_real("transition_matrix", probs, (None, None))
        modes = self.probs.shape[0]
        self.probs = as_real("transition_matrix", probs, (modes, modes))
        for mode in range(modes):
            check_probabilities(f"transition_matrix[{mode}]", self.probs[mode])
        self.steady = True

    @property
    def modes(self) -> int:
        """The number of modes."""
        return self.probs.shape[0]

    @property
    def free_parameters(self) -> int:
        """One less than the number of modes in each row."""
        return self.modes * (self.modes - 1)

    def matrix(self, u: Input, dt: ScalarLike) -> Float[Array, "mode mode"]:
        """Return the matrix."""
        return self.probs

    def reordered(self, order: Int[Array, " mode"]) -> "MarkovChain":
        """Return the same chain with mode `order[i]` called i."""
        return MarkovChain(self.probs[order][:, order])

    def reestimate(
        self,
        pairs: Float[Array, "step mode mode"],
        u: Float[Array, "step input"] | None,
        dts: Float[Array, " gap"],
        pseudo: Float[Array, "mode mode"],
    ) -> "MarkovChain":
        """Return expected frequencies; a row without any passage stays as it is."""
        counts = jnp.sum(pairs, axis=0) + pseudo
        return MarkovChain(normalised_rows(counts, self.probs))

    def log_prior(self, pseudo: Float[Array, "mode mode"]) -> Scalar:
        """Return sum pseudo_ij log P_ij."""
        return jnp.sum(jax.scipy.special.xlogy(pseudo, self.probs))


def normalised_rows(
    counts: Float[Array, "*row mode"], before: Float[Array, "*row mode"]
) -> Float[Array, "*row mode"]:
    """Return rows divided by their sums; a row of zeros becomes what it was before.

    Args:
        counts: Non-negative numbers.
        before: What to keep where a row is empty.
    """
    total = jnp.sum(counts, axis=-1, keepdims=True)
    full = jnp.broadcast_to(total > 0, counts.shape)
    return jnp.where(full, counts / jnp.where(total > 0, total, 1.0), before)


def check_probabilities(name: str, probs: Float[Array, " mode"]) -> None:
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
    if values.min(initial=0.0) < 0.0:
        raise InputError(
            f"`{name}` must not be negative; got {values.min():.3g} at index "
            f"{int(values.argmin())}. Pass probabilities, not their logarithms."
        )
    total = float(values.sum())
    if abs(total - 1.0) > float(np.sqrt(jnp.finfo(probs.dtype).eps)):
        raise InputError(
            f"`{name}` must sum to one; got {total:.10g}. Divide by the sum."
        )
