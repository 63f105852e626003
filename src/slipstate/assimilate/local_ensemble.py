"""The local ensemble transform Kalman filter: one small analysis per place."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.ensemble_update import AbstractEnsembleFilter, Whitened
from slipstate.assimilate.inflation import (
    AbstractInflation,
    Multiplicative,
    as_inflation,
)
from slipstate.assimilate.localise import Localisation
from slipstate.assimilate.members import check_members
from slipstate.ground.matrix_roots import inverse_and_root
from slipstate.ground.types import Key


class LocalEnsembleTransformKalman(AbstractEnsembleFilter):
    """`EnsembleTransformKalman` at each state component, with the observations near it.

    At component g, observation j has its precision multiplied by taper_gj, so that with
    C_g = S diag(taper_g) S^T

        x_g <- mean_g + X_g^T ((I + C_g)^-1 S diag(taper_g) R^-1/2 innovation),
        X_g <- (I + C_g)^-1/2 X_g,

    the symmetric root, which changes little from one component to the next. Noise
    correlated between observations is made independent first; a component then stands
    for what it adds to those before it.

    Attributes:
        localisation: Weight of each observation at each state component.
        members: Size of the ensemble, at least 2.
        inflation: Factor on the anomalies after each update, or an inflation rule.
        rotate: Whether to turn the anomalies at random afterwards, all places alike.

    References:
        Hunt, Kostelich & Szunyogh (2007), Efficient data assimilation for
        spatiotemporal chaos, Physica D 230.
    """

    localisation: Localisation
    members: int = eqx.field(static=True, default=10)
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
        """Return shift and anomalies, component by component."""
        S, v = seen.S, seen.innovation
        taper = self.localisation.taper.astype(S.dtype)
        M = len(S)
        pairs = (S[:, None, :] * S[None, :, :]).reshape(M * M, -1)
        C = (pairs @ taper.T).reshape(M, M, -1)
        pull = S @ (taper * v[None, :]).T
        inverse, root = inverse_and_root(C)
        weights = jnp.sum(inverse * pull[None], axis=1)
        return jnp.sum(weights * X, axis=0), jnp.sum(root * X[None], axis=1)
