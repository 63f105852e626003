"""The ensemble Kalman filter with perturbed observations."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.ensemble_update import AbstractEnsembleFilter, Whitened
from slipstate.assimilate.inflation import (
    AbstractInflation,
    Multiplicative,
    as_inflation,
)
from slipstate.assimilate.members import check_members, needed
from slipstate.ground.elimination import UNROLL, decorrelate
from slipstate.ground.types import Key


class StochasticEnsembleKalman(AbstractEnsembleFilter):
    """Each member is updated with an observation that was perturbed by noise.

        x_i <- x_i + X^T S (I + S^T S)^-1 R^-1/2 (y + e_i - y_i),  e_i ~ N(0, R),

    with X and S as for `EnsembleTransformKalman`. The perturbations are centred, so
    that they do not move the mean. Sampling noise makes it need more members than a
    square root, and more robust where the model is strongly nonlinear.

    Attributes:
        members: Size of the ensemble, at least 2.
        inflation: Factor on the anomalies after each update, or an inflation rule.
        rotate: Whether to turn the anomalies at random afterwards.

    References:
        Burgers, van Leeuwen & Evensen (1998), Analysis scheme in the ensemble Kalman
        filter, Monthly Weather Review 126.
    """

    members: int = eqx.field(static=True, default=50)
    inflation: AbstractInflation = eqx.field(
        converter=as_inflation, default_factory=Multiplicative
    )
    rotate: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        """Refuse ensembles without spread."""
        check_members(self.members)

    def analyse(
        self, X: Float[Array, "ens state"], seen: Whitened, *, key: Key | None
    ) -> tuple[Float[Array, " state"], Float[Array, "ens state"]]:
        """Return shift of the mean and anomalies, one solve for both."""
        key = needed(key, "StochasticEnsembleKalman")
        draws = jax.random.normal(key, seen.S.shape, seen.S.dtype)
        draws = (draws - jnp.mean(draws, axis=0, keepdims=True)) * seen.seen[None, :]
        misfit = draws / jnp.sqrt(float(self.members - 1)) - seen.S
        both = jnp.concatenate([misfit, seen.innovation[None, :]], axis=0)
        moves = gain(X, seen.S, both)
        return moves[-1], X + moves[:-1]


def gain(
    X: Float[Array, "ens state"],
    S: Float[Array, "ens obs"],
    rows: Float[Array, "row obs"],
) -> Float[Array, "row state"]:
    """Return rows (I + S^T S)^-1 S^T X: the Kalman gain applied to innovations.

    Args:
        X: Anomalies.
        S: Predicted anomalies, whitened by the noise.
        rows: Innovations in units of the noise.

    Returns:
        What each innovation adds to a state.
    """
    if S.shape[1] <= S.shape[0]:
        return solve_shifted(S.T @ S, rows.T).T @ (S.T @ X)
    return solve_shifted(S @ S.T, S @ rows.T).T @ X


def solve_shifted(
    C: Float[Array, "n n"], rows: Float[Array, "n m"]
) -> Float[Array, "n m"]:
    """Return (I + C)^-1 rows for a positive semi-definite C, small or large.

    Args:
        C: Symmetric positive semi-definite.
        rows: Right-hand sides, as columns.
    """
    n = len(C)
    eye = jnp.eye(n, dtype=C.dtype)
    if n > UNROLL:
        root = jnp.linalg.cholesky(eye + C)
        return jax.scipy.linalg.cho_solve((root, True), rows)
    # U (I + C) U^T = D, so that the inverse is U^T D^-1 U
    pivots, both = decorrelate(eye + C, jnp.concatenate([rows, eye], axis=1))
    m = rows.shape[1]
    return both[:, m:].T @ (both[:, :m] / pivots[:, None])
