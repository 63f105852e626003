"""Local bases: piecewise constants, Haar wavelets and B-splines.

None is closed (only a halving of the domain maps dyadic constants to each other), so a
step smears what it moves; their strength is a jump, which stays where it is when the
memory is filled directly instead of step by step.
"""

from abc import abstractmethod
from functools import lru_cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import BSpline as HostSpline
from scipy.linalg import solve_triangular

from slipstate.ground.errors import InputError
from slipstate.ground.quadrature import gauss_jacobi, panel_rule
from slipstate.memory.basis.halfline import batched_fill
from slipstate.memory.basis.protocol import (
    AbstractBasis,
    check_modes,
    constant,
    last_axis,
)
from slipstate.memory.basis.unit import panel_created, panel_remembered
from slipstate.memory.clock.lag import Dilation, Lag


class AbstractPanelBasis(AbstractBasis):
    """Functions that are smooth between knots, for the uniform measure on [0, 1]."""

    @abstractmethod
    def knots(self) -> np.ndarray:
        """Return the break points, 0 and 1 included."""

    @abstractmethod
    def points(self) -> int:
        """Return the Gauss nodes a panel needs for the product of two functions."""

    def at(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Evaluate all functions where *now* was `lag` ago."""
        return self.values(lag.kept)

    def mass(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return rho, the measure being uniform."""
        return lag.new

    def remembered(self, lag: Lag) -> tuple[Lag, Lag, Float[Array, " node"]]:
        """Return Gauss nodes between the knots of both times."""
        knots = constant(self.knots(), lag.new)
        return panel_remembered(lag, knots, gauss_jacobi(self.points()))

    def created(self, lag: Lag) -> tuple[Lag, Float[Array, " node"]]:
        """Return Gauss nodes between the knots of the new part."""
        knots = constant(self.knots(), lag.new)
        return panel_created(lag, knots, gauss_jacobi(self.points() + 4))

    def closed(self, lag: Lag) -> bool:
        """Tell that no lag is closed."""
        del lag
        return False

    def forgetting(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return r for a dilation, 1 for a window."""
        return lag.kept if isinstance(lag, Dilation) else jnp.ones_like(lag.amount)

    def excess(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return 1: the measure is uniform."""
        return jnp.ones_like(lag.new)


class PiecewiseConstant(AbstractPanelBasis):
    """A histogram of the past: sqrt(N) on each of N equal bins.

    Attributes:
        modes: Number of bins.
    """

    modes: int = eqx.field(static=True)

    def __check_init__(self):
        check_modes(self.modes)

    def knots(self) -> np.ndarray:
        """Return the bin edges."""
        return np.arange(self.modes + 1) / self.modes

    def points(self) -> int:
        """Return 1."""
        return 1

    def values(self, z: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Return sqrt(N) in the bin that holds z."""
        k = jnp.clip(jnp.floor(z * self.modes), 0, self.modes - 1)[..., None]
        hit = k == last_axis(np.arange(self.modes), k)
        return jnp.where(hit, jnp.asarray(np.sqrt(self.modes), z.dtype), 0.0)

    def fill(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Return the overlaps of [r, 1] with the bins."""
        rho, n = lag.new[..., None], self.modes
        older = last_axis(np.arange(n)[::-1] / n, rho)
        return jnp.clip(rho - older, 0.0, 1.0 / n) * np.sqrt(n)

    def matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Return the overlaps of bins with moved bins: two or three to a row."""
        knots = constant(self.knots(), lag.new)
        shrinks = isinstance(lag, Dilation)
        aged = jnp.clip(lag.kept * knots if shrinks else knots - lag.new, 0.0, None)
        low = jnp.maximum(knots[:-1, None], aged[None, :-1])
        high = jnp.minimum(knots[1:, None], aged[None, 1:])
        return self.modes * jnp.maximum(high - low, 0.0)


class Haar(AbstractPanelBasis):
    """Haar wavelets: piecewise constants ordered by scale.

    Attributes:
        modes: Number of functions, a power of two.
    """

    modes: int = eqx.field(static=True)

    def __check_init__(self):
        check_modes(self.modes)
        if self.modes & (self.modes - 1):
            raise InputError(
                f"`modes` must be a power of two for Haar wavelets; got {self.modes}. "
                f"Pass {1 << self.modes.bit_length()}, or use `PiecewiseConstant`."
            )

    def knots(self) -> np.ndarray:
        """Return the edges of the finest scale."""
        return np.arange(self.modes + 1) / self.modes

    def points(self) -> int:
        """Return 1."""
        return 1

    def values(self, z: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Evaluate all wavelets at z in [0, 1]."""
        return self._bins().values(z) @ constant(haar_transform(self.modes), z).T

    def fill(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Integrate over [r, 1] in closed form."""
        return self._bins().fill(lag) @ constant(haar_transform(self.modes), lag.new).T

    def matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Return A: that of the bins in other coordinates."""
        turn = constant(haar_transform(self.modes), lag.new)
        return turn @ self._bins().matrix(lag) @ turn.T

    def _bins(self) -> PiecewiseConstant:
        return PiecewiseConstant(self.modes)


@lru_cache(maxsize=32)
def haar_transform(modes: int) -> np.ndarray:
    """Return the orthogonal matrix from bins to wavelets.

    Args:
        modes: A power of two.

    Returns:
        Rows are wavelets, the constant first, then from coarse to fine.
    """
    turn = np.ones((1, 1))
    while turn.shape[0] < modes:
        coarse = np.kron(turn, [1.0, 1.0])
        fine = np.kron(np.eye(turn.shape[0]), [-1.0, 1.0])
        turn = np.vstack([coarse, fine]) / np.sqrt(2.0)
    return turn


class BSpline(AbstractPanelBasis):
    """Uniform B-splines on [0, 1], orthonormalised by the Cholesky factor of Gram.

    Attributes:
        modes: Number of splines.
        degree: Degree of the pieces.
    """

    modes: int = eqx.field(static=True)
    degree: int = eqx.field(static=True, default=3)

    def __check_init__(self):
        check_modes(self.modes)
        if not 0 <= self.degree < self.modes:
            raise InputError(
                f"`degree` must lie between 0 and modes - 1 = {self.modes - 1}; got "
                f"{self.degree}."
            )

    def knots(self) -> np.ndarray:
        """Return the distinct knots."""
        return np.linspace(0.0, 1.0, self.modes - self.degree + 1)

    def points(self) -> int:
        """Return degree + 1, exact for the product of two pieces."""
        return self.degree + 1

    def values(self, z: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Evaluate the orthonormal combinations at z in [0, 1]."""
        full = np.pad(self.knots(), self.degree, mode="edge")
        z, d = z[..., None], self.degree
        t = last_axis(full, z)
        spans = self.modes - d
        span = jnp.clip(jnp.floor(z * spans), 0, spans - 1)
        row = (span + d == last_axis(np.arange(full.size - 1), z)).astype(z.dtype)
        for k in range(1, d + 1):  # Cox and de Boor; 0/0 at repeated knots counts as 0
            rise, drop = full[k:-1] - full[: -k - 1], full[k + 1 :] - full[1:-k]
            up = last_axis(np.divide(1.0, rise, where=rise > 0, out=0 * rise), z)
            down = last_axis(np.divide(1.0, drop, where=drop > 0, out=0 * drop), z)
            left = (z - t[..., : -k - 1]) * up * row[..., :-1]
            right = (t[..., k + 1 :] - z) * down * row[..., 1:]
            row = left + right
        return row @ constant(_spline_transform(self.modes, d)[0], z).T

    def fill(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Integrate over [r, 1]; exact quadrature between knots."""
        return batched_fill(self, lag)

    def matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Return A; exact quadrature between the knots of both times."""
        return self.quadrature_matrix(lag)

    @property
    def condition(self) -> float:
        """Condition number of the Gram matrix of the raw splines."""
        return _spline_transform(self.modes, self.degree)[1]


@lru_cache(maxsize=32)
def _spline_transform(modes: int, degree: int) -> tuple[np.ndarray, float]:
    """Return T with T S T^T = I for the Gram matrix S of the raw splines, cond(S)."""
    distinct = np.linspace(0.0, 1.0, modes - degree + 1)
    rule = panel_rule(distinct, degree + 1)
    full = np.pad(distinct, degree, mode="edge")
    raw = HostSpline.design_matrix(rule.nodes, full, degree).toarray()
    gram = (raw * rule.weights[:, None]).T @ raw
    factor = np.linalg.cholesky(gram)
    transform = solve_triangular(factor, np.eye(modes), lower=True)
    return transform, float(np.linalg.cond(gram))
