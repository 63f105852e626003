"""Fitting models that switch between linear modes, by expectation and maximisation.

The exact posterior of modes and states has as many parts as there are pasts. Here it is
approximated by a product q(modes) q(states), the best of its kind (Ghahramani and
Hinton 2000): q(states) is Gaussian along time, with each step weighted by how probable
its mode is; q(modes) is a Markov chain whose weights are expectations over q(states).
Each is the other's exact answer, and both are the maximisers of one number,

    bound = E[log p(y, states, modes)] + entropy of q  <=  log p(y),

which never falls. With one mode the bound is the log-likelihood and the fit is exact
expectation maximisation.

References:
    Ghahramani & Hinton (2000), Variational learning for switching state-space models,
    Neural Computation 12. Shumway & Stoffer (1982), J. Time Series Analysis 3.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate.observations import Observations
from slipstate.assimilate.run import smooth_series
from slipstate.assimilate.switching import InteractingMultipleModel
from slipstate.fit.switching_posterior import (
    ModeChain,
    Parts,
    StatePath,
    bound_of,
    follow_modes,
    follow_states,
    inverse_of,
)
from slipstate.ground.errors import InputError
from slipstate.ground.linalg import symmetric
from slipstate.ground.solution import Outcome, Solution
from slipstate.ground.types import Key, Scalar
from slipstate.systems.linear import LinearTransition
from slipstate.systems.switching import SwitchingLinearGaussian


def fit_switching(
    model: SwitchingLinearGaussian,
    observations: Observations,
    *,
    max_steps: int = 200,
    rtol: float = 1e-7,
    sweeps: int = 2,
    restarts: int = 0,
    key: Key | None = None,
) -> Solution[SwitchingLinearGaussian]:
    """Fit F, b, Q of every mode, the switch and R by raising the bound.

    H and the initial belief stay as they are: with F and Q free, H says in what units
    the state is. All noise covariances must be positive definite. A mode that too few
    rows belong to keeps its values.

    Args:
        model: Where to start.
        observations: The series, one step from row to row, with missing entries.
        max_steps: Most steps of the fit.
        rtol: Relative gain of the bound at which it is good enough.
        sweeps: Turns of q(states) and q(modes) in one step.
        restarts: Further starts, from modes that are partly guessed; the best is kept.
        key: Random key; needed for restarts.

    Returns:
        Solution whose value is the fitted model. Its info holds "bound", "bounds" (one
        for each step of the best start), "starts" (the last bound of each),
        "mode_probs" and the "means" of the states.

    Raises:
        InputError: A covariance is singular, the series is too short, or restarts
            without a key.
    """
    _check(model, observations, restarts, key)
    parts = _parts(model)
    guess = smooth_series(model, observations, InteractingMultipleModel()).probs
    firsts = [guess]
    if key is not None:
        for each in jax.random.split(key, restarts):
            noise = jax.random.gumbel(each, guess.shape, guess.dtype)
            firsts.append(0.5 * guess + 0.5 * jax.nn.softmax(3.0 * noise, axis=1))
    runs = [
        _climb(parts, observations, first, max_steps, rtol, sweeps) for first in firsts
    ]
    lasts = np.array([run[1][-1] for run in runs])
    best = int(np.argmax(np.where(np.isfinite(lasts), lasts, -np.inf)))
    (parts, chain, path), bounds, converged = runs[best]
    info: dict[str, Any] = {
        "bound": bounds[-1],
        "bounds": np.array(bounds),
        "starts": lasts,
        "mode_probs": chain.probs,
        "means": path.means,
    }
    outcome = Outcome.successful if converged else Outcome.not_converged
    if not np.isfinite(bounds[-1]):
        outcome = Outcome.not_finite
    words = f"structured variational EM, {len(runs)} start(s), rtol {rtol:g}"
    return Solution(_model(model, parts), outcome, info, words)


Where = tuple[Parts, ModeChain, StatePath]
"""Parameters, and the two factors of the posterior that go with them."""


def _climb(
    parts: Parts,
    observations: Observations,
    probs: Float[Array, "time mode"],
    max_steps: int,
    rtol: float,
    sweeps: int,
) -> tuple[Where, list[float], bool]:
    """Raise the bound from one start; return where it led, bounds and convergence."""
    here, bound, ahead = _em_step(parts, observations, probs, sweeps)
    bounds = [float(bound)]
    while len(bounds) < max_steps and np.isfinite(bounds[-1]):
        here, bound, ahead = _em_step(ahead, observations, here[1].probs, sweeps)
        bounds.append(float(bound))
        if bounds[-1] - bounds[-2] <= rtol * abs(bounds[-1]):
            return here, bounds, True
    return here, bounds, False


@eqx.filter_jit
def _em_step(
    parts: Parts,
    observations: Observations,
    probs: Float[Array, "time mode"],
    sweeps: int,
) -> tuple[Where, Scalar, Parts]:
    """Return both factors, the bound they reach, and the parameters that follow."""
    path = follow_states(parts, observations, probs)
    chain = follow_modes(parts, path)
    for _ in range(sweeps - 1):
        path = follow_states(parts, observations, chain.probs)
        chain = follow_modes(parts, path)
    bound = bound_of(parts, observations, chain, path)
    return (parts, chain, path), bound, maximise_parts(parts, observations, chain, path)


def maximise_parts(
    parts: Parts, observations: Observations, chain: ModeChain, path: StatePath
) -> Parts:
    """Return the parameters that raise the expected log density most.

    Args:
        parts: Parameters that gave the posterior.
        observations: The series.
        chain: q(modes).
        path: q(states).

    Returns:
        New parameters; H and the initial belief as before.
    """
    n = path.means.shape[1]
    old, new = path.means[:-1], path.means[1:]
    P, P_new, cross = path.covs[:-1], path.covs[1:], path.lag_one_covs
    wide = jnp.concatenate([old, jnp.ones_like(old[:, :1])], axis=1)
    square = jnp.pad(P, ((0, 0), (0, 1), (0, 1))) + wide[:, :, None] * wide[:, None, :]
    product = jnp.pad(cross, ((0, 0), (0, 0), (0, 1))) + new[:, :, None] * wide[:, None]

    def one_mode(
        weights: Float[Array, " steps"], F: Array, b: Array, Q: Array
    ) -> tuple[Array, Array, Array]:
        total = jnp.sum(weights)
        enough = total > n + 1.0
        inverse, _ = inverse_of(jnp.einsum("k,kab->ab", weights, square))
        line = jnp.einsum("k,kab->ab", weights, product) @ inverse
        F, b = jnp.where(enough, line[:, :n], F), jnp.where(enough, line[:, n], b)
        # squares of residuals, not a difference of squares
        rest = new - old @ F.T - b[None]
        turned = cross @ F.T
        spread = P_new - turned - jnp.swapaxes(turned, 1, 2) + F @ P @ F.T
        second = spread + rest[:, :, None] * rest[:, None, :]
        noise = jnp.einsum("k,kab->ab", weights, second) / jnp.maximum(total, 1.0)
        return F, b, jnp.where(enough, symmetric(noise), Q)

    F, b, Q = jax.vmap(one_mode)(chain.probs[1:].T, parts.F, parts.b, parts.Q)
    pairs = jnp.sum(chain.pairs, axis=0)
    visits = jnp.sum(pairs, axis=1)
    usable = visits > 0
    switch = jnp.where(
        usable[:, None], pairs / jnp.where(usable, visits, 1.0)[:, None], parts.switch
    )
    R = _observation_noise(parts, observations, path)
    return Parts(parts.mean, parts.cov, parts.log_probs, F, b, Q, parts.H, R, switch)


def _observation_noise(
    parts: Parts, observations: Observations, path: StatePath
) -> Float[Array, "obs obs"]:
    """Return the new R, with missing entries at their expectation given the seen."""
    H, R = parts.H, parts.R

    def one_row(mean: Array, cov: Array, y: Array, mask: Array) -> Array:
        seen = mask.astype(R.dtype)
        both = seen[:, None] * seen[None, :]
        inverse, _ = inverse_of(R * both + jnp.diag(1.0 - seen))
        gain = R @ (inverse * both)
        rest = jnp.where(mask, y - H @ mean, 0.0)
        second = both * (H @ cov @ H.T) + rest[:, None] * rest[None, :]
        return gain @ second @ gain.T + R - gain @ R

    each = jax.vmap(one_row)(path.means, path.covs, observations.y, observations.mask)
    any_seen = jnp.any(observations.mask, axis=1).astype(R.dtype)
    total = jnp.sum(any_seen)
    mean = jnp.einsum("k,kab->ab", any_seen, each) / jnp.maximum(total, 1.0)
    return jnp.where(total > 0, symmetric(mean), R)


def _parts(model: SwitchingLinearGaussian) -> Parts:
    """Return the numbers of a model."""
    each = model.transitions
    F, b = jnp.stack([t.F for t in each]), jnp.stack([t.b for t in each])
    Q = jnp.stack([t.Q for t in each])
    initial, seen = model.initial, model.observation
    return Parts(
        initial.locations[0],
        initial.covariances[0],
        jax.nn.log_softmax(initial.log_weights),
        F,
        b,
        Q,
        seen.H,
        seen.R,
        model.switch,
    )


def _model(model: SwitchingLinearGaussian, parts: Parts) -> SwitchingLinearGaussian:
    """Return a model with new numbers."""
    moves = tuple(
        LinearTransition(parts.F[j], parts.Q[j], parts.b[j]) for j in range(model.modes)
    )
    one = lambda m: (m.transitions, m.observation.R, m.switch)
    return eqx.tree_at(one, model, (moves, parts.R, parts.switch))


def _check(
    model: SwitchingLinearGaussian,
    observations: Observations,
    restarts: int,
    key: Key | None,
) -> None:
    """Raise unless the fit can be done.

    Args:
        model: Where to start.
        observations: The series.
        restarts: Further starts.
        key: Random key.

    Raises:
        InputError: See `fit_switching`.
    """
    named = {"R": model.observation.R, "initial_cov": model.initial.covariances[0]}
    named |= {f"Q[{j}]": t.Q for j, t in enumerate(model.transitions)}
    for name, cov in named.items():
        size = np.sqrt(np.diagonal(np.asarray(cov)))
        unit = np.asarray(cov) / np.outer(size, size) if (size > 0).all() else None
        if unit is None or np.linalg.eigvalsh(unit).min() < 1e-12:
            raise InputError(
                f"`{name}` must be positive definite to be fitted; got a singular "
                "matrix. Give every direction some noise."
            )
    if np.any(np.asarray(model.observation.d) != 0.0):
        raise InputError(
            "`model` must observe without offset d to be fitted. Subtract d from `y`."
        )
    if len(observations) < 3:
        raise InputError(
            f"`observations` must hold at least 3 rows; got {len(observations)}."
        )
    if restarts > 0 and key is None:
        raise InputError(
            "`key` must be a random key where `restarts` > 0; got None. Pass "
            "key=jax.random.key(0)."
        )
