"""Jacobi polynomials on [0, 1] and their named members.

The measure is the probability c (1-z)^a z^b dz: `a` is the exponent at the newest end,
`b` at the oldest. A pair with a dilating clock is closed exactly when a = 0.
"""

from abc import abstractmethod
from math import exp, lgamma

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError
from slipstate.ground.quadrature import gauss_jacobi
from slipstate.memory.basis.dilation import dilation_matrix
from slipstate.memory.basis.protocol import (
    AbstractBasis,
    check_modes,
    constant,
    last_axis,
)
from slipstate.memory.basis.recurrence import (
    end_table,
    graded_rule,
    recur_ends,
    recur_ends_dot,
)
from slipstate.memory.basis.unit import split_remembered, uniform_created
from slipstate.memory.clock.lag import Dilation, Lag


class AbstractJacobiBasis(AbstractBasis):
    """Polynomials orthonormal for c (1-z)^a z^b dz on [0, 1], newest at z = 1."""

    @property
    @abstractmethod
    def a(self) -> float:
        """Exponent at the newest end."""

    @property
    @abstractmethod
    def b(self) -> float:
        """Exponent at the oldest end."""

    def values(self, z: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Evaluate all polynomials at z in [0, 1]."""
        return recur_ends(end_table(self.modes, self.a, self.b), z, 1.0 - z)

    def at(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Evaluate all polynomials where *now* was `lag` ago."""
        table = end_table(self.modes, self.a, self.b)
        return recur_ends(table, lag.kept, lag.new)

    def fill(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Integrate over [r, 1] in closed form.

        By Sturm-Liouville, int_r^1 p_n w = r^{b+1} (1-r)^{a+1} p_n'(r) / (c lambda_n)
        with p_n' a polynomial of Jacobi (a+1, b+1); nothing cancels near r = 1.
        """
        share = self.mass(lag)[..., None]
        n = self.modes
        if n == 1:
            return share
        table = end_table(n - 1, self.a + 1, self.b + 1)
        inner = recur_ends(table, lag.kept, lag.new)
        rest = inner * self._edge(lag)[..., None] * last_axis(self._scale(), inner)
        return jnp.concatenate([share, rest], axis=-1)

    def answer(
        self, lag: Lag, jumps: Float[Array, "cell channel"]
    ) -> Float[Array, "mode channel"]:
        """Return fill(lag)^T jumps, never storing the (cell, mode) values of fill."""
        share = self.mass(lag) @ jumps
        n = self.modes
        if n == 1:
            return share[None]
        table = end_table(n - 1, self.a + 1, self.b + 1)
        weighted = self._edge(lag)[:, None] * jumps
        inner = recur_ends_dot(table, lag.kept, lag.new, weighted)
        return jnp.concatenate(
            [share[None], inner * constant(self._scale(), inner)[:, None]]
        )

    def _edge(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return r^{b+1} (1-r)^{a+1}, what an integral up to r = 1 starts with."""
        return _power(lag.kept, self.b + 1) * _power(lag.new, self.a + 1)

    def _scale(self) -> np.ndarray:
        """Return 1 / (c sqrt(lambda_n ...)), the norms of int_r^1 p_n w for n >= 1."""
        a, b, k = self.a, self.b, np.arange(1, self.modes)
        norms = _log_beta(a + 1, b + 1) + _log_beta(a + 2, b + 2)
        return np.exp(-0.5 * (np.log(k * (k + a + b + 1.0)) + norms))

    def mass(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return the measure of [r, 1], an incomplete beta function."""
        if self.a == 0.0 and isinstance(lag, Dilation):
            return -jnp.expm1((self.b + 1.0) * lag.log_ratio)
        if self.a == self.b == 0.0:
            return lag.new
        rho = lag.new
        a, b = (jnp.asarray(x + 1.0, rho.dtype) for x in (self.a, self.b))
        return jax.scipy.special.betainc(a, b, rho)

    def matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Return A: r^G by recurrence where closed, otherwise by quadrature."""
        if self.closed(lag) and isinstance(lag, Dilation):
            return dilation_matrix(self.modes, self.b, lag.log_ratio)
        if self.a == 0.0:
            return self.quadrature_matrix(lag)
        eye = jnp.eye(self.modes, dtype=lag.new.dtype)
        return jnp.where(lag.new > 0.0, self.quadrature_matrix(lag), eye)

    def remembered(self, lag: Lag) -> tuple[Lag, Lag, Float[Array, " node"]]:
        """Return nodes on z in [0, r]: Gauss-Jacobi with the old-end exponent."""
        n, (a, b) = self.modes, (self.a, self.b)
        r, rho = lag.kept, lag.new
        if a == 0.0:
            rule = gauss_jacobi(n, 0.0, b)
            x, gap = constant(rule.nodes, r), constant(1.0 - rule.nodes, r)
            weights = _power(r, b + 1) * constant(rule.weights, r)
        else:
            x, gap, weights = graded_rule(rho, 2 * n, b)
            weights = weights * _power(r, b + 1) * (rho + r * gap) ** a
            weights = weights * exp(-_log_beta(a + 1, b + 1))
        return *split_remembered(lag, x, gap), weights

    def created(self, lag: Lag) -> tuple[Lag, Float[Array, " node"]]:
        """Return nodes on z in [r, 1]: Gauss-Jacobi with the new-end exponent."""
        a, b = self.a, self.b
        r, rho = lag.kept, lag.new
        y, rest, weights = graded_rule(r, self.modes + 2, a)
        left = r + rho * rest
        weights = weights * _power(rho, a + 1) * left**b
        return lag.along(left, rho * y), weights * exp(-_log_beta(a + 1, b + 1))

    def thin(self, lag: Lag, points: int) -> tuple[Lag, Float[Array, " node"]]:
        """Return a short Gauss rule on [r, 1], for r above 1/2 and a = 0."""
        new, weights = uniform_created(lag, gauss_jacobi(points))
        return new, weights * (self.b + 1.0) * _power(new.kept, self.b)

    def closed(self, lag: Lag) -> bool:
        """Tell whether the pair is closed: a dilation, and no weight at the new end."""
        return self.a == 0.0 and isinstance(lag, Dilation)

    def forgetting(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return r^{b+1} for a dilation; 1 for a window unless b < 0 (infinite)."""
        if isinstance(lag, Dilation):
            return jnp.exp((self.b + 1.0) * lag.log_ratio)
        return jnp.full_like(lag.new, 1.0 if self.b >= 0.0 else jnp.inf)

    def excess(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return (1-z)^{-a} for a > 0, where z^b is the majorant; otherwise 1."""
        if self.a > 0.0:
            # an empty cell has nodes at age 0, with no weight
            tiny = jnp.finfo(lag.new.dtype).tiny
            return jnp.maximum(lag.new, tiny) ** (-self.a)
        return jnp.ones_like(lag.new)


def _log_beta(p: float, q: float) -> float:
    """Return ln B(p, q)."""
    return lgamma(p) + lgamma(q) - lgamma(p + q)


def _power(x: Float[Array, "*batch"], exponent: float) -> Float[Array, "*batch"]:
    """Return x^exponent with clean gradients for the common exponents."""
    exact = {0.0: jnp.ones_like(x), 1.0: x, 2.0: x * x}
    return exact[exponent] if exponent in exact else x**exponent


def _check_exponent(name: str, value: float) -> None:
    if not value > -1.0:
        raise InputError(
            f"`{name}` must be above -1, or the measure is infinite; got {value}."
        )


class Legendre(AbstractJacobiBasis):
    """Legendre polynomials: every part of the past counts alike in the clock's time.

    With `ScaleClock` this is HiPPO-LegS, exactly.

    Attributes:
        modes: Number of polynomials.
    """

    modes: int = eqx.field(static=True)

    def __check_init__(self):
        check_modes(self.modes)

    @property
    def a(self) -> float:
        """0, for a uniform measure."""
        return 0.0

    @property
    def b(self) -> float:
        """0, for a uniform measure."""
        return 0.0


class Jacobi(AbstractJacobiBasis):
    """Jacobi polynomials for the measure c (1-z)^a z^b dz.

    b > 0 makes the old past count less and stays closed; a > 0 makes the newest
    samples count less and is not closed.

    Attributes:
        modes: Number of polynomials.
        a: Exponent at the newest end, above -1.
        b: Exponent at the oldest end, above -1.
    """

    modes: int = eqx.field(static=True)
    a: float = eqx.field(static=True, default=0.0, converter=float)
    b: float = eqx.field(static=True, default=0.0, converter=float)

    def __check_init__(self):
        check_modes(self.modes)
        _check_exponent("a", self.a)
        _check_exponent("b", self.b)


class Gegenbauer(AbstractJacobiBasis):
    """Gegenbauer (ultraspherical) polynomials for c (z(1-z))^{alpha - 1/2} dz.

    Attributes:
        modes: Number of polynomials.
        alpha: Order above -1/2; 1/2 is Legendre, 0 Chebyshev T, 1 Chebyshev U.
    """

    modes: int = eqx.field(static=True)
    alpha: float = eqx.field(static=True, converter=float)

    def __check_init__(self):
        check_modes(self.modes)
        if not self.alpha > -0.5:
            raise InputError(f"`alpha` must be above -1/2; got {self.alpha}.")

    @property
    def a(self) -> float:
        """Exponent at the newest end."""
        return self.alpha - 0.5

    @property
    def b(self) -> float:
        """Exponent at the oldest end."""
        return self.alpha - 0.5


class ChebyshevT(AbstractJacobiBasis):
    """Chebyshev polynomials of the first kind: both ends of the past weigh most.

    Attributes:
        modes: Number of polynomials.
    """

    modes: int = eqx.field(static=True)

    def __check_init__(self):
        check_modes(self.modes)

    @property
    def a(self) -> float:
        """-0.5."""
        return -0.5

    @property
    def b(self) -> float:
        """-0.5."""
        return -0.5


class ChebyshevU(AbstractJacobiBasis):
    """Chebyshev polynomials of the second kind: the middle of the past weighs most.

    Attributes:
        modes: Number of polynomials.
    """

    modes: int = eqx.field(static=True)

    def __check_init__(self):
        check_modes(self.modes)

    @property
    def a(self) -> float:
        """0.5."""
        return 0.5

    @property
    def b(self) -> float:
        """0.5."""
        return 0.5
