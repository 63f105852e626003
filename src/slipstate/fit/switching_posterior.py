"""The two factors of the posterior of a switching model, and the bound they reach.

Formulas of `slipstate.fit.switching_em`. q(states) is a Gaussian whose precision is
block tridiagonal along time, eliminated forwards and solved backwards.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.mixing import NEVER
from slipstate.assimilate.observations import Observations
from slipstate.ground.elimination import decorrelate
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Scalar


class Parts(eqx.Module):
    """The numbers of a switching linear Gaussian model.

    Attributes:
        mean: Mean of the first state.
        cov: Its covariance.
        log_probs: Log probability of the first mode.
        F: State matrices.
        b: Offsets.
        Q: Covariances of the model noise.
        H: Observation matrix.
        R: Covariance of the observation noise.
        switch: P(next mode = column | mode = row).
    """

    mean: Float[Array, " state"]
    cov: Float[Array, "state state"]
    log_probs: Float[Array, " mode"]
    F: Float[Array, "mode state state"]
    b: Float[Array, "mode state"]
    Q: Float[Array, "mode state state"]
    H: Float[Array, "obs state"]
    R: Float[Array, "obs obs"]
    switch: Float[Array, "mode mode"]


class StatePath(eqx.Module):
    """q(states): a Gaussian along time.

    Attributes:
        means: Mean of each state.
        covs: Covariance of each state.
        lag_one_covs: Covariance of each state but the first with the one before.
        entropy: Its entropy [nats].
    """

    means: Float[Array, "time state"]
    covs: Float[Array, "time state state"]
    lag_one_covs: Float[Array, "steps state state"]
    entropy: Scalar


class ModeChain(eqx.Module):
    """q(modes): a Markov chain.

    Attributes:
        probs: Probability of each mode at each row.
        pairs: Probability of each mode and the next one.
        log_total: Log of the sum over all pasts, expectations over states inside.
    """

    probs: Float[Array, "time mode"]
    pairs: Float[Array, "steps mode mode"]
    log_total: Scalar


def follow_states(
    parts: Parts,
    observations: Observations,
    probs: Float[Array, "time mode"],
    further: tuple[Float[Array, "time n n"], Float[Array, "time n"]] | None = None,
) -> StatePath:
    """Return the best q(states) for given mode probabilities.

    Args:
        parts: The model.
        observations: The series.
        probs: Probability of each mode at each row.
        further: What else is known of each state, as precision and as precision times
            mean; None for nothing.

    Returns:
        q(states).
    """
    inverse, _ = jax.vmap(inverse_of)(parts.Q)
    G = inverse @ parts.F
    turned = jnp.swapaxes(parts.F, 1, 2) @ G
    weights = probs[1:]
    sum_over = lambda each: jnp.tensordot(weights, each, axes=1)
    push = jnp.einsum("jab,jb->ja", inverse, parts.b)
    pull = jnp.einsum("jab,ja->jb", G, parts.b)
    start, _ = inverse_of(parts.cov)
    look, h = jax.vmap(lambda y, mask: _seen(parts, y, mask))(
        observations.y, observations.mask
    )
    diagonal = look.at[0].add(start).at[1:].add(sum_over(inverse))
    diagonal = diagonal.at[:-1].add(sum_over(turned))
    h = h.at[0].add(start @ parts.mean).at[1:].add(sum_over(push))
    h = h.at[:-1].add(-sum_over(pull))
    if further is not None:
        diagonal, h = diagonal + further[0], h + further[1]
    below = -sum_over(G)  # precision between a state (rows) and the one before
    return _solve(diagonal, below, h)


def follow_modes(
    parts: Parts,
    path: StatePath,
    log_switch: Float[Array, "steps mode mode"] | None = None,
) -> ModeChain:
    """Return the best q(modes) for a given q(states).

    Args:
        parts: The model.
        path: q(states).
        log_switch: Log probability of each next mode at each step; None for the switch
            of the model at all steps.

    Returns:
        q(modes), by messages forwards and backwards.
    """
    if log_switch is None:
        possible = parts.switch > 0
        always = jnp.where(
            possible, jnp.log(jnp.where(possible, parts.switch, 1.0)), NEVER
        )
        steps = path.means.shape[0] - 1
        log_switch = jnp.broadcast_to(always, (steps, *always.shape))
    weights = _step_densities(parts, path)
    first = jnp.maximum(parts.log_probs, NEVER)

    def ahead(log_a: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        log_a = jax.nn.logsumexp(log_a[:, None] + row[0], axis=0) + row[1]
        return log_a, log_a

    def back(log_b: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        log_b = jax.nn.logsumexp(row[0] + (row[1] + log_b)[None], axis=1)
        return log_b, log_b

    last, forward = jax.lax.scan(ahead, first, (log_switch, weights))
    forward = jnp.concatenate([first[None], forward])
    end = jnp.zeros_like(first)
    _, backward = jax.lax.scan(back, end, (log_switch, weights), reverse=True)
    backward = jnp.concatenate([backward, end[None]])
    total = jax.nn.logsumexp(last)
    pairs = forward[:-1, :, None] + log_switch
    pairs = pairs + (weights + backward[1:])[:, None, :]
    return ModeChain(
        jax.nn.softmax(forward + backward, axis=1), jnp.exp(pairs - total), total
    )


def bound_of(
    parts: Parts, observations: Observations, chain: ModeChain, path: StatePath
) -> Scalar:
    """Return the lower bound of log p(y) [nats], where q(modes) is up to date.

    Args:
        parts: The model.
        observations: The series.
        chain: The best q(modes) for this q(states).
        path: q(states).

    Returns:
        The bound.
    """
    inverse, size = inverse_of(parts.cov)
    n = parts.mean.shape[0]
    apart = path.means[0] - parts.mean
    second = path.covs[0] + apart[:, None] * apart[None, :]
    first = -0.5 * (n * jnp.log(2.0 * jnp.pi) + size + jnp.sum(inverse * second))

    def one_row(mean: Array, cov: Array, y: Array, mask: Array) -> Scalar:
        inverse, size, count = _masked(parts, mask)
        rest = jnp.where(mask, y - parts.H @ mean, 0.0)
        second = parts.H @ cov @ parts.H.T + rest[:, None] * rest[None, :]
        square = jnp.sum(inverse * second)
        return -0.5 * (count * jnp.log(2.0 * jnp.pi) + size + square)

    seen = jax.vmap(one_row)(path.means, path.covs, observations.y, observations.mask)
    return chain.log_total + first + jnp.sum(seen) + path.entropy


def inverse_of(cov: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Scalar]:
    """Return the inverse and the log determinant of a positive definite matrix."""
    pivots, rows = decorrelate(cov, jnp.eye(cov.shape[0], dtype=cov.dtype))
    return symmetric(rows.T @ (rows / pivots[:, None])), jnp.sum(jnp.log(pivots))


def _step_densities(parts: Parts, path: StatePath) -> Float[Array, "steps mode"]:
    """Return E log N(x_k; F_j x_{k-1} + b_j, Q_j) for each step and mode."""
    old, new = path.means[:-1], path.means[1:]
    P, P_new, cross = path.covs[:-1], path.covs[1:], path.lag_one_covs

    def one_mode(F: Array, b: Array, Q: Array) -> Array:
        inverse, size = inverse_of(Q)
        rest = new - old @ F.T - b[None]
        turned = cross @ F.T
        spread = P_new - turned - jnp.swapaxes(turned, 1, 2) + F @ P @ F.T
        second = spread + rest[:, :, None] * rest[:, None, :]
        square = jnp.einsum("ab,kab->k", inverse, second)
        return -0.5 * (b.shape[0] * jnp.log(2.0 * jnp.pi) + size + square)

    return jax.vmap(one_mode, out_axes=1)(parts.F, parts.b, parts.Q)


def _masked(
    parts: Parts, mask: Array
) -> tuple[Float[Array, "obs obs"], Scalar, Scalar]:
    """Return inverse and log determinant of R where seen, and how many are seen."""
    seen = mask.astype(parts.R.dtype)
    both = seen[:, None] * seen[None, :]
    inverse, size = inverse_of(parts.R * both + jnp.diag(1.0 - seen))
    return inverse * both, size, jnp.sum(seen)


def _seen(parts: Parts, y: Array, mask: Array) -> tuple[Array, Array]:
    """Return what one row adds to the precision and to precision times mean."""
    inverse, _, _ = _masked(parts, mask)
    gain = parts.H.T @ inverse
    return gain @ parts.H, gain @ y


def _solve(
    diagonal: Float[Array, "time n n"],
    below: Float[Array, "steps n n"],
    h: Float[Array, "time n"],
) -> StatePath:
    """Return the Gaussian of a block tridiagonal precision and precision times mean."""
    rows, n = h.shape

    def ahead(carry: tuple[Array, Array], row: tuple[Array, Array, Array]):
        cov, mean = carry  # of the state before, given what came before it
        D, B, g = row
        inverse, size = inverse_of(symmetric(D - B @ cov @ B.T))
        centre = inverse @ (g - B @ mean)
        return (inverse, centre), (inverse, centre, size)

    nothing = jnp.zeros((1, n, n), below.dtype)
    start = (nothing[0], jnp.zeros(n, h.dtype))
    steps = (diagonal, jnp.concatenate([nothing, below]), h)
    _, (inverses, centres, sizes) = jax.lax.scan(ahead, start, steps)

    def back(carry: tuple[Array, Array], row: tuple[Array, Array, Array]):
        mean, cov = carry
        inverse, centre, B = row
        gain = -inverse @ B.T
        earlier = centre + gain @ mean
        whole = symmetric(inverse + gain @ cov @ gain.T)
        return (earlier, whole), (earlier, whole, cov @ gain.T)

    end = (centres[-1], inverses[-1])
    _, (means, covs, crosses) = jax.lax.scan(
        back, end, (inverses[:-1], centres[:-1], below), reverse=True
    )
    # the sizes are log determinants of precisions
    entropy = 0.5 * (rows * n * (1.0 + jnp.log(2.0 * jnp.pi)) - jnp.sum(sizes))
    return StatePath(
        jnp.concatenate([means, end[0][None]]),
        jnp.concatenate([covs, end[1][None]]),
        crosses,
        entropy,
    )
