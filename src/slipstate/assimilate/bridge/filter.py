"""The bridge filter: between the ensemble Kalman filter and the particle filter.

In the coordinates of `latent` the forecast is a mixture of M normal components, one
around each member, shrunk towards the mean so that mean and covariance stay:

    z ~ (1/M) sum_i N(s z_i, h^2 I),    s^2 = (1 - h^2) M / (M - 1).

Each component meets the observation by itself (`linearise`), which gives weights w_j,
means a_j and covariances A_j of the posterior mixture. The members then cross over to
it along the Schroedinger bridge, the coupling of the M members with the M weighted
components that is closest to where the members are (`transport`), and are moved by the
smallest map that gives them the mean and covariance of the posterior mixture exactly
(`moments`). With h = 1 this is a square-root ensemble Kalman filter, with h = 0 a
particle filter; h is raised until the weights are worth at least a fraction `theta` of
the members, so each observation finds its own place between the two.

Where `guided`, model noise is not drawn before the update but is part of the
components, B_i = h^2 P + Q_i: the fully adapted particle filter, with as much of the
kernel taken away as the noise already provides.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from slipstate.assimilate.bridge.components import (
    DEAD,
    Components,
    bandwidth_ladder,
    between,
    condition_components,
    effective_size,
    first_enough,
)
from slipstate.assimilate.bridge.guard import (
    innovation_guard,
    predict_observation,
    replace_lost,
)
from slipstate.assimilate.bridge.latent import Latent, latent
from slipstate.assimilate.bridge.linearise import AbstractLinearisation, Jacobian
from slipstate.assimilate.bridge.members import (
    BridgeState,
    move_members,
    needed,
    split_moves,
)
from slipstate.assimilate.bridge.moments import match_moments
from slipstate.assimilate.bridge.switch import SwitchCost
from slipstate.assimilate.bridge.transport import (
    Coupling,
    absorbed_sinkhorn,
    scaled_cost,
)
from slipstate.assimilate.members import check_members, check_samples, draw_members
from slipstate.assimilate.noise import noise_covariance
from slipstate.assimilate.protocol import AbstractInfo, AbstractSmoother
from slipstate.ground.arrays import is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Ensemble


class BridgeInfo(AbstractInfo):
    """Diagnostics of one bridge update.

    Attributes:
        innovation: Observation minus the mean of its predictions; 0 where masked.
        innovation_cov: Sample covariance of the predictions, plus the noise R.
        mask: True where observed.
        log_weights: Log density of the observation under each forecast component
            [nats], before the bandwidth was raised.
        effective_size: What the weights that were used are worth, in members.
        bandwidth: h that was used.
        surprise: Mean squared innovation over its variance; 1 is expected.
        inflation: Factor the guard put on the forecast covariance; 1 where the
            innovation was no surprise.
        missed: What Sinkhorn's sweeps missed of the column sums, between 0 and 2.
        coupling: Pi, one row per member; empty unless the filter keeps it.
    """

    innovation: Float[Array, "*time obs"]
    innovation_cov: Float[Array, "*time obs obs"]
    mask: Bool[Array, "*time obs"]
    log_weights: Float[Array, "*time ens"]
    effective_size: Float[Array, "*time"]
    bandwidth: Float[Array, "*time"]
    surprise: Float[Array, "*time"]
    inflation: Float[Array, "*time"]
    missed: Float[Array, "*time"]
    coupling: Float[Array, "*time row column"]


class BridgeFilter(AbstractSmoother):
    """Schroedinger-bridge filter on a Gaussian mixture with exact moments (GM-SBF).

    As a smoother it follows each member back through the component it was drawn from,
    with the ancestor drawn again from all components that could have produced it.

    Attributes:
        members: Size of the ensemble, at least 2.
        bandwidth: c, factor on the rule-of-thumb bandwidth; None for 1 up to 20
            members, .5 from 50 members on, and between in between.
        theta: Fraction of the members that the weights must be worth; None for .5 up
            to 20 members, .3 from 50 members on.
        inflation: Factor on the forecast anomalies before each update.
        guard: Largest factor on the forecast covariance when an innovation is a
            surprise; 1 for none.
        rule: How an observation is made linear over a component.
        guided: Whether model noise stays in the components instead of being drawn.
        switch: Price of moving a member to another mode; None where there are none.
        epsilon: Entropy of the coupling, in units of the mean cost.
        sweeps: Number of Sinkhorn's sweeps.
        coupled: Whether members cross over by Sinkhorn's coupling; without it they
            are drawn anew from the posterior by stratified resampling, which is
            faster and forgets where each was.
        keep_coupling: Whether `info` keeps the coupling of every row.

    References:
        Reich (2019), Data assimilation: the Schroedinger perspective, Acta Numerica
        28, arXiv 1807.08351. Stordal et al. (2011), Bridging the ensemble Kalman
        filter and particle filters, Computational Geosciences 15.
    """

    members: int = eqx.field(static=True, default=50)
    bandwidth: ScalarLike | None = None
    theta: ScalarLike | None = None
    inflation: ScalarLike = 1.0
    guard: ScalarLike = 9.0
    rule: AbstractLinearisation = Jacobian()
    guided: bool = eqx.field(static=True, default=False)
    switch: SwitchCost | None = None
    epsilon: ScalarLike = 0.05
    sweeps: int = eqx.field(static=True, default=100)
    coupled: bool = eqx.field(static=True, default=True)
    keep_coupling: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        """Refuse settings that mean nothing."""
        check_members(self.members)
        for name, value, least in (
            ("inflation", self.inflation, 0.0),
            ("epsilon", self.epsilon, 0.0),
            ("guard", self.guard, 1.0),
        ):
            if is_concrete(value) and not (float(value) > 0.0 and value >= least):
                raise InputError(
                    f"`{name}` must be positive{' and at least 1' if least else ''}; "
                    f"got {float(value)}. Leave it out for the default."
                )

    def check(self, model: AbstractModel) -> None:
        """Raise unless the initial belief and the one transition can be sampled."""
        check_samples(model, "BridgeFilter", self.members)

    def init(self, model: AbstractModel, *, key: Key | None) -> BridgeState:
        """Draw the first ensemble, or take it from the model where it is one."""
        key = needed(key, "BridgeFilter")
        members = draw_members(model, self.members, key=key).members
        return self._state(members, jnp.arange(self.members))

    def predict(
        self,
        model: AbstractModel,
        state: BridgeState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> BridgeState:
        """Move every member; where `guided`, remember the noise beside its draw."""
        key = needed(key, "BridgeFilter")
        ancestors = jnp.arange(self.members)
        if not self.guided:
            members = move_members(model, state.members, u, dt, key=key)
            return self._state(members, ancestors)
        key_path, key_last = jax.random.split(key)
        origins, noise = split_moves(model, state.members, u, dt, key=key_path)
        draws = jax.random.normal(key_last, origins.shape, origins.dtype)
        members = origins + jnp.einsum("iab,ib->ia", noise, draws)
        return BridgeState(members, origins, noise, ancestors)

    def update(
        self,
        model: AbstractModel,
        state: BridgeState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[BridgeState, BridgeInfo]:
        """Return the ensemble given the observed entries of `y`."""
        key_label, key_draw, key_past = jax.random.split(needed(key, "BridgeFilter"), 3)
        observe = lambda x: model.observation.predict(x, u)
        y = jnp.where(mask, y, 0.0)
        R = noise_covariance(model.observation)
        members, present = replace_lost(state.members)
        predicted = predict_observation(observe, members, present, y, mask)
        surprise, growth = innovation_guard(predicted, R, mask, self.guard)
        origins = replace_lost(state.origins)[0] if self.guided else members
        space = latent(origins, state.noise, present)
        seen = mask.astype(R.dtype)
        R_seen = R * seen[:, None] * seen[None, :] + jnp.diag(1.0 - seen)

        def condition(h: ScalarLike, stretch: ScalarLike) -> Components:
            ahead = lambda z: observe(space.centre + stretch * (space.L @ z))
            return condition_components(self.rule, ahead, space, h, y, mask, R_seen)

        ladder = bandwidth_ladder(space, self.bandwidth)
        before = jnp.asarray(self.inflation, y.dtype)
        stretch = before * jnp.sqrt(growth)
        h = self._climb(ladder, lambda h: condition(h, stretch).log_weights)
        found = condition(h, stretch)
        weights = jax.nn.softmax(found.log_weights)
        coupling = self._couple(space, found, stretch)
        label = coupling.draw(*found.places(space.members), key=key_label)
        z = found.draw(label, key=key_draw)
        z = match_moments(z, *found.moments(weights))
        analysis = space.centre[None, :] + stretch * (z @ space.L.T)
        fresh = self._state(analysis, found.ancestors(z, key=key_past))
        usable = jnp.any(mask) & jnp.any(found.finite)
        usable = usable & jnp.all(jnp.isfinite(analysis))  # squares may overflow
        state = jax.tree.map(lambda new, old: jnp.where(usable, new, old), fresh, state)
        info = BridgeInfo(
            predicted.innovation,
            predicted.signal + R,
            mask,
            # the density of the forecast, before anything was chosen by looking at y
            condition(ladder[0], before).log_weights,
            1.0 / jnp.sum(weights**2),
            h,
            surprise,
            growth,
            coupling.error,
            coupling.plan if self.keep_coupling else jnp.zeros((0, 0), y.dtype),
        )
        return state, info

    def belief(self, state: BridgeState) -> AbstractBelief:
        """Return the members as equally likely."""
        return Ensemble(state.members)

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log (1/M) sum_i N(y; h(m_i), S_i), the mixture's own evidence."""
        assert isinstance(info, BridgeInfo)
        total = jax.nn.logsumexp(info.log_weights) - jnp.log(1.0 * self.members)
        total = jnp.where(total > 0.5 * DEAD, total, -jnp.inf)
        return jnp.where(jnp.any(info.mask), total, 0.0)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: BridgeState,
        predicted: BridgeState,
        u: Input,
        dt: ScalarLike,
    ) -> BridgeState:
        """Return the members of time k; the way back was drawn on the way forwards.

        Args:
            model: The model.
            filtered: State at time k given the observations up to k.
            predicted: State at time k + 1 given the same observations.
            u: Exogenous input of the step.
            dt: Length of the step.

        Returns:
            `filtered`.
        """
        del model, predicted, u, dt
        return filtered

    def smooth_step(self, element: BridgeState, smoothed: BridgeState) -> BridgeState:
        """Return the ancestors, at time k, of the members of time k + 1."""
        return jax.tree.map(lambda leaf: leaf[smoothed.ancestors], element)

    def _state(
        self, members: Float[Array, "ens state"], ancestors: Int[Array, " ens"]
    ) -> BridgeState:
        """Return members whose noise has been drawn."""
        count, n = members.shape
        noise = jnp.zeros((count, n, n if self.guided else 0), members.dtype)
        return BridgeState(members, members, noise, ancestors)

    def _climb(
        self,
        ladder: Float[Array, " rung"],
        log_weights: Callable[[Array], Float[Array, " ens"]],
    ) -> Scalar:
        """Return the first bandwidth whose weights are worth enough, else the last."""
        theta = between(self.members, 0.5, 0.3) if self.theta is None else self.theta
        floor = jnp.asarray(theta, ladder.dtype) * self.members

        return first_enough(ladder, lambda h: effective_size(log_weights(h)) >= floor)

    def _couple(self, space: Latent, found: Components, stretch: Scalar) -> Coupling:
        """Couple members, equally weighted, with the weighted components."""
        equal = jnp.full(self.members, -jnp.log(1.0 * self.members), stretch.dtype)
        log_weights = jax.nn.log_softmax(found.log_weights)
        if not self.coupled:
            plan = equal[:, None] + log_weights[None, :]
            return Coupling(plan, equal, log_weights, jnp.zeros_like(stretch))
        sources, targets = space.members, found.means
        cost = scaled_cost(space.points(sources), space.points(targets))
        log_kernel = -cost / self.epsilon
        if self.switch is not None:
            x = lambda z: space.centre[None, :] + stretch * (z @ space.L.T)
            log_kernel = log_kernel + self.switch.log_kernel(x(sources), x(targets))
        return absorbed_sinkhorn(log_kernel, equal, log_weights, self.sweeps)
