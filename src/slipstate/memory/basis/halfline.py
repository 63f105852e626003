"""Bases on the half line of ages s = -z >= 0: Laguerre, and Hermite made one-sided.

A dilating clock moves ages by d = -ln r, so its exponential form (age in units of tau)
is the classical translated Laguerre memory, and any other clock W gives the same
algebra in the age ln W(now) - ln W(x).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.quadrature import (
    Recurrence,
    gauss_jacobi,
    gauss_laguerre,
    half_hermite_recurrence,
    laguerre_recurrence,
    panel_rule,
)
from slipstate.memory.basis.protocol import (
    AbstractBasis,
    check_modes,
    constant,
    last_axis,
)
from slipstate.memory.basis.recurrence import recur
from slipstate.memory.clock.lag import Dilation, Lag

# exp(-age) is below any rounding here, and polynomials do not overflow yet
_OLDEST = {"float64": 600.0, "float32": 80.0}


class AbstractHalfLineBasis(AbstractBasis):
    """Functions of the age s = -z >= 0."""


def _age(lag: Lag) -> Float[Array, "*batch"]:
    """Return the age -ln r; half-line bases know no windows."""
    assert isinstance(lag, Dilation)
    return -lag.log_ratio


class Laguerre(AbstractHalfLineBasis):
    """Laguerre polynomials L_n(s) for exp(-s) ds: closed for every dilating clock.

    The lag operator is a triangular Toeplitz matrix, exp(-d T) with T = tril(1).

    Attributes:
        modes: Number of polynomials.
    """

    modes: int = eqx.field(static=True)

    def __check_init__(self):
        check_modes(self.modes)

    def values(self, z: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Evaluate L_n(-z) for z <= 0."""
        return recur(laguerre_recurrence(self.modes), self.modes, -z)

    def at(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Evaluate L_n at the age of the lag."""
        return recur(laguerre_recurrence(self.modes), self.modes, _age(lag))

    def fill(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Integrate over ages up to d: 1 - e^-d, then e^-d (d/n) L^(1)_{n-1}(d)."""
        share = self.mass(lag)[..., None]
        n = self.modes
        if n == 1:
            return share
        age = _age(lag)
        alive = age < _OLDEST[age.dtype.name]
        age = jnp.where(alive, age, 1.0)
        k = np.arange(n, dtype=float)
        family = Recurrence(2 * k[: n - 1] + 2, -np.sqrt(k * (k + 1)))
        inner = recur(family, n - 1, age)
        factor = jnp.where(alive, age * jnp.exp(-age), 0.0)[..., None]
        return jnp.concatenate(
            [share, factor * inner * last_axis(1 / np.sqrt(k[1:]), inner)], axis=-1
        )

    def answer(
        self, lag: Lag, jumps: Float[Array, "cell channel"]
    ) -> Float[Array, "mode channel"]:
        """Return fill(lag)^T jumps."""
        return self.fill(lag).T @ jumps

    def mass(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return 1 - e^-d."""
        assert isinstance(lag, Dilation)
        return lag.new

    def matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Return the Toeplitz matrix with first column e^-d [1, L_n^(-1)(d)]."""
        assert isinstance(lag, Dilation)
        n = self.modes
        column = jnp.concatenate([lag.kept[None], -self.fill(lag)[1:]])
        index = np.arange(n)[:, None] - np.arange(n)[None, :]
        return jnp.where(index >= 0, column[np.abs(index)], 0.0)

    def remembered(self, lag: Lag) -> tuple[Lag, Lag, Float[Array, " node"]]:
        """Return Gauss-Laguerre nodes; they serve N up to about 128."""
        rule = gauss_laguerre(self.modes + 2)
        age = jnp.minimum(_age(lag), _OLDEST[lag.log_ratio.dtype.name])
        nodes = constant(rule.nodes, age)
        new = Dilation(-(age + nodes))
        return Dilation(-nodes), new, jnp.exp(-age) * constant(rule.weights, age)

    def created(self, lag: Lag) -> tuple[Lag, Float[Array, " node"]]:
        """Return a composite rule on ages up to d (e^{-s/2} has died at 80)."""
        rule = panel_rule(np.linspace(0.0, 1.0, 13 + self.modes // 8), 20)
        age = jnp.minimum(_age(lag), 80.0)
        nodes = age * constant(rule.nodes, age)
        return Dilation(-nodes), age * constant(rule.weights, age) * jnp.exp(-nodes)

    def thin(self, lag: Lag, points: int) -> tuple[Lag, Float[Array, " node"]]:
        """Return a short Gauss rule on ages up to d, for small d."""
        rule, age = gauss_jacobi(points), _age(lag)
        nodes = age * constant(rule.nodes, age)
        return Dilation(-nodes), age * constant(rule.weights, age) * jnp.exp(-nodes)

    def closed(self, lag: Lag) -> bool:
        """Tell that every dilation is closed."""
        return isinstance(lag, Dilation)

    def forgetting(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return e^-d."""
        return jnp.exp(-_age(lag))

    def excess(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return 1: the measure is its own majorant."""
        return jnp.ones_like(_age(lag))


class Hermite(AbstractHalfLineBasis):
    """Polynomials orthonormal for the one-sided Gaussian 2 exp(-s^2)/sqrt(pi) ds.

    Two-sided Hermite functions look into the future; this is their past half. Not
    closed: ageing a Gaussian changes its width in the old end.

    Attributes:
        modes: Number of polynomials.
    """

    modes: int = eqx.field(static=True)

    def __check_init__(self):
        check_modes(self.modes)

    def values(self, z: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Evaluate all polynomials at the age -z for z <= 0."""
        return recur(half_hermite_recurrence(self.modes), self.modes, -z)

    def at(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Evaluate all polynomials at the age of the lag."""
        return recur(half_hermite_recurrence(self.modes), self.modes, _age(lag))

    def fill(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Integrate over ages up to d by quadrature."""
        return batched_fill(self, lag)

    def mass(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return erf(d)."""
        return jax.scipy.special.erf(_age(lag))

    def matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Return A by quadrature."""
        return self.quadrature_matrix(lag)

    def remembered(self, lag: Lag) -> tuple[Lag, Lag, Float[Array, " node"]]:
        """Return a composite rule over all ages that matter."""
        rule = panel_rule(np.linspace(0.0, self._reach(), 13), 24 + self.modes // 4)
        age = jnp.minimum(_age(lag), 2.0 * self._reach())
        nodes = constant(rule.nodes, age)
        weights = constant(rule.weights * 2 / np.sqrt(np.pi), age)
        new = age + nodes
        return Dilation(-nodes), Dilation(-new), weights * jnp.exp(-(new**2))

    def created(self, lag: Lag) -> tuple[Lag, Float[Array, " node"]]:
        """Return a composite rule on ages up to d."""
        rule = panel_rule(np.linspace(0.0, 1.0, 13), 24 + self.modes // 4)
        age = jnp.minimum(_age(lag), self._reach())
        nodes = age * constant(rule.nodes, age)
        weights = age * constant(rule.weights * 2 / np.sqrt(np.pi), age)
        return Dilation(-nodes), weights * jnp.exp(-(nodes**2))

    def closed(self, lag: Lag) -> bool:
        """Tell that no lag is closed."""
        del lag
        return False

    def forgetting(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return exp(-d^2), reached at age 0."""
        return jnp.exp(-(_age(lag) ** 2))

    def excess(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return 1: the measure is its own majorant."""
        return jnp.ones_like(_age(lag))

    def _reach(self) -> float:
        """Age beyond which p_n^2 exp(-s^2) is below rounding."""
        return 6.0 + 2.2 * float(np.sqrt(self.modes))


def batched_fill(basis: AbstractBasis, lag: Lag) -> Float[Array, "*batch mode"]:
    """Evaluate `quadrature_fill` for an array of lags."""
    flat = jax.tree.map(jnp.ravel, lag)
    filled = jax.vmap(basis.quadrature_fill)(flat)
    return filled.reshape((*jax.tree.leaves(lag)[0].shape, basis.modes))
