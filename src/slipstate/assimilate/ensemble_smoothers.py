"""The ensemble Kalman smoother: an update reaches back to lagged members."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.ensemble import EnsembleTransformKalman
from slipstate.assimilate.ensemble_update import (
    AbstractEnsembleFilter,
    EnsembleInfo,
    innovation_log_density,
    observe,
)
from slipstate.assimilate.inflation import AbstractFixedInflation
from slipstate.assimilate.members import draw_members, move_members, needed, rotate
from slipstate.assimilate.protocol import AbstractInfo, AbstractSmoother
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Ensemble


class Lagged(eqx.Module):
    """Members now and at the rows before.

    Attributes:
        blocks: Members now, one row ago, two rows ago, ...
    """

    blocks: Float[Array, "lag ens state"]


class EnsembleKalmanSmoother(AbstractSmoother):
    """Fixed-lag smoother by any global ensemble filter.

    What an update does to the members is a linear combination of members. The same
    combination, applied to the members of earlier rows, conditions these too: the state
    is extended by its own past. `smooth_series` gives each row given `lag` rows after.

    Attributes:
        filter: The ensemble filter, without localisation, with a fixed inflation, which
            acts on the present only.
        lag: Rows that an observation reaches back.

    References:
        Evensen & van Leeuwen (2000), An ensemble Kalman smoother for nonlinear
        dynamics, Monthly Weather Review 128.
    """

    filter: AbstractEnsembleFilter = eqx.field(default_factory=EnsembleTransformKalman)
    lag: int = eqx.field(static=True, default=5)

    def __check_init__(self) -> None:
        """Refuse a lag below 1."""
        if self.lag < 1:
            raise InputError(f"`lag` must be 1 or more; got {self.lag}. Pass 5.")

    def check(self, model: AbstractModel) -> None:
        """Raise unless the filter can treat `model` and reach back.

        Args:
            model: The model.

        Raises:
            MethodError: The filter cannot treat the model, is localised, or learns its
                inflation.
        """
        self.filter.check(model)
        local = any(
            value is not None
            for name, value in vars(self.filter).items()
            if name == "localisation"
        )
        if local or not isinstance(self.filter.inflation, AbstractFixedInflation):
            raise MethodError(
                "`EnsembleKalmanSmoother` needs a global filter with fixed inflation; "
                f"got {type(self.filter).__name__} with localisation or adaptive "
                "inflation. Pass EnsembleTransformKalman(members=50, inflation=1.02)."
            )

    def init(self, model: AbstractModel, *, key: Key | None) -> Lagged:
        """Draw the first ensemble; its past is itself."""
        key = needed(key, "EnsembleKalmanSmoother")
        members = draw_members(model, self.filter.members, key=key).members
        return Lagged(jnp.broadcast_to(members, (self.lag + 1, *members.shape)))

    def predict(
        self,
        model: AbstractModel,
        state: Lagged,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> Lagged:
        """Move the members of now; those of before become one row older."""
        key = needed(key, "EnsembleKalmanSmoother")
        moved = move_members(model, state.blocks[0], u, dt, key=key)
        return Lagged(jnp.concatenate([moved[None], state.blocks[:-1]]))

    def update(
        self,
        model: AbstractModel,
        state: Lagged,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[Lagged, EnsembleInfo]:
        """Return members now and before given the observed entries of `y`."""
        keys = jax.random.split(needed(key, "EnsembleKalmanSmoother"), 3)
        rows, M, n = state.blocks.shape
        size = jnp.sqrt(jnp.asarray(M - 1, y.dtype))
        inflation = self.filter.inflation
        centre = jnp.mean(state.blocks, axis=1)
        X = (state.blocks - centre[:, None, :]) / size
        X = X.at[0].set(inflation.before(X[0], inflation.start()))
        now = centre[0][None, :] + size * X[0]
        info, seen = observe(model, now, y, mask, u)
        flat = jnp.swapaxes(X, 0, 1).reshape(M, rows * n)
        shift, after = self.filter.analyse(flat, seen, key=keys[0])
        after = after.at[:, :n].set(
            inflation.after(flat[:, :n], after[:, :n], key=keys[1])
        )
        if self.filter.rotate:
            after = rotate(after, key=keys[2])
        blocks = (centre + shift.reshape(rows, n))[:, None, :] + size * jnp.swapaxes(
            after.reshape(M, rows, n), 0, 1
        )
        known = jnp.any(info.mask)
        return Lagged(jnp.where(known, blocks, state.blocks)), info

    def belief(self, state: Lagged) -> AbstractBelief:
        """Return the members of now: they are a belief."""
        return Ensemble(state.blocks[0])

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log N(innovation; 0, its covariance) of the observed components."""
        assert isinstance(info, EnsembleInfo)
        return innovation_log_density(info)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: Lagged,
        predicted: Lagged,
        u: Input,
        dt: ScalarLike,
    ) -> Any:
        """Return the oldest members, which no later row has reached.

        Args:
            model: The model.
            filtered: State at row k.
            predicted: State predicted for row k + 1.
            u: Exogenous input of the step.
            dt: Length of the step.
        """
        return filtered.blocks[-1]

    def smooth_step(self, element: Any, smoothed: Lagged) -> Lagged:
        """Return the state whose present is row k, as known at the last row."""
        return Lagged(jnp.concatenate([smoothed.blocks[1:], element[None]]))
