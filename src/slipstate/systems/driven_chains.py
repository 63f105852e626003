"""Chains whose steps differ: driven by an input, or living in continuous time.

A driven chain follows the exogenous input u of the step,

    P_ij = exp(B_ij + W_ij u) / sum_l exp(B_il + W_il u),

and a chain in continuous time its length, P = exp(G dt).

References:
    Bohning (1992), Multinomial logistic regression algorithm, Ann. Inst. Statist. Math.
    44. Bengio & Frasconi (1996), Input-output HMMs for sequence processing, IEEE
    Trans. Neural Networks 7.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from slipstate.ground.arrays import Numbers, as_real, check_finite, is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.chains import AbstractChain
from slipstate.systems.mode_regression import psd_inverse
from slipstate.systems.protocol import Input

_INNER = 10  # steps of the bound per re-estimation; each one raises the likelihood


class DrivenChain(AbstractChain):
    """A chain whose every step follows an exogenous input.

    Only differences within a row matter; a fit keeps their mean over columns.

    Attributes:
        logits: B, the log odds at u = 0, rows the mode before the step.
        slopes: W, their change with each input (mode, mode, input).
        steady: False.
    """

    logits: Float[Array, "mode mode"]
    slopes: Float[Array, "mode mode input"]
    steady: bool = eqx.field(static=True)

    def __init__(self, logits: Numbers, slopes: Numbers) -> None:
        """Check and keep the numbers.

        Args:
            logits: Log odds at u = 0 (mode, mode).
            slopes: Their change with each input (mode, mode, input).

        Raises:
            InputError: Shapes disagree or a number is not finite.
        """
        self.logits = as_real("logits", logits, (None, None))
        modes = self.logits.shape[0]
        self.logits = as_real("logits", logits, (modes, modes))
        self.slopes = as_real("slopes", slopes, (modes, modes, None))
        check_finite("logits", self.logits)
        check_finite("slopes", self.slopes)
        self.steady = False

    @property
    def modes(self) -> int:
        """The number of modes."""
        return self.logits.shape[0]

    @property
    def free_parameters(self) -> int:
        """One less than the modes in each row, for the odds and for each input."""
        return self.modes * (self.modes - 1) * (1 + self.slopes.shape[2])

    def matrix(self, u: Input, dt: ScalarLike) -> Float[Array, "mode mode"]:
        """Return the softmax of each row of B + W u."""
        if u is None or u.shape[0] != self.slopes.shape[2]:
            got = "none" if u is None else str(u.shape[0])
            raise InputError(
                f"`u` must hold {self.slopes.shape[2]} inputs at every row, as the "
                f"chain has slopes; got {got}. Pass Observations(y, u=...)."
            )
        return jax.nn.softmax(self.logits + self.slopes @ u, axis=1)

    def reordered(self, order: Int[Array, " mode"]) -> "DrivenChain":
        """Return the same chain with mode `order[i]` called i."""
        return DrivenChain(self.logits[order][:, order], self.slopes[order][:, order])

    def reestimate(
        self,
        pairs: Float[Array, "step mode mode"],
        u: Float[Array, "step input"] | None,
        dts: Float[Array, " gap"],
        pseudo: Float[Array, "mode mode"],
    ) -> "DrivenChain":
        """Raise the expected log-likelihood by steps along a quadratic bound.

        The second derivative of log softmax is nowhere steeper than (I - 1/K)/2, so
        that moves of 2 (X^T W X)^-1 X^T (pairs - expected) never lower it (Bohning
        1992). Pseudo-counts are passages at u = 0.
        """
        if u is None:
            raise InputError("`u` must be given for a driven chain; got None.")
        x = jnp.concatenate([jnp.ones_like(u[:, :1]), u], axis=1)
        at_zero = jnp.zeros_like(x[:1]).at[0, 0].set(1.0)
        x = jnp.concatenate([x, at_zero])
        pairs = jnp.concatenate([pairs, pseudo[None]])
        leaving = jnp.sum(pairs, axis=2)
        curvature = jnp.einsum("ti,ta,tb->iab", leaving, x, x)
        # directions in which no input was ever seen stay where they are
        inverse = jax.vmap(psd_inverse)(curvature)

        def climb(theta: Array, _: None) -> tuple[Array, None]:
            probs = jax.nn.softmax(jnp.einsum("ija,ta->tij", theta, x), axis=2)
            slope = jnp.einsum("tij,ta->ija", pairs - leaving[:, :, None] * probs, x)
            return theta + 2.0 * jnp.einsum("iab,ijb->ija", inverse, slope), None

        theta = jnp.concatenate([self.logits[:, :, None], self.slopes], axis=2)
        theta, _ = jax.lax.scan(climb, theta, None, length=_INNER)
        return DrivenChain(theta[:, :, 0], theta[:, :, 1:])

    def log_prior(self, pseudo: Float[Array, "mode mode"]) -> Scalar:
        """Return sum pseudo_ij log P_ij at u = 0."""
        return jnp.sum(pseudo * jax.nn.log_softmax(self.logits, axis=1))


class RateChain(AbstractChain):
    """A chain in continuous time, for rows at irregular times.

    Attributes:
        rates: G, the rate of passage from row to column [1 / time unit of the model];
            what stands on the diagonal is minus the sum of the rest of its row.
        steady: False.
    """

    rates: Float[Array, "mode mode"]
    steady: bool = eqx.field(static=True)

    def __init__(self, rates: Numbers) -> None:
        """Check and keep the rates.

        Args:
            rates: Rates of passage (mode, mode); the diagonal is not read.

        Raises:
            InputError: It is not square, or a rate is negative or not finite.
        """
        given = as_real("rates", rates, (None, None))
        modes = given.shape[0]
        given = as_real("rates", rates, (modes, modes))
        apart = given * (1.0 - jnp.eye(modes, dtype=given.dtype))
        check_finite("rates", apart)
        if is_concrete(apart) and np.asarray(apart).min(initial=0.0) < 0.0:
            raise InputError(
                f"`rates` must not be negative; got {float(apart.min()):.3g}. Pass "
                "passages per unit of time, not logarithms."
            )
        self.rates = apart - jnp.diag(jnp.sum(apart, axis=1))
        self.steady = False

    @property
    def modes(self) -> int:
        """The number of modes."""
        return self.rates.shape[0]

    @property
    def free_parameters(self) -> int:
        """Every rate off the diagonal."""
        return self.modes * (self.modes - 1)

    def matrix(self, u: Input, dt: ScalarLike) -> Float[Array, "mode mode"]:
        """Return exp(G dt)."""
        probs = jax.scipy.linalg.expm(self.rates * dt)
        return jnp.maximum(probs, 0.0)  # a zero may come out as minus rounding

    def reordered(self, order: Int[Array, " mode"]) -> "RateChain":
        """Return the same chain with mode `order[i]` called i."""
        return RateChain(self.rates[order][:, order])

    def reestimate(
        self,
        pairs: Float[Array, "step mode mode"],
        u: Float[Array, "step input"] | None,
        dts: Float[Array, " gap"],
        pseudo: Float[Array, "mode mode"],
    ) -> "RateChain":
        """Return expected passages divided by the expected time spent in each mode.

        Between two rows the mode may pass several times unseen. With N_ij the expected
        pairs of a step and P = exp(G dt), the time spent in a and the passages from a
        to b are sum N_ij d log P_ij / dG_aa and sum N_ij G_ab d log P_ij / dG_ab.
        Pseudo-counts are of steps, not of times, and are not used.

        References:
            Bladt & Sorensen (2005), Statistical inference for discretely observed
            Markov jump processes, J. R. Statist. Soc. B 67.
        """

        def height(rates: Array) -> Scalar:
            probs = jax.vmap(lambda dt: jax.scipy.linalg.expm(rates * dt))(dts)
            some = (pairs > 0) & (probs > 0)
            return jnp.sum(
                jnp.where(some, pairs * jnp.log(jnp.where(some, probs, 1.0)), 0.0)
            )

        slope = jax.grad(height)(self.rates)
        stay = jnp.diag(slope)[:, None]
        found = self.rates * slope / jnp.where(stay > 0, stay, 1.0)
        # a mode in which no time was spent stays as it is; rounding may leave a minus
        return RateChain(jnp.maximum(jnp.where(stay > 0, found, self.rates), 0.0))

    def log_prior(self, pseudo: Float[Array, "mode mode"]) -> Scalar:
        """Return zero: rates take no prior of passages."""
        return jnp.zeros((), self.rates.dtype)
