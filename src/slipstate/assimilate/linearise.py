"""A nonlinear function of a Gaussian as a line with noise about it.

    x = m + L z,  z ~ N(0, I):     f(x) ~ mean + slope z + N(0, spread).

Each rule answers the same question its own way, and a filter asks nothing else: with
`Taylor` it is the extended Kalman filter, with `Unscented`, `Cubature` or
`GaussHermite` the filter of that name. In terms of z nothing is ever inverted, so a
singular covariance is as good as any other.

References:
    Sarkka & Svensson (2023), Bayesian filtering and smoothing, chapters 7 to 9.
    Arasaratnam & Haykin (2009), Cubature Kalman filters, IEEE Trans. Automatic Control
    54. Julier & Uhlmann (2004), Unscented filtering, Proc. IEEE 92.
"""

import itertools
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.elimination import decorrelate
from slipstate.ground.errors import InputError

Function = Callable[[Float[Array, " state"]], Float[Array, " out"]]
"""What is to be linearised."""

_MOST_POINTS = 20_000


class Linearised(eqx.Module):
    """f(m + L z) ~ mean + slope z + N(0, spread), z standard normal.

    Attributes:
        mean: Expectation of f.
        slope: Covariance of f and z.
        spread: Covariance of f that the line leaves unexplained.
    """

    mean: Float[Array, "*time out"]
    slope: Float[Array, "*time out state"]
    spread: Float[Array, "*time out out"]

    def cov(self) -> Float[Array, "out out"]:
        """Return the covariance of f."""
        return self.slope @ self.slope.T + self.spread


class Points(NamedTuple):
    """Points and weights of a quadrature for a standard normal vector.

    Attributes:
        places: One point per row.
        mean_weights: Weights of the mean, summing to one.
        cov_weights: Weights of the covariance; another centre for `Unscented`.
    """

    places: np.ndarray
    mean_weights: np.ndarray
    cov_weights: np.ndarray


class AbstractRule(eqx.Module):
    """A way to linearise."""

    @abstractmethod
    def linearise(
        self, f: Function, mean: Float[Array, " state"], root: Float[Array, "state n"]
    ) -> Linearised:
        """Return f as a line in z, for x = mean + root z.

        Args:
            f: The function.
            mean: Mean of its argument.
            root: L with L L^T the covariance of its argument.
        """


class Taylor(AbstractRule):
    """The tangent at the mean: the extended Kalman filter."""

    def linearise(
        self, f: Function, mean: Float[Array, " state"], root: Float[Array, "state n"]
    ) -> Linearised:
        """Return f(m) and its tangent, without spread."""
        value, turn = jax.linearize(f, mean)
        slope = jax.vmap(turn, in_axes=1, out_axes=1)(root)
        size = value.shape[0]
        return Linearised(value, slope, jnp.zeros((size, size), value.dtype))


class SecondTaylor(AbstractRule):
    """The tangent, with mean and spread of the quadratic part: second order.

    mean_a = f_a(m) + tr(C_a) / 2 and spread_ab = tr(C_a C_b) / 2, with C_a the second
    derivative of f_a by z.
    """

    def linearise(
        self, f: Function, mean: Float[Array, " state"], root: Float[Array, "state n"]
    ) -> Linearised:
        """Return the moments of the second-order expansion."""
        line = Taylor().linearise(f, mean, root)
        g = lambda z: f(mean + root @ z)
        curve = jax.hessian(g)(jnp.zeros(root.shape[1], root.dtype))
        shift = 0.5 * jnp.trace(curve, axis1=1, axis2=2)
        spread = 0.5 * jnp.einsum("aij,bij->ab", curve, curve)
        return Linearised(line.mean + shift, line.slope, spread)


