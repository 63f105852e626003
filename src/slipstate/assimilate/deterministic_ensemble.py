"""The deterministic ensemble Kalman filter of Sakov and Oke."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.ensemble_update import AbstractEnsembleFilter, Whitened
from slipstate.assimilate.inflation import (
    AbstractInflation,
    Multiplicative,
    as_inflation,
)
from slipstate.assimilate.members import check_members
from slipstate.assimilate.stochastic_ensemble import gain
from slipstate.ground.types import Key


class DeterministicEnsembleKalman(AbstractEnsembleFilter):
    """The whole gain moves the mean, half the gain the anomalies.

        mean <- mean + K (y - mean of predictions),   X <- X - Y K^T / 2,

    which is the square root to first order in K H and errs on the side of too much
    spread: inflation is built in.

    Attributes:
        members: Size of the ensemble, at least 2.
        inflation: Factor on the anomalies after each update, or an inflation rule.
        rotate: Whether to turn the anomalies at random afterwards.

    References:
        Sakov & Oke (2008), A deterministic formulation of the ensemble Kalman filter,
        Tellus A 60.
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
        """Return the shift of the mean and the anomalies by half the gain."""
        both = jnp.concatenate([-0.5 * seen.S, seen.innovation[None, :]], axis=0)
        moves = gain(X, seen.S, both)
        return moves[-1], X + moves[:-1]
