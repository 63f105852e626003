"""Serial filters: one scalar observation after the other, each by regression.

Noise is made independent and of unit variance. Then, for each observation in turn, its
own predicted values z_i move by increments that only the scalar update decides, and
every state component and every later observation follows by regression on z, times a
localisation weight. A scalar update is what tells the filters of this family apart.
"""

from abc import abstractmethod

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
from slipstate.ground.types import Key, Scalar


class AbstractSerialFilter(AbstractEnsembleFilter):
    """An ensemble filter that takes in one scalar at a time.

    Attributes:
        localisation: Weight of each observation at each state component and at each
            other observation; None for 1 everywhere.
    """

    localisation: eqx.AbstractVar[Localisation | None]

    @abstractmethod
    def increments(self, z: Float[Array, " ens"], y: Scalar) -> Float[Array, " ens"]:
        """Return what is added to predicted values `z`, seen as `y` + N(0, 1)."""

    def analyse(
        self, X: Float[Array, "ens state"], seen: Whitened, *, key: Key | None
    ) -> tuple[Float[Array, " state"], Float[Array, "ens state"]]:
        """Return shift and anomalies after all observations in turn."""
        n = X.shape[1]
        size = jnp.sqrt(jnp.asarray(len(X) - 1, X.dtype))
        # what is updated: the state about its mean, and observations minus the data
        both = size * jnp.concatenate([X, seen.S], axis=1)
        both = both - jnp.concatenate([jnp.zeros(n), seen.innovation])[None, :]
        if self.localisation is None:
            taper = jnp.ones((seen.S.shape[1], both.shape[1]), X.dtype)
        else:
            parts = [self.localisation.taper.T, self.localisation.between]
            taper = jnp.concatenate(parts, axis=1).astype(X.dtype)

        def take_in(both: Array, row: tuple[Array, Array, Array]) -> tuple[Array, None]:
            place, weights, present = row
            z = both[:, n + place]
            change = present * self.increments(z, jnp.zeros((), z.dtype))
            apart = z - jnp.mean(z)
            square = apart @ apart
            some = square > 0.0
            slope = (apart @ both) / jnp.where(some, square, 1.0)
            slope = jnp.where(some, slope * weights, 0.0)
            return both + change[:, None] * slope[None, :], None

        rows = (jnp.arange(seen.S.shape[1]), taper, seen.seen)
        members = jax.lax.scan(take_in, both, rows)[0][:, :n]
        shift = jnp.mean(members, axis=0)
        return shift, (members - shift[None, :]) / size


class SerialEnsembleAdjustment(AbstractSerialFilter):
    """The ensemble adjustment Kalman filter: a scalar square root at each observation.

    z <- mean_a + (z - mean) sqrt(var_a / var) with Kalman's mean and variance.

    Attributes:
        members: Size of the ensemble, at least 2.
        localisation: Weight of each observation at each place, or None.
        inflation: Factor on the anomalies after each update, or an inflation rule.
        rotate: Whether to turn the anomalies at random afterwards.

    References:
        Anderson (2001), An ensemble adjustment Kalman filter for data assimilation,
        MWR 129. Anderson (2003), A local least squares framework, MWR 131.
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

    def increments(self, z: Float[Array, " ens"], y: Scalar) -> Float[Array, " ens"]:
        """Return the move to Kalman's mean and variance."""
        mean = jnp.mean(z)
        var = jnp.sum((z - mean) ** 2) / (self.members - 1)
        gain = var / (var + 1.0)
        # sqrt(1 - k) - 1 without cancelling
        narrow = -gain / (1.0 + jnp.sqrt(1.0 / (var + 1.0)))
        return gain * (y - mean) + narrow * (z - mean)
