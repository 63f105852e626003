"""The nonlinear ensemble transform filter: a particle filter's first two moments."""

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
from slipstate.assimilate.localise import Localisation
from slipstate.assimilate.members import check_members
from slipstate.ground.matrix_roots import psd_sqrt
from slipstate.ground.types import Key


class NonlinearEnsembleTransform(AbstractEnsembleFilter):
    """Mean and covariance of the members weighted by their likelihood, exactly.

    With w_i proportional to p(y | x_i) and anomalies X,

        mean <- sum_i w_i x_i,   X <- sqrt(M) (diag(w) - w w^T)^1/2 X,

    so that nothing is assumed Gaussian but the noise of the observation. It degenerates
    as a particle filter does where the observation says much; `localisation` keeps what
    each component sees small.

    Attributes:
        members: Size of the ensemble M, at least 2.
        localisation: Weight of each observation at each component, or None.
        inflation: Factor on the anomalies after each update, or an inflation rule.
        rotate: Whether to turn the anomalies at random afterwards.

    References:
        Todter & Ahrens (2015), A second-order exact ensemble square root filter for
        nonlinear data assimilation, Monthly Weather Review 143.
    """

    members: int = eqx.field(static=True, default=50)
    localisation: Localisation | None = None
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
        """Return shift and anomalies of the weighted members."""
        M = float(self.members)
        misfits = (seen.innovation[None, :] - jnp.sqrt(M - 1.0) * seen.S) ** 2

        def weighted(taper: Float[Array, " obs"]) -> tuple[Array, Array]:
            weights = jax.nn.softmax(-0.5 * (misfits @ taper))
            # of rows that sum to 1 in the direction (1, ..., 1): that one is lost
            spread = jnp.diag(weights) - weights[:, None] * weights[None, :]
            return weights, psd_sqrt(spread)

        if self.localisation is None:
            weights, root = weighted(jnp.ones_like(seen.innovation))
            return jnp.sqrt(M - 1.0) * (weights @ X), _centred(jnp.sqrt(M) * (root @ X))
        taper = self.localisation.taper.astype(X.dtype)
        weights, roots = jax.vmap(weighted)(taper)
        shift = jnp.sqrt(M - 1.0) * jnp.sum(weights * X.T, axis=1)
        return shift, _centred(jnp.sqrt(M) * jnp.einsum("gij,jg->ig", roots, X))


def _centred(X: Float[Array, "ens state"]) -> Float[Array, "ens state"]:
    """Return anomalies that sum to zero, which a root of rounding spoils."""
    return X - jnp.mean(X, axis=0, keepdims=True)
