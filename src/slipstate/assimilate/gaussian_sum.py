"""The Gaussian-sum filter: a mixture of extended Kalman filters."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.conditioning import condition
from slipstate.assimilate.members import check_members, check_samples, needed
from slipstate.assimilate.particle import ParticleInfo
from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractInfo,
    require_transition,
)
from slipstate.assimilate.resample import AbstractResampling, Systematic
from slipstate.ground.arrays import is_concrete
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Mixture, masked_log_density
from slipstate.systems.protocol import AbstractModel, Input


class GaussianSum(AbstractFilter):
    """Each component is followed by an extended Kalman filter and weighted by evidence.

    Components that are wide are split before each step: N(m, P) is the mixture of
    N(z, h^2 P) over z ~ N(m, (1 - h^2) P), so a draw of z keeps the law. The split is
    made, with a draw of the components by weight, where the effective number of
    components falls below `threshold` of their number.

    Attributes:
        components: Number of components, at least 2.
        width: h, size of a new component relative to what it was split from.
        threshold: Share of the components below which the effective number calls for a
            draw.
        resampling: How components are drawn.

    References:
        Alspach & Sorenson (1972), Nonlinear Bayesian estimation using Gaussian sum
        approximations, IEEE Trans. Automatic Control 17.
    """

    components: int = eqx.field(static=True, default=50)
    width: ScalarLike = 0.5
    threshold: ScalarLike = 0.5
    resampling: AbstractResampling = eqx.field(default_factory=Systematic)

    def __check_init__(self) -> None:
        """Refuse fewer than two components and a width outside 0 to 1."""
        check_members(self.components)
        if is_concrete(self.width) and not 0.0 < float(self.width) <= 1.0:
            raise InputError(
                f"`width` must be in (0, 1]; got {float(self.width)}. Pass 0.5."
            )

    def check(self, model: AbstractModel) -> None:
        """Raise unless the initial belief has moments and there is one transition.

        Args:
            model: The model.

        Raises:
            MethodError: The initial belief is diffuse, or the model switches.
        """
        check_samples(model, "GaussianSum", self.components)

    def init(self, model: AbstractModel, *, key: Key | None) -> Mixture:
        """Split the Gaussian of the initial belief's mean and covariance."""
        mean, cov = model.initial.mean(), model.initial.cov()
        K = self.components
        whole = Mixture(
            jnp.zeros(K, mean.dtype),
            jnp.broadcast_to(mean, (K, *mean.shape)),
            jnp.broadcast_to(cov, (K, *cov.shape)),
        )
        return self._split(whole, key=needed(key, "GaussianSum"))

    def predict(
        self,
        model: AbstractModel,
        state: Mixture,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> Mixture:
        """Split where few components are left, and move each, linearised."""
        transition = require_transition(model, "GaussianSum")
        weights = state.weights()
        few = 1.0 / jnp.sum(weights**2) < self.threshold * self.components
        split = self._split(state, key=needed(key, "GaussianSum"))
        state = jax.tree.map(lambda a, b: jnp.where(few, a, b), split, state)
        part = dt / transition.parts

        def step(
            carry: tuple[Array, Array], _: None
        ) -> tuple[tuple[Array, Array], None]:
            m, P = carry
            move = lambda x: transition.mean(x, u, part)
            F, noise = jax.jacfwd(move)(m), transition.noise_factor(m, u, part)
            new, cov = move(m), symmetric(F @ P @ F.T + noise @ noise.T)
            ok = jnp.all(jnp.isfinite(new)) & jnp.all(jnp.isfinite(cov))
            return (jnp.where(ok, new, m), jnp.where(ok, cov, P)), None

        def move(m: Array, P: Array) -> tuple[Array, Array]:
            return jax.lax.scan(step, (m, P), None, length=transition.parts)[0]

        moved = jax.vmap(move)(state.locations, state.covariances)
        return Mixture(state.log_weights, *moved)

    def update(
        self,
        model: AbstractModel,
        state: Mixture,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[Mixture, ParticleInfo]:
        """Return the mixture given the observed entries of `y`."""
        factor = model.observation.noise_factor()
        R = factor @ factor.T
        see = lambda x: model.observation.predict(x, u)
        predictions = jax.vmap(see)(state.locations)
        slopes = jax.vmap(jax.jacfwd(see))(state.locations)
        finite = jnp.isfinite(predictions) & jnp.all(jnp.isfinite(slopes), axis=2)
        finite = jnp.all(finite, axis=0)
        mask = mask & finite
        predictions = jnp.where(finite[None, :], predictions, 0.0)
        slopes = jnp.where(finite[None, :, None], slopes, 0.0)
        residuals = jnp.where(mask, y, 0.0)[None, :] - predictions
        residuals = jnp.where(mask[None, :], residuals, 0.0)

        def one(
            m: Array, P: Array, H: Array, residual: Array
        ) -> tuple[Array, Array, Array, Array]:
            S = H @ P @ H.T + R
            none = jnp.zeros((len(m), 0), m.dtype)
            found = condition(P, none, H, R, residual[:, None], mask)
            evidence = masked_log_density(residual, S, mask)
            return m + found.shift[:, 0], found.cov, evidence, S

        m, P, terms, S = jax.vmap(one)(
            state.locations, state.covariances, slopes, residuals
        )
        weights = state.weights()
        log_weights = state.log_weights + terms
        evidence = jax.nn.logsumexp(log_weights) - jax.nn.logsumexp(state.log_weights)
        known = jnp.any(mask) & jnp.isfinite(evidence)
        after = Mixture(log_weights - jnp.max(log_weights), m, P)
        after = jax.tree.map(lambda a, b: jnp.where(known, a, b), after, state)
        innovation = weights @ residuals
        apart = predictions - (weights @ predictions)[None, :]
        cov = jnp.einsum("k,kij->ij", weights, S)
        cov = cov + (apart * weights[:, None]).T @ apart
        size = 1.0 / jnp.sum(after.weights() ** 2)
        evidence = jnp.where(known, evidence, 0.0)
        return after, ParticleInfo(innovation, cov, mask, evidence, size)

    def belief(self, state: Mixture) -> AbstractBelief:
        """Return the mixture itself: it is a belief."""
        return state

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return the log evidence of the observation."""
        assert isinstance(info, ParticleInfo)
        return info.log_evidence

    def _split(self, mixture: Mixture, *, key: Key) -> Mixture:
        key_pick, key_draw = jax.random.split(key)
        weights = jax.lax.stop_gradient(mixture.weights())
        picked = self.resampling(weights, key=key_pick)
        m, P = mixture.locations[picked], mixture.covariances[picked]
        share = jnp.asarray(self.width, m.dtype) ** 2
        draws = jax.random.normal(key_draw, m.shape, m.dtype)
        moves = jax.vmap(lambda P, e: psd_root(P) @ e)(P, draws)
        return Mixture(
            jnp.zeros(len(m), m.dtype), m + jnp.sqrt(1.0 - share) * moves, share * P
        )
