"""What the observations near one place make of the components there.

With G = h R^-1/2 J, the slopes of the observations near the place over their noise, the
posterior of e in z = s z_j + h e is

    N((I + G^T G)^-1 G^T r_j, (I + G^T G)^-1),     r_j = R^-1/2 (y - predicted_j),

which needs one small factorisation: in the space of the ensemble or of the
observations, whichever is smaller, where the observation is linear and all components
share it; one of each component otherwise.
"""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from slipstate.assimilate.bridge.components import DEAD
from slipstate.assimilate.bridge.linearise import Observe
from slipstate.assimilate.bridge.moments import root
from slipstate.ground.linalg import after
from slipstate.ground.roots import inverse_and_shrinkage
from slipstate.ground.types import Scalar

Output = TypeVar("Output")

_AT_ONCE = 64  # places whose matrices are in memory together


class Field(eqx.Module):
    """What all components predict of all observations.

    Attributes:
        y: What was observed; finite everywhere.
        mask: True where observed.
        noise: Variance of the noise, positive; one row, or one of each component.
        predicted: Observation of each component's centre.
        slopes: Derivative by z, one for all components or one of each.
        h: Bandwidth.
        members: The members in z.
        centres: Centres of the components in z.
    """

    y: Float[Array, " obs"]
    mask: Bool[Array, " obs"]
    noise: Float[Array, "rows obs"]
    predicted: Float[Array, "ens obs"]
    slopes: Float[Array, "*ens obs latent"]
    h: Scalar
    members: Float[Array, "ens latent"]
    centres: Float[Array, "ens latent"]


class Place(eqx.Module):
    """The posterior mixture at one place.

    Attributes:
        log_weights: Log weight of each component.
        means: Posterior mean of each at the place, less the forecast mean.
        root: A^1/2 row, with A the weighted mean of the covariances of e.
        inside: row A row, the variance inside components over h^2.
        points: Predictions near the place, for measuring, at members and components.
    """

    log_weights: Float[Array, " ens"]
    means: Float[Array, " ens"]
    root: Float[Array, " latent"]
    inside: Scalar
    points: tuple[Float[Array, "ens near"], Float[Array, "ens near"]]


class _Near(eqx.Module):
    """The observations near a place, whitened."""

    G: Float[Array, "*ens near latent"]
    r: Float[Array, "ens near"]
    size: Float[Array, " rows"]
    reach: Float[Array, " near"]
    J: Float[Array, "*ens near latent"]


def over_places(one: Callable[..., Output], *lists: Array) -> Output:
    """Return `one` of every place, a few places at a time where there are many.

    Args:
        one: What is done at a place.
        lists: Its arguments, places along the first axis.

    Returns:
        Its outputs, places along the first axis.
    """
    if len(lists[0]) <= _AT_ONCE:
        return jax.vmap(one)(*lists)
    return jax.lax.map(lambda each: one(*each), lists, batch_size=_AT_ONCE)


def tangents(
    observe: Observe, x: Float[Array, " state"], L: Float[Array, "state latent"]
) -> Float[Array, "obs latent"]:
    """Return the derivative of an observation by z, with x + L z.

    Args:
        observe: The noise-free observation of a state.
        x: Where.
        L: Directions.
    """
    return jax.vmap(lambda v: jax.jvp(observe, (x,), (v,))[1])(L.T).T


def regress(
    observe: Observe,
    x: Float[Array, " state"],
    L: Float[Array, "state latent"],
    h: Scalar,
) -> tuple[Array, Array, Array]:
    """Return the line that fits an observation best over N(x, h^2 L L^T).

    Statistical linear regression over points at +-sqrt(n) in each of n directions; a
    point without a number counts as the centre.

    Args:
        observe: The noise-free observation of a state.
        x: Centre.
        L: Directions.
        h: Bandwidth.

    Returns:
        Mean, slope by z, and the variance that the line leaves over, of each
        observation by itself.
    """
    n = L.shape[1]
    spread = max(n, 3)
    step = jnp.sqrt(1.0 * spread) * jnp.maximum(h, 1e-3)
    centre = observe(x)
    real = lambda found: jnp.where(jnp.isfinite(found), found, centre[None, :])
    ahead = real(jax.vmap(lambda v: observe(x + step * v))(L.T))
    behind = real(jax.vmap(lambda v: observe(x - step * v))(L.T))
    weight = 0.5 / spread
    mean = weight * jnp.sum(ahead + behind, axis=0) + (1.0 - n / spread) * centre
    slope = (ahead - behind).T / (2.0 * step)
    away = jnp.sum((ahead - mean[None]) ** 2 + (behind - mean[None]) ** 2, axis=0)
    whole = weight * away + (1.0 - n / spread) * (centre - mean) ** 2
    told = jnp.square(step) / spread * jnp.sum(slope**2, axis=1)
    return mean, slope, jnp.maximum(whole - told, 0.0)


