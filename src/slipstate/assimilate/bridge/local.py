"""The bridge for fields: one small bridge at each place, made of common numbers.

The components are those of `filter`, N(s z_i, h^2 I) in the M - 1 directions of the
ensemble, the same everywhere. At place g the observations near it, their precision
multiplied by a taper, give weights, means and covariances of their own, and only the
component of the state that lies there is changed:

    x_g <- sum_j P_ij (L_g a_j) + h L_g A^1/2 z_i,     P_ij the coupling given row i,

then moved to the exact mean and variance of the posterior mixture at g. Nothing is
drawn, so neighbouring places, which hear nearly the same observations, change nearly
alike and a smooth field stays smooth. With h = 1 it is the local ensemble transform
Kalman filter, and h = 1 is the default for a linear observation: a few members know too
little of a place's neighbourhood for narrower components to pay. Otherwise the
bandwidth is one for all places, raised until the weights are worth enough on average.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.bridge.components import (
    DEAD,
    bandwidth_rungs,
    between,
    effective_size,
    first_enough,
)
from slipstate.assimilate.bridge.guard import replace_lost
from slipstate.assimilate.bridge.members import (
    move_members,
    needed,
)
from slipstate.assimilate.bridge.neighbours import Neighbours
from slipstate.assimilate.bridge.place import (
    Field,
    Place,
    condition_place,
    log_weights,
    over_places,
    regress,
    tangents,
)
from slipstate.assimilate.bridge.transport import absorbed_sinkhorn, scaled_cost
from slipstate.assimilate.members import (
    check_members,
    check_samples,
    draw_members,
    zero_sum_basis,
)
from slipstate.assimilate.noise import noise_covariance
from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo
from slipstate.ground.errors import MethodError
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import (
    AbstractLinearObservation,
    AbstractModel,
    Input,
)
from slipstate.systems.samples import Ensemble


class LocalBridgeInfo(AbstractInfo):
    """Diagnostics of one local bridge update.

    Attributes:
        innovation: Observation minus the mean of its predictions; 0 where masked.
        innovation_cov: Sample covariance of the predictions, plus the noise R.
        mask: True where observed.
        variance: Diagonal of `innovation_cov`.
        effective_size: What the weights are worth, on average over places.
        bandwidth: h that was used.
    """

    innovation: Float[Array, "*time obs"]
    innovation_cov: Float[Array, "*time obs obs"]
    mask: Bool[Array, "*time obs"]
    variance: Float[Array, "*time obs"]
    effective_size: Float[Array, "*time"]
    bandwidth: Float[Array, "*time"]


class LocalBridgeFilter(AbstractFilter):
    """Schroedinger-bridge filter for fields, localised by the precision of R.

    Needs noise that is independent between observations. Cost per update: linear in
    the state, quadratic in the members for a linear observation.

    Attributes:
        neighbours: The observations near each state component.
        members: Size of the ensemble, at least 2.
        bandwidth: c, factor on the rule-of-thumb bandwidth; None for h = 1 where the
            observation is linear, and the default of `BridgeFilter` otherwise.
        theta: Fraction of the members the weights must be worth, averaged over places;
            None for the default of `BridgeFilter`.
        inflation: Factor on the forecast anomalies before each update.
        epsilon: Entropy of the coupling, in units of the mean cost.
        sweeps: Number of Sinkhorn's sweeps at each place.
        regressed: Whether a nonlinear observation is made linear by regression over
            each component, and what the line leaves over counts as noise; else by
            its tangent.
    """

    neighbours: Neighbours
    members: int = eqx.field(static=True, default=20)
    bandwidth: ScalarLike | None = None
    theta: ScalarLike | None = None
    inflation: ScalarLike = 1.0
    epsilon: ScalarLike = 0.05
    sweeps: int = eqx.field(static=True, default=20)
    regressed: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        """Refuse ensembles without spread."""
        check_members(self.members)

    def check(self, model: AbstractModel) -> None:
        """Raise unless the model can be sampled and has the size of the lists."""
        check_samples(model, "LocalBridgeFilter", self.members)
        places = self.neighbours.index.shape[0]
        size = model.initial.mean().shape[0]
        if places != size:
            raise MethodError(
                f"`neighbours` must list the observations near each of {size} state "
                f"components; got {places} lists. Pass one list per component."
            )

    def init(self, model: AbstractModel, *, key: Key | None) -> Ensemble:
        """Draw the first ensemble, or take it from the model where it is one."""
        key = needed(key, "LocalBridgeFilter")
        return draw_members(model, self.members, key=key)

    def predict(
        self,
        model: AbstractModel,
        state: Ensemble,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> Ensemble:
        """Move every member by a draw of the transition."""
        key = needed(key, "LocalBridgeFilter")
        return Ensemble(move_members(model, state.members, u, dt, key=key))

    def update(
        self,
        model: AbstractModel,
        state: Ensemble,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[Ensemble, LocalBridgeInfo]:
        """Return the ensemble given the observed entries of `y`."""
        observe = lambda x: model.observation.predict(x, u)
        y = jnp.where(mask, y, 0.0)
        R = noise_covariance(model.observation)
        noise = jnp.diagonal(R)
        members, present = replace_lost(state.members)
        centre = jnp.mean(members, axis=0)
        basis = jnp.asarray(zero_sum_basis(self.members), y.dtype)
        size = jnp.sqrt(jnp.asarray(self.members - 1.0, y.dtype))
        scale = jnp.asarray(self.inflation, y.dtype)
        L = scale * (members - centre[None, :]).T @ basis / size
        z = size * basis
        near = self.neighbours
        shared = isinstance(model.observation, AbstractLinearObservation)

        def hear(h: Scalar) -> tuple[Field, Array]:
            """Return what all components predict, and which predict numbers."""
            shrink = jnp.sqrt(
                jnp.maximum(1.0 - h * h, 0.0) * self.members / (self.members - 1.0)
            )
            places = centre[None, :] + shrink * (z @ L.T)
            if shared:
                predicted = jax.vmap(observe)(places)
                slopes = tangents(observe, centre, L)
                beyond = jnp.zeros_like(y)[None]
            elif self.regressed:
                line = lambda x: regress(observe, x, L, h)
                predicted, slopes, beyond = jax.vmap(line)(places)
            else:
                line = lambda x: (observe(x), tangents(observe, x, L))
                predicted, slopes = jax.vmap(line)(places)
                beyond = jnp.zeros_like(y)[None]
            good = jnp.all(jnp.isfinite(predicted) | ~mask[None, :], 1) & present
            predicted = jnp.where(jnp.isfinite(predicted), predicted, 0.0)
            slopes = jnp.where(jnp.isfinite(slopes), slopes, 0.0)
            # noise that is nothing beside the signal counts as a millionth of it
            floor = 1e-12 * jnp.var(predicted, axis=0) + jnp.finfo(y.dtype).tiny
            beyond = jnp.where(jnp.isfinite(beyond), beyond, 0.0)
            noisy = jnp.maximum(noise, floor)[None, :] + beyond
            found = (noisy, predicted, slopes, h, z, shrink * z)
            return Field(y, mask, *found), good

        def weigh(h: Scalar) -> Scalar:
            """Return what the weights are worth on average over places."""
            field, good = hear(h)

            def one(index: Array, taper: Array) -> Scalar:
                logs = log_weights(field, index, taper)
                return effective_size(jnp.where(good, logs, DEAD))

            return jnp.mean(over_places(one, near.index, near.taper))

        alone = shared and self.bandwidth is None
        h = jnp.ones((), y.dtype) if alone else self._climb(weigh)
        field, good = hear(h)

        def move(index: Array, taper: Array, row: Array) -> tuple[Array, Scalar]:
            found = condition_place(field, good, index, taper, row)
            if alone:  # all components are one, and every coupling with it the same
                worth = jnp.sum(good.astype(y.dtype))
                return found.means[0] + z @ found.root, worth
            return self._cross(found, z, h), effective_size(found.log_weights)

        analysis, worth = over_places(move, near.index, near.taper, L)
        usable = jnp.any(mask) & jnp.any(good)
        after = centre[None, :] + analysis.T
        after = jnp.where(usable & jnp.all(jnp.isfinite(after)), after, state.members)
        predictions = jax.vmap(observe)(members)
        predictions = jnp.where(jnp.isfinite(predictions), predictions, 0.0)
        mean = jnp.mean(predictions, axis=0)
        apart = predictions - mean[None, :]
        signal = apart.T @ apart / (self.members - 1)
        variance = jnp.sum(apart**2, axis=0) / (self.members - 1) + noise
        info = LocalBridgeInfo(
            jnp.where(mask, y - mean, 0.0),
            signal + R,
            mask,
            variance,
            jnp.mean(worth),
            h,
        )
        return Ensemble(after), info

    def belief(self, state: Ensemble) -> AbstractBelief:
        """Return the ensemble itself: it is a belief."""
        return state

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return the sum over observations of their own log densities.

        A composite likelihood: a few members do not know the joint one of a field.
        """
        assert isinstance(info, LocalBridgeInfo)
        safe = jnp.where(info.mask & (info.variance > 0.0), info.variance, 1.0)
        # divided first: the square of a large number over another is no number
        each = (info.innovation / jnp.sqrt(safe)) ** 2 + jnp.log(2.0 * jnp.pi * safe)
        return -0.5 * jnp.sum(jnp.where(info.mask, each, 0.0))

    def _climb(self, worth: Callable[[Array], Scalar]) -> Scalar:
        """Return the first bandwidth whose weights are worth enough, else the last."""
        theta = between(self.members, 0.5, 0.3) if self.theta is None else self.theta
        heard = jnp.mean(jnp.sum(self.neighbours.taper, axis=1))
        heard = jnp.minimum(heard, self.members - 1.0)
        ladder = bandwidth_rungs(self.members, heard, self.bandwidth)
        floor = jnp.asarray(theta, ladder.dtype) * self.members

        return first_enough(ladder, lambda h: worth(h) >= floor)

    def _cross(
        self, near: Place, z: Float[Array, "ens latent"], h: Scalar
    ) -> Float[Array, " ens"]:
        """Return every member's value at one place, less the forecast mean."""
        weights = jax.nn.softmax(near.log_weights)
        equal = jnp.full(self.members, -jnp.log(1.0 * self.members), weights.dtype)
        coupling = absorbed_sinkhorn(
            -scaled_cost(*near.points) / self.epsilon,
            equal,
            jax.nn.log_softmax(near.log_weights),
            self.sweeps,
        )
        value = coupling.conditional @ near.means + h * (z @ near.root)
        mean = weights @ near.means
        wanted = weights @ (near.means - mean) ** 2 + h * h * near.inside
        apart = value - jnp.mean(value)
        present = jnp.sum(apart**2) / (self.members - 1)
        spread = present > 0.0
        square = jnp.maximum(wanted, 0.0) / jnp.where(spread, present, 1.0)
        spread = spread & (square > 0.0)
        factor = jnp.where(spread, jnp.sqrt(jnp.where(spread, square, 1.0)), 0.0)
        return mean + factor * apart
