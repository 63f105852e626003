"""What happens at the old end of a window: the value that leaves is not in the state.

Without a window (dilating clocks) nothing leaves and every boundary is the same.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError
from slipstate.memory.basis import AbstractBasis, Fourier
from slipstate.memory.clock.lag import Lag, Shift


class AbstractBoundary(eqx.Module):
    """How the part of the past that leaves a window is taken off the coefficients."""

    @property
    @abstractmethod
    def stored(self) -> int:
        """How many past cells the state must carry; 0 for none."""

    @abstractmethod
    def check(self, basis: AbstractBasis) -> None:
        """Raise if the boundary has no meaning for a basis."""

    @abstractmethod
    def correct(
        self,
        basis: AbstractBasis,
        lag: Lag,
        a: Float[Array, "mode mode"],
        b: Float[Array, "mode input"],
    ) -> tuple[Float[Array, "mode mode"], Float[Array, "mode input"]]:
        """Return A and B of the step, from those of the plain projection."""


class ProjectedBoundary(AbstractBoundary):
    """Take what leaves from the reconstruction: the lag operator and nothing else.

    Right for polynomials, whose reconstruction holds up to the edge. A Fourier series
    converges to the mean of both ends there and loses several per cent.
    """

    @property
    def stored(self) -> int:
        """Nothing is carried."""
        return 0

    def check(self, basis: AbstractBasis) -> None:
        """Accept every basis."""

    def correct(
        self,
        basis: AbstractBasis,
        lag: Lag,
        a: Float[Array, "mode mode"],
        b: Float[Array, "mode input"],
    ) -> tuple[Float[Array, "mode mode"], Float[Array, "mode input"]]:
        """Return A and B as they are."""
        return a, b


class MeanCorrectedBoundary(AbstractBoundary):
    """For `Fourier`: what leaves is twice the edge of the series minus the newest.

    The whole circle turns by d, after the estimated value of what leaves has been
    taken off: c+ = T(d) [c - q (2 p(0).c - u)] + int_new p u with q = int_0^d p. For
    d -> 0 this is c' = (S - 2 b b^T) c + 2 b u, the FouT of HiPPO.

    References:
        Gu et al. (2022), How to train your HiPPO, arXiv:2206.12037.
    """

    @property
    def stored(self) -> int:
        """Nothing is carried."""
        return 0

    def check(self, basis: AbstractBasis) -> None:
        """Accept a Fourier basis with whole pairs."""
        if not isinstance(basis, Fourier) or basis.modes % 2 == 0:
            got = f"{type(basis).__name__}({basis.modes})"
            raise InputError(
                "`boundary` MeanCorrectedBoundary needs a Fourier basis with an odd "
                f"number of modes; got {got}. Other series hold up to the edge: use "
                "ProjectedBoundary."
            )

    def correct(
        self,
        basis: AbstractBasis,
        lag: Lag,
        a: Float[Array, "mode mode"],
        b: Float[Array, "mode input"],
    ) -> tuple[Float[Array, "mode mode"], Float[Array, "mode input"]]:
        """Replace the reconstruction at the edge by its corrected value."""
        if not isinstance(lag, Shift) or not isinstance(basis, Fourier):
            return a, b
        # what leaves, [0, d], becomes what comes, [1 - d, 1], by the turn: T q = fill
        fill = basis.fill(lag)
        edge = basis.values(jnp.zeros((), lag.new.dtype))
        return basis.turn(lag.new) - 2.0 * jnp.outer(fill, edge), b.at[:, 0].add(fill)


class BufferedBoundary(AbstractBoundary):
    """Keep the cells of the window: an exact projection for every basis and step.

    Attributes:
        capacity: How many cells the state carries; must cover the window.
    """

    capacity: int = eqx.field(static=True)

    def __check_init__(self):
        if self.capacity < 1:
            raise InputError(
                f"`capacity` must be at least 1 cell; got {self.capacity}. Pass "
                "theta / dt, rounded up, plus one."
            )

    @property
    def stored(self) -> int:
        """The capacity."""
        return self.capacity

    def check(self, basis: AbstractBasis) -> None:
        """Accept every basis."""

    def correct(
        self,
        basis: AbstractBasis,
        lag: Lag,
        a: Float[Array, "mode mode"],
        b: Float[Array, "mode input"],
    ) -> tuple[Float[Array, "mode mode"], Float[Array, "mode input"]]:
        """Return A and B of the projection: the exact step is not a map of c alone."""
        return a, b
