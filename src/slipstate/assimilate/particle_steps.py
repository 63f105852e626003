"""The steps of particle filters: draw by weight, guide, weigh, temper."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.protocol import require_transition
from slipstate.assimilate.resample import AbstractResampling
from slipstate.ground.elimination import decorrelate, psd_root
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import masked_log_density
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Particles

_BISECTIONS = 30


class Guide(eqx.Module):
    """Where each member's last step went on average, and with which noise.

    Attributes:
        centres: Mean of each member's step.
        factors: Factor of the covariance of its noise.
    """

    centres: Float[Array, "ens state"]
    factors: Float[Array, "ens state noise"]


class Weighed(eqx.Module):
    """Members, and how likely they make an observation.

    Attributes:
        members: The members, drawn anew where a guide tells how.
        log_likelihoods: Log weight that each gets from the observation.
        innovation: Observation minus the weighted mean of its predictions.
        innovation_cov: Weighted covariance of the predictions, plus the noise.
        mask: True where observed and predicted by every member as a finite number.
    """

    members: Float[Array, "ens state"]
    log_likelihoods: Float[Array, " ens"]
    innovation: Float[Array, " obs"]
    innovation_cov: Float[Array, "obs obs"]
    mask: Bool[Array, " obs"]


def thin(
    particles: Particles,
    threshold: ScalarLike,
    jitter: ScalarLike,
    resampling: AbstractResampling,
    *,
    key: Key,
) -> Particles:
    """Draw members by their weights where the effective size is low.

    Args:
        particles: Weighted members.
        threshold: Share of the members below which the effective size is low.
        jitter: Factor on the bandwidth of the jitter of repeated copies.
        resampling: How members are drawn.
        key: Random key.

    Returns:
        Equally weighted members where a draw was called for, else the same.
    """
    key_draw, key_jitter = jax.random.split(key)
    x, M = particles.members, len(particles.members)
    low = particles.effective_size() < threshold * M
    weights = jax.lax.stop_gradient(particles.weights())
    copied = resampling(weights, key=key_draw)
    repeated = jnp.concatenate([jnp.zeros(1, bool), copied[1:] == copied[:-1]])
    apart = x - (weights @ x)[None, :]
    width = jitter * M ** (-1.0 / (x.shape[1] + 4.0))
    spread = 1.0 - jnp.sum(weights**2)
    cov = (apart * weights[:, None]).T @ apart
    root = psd_root(cov / jnp.where(spread > 0.0, spread, 1.0))
    noise = jax.random.normal(key_jitter, x.shape, x.dtype) @ root.T
    moved = x[copied] + jnp.where(repeated[:, None], width * noise, 0.0)
    return Particles(
        jnp.where(low, moved, x), jnp.where(low, 0.0, particles.log_weights)
    )


def guide_members(
    model: AbstractModel,
    members: Float[Array, "ens state"],
    u: Input,
    dt: ScalarLike,
    *,
    key: Key,
) -> tuple[Float[Array, "ens state"], Guide]:
    """Draw a step for each member and keep the mean and noise of its last part.

    Args:
        model: The model.
        members: The members.
        u: Exogenous input.
        dt: Length of the step.
        key: Random key.

    Returns:
        The members after the step, and its guide.
    """
    transition = require_transition(model, "ParticleFilter")
    part = dt / transition.parts

    def mean_and_factor(x: Array) -> tuple[Array, Array]:
        return transition.mean(x, u, part), transition.noise_factor(x, u, part)

    def draw(x: Array, key: Key) -> tuple[Array, tuple[Array, Array]]:
        centre, factor = mean_and_factor(x)
        noise = jax.random.normal(key, factor.shape[1:], x.dtype)
        return centre + factor @ noise, (centre, factor)

    def step(x: Array, key: Key) -> tuple[Array, Array, Array]:
        keys = jax.random.split(key, transition.parts)
        x = jax.lax.scan(lambda x, k: (draw(x, k)[0], None), x, keys[:-1])[0]
        new, (centre, factor) = draw(x, keys[-1])
        ok = jnp.all(jnp.isfinite(new))
        n = len(x)
        factor = jnp.pad(factor, ((0, 0), (0, max(0, n - factor.shape[1]))))
        # n columns whatever the noise, so that a run keeps its types
        root = factor if factor.shape[1] == n else psd_root(factor @ factor.T)
        centre, root = jnp.where(ok, centre, x), jnp.where(ok, root, 0.0)
        return jnp.where(ok, new, x), centre, root

    moved, centres, factors = jax.vmap(step)(
        members, jax.random.split(key, len(members))
    )
    return moved, Guide(centres, factors)


def weigh(
    model: AbstractModel,
    particles: Particles,
    guide: Guide | None,
    y: Float[Array, " obs"],
    mask: Bool[Array, " obs"],
    u: Input,
    *,
    key: Key,
) -> Weighed:
    """Return the likelihood of each member, or of its step where a guide is given.

    With a guide, N(centre, L L^T) is conditioned on y through the observation
    linearised at the centre; the member is drawn from the result and weighted by the
    exact ratio of densities.

    Args:
        model: The model.
        particles: Weighted members.
        guide: Centres and noise of their last step, or None.
        y: The observation.
        mask: True where observed.
        u: Exogenous input.
        key: Random key.

    Returns:
        Members, log-likelihoods and innovation.
    """
    members = particles.members
    see = lambda x: model.observation.predict(x, u)
    predictions = jax.vmap(see)(members)
    finite = jnp.isfinite(predictions)
    weights = particles.weights()
    mask = mask & jnp.all(finite, axis=0)
    predictions = jnp.where(jnp.all(finite, axis=0)[None, :], predictions, 0.0)
    factor = model.observation.noise_factor()
    R = factor @ factor.T
    floor = jnp.diag(jnp.finfo(R.dtype).eps * weights @ predictions**2)
    R = jnp.where(jnp.any(jnp.diagonal(R) == 0.0), R + floor, R)
    expected = weights @ predictions
    apart = predictions - expected[None, :]
    cov = (apart * weights[:, None]).T @ apart + R
    data = jnp.where(mask, y, 0.0)
    innovation = jnp.where(mask, data - expected, 0.0)
    density = lambda residual: masked_log_density(residual, R, mask)
    plain = jax.vmap(density)(
        jnp.where(mask[None, :], data[None, :] - predictions, 0.0)
    )
    if guide is None:
        return Weighed(members, plain, innovation, cov, mask)

    def lead(x: Array, centre: Array, L: Array, key: Key) -> tuple[Array, Array]:
        H = jax.jacfwd(see)(centre)
        residual = jnp.where(mask, data - see(centre), 0.0)
        seen = mask.astype(x.dtype)
        G = (H @ L) * seen[:, None]
        noise = R * (seen[:, None] * seen[None, :]) + jnp.diag(1.0 - seen)
        pivots, rows = decorrelate(noise, jnp.concatenate([G, residual[:, None]], 1))
        pivots = jnp.where(pivots > 0.0, pivots, 1.0)[:, None]
        white = rows / jnp.sqrt(pivots)
        # w ~ N(0, I) given white = G w + N(0, I): precision I + G^T G
        precision = jnp.eye(L.shape[1]) + white[:, :-1].T @ white[:, :-1]
        p, both = decorrelate(
            precision,
            jnp.concatenate(
                [jnp.eye(len(precision)), (white[:, :-1].T @ white[:, -1])[:, None]], 1
            ),
        )
        # U A U^T = D: A^-1 b = U^T D^-1 U b, and U^T D^-1/2 e has covariance A^-1
        U = both[:, :-1]
        mean = U.T @ (both[:, -1] / p)
        e = jax.random.normal(key, p.shape, x.dtype)
        w = mean + U.T @ (e / jnp.sqrt(p))
        new = centre + L @ w
        ratio = -0.5 * (w @ w - e @ e) - 0.5 * jnp.sum(jnp.log(p))
        left = jnp.where(mask, data - see(new), 0.0)
        return new, density(left) + ratio

    keys = jax.random.split(key, len(members))
    drawn, log_likelihoods = jax.vmap(lead)(members, guide.centres, guide.factors, keys)
    ok = jnp.isfinite(log_likelihoods) & jnp.all(jnp.isfinite(drawn), axis=1)
    return Weighed(
        jnp.where(ok[:, None], drawn, members),
        jnp.where(ok, log_likelihoods, -jnp.inf),
        innovation,
        cov,
        mask,
    )


def temper(
    model: AbstractModel,
    particles: Particles,
    y: Float[Array, " obs"],
    mask: Bool[Array, " obs"],
    u: Input,
    stages: int,
    threshold: ScalarLike,
    jitter: ScalarLike,
    resampling: AbstractResampling,
    *,
    key: Key,
) -> Particles:
    """Take in an observation by factors of its likelihood, with a draw after each.

    Args:
        model: The model.
        particles: Weighted members.
        y: The observation.
        mask: True where observed.
        u: Exogenous input.
        stages: Factors at most.
        threshold: Share of the effective size that each factor may leave.
        jitter: Factor on the bandwidth of the jitter of repeated copies.
        resampling: How members are drawn.
        key: Random key.

    Returns:
        Members weighted by the last factor.
    """

    def likelihoods(particles: Particles) -> Float[Array, " ens"]:
        return weigh(model, particles, None, y, mask, u, key=key).log_likelihoods

    def stage(
        carry: tuple[Particles, Scalar], key: Key
    ) -> tuple[tuple[Particles, Scalar], None]:
        cloud, left = carry
        cloud = thin(cloud, threshold, jitter, resampling, key=key)
        terms = likelihoods(cloud)
        part = _share(cloud.log_weights, terms, left, threshold)
        weights = cloud.log_weights + part * terms
        return (Particles(cloud.members, weights - jnp.max(weights)), left - part), None

    keys = jax.random.split(key, stages)
    start = (particles, jnp.ones((), y.dtype))
    (cloud, left), _ = jax.lax.scan(stage, start, keys)
    weights = cloud.log_weights + left * likelihoods(cloud)
    return Particles(cloud.members, weights - jnp.max(weights))


def _share(
    log_weights: Float[Array, " ens"],
    terms: Float[Array, " ens"],
    left: Scalar,
    threshold: ScalarLike,
) -> Scalar:
    """Return the power of the likelihood that leaves `threshold` of the size."""
    log_weights, terms, left = jax.lax.stop_gradient((log_weights, terms, left))
    wanted = threshold * len(terms)

    def size(power: Scalar) -> Scalar:
        weights = jax.nn.softmax(log_weights + power * terms)
        return 1.0 / jnp.sum(weights**2)

    def halve(
        ends: tuple[Scalar, Scalar], _: None
    ) -> tuple[tuple[Scalar, Scalar], None]:
        low, high = ends
        middle = 0.5 * (low + high)
        enough = size(middle) >= wanted
        return (jnp.where(enough, middle, low), jnp.where(enough, high, middle)), None

    ends = (jnp.zeros_like(left), left)
    low = jax.lax.scan(halve, ends, None, length=_BISECTIONS)[0][0]
    return jnp.where(size(left) >= wanted, left, low)
