"""The ensemble transform Kalman filter: members in place of moments."""

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from slipstate.assimilate.ensemble_update import (
    AbstractEnsembleFilter,
    EnsembleInfo,
    Whitened,
)
from slipstate.assimilate.inflation import (
    AbstractInflation,
    Multiplicative,
    as_inflation,
)
from slipstate.assimilate.members import check_members, rotate
from slipstate.ground.roots import inverse_and_shrinkage
from slipstate.ground.types import Key

__all__ = ["EnsembleInfo", "EnsembleTransformKalman", "rotate", "transform"]


class EnsembleTransformKalman(AbstractEnsembleFilter):
    """Square-root ensemble Kalman filter for any transition and observation.

    With anomalies X and predicted anomalies Y as rows, both over sqrt(members - 1),
    and S = Y R^-1/2,

        mean <- mean + X^T S (I + S^T S)^-1 R^-1/2 (y - mean of predictions),
        X    <- (I + S S^T)^-1/2 X,

    the symmetric root, so that the mean of the members is the mean. The analysis is
    then inflated about the mean and rotated by a random orthogonal matrix that keeps
    mean and covariance; where nothing depends on which root is turned, a cheaper one
    is. Rows without any observation change nothing.

    Attributes:
        members: Size of the ensemble, at least 2.
        inflation: Factor on the anomalies after each update, 1 for none, or a rule of
            `slipstate.assimilate.inflation`; compensates what a finite ensemble and a
            nonlinear model lose in spread.
        rotate: Whether to rotate; without it nonlinear models build up outliers.

    References:
        Bishop, Etherton & Majumdar (2001), Monthly Weather Review 129. Sakov & Oke
        (2008), Implications of the form of the ensemble transformation, MWR 136.
    """

    members: int = eqx.field(static=True, default=50)
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
        """Return the shift of the mean, and X by a root."""
        turned = self.rotate and isinstance(self.inflation, Multiplicative)
        root = transform_anyhow if turned else transform
        return root(X, seen.S, seen.innovation)


def transform(
    X: Float[Array, "ens state"],
    S: Float[Array, "ens obs"],
    white: Float[Array, " obs"],
) -> tuple[Float[Array, " state"], Float[Array, "ens state"]]:
    """Condition scaled anomalies on a whitened innovation, by the symmetric root.

    Args:
        X: Anomalies over sqrt(members - 1).
        S: Predicted anomalies over sqrt(members - 1), whitened by the noise.
        white: Whitened innovation.

    Returns:
        Shift of the mean, and the analysis anomalies, scaled as `X`.
    """
    if S.shape[1] <= S.shape[0]:  # decompose the smaller of S^T S and S S^T
        inverse, phi = inverse_and_shrinkage(S.T @ S)
        return X.T @ (S @ (inverse @ white)), X + S @ (phi @ (S.T @ X))
    C = S @ S.T
    inverse, phi = inverse_and_shrinkage(C)
    return X.T @ (inverse @ (S @ white)), X + phi @ (C @ X)


def transform_anyhow(
    X: Float[Array, "ens state"],
    S: Float[Array, "ens obs"],
    white: Float[Array, " obs"],
) -> tuple[Float[Array, " state"], Float[Array, "ens state"]]:
    """Do what `transform` does with the root that is cheapest, not the symmetric one.

    For members that are turned at random afterwards: no eigenvalues are needed.

    Args:
        X: Anomalies over sqrt(members - 1), rows summing to zero.
        S: Predicted anomalies over sqrt(members - 1), whitened by the noise.
        white: Whitened innovation.

    Returns:
        Shift of the mean, and the analysis anomalies, scaled as `X`.

    References:
        Andrews (1968), A square root formulation of the Kalman covariance equations,
        AIAA Journal 6.
    """
    few = S.shape[1] < S.shape[0]
    return (_by_components if few else _by_members)(X, S, white)


def _by_components(
    X: Float[Array, "ens state"],
    S: Float[Array, "ens obs"],
    white: Float[Array, " obs"],
) -> tuple[Float[Array, " state"], Float[Array, "ens state"]]:
    """Take the root X - S (L + I)^-T L^-1 S^T X with I + S^T S = L L^T (Andrews)."""
    eye = jnp.eye(S.shape[1], dtype=S.dtype)
    L = jnp.linalg.cholesky(S.T @ S + eye)
    sides = jnp.concatenate([S.T @ X, white[:, None]], axis=1)
    found = solve_triangular(L, sides, lower=True)
    taken = solve_triangular(L + eye, found[:, :-1], trans=1, lower=True)
    return found[:, :-1].T @ found[:, -1], X - S @ taken


def _by_members(
    X: Float[Array, "ens state"],
    S: Float[Array, "ens obs"],
    white: Float[Array, " obs"],
) -> tuple[Float[Array, " state"], Float[Array, "ens state"]]:
    """Take the root L^-1 X with I + S S^T + c 1 1^T = L L^T, and mend its sums.

    The rows of L^-1 X do not sum to zero over the members but are orthogonal to L^T 1;
    a reflection puts 1 in the place of that direction.
    """
    # along 1, where neither S nor X is, any number will do: one of the size of S S^T
    level = jnp.sum(S**2) / len(S) ** 2
    C = S @ S.T + (jnp.eye(len(S), dtype=S.dtype) + level)
    L = jnp.linalg.cholesky(C)
    sides = jnp.concatenate([X, (S @ white)[:, None]], axis=1)
    found = solve_triangular(L, sides, lower=True)
    after, pull = found[:, :-1], found[:, -1]
    direction = jnp.sum(L, axis=0)
    size = jnp.sqrt(jnp.sum(direction**2))
    # pointing away from 1, so that nothing cancels; a reflection has no sign
    mirror = direction / size + jnp.sqrt(1.0 / len(S))
    scale = 2.0 / jnp.sum(mirror**2)
    turned = after - (scale * mirror)[:, None] * (mirror @ after)[None, :]
    return after.T @ pull, turned
