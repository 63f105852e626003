"""What a basis of a memory must supply.

A memory describes the past as a function of a canonical coordinate z whose right end
is always *now*: z in [0, 1] for bases on an interval, z in (-inf, 0] for bases on a
half line. Functions are orthonormal for a probability measure on that domain, so the
coefficients of the past are inner products, and the energy of what they describe is
the sum of their squares. How time becomes z is the business of the clock alone.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError
from slipstate.memory.clock.lag import Dilation, Lag


class AbstractBasis(eqx.Module):
    """Orthonormal functions of the canonical coordinate; holds settings only.

    Attributes:
        modes: Number of functions N.
    """

    modes: eqx.AbstractVar[int]

    @abstractmethod
    def values(self, z: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Evaluate all functions at canonical coordinates (newest at the right end)."""

    @abstractmethod
    def at(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Evaluate all functions where *now* was `lag` ago; accurate for tiny lags."""

    @abstractmethod
    def fill(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Integrate all functions over the part of the domain newer than `lag`.

        This is B of a cell hold, and the answer of the memory to a step that began
        `lag` ago; its first entry is the share of the measure for bases with p_0 = 1.
        """

    @abstractmethod
    def mass(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return the measure of the part of the domain newer than `lag`."""

    @abstractmethod
    def matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Return A[n, m] = <p_n, L p_m>, the lag operator in this basis."""

    @abstractmethod
    def remembered(self, lag: Lag) -> tuple[Lag, Lag, Float[Array, " node"]]:
        """Return a quadrature rule for the remembered part of the domain.

        Returns:
            The nodes as lags from the old *now*, the same nodes as lags from the new
            *now*, and weights of the measure on the new domain.
        """

    @abstractmethod
    def created(self, lag: Lag) -> tuple[Lag, Float[Array, " node"]]:
        """Return a quadrature rule for the part of the domain newer than `lag`."""

    @abstractmethod
    def closed(self, lag: Lag) -> bool:
        """Tell whether this kind of lag maps the span of the test functions to itself.

        If so, a step is the exact projection of the whole held past for every N.
        """

    @abstractmethod
    def forgetting(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return sup |L g|^2 / |g|^2 in the majorant measure (infinite if none).

        For a closed pair this is also the factor that takes the energy of the old
        past to the energy of its remembered part.
        """

    @abstractmethod
    def excess(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return (majorant measure) / (measure) >= 1 at the point `lag` ago."""

    def quadrature_matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Compute A by quadrature: the definition, whatever closed form exists."""
        old, new, weights = self.remembered(lag)
        return (self.at(new) * weights[:, None]).T @ self.at(old)

    def quadrature_fill(self, lag: Lag) -> Float[Array, " mode"]:
        """Compute B of a cell hold by quadrature: the definition."""
        new, weights = self.created(lag)
        return weights @ self.at(new)

    def gram(self) -> Float[Array, "mode mode"]:
        """Compute <p_n, p_m> over the whole domain by quadrature."""
        _, new, weights = self.remembered(Dilation(jnp.asarray(0.0)))
        values = self.at(new)
        return (values * weights[:, None]).T @ values


def check_modes(modes: int) -> None:
    """Raise unless `modes` is a positive integer."""
    if isinstance(modes, bool) or not isinstance(modes, int) or modes < 1:
        raise InputError(
            f"`modes` must be a positive integer; got {modes!r}. It is the number of "
            "basis functions, for example `Legendre(64)`."
        )


def constant(table: object, like: Array) -> Array:
    """Bring a host table to the device in the precision of `like`."""
    return jnp.asarray(table, like.dtype)


def last_axis(table: object, like: Array) -> Array:
    """Bring a host vector to the device as the last axis of something like `like`."""
    vector = constant(table, like)
    return vector.reshape((1,) * (like.ndim - 1) + (-1,))