class AbstractPointRule(AbstractRule):
    """A rule that asks the function at a few points."""

    @abstractmethod
    def points(self, n: int) -> Points:
        """Return the points for a standard normal vector of `n` components."""

    def linearise(
        self, f: Function, mean: Float[Array, " state"], root: Float[Array, "state n"]
    ) -> Linearised:
        """Return the line of least squares over the points."""
        found = self.points(root.shape[1])
        z, weights, again = (jnp.asarray(part, root.dtype) for part in found)
        values = jax.vmap(f)(mean[None, :] + z @ root.T)
        centre = weights @ values
        apart = values - centre[None, :]
        slope = (apart * again[:, None]).T @ z
        # squares of what is left, not a difference of squares: a linear function has
        # no spread, whatever its scale
        left = apart - z @ slope.T
        return Linearised(centre, slope, (left * again[:, None]).T @ left)


class Cubature(AbstractPointRule):
    """Two points on each axis, exact for polynomials of third degree."""

    def points(self, n: int) -> Points:
        """Return +-sqrt(n) on each axis, with equal weights."""
        places = np.sqrt(n) * np.concatenate([np.eye(n), -np.eye(n)])
        weights = np.full(2 * n, 0.5 / n)
        return Points(places, weights, weights)


class Unscented(AbstractPointRule):
    """Two points on each axis and one in the centre.

    Attributes:
        alpha: Distance of the points from the centre, relative.
        beta: Further weight of the centre in covariances; 2 for small alpha.
        kappa: Weight of the centre; None for 3 - n up to n = 3, which matches fourth
            moments along the axes, and 0 beyond, so that no weight is negative.
    """

    alpha: float = eqx.field(static=True, default=1.0)
    beta: float = eqx.field(static=True, default=0.0)
    kappa: float | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        """Refuse points that all lie in the centre."""
        if not self.alpha > 0.0:
            raise InputError(
                f"`alpha` must be positive; got {self.alpha}. Pass 1, or 1e-3 for "
                "points close to the mean."
            )

    def points(self, n: int) -> Points:
        """Return the scaled points of Julier and Uhlmann."""
        kappa = float(max(3 - n, 0)) if self.kappa is None else self.kappa
        reach = self.alpha**2 * (n + kappa)
        if not reach > 0.0:
            raise InputError(
                f"`kappa` must be larger than minus the {n} components of the state; "
                f"got {kappa}. Pass None."
            )
        axes = np.sqrt(reach) * np.concatenate([np.eye(n), -np.eye(n)])
        weights = np.full(2 * n + 1, 0.5 / reach)
        weights[0] = (reach - n) / reach
        again = weights.copy()
        again[0] += 1.0 - self.alpha**2 + self.beta
        return Points(np.concatenate([np.zeros((1, n)), axes]), weights, again)


class GaussHermite(AbstractPointRule):
    """A grid of Gauss-Hermite points, order^n of them.

    Attributes:
        order: Points along each axis; exact for polynomials of degree 2 order - 1.
    """

    order: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        """Refuse a grid of one point, which sees no slope."""
        if self.order < 2:
            raise InputError(f"`order` must be at least 2; got {self.order}. Pass 3.")

    def points(self, n: int) -> Points:
        """Return the grid."""
        if self.order**n > _MOST_POINTS:
            raise InputError(
                f"`order` must keep order^state below {_MOST_POINTS}; got "
                f"{self.order}^{n}. Use Unscented() or Cubature()."
            )
        line, weights = np.polynomial.hermite_e.hermegauss(self.order)
        weights = weights / weights.sum()
        grid = np.array(list(itertools.product(line, repeat=n))).reshape(-1, n)
        product = np.prod(list(itertools.product(weights, repeat=n)), axis=1)
        return Points(grid, product, product)


def in_state(
    line: Linearised, cov: Float[Array, "state state"]
) -> Float[Array, "out state"]:
    """Return A with f(x) ~ mean + A (x - m), from the slope by z.

    A direction without variance gets no slope: along it nothing can be asked.

    Args:
        line: A function linearised about N(m, cov), with the root `psd_root(cov)`.
        cov: That covariance.
    """
    pivots, inverse = decorrelate(cov, jnp.eye(cov.shape[0], dtype=cov.dtype))
    usable = pivots > 0
    scale = jnp.where(usable, 1.0 / jnp.sqrt(jnp.where(usable, pivots, 1.0)), 0.0)
    return (line.slope * scale[None, :]) @ inverse