def log_weights(
    field: Field, index: Int[Array, " near"], taper: Float[Array, " near"]
) -> Float[Array, " ens"]:
    """Return the log weights of the components at a place, up to a common constant.

    Args:
        field: What the components predict.
        index: Observations near the place.
        taper: Their weights.

    Returns:
        Log weights.
    """
    near = _gather(field, index, taper)
    if near.G.ndim == 2:
        return _shared(near)[0]
    return _each(near)[0]


def condition_place(
    field: Field,
    good: Bool[Array, " ens"],
    index: Int[Array, " near"],
    taper: Float[Array, " near"],
    row: Float[Array, " latent"],
) -> Place:
    """Condition every component on the observations near one place.

    Args:
        field: What the components predict.
        good: Whether each component takes part.
        index: Observations near the place.
        taper: Their weights.
        row: Derivative of the state at the place by z.

    Returns:
        The posterior mixture there.
    """
    near, h = _gather(field, index, taper), field.h
    if near.G.ndim == 2:
        logs, e, around, halved = _shared(near, row)
        logs = jnp.where(good, logs, DEAD)
        inside, slope = row @ around, near.J
    else:
        logs, e, lower = _each(near)
        logs = jnp.where(good, logs, DEAD)
        eye = jnp.eye(len(row), dtype=row.dtype)
        spread = lambda one: solve_triangular(one, eye, lower=True)
        Q = jax.vmap(spread)(lower)
        A = jnp.einsum("j,jab,jac->bc", jax.nn.softmax(logs), Q, Q)
        halved = root(after(A, lower)) @ row
        inside, slope = row @ (A @ row), jnp.mean(near.J, axis=0)
    means = field.centres + h * e
    # distances count what is observed here and the place itself, each by its spread
    reach = jnp.concatenate([near.reach, jnp.ones(1, row.dtype)])
    look = reach[:, None] * jnp.concatenate([slope, row[None]])
    size = jnp.sqrt(jnp.sum(look**2, axis=1))
    look = look * (reach / jnp.where(size > 0.0, size, 1.0))[:, None]
    points = (field.members @ look.T, means @ look.T)
    return Place(logs, means @ row, halved, inside, points)


def _gather(field: Field, index: Array, taper: Array) -> _Near:
    heard = field.mask[index] & (taper > 0.0)
    reach = jnp.where(heard, jnp.sqrt(jnp.where(heard, taper, 1.0)), 0.0)
    noise = field.noise[:, index]
    sharp = reach[None, :] / jnp.sqrt(noise)
    size = jnp.sum(jnp.where(heard[None, :], jnp.log(noise), 0.0), axis=1)
    J = field.slopes[..., index, :]
    r = (field.y[index][None, :] - field.predicted[:, index]) * sharp
    scale = field.h * (sharp[0] if J.ndim == 2 else sharp)
    return _Near(J * scale[..., None], r, size, reach, J)


def _shared(near: _Near, row: Array | None = None) -> tuple[Array, Array, Array, Array]:
    """Return log weights and means of e; A row and A^1/2 row."""
    G, r = near.G, near.r
    row = jnp.zeros(G.shape[1], G.dtype) if row is None else row
    if G.shape[0] < G.shape[1]:
        inverse, phi = inverse_and_shrinkage(G @ G.T)
        left = r @ inverse
        seen = G @ row
        around, halved = row - G.T @ (inverse @ seen), row + G.T @ (phi @ seen)
        return -0.5 * jnp.sum(r * left, axis=1), left @ G, around, halved
    C, pull = G.T @ G, r @ G
    inverse, phi = inverse_and_shrinkage(C)
    e = pull @ inverse
    square = jnp.sum(r * r, axis=1) - jnp.sum(pull * e, axis=1)
    return -0.5 * square, e, inverse @ row, row + phi @ (C @ row)


def _each(near: _Near) -> tuple[Array, Array, Array]:
    """Return log weights, means of e, and triangular roots of I + G^T G."""

    def one(G: Array, r: Array, size: Array) -> tuple[Array, Array, Array]:
        eye = jnp.eye(G.shape[1], dtype=G.dtype)
        lower = jnp.linalg.cholesky(eye + G.T @ G)
        half = solve_triangular(lower, G.T @ r, lower=True)
        e = solve_triangular(lower, half, lower=True, trans=1)
        logdet = jnp.sum(jnp.log(jnp.diagonal(lower)))
        return -0.5 * (r @ r - half @ half + size) - logdet, e, lower

    return jax.vmap(one)(near.G, near.r, jnp.broadcast_to(near.size, (len(near.r),)))
