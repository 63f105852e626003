"""The finite-size ensemble Kalman filter, which needs no inflation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.ensemble import transform
from slipstate.assimilate.ensemble_update import AbstractEnsembleFilter, Whitened
from slipstate.assimilate.inflation import (
    AbstractInflation,
    Multiplicative,
    as_inflation,
)
from slipstate.assimilate.members import check_members
from slipstate.ground.linalg import after, symmetric
from slipstate.ground.types import Key, Scalar, ScalarLike

_TRIPS = 24  # of a safeguarded Newton iteration on one number; 6 to 10 suffice


class FiniteSizeEnsembleKalman(AbstractEnsembleFilter):
    """EnKF-N: a square root that infers from each innovation how far to be inflated.

    A few members know neither mean nor covariance. With both integrated out under
    Jeffreys' prior, the analysis is that of `EnsembleTransformKalman` with anomalies
    multiplied beforehand by the l that minimises

        J(l) = sum_i d_i^2 / (M - 1 + l^2 s_i^2) + e / l^2 + c log l^2,

    where s_i are the singular values of the whitened predicted anomalies, d the
    innovation in that basis, and e = (M + 1) / M, c = M / (M - 1), corrected towards no
    inflation where the observation says little. Gradients treat l as a constant.

    Attributes:
        members: Size of the ensemble M, at least 2.
        certainty: Factor on the strength of the prior of l; more than 1 for models
            that are nearly linear.
        inflation: Further factor on the anomalies, or an inflation rule.
        rotate: Whether to turn the anomalies at random afterwards.

    References:
        Bocquet, Raanes & Hannart (2015), Expanding the validity of the ensemble Kalman
        filter without the intrinsic need for inflation, Nonlin. Proc. Geophys. 22.
        Raanes, Bocquet & Carrassi (2019), Adaptive covariance inflation, QJRMS 145.
    """

    members: int = eqx.field(static=True, default=50)
    certainty: ScalarLike = 1.0
    inflation: AbstractInflation = eqx.field(
        converter=as_inflation, default_factory=Multiplicative
    )
    rotate: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        """Refuse ensembles without spread."""
        check_members(self.members)

    def analyse(
        self, X: Float[Array, "ens state"], seen: Whitened, *, key: Key | None
    ) -> tuple[Float[Array, " state"], Float[Array, "ens state"]]:
        """Return shift and anomalies of the square root of an inflated ensemble."""
        factor = self.factor(seen)
        # decompositions one behind the other, see `after`
        S = after(seen.S, factor[None])
        return transform(factor * X, factor * S, seen.innovation)

    def factor(self, seen: Whitened) -> Scalar:
        """Return l, the factor on the anomalies that the innovation asks for."""
        S, v = jax.lax.stop_gradient((seen.S, seen.innovation))
        M = float(self.members)
        if S.shape[1] <= S.shape[0]:
            values, vectors = jnp.linalg.eigh(symmetric(S.T @ S))
            squares = jnp.maximum(values, 0.0)
            d2, outside = (vectors.T @ v) ** 2, M - S.shape[1]
        else:
            values, vectors = jnp.linalg.eigh(symmetric(S @ S.T))
            squares = jnp.maximum(values, 0.0)
            some = squares > squares[-1] * M * jnp.finfo(S.dtype).eps
            along = vectors.T @ (S @ v)
            # what lies outside the span of S is a constant of J
            d2 = jnp.where(some, along**2 / jnp.where(some, squares, 1.0), 0.0)
            outside = 0
        # S is scaled by sqrt(M - 1): with that, J over M - 1 in the first term
        c = M / (M - 1.0)
        mode = (M + 1.0) / M / c
        weight = (jnp.sum(1.0 / (1.0 + squares)) + outside) / M
        correction = jnp.sqrt(mode**weight)
        e = self.certainty * (M + 1.0) / M / correction
        c = self.certainty * c * correction
        return _minimise(squares, d2 / (M - 1.0), e, c)


def _minimise(
    squares: Float[Array, " n"], d2: Float[Array, " n"], e: Scalar, c: Scalar
) -> Scalar:
    """Return the l > 0 where sum d^2 / (1 + l^2 s^2) + e / l^2 + c log l^2 is least.

    In t = log l^2 the slope has one sign change; Newton's step, halved into a bracket.
    """

    def slopes(t: Scalar) -> tuple[Scalar, Scalar]:
        part = squares * jnp.exp(t)
        first = d2 * part / (1.0 + part) ** 2
        second = first * (1.0 - part) / (1.0 + part)
        fall = e * jnp.exp(-t)
        return c - fall - jnp.sum(first), fall - jnp.sum(second)

    def trip(
        carry: tuple[Scalar, Scalar, Scalar], _: None
    ) -> tuple[tuple[Scalar, Scalar, Scalar], None]:
        low, high, t = carry
        slope, bend = slopes(t)
        low, high = jnp.where(slope < 0, t, low), jnp.where(slope < 0, high, t)
        step = t - slope / jnp.where(bend > 0, bend, 1.0)
        inside = (bend > 0) & (step > low) & (step < high)
        return (low, high, jnp.where(inside, step, 0.5 * (low + high))), None

    # at l^2 = e / c the slope is negative; above, d^2 < 1 + l^2 s^2 ends its rise
    low = jnp.log(e / c)
    high = jnp.log((e + jnp.sum(d2)) / c) + 1.0
    start = (low, high, jnp.clip(jnp.zeros_like(low), low, high))
    (_, _, t), _ = jax.lax.scan(trip, start, None, length=_TRIPS)
    return jnp.exp(0.5 * t)
