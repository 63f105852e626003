"""Fitting switches that ask the state, by Laplace's approximation.

As `slipstate.fit.switching_em`, with one factor more: the switch asks the state, so the
states hear of the modes through it too. Its logarithm is concave in the state; each
turn replaces it by its second-order expansion about the present path (Newton), and the
modes ask it at the mean of the path. What is raised is then no bound but Laplace's
estimate of one, exact where the switch does not ask the state.

References:
    Zoltowski, Pillow & Linderman (2020), A general recurrent state space framework for
    modeling neural dynamics during decision-making, ICML.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.optimize
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate.observations import Observations
from slipstate.assimilate.run import smooth_series
from slipstate.assimilate.switching import InteractingMultipleModel
from slipstate.fit.switching_em import maximise_parts
from slipstate.fit.switching_posterior import (
    ModeChain,
    Parts,
    StatePath,
    bound_of,
    follow_modes,
    follow_states,
)
from slipstate.ground.errors import InputError
from slipstate.ground.linalg import symmetric
from slipstate.ground.solution import Outcome, Solution
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.linear import LinearObservation, LinearTransition
from slipstate.systems.recurrent import RecurrentSwitching


class Guard(eqx.Module):
    """The numbers of a switch: P(next mode | mode i, x) = softmax(W_i x + r_i).

    Attributes:
        weights: W, by present mode, next mode and state.
        bias: r, by present mode and next mode.
    """

    weights: Float[Array, "mode mode state"]
    bias: Float[Array, "mode mode"]

    def log_switch(self, x: Float[Array, " state"]) -> Float[Array, "mode mode"]:
        """Return log P(next mode = column | mode = row, x)."""
        return jax.nn.log_softmax(self.weights @ x + self.bias, axis=1)


def fit_recurrent(
    model: RecurrentSwitching,
    observations: Observations,
    *,
    max_steps: int = 100,
    rtol: float = 1e-6,
    sweeps: int = 3,
    ridge: float = 1e-3,
) -> Solution[RecurrentSwitching]:
    """Fit F, b, Q of every mode, R and the guard of a model whose switch asks.

    Args:
        model: Where to start; transitions and observation given by their matrices.
        observations: The series, one step from row to row, with missing entries.
        max_steps: Most steps of the fit.
        rtol: Relative change of the estimate at which it is good enough.
        sweeps: Turns of states and modes in one step.
        ridge: Precision of a normal prior about zero of W and r, above 0: a guard that
            separates the modes perfectly would be infinitely steep.

    Returns:
        Solution whose value is the fitted model. Its info holds "estimates" (Laplace's
        estimate of the bound, one for each step), "mode_probs" and "means".

    Raises:
        InputError: A part is not given by matrices, or `ridge` is not positive.
    """
    parts, guard = _parts(model)
    if not ridge > 0.0:
        raise InputError(f"`ridge` must be positive; got {ridge}. Pass 1e-3.")
    method = InteractingMultipleModel()
    probs = smooth_series(model, observations, method).probs
    path = _first_path(parts, observations, probs)
    steps = probs.shape[0] - 1
    chain = ModeChain(
        probs, probs[:-1, :, None] * probs[1:, None, :], jnp.zeros((), probs.dtype)
    )
    assert chain.pairs.shape[0] == steps
    estimates: list[float] = []
    converged = False
    penalty = jnp.asarray(ridge, probs.dtype)
    used = parts, guard
    while len(estimates) < max_steps and not converged:
        used = parts, guard
        (chain, path), estimate, (parts, guard) = _em_step(
            parts, guard, observations, chain, path, sweeps, penalty
        )
        estimates.append(float(estimate))
        if not np.isfinite(estimates[-1]):
            break
        change = abs(np.diff(estimates[-2:]).sum())
        converged = len(estimates) > 1 and change <= rtol * abs(estimates[-1])
    outcome = Outcome.successful if converged else Outcome.not_converged
    if not np.isfinite(estimates[-1]):
        outcome = Outcome.not_finite
    info: dict[str, Any] = {
        "estimates": np.array(estimates),
        "mode_probs": chain.probs,
        "means": path.means,
    }
    words = f"Laplace EM, rtol {rtol:g}, ridge {ridge:g}"
    return Solution(_model(model, *used), outcome, info, words)


@eqx.filter_jit
def _first_path(
    parts: Parts, observations: Observations, probs: Float[Array, "time mode"]
) -> StatePath:
    """Return the states as if the switch did not ask them."""
    return follow_states(parts, observations, probs)


@eqx.filter_jit
def _em_step(
    parts: Parts,
    guard: Guard,
    observations: Observations,
    chain: ModeChain,
    path: StatePath,
    sweeps: int,
    ridge: Scalar,
) -> tuple[tuple[ModeChain, StatePath], Scalar, tuple[Parts, Guard]]:
    """Return both factors, the estimate, and the parameters that follow."""
    for _ in range(sweeps):
        further = _asked(guard, chain, path)
        path = follow_states(parts, observations, chain.probs, further)
        log_switch = jax.vmap(guard.log_switch)(path.means[:-1])
        chain = follow_modes(parts, path, log_switch)
    estimate = bound_of(parts, observations, chain, path)
    fitted = maximise_parts(parts, observations, chain, path)
    return (chain, path), estimate, (fitted, _fit_guard(guard, chain, path, ridge))


def _asked(
    guard: Guard, chain: ModeChain, path: StatePath
) -> tuple[Float[Array, "time n n"], Float[Array, "time n"]]:
    """Return what the switch says of each state, about the present path.

    Precision J = -(second derivative) and J x + (first derivative) of the expected
    log probability of the switch.
    """

    def one(x: Array, pairs: Array) -> tuple[Array, Array]:
        height = lambda x: jnp.sum(pairs * guard.log_switch(x))
        J = -symmetric(jax.hessian(height)(x))
        return J, J @ x + jax.grad(height)(x)

    J, h = jax.vmap(one)(path.means[:-1], chain.pairs)
    pad = lambda a: jnp.concatenate([a, jnp.zeros_like(a[:1])])
    return pad(J), pad(h)


def _fit_guard(guard: Guard, chain: ModeChain, path: StatePath, ridge: Scalar) -> Guard:
    """Return the guard that explains the modes best, given the path."""
    size = guard.weights.size

    def unflat(flat: Array) -> Guard:
        weights = flat[:size].reshape(guard.weights.shape)
        return Guard(weights, flat[size:].reshape(guard.bias.shape))

    def cost(flat: Array) -> Scalar:
        logs = jax.vmap(unflat(flat).log_switch)(path.means[:-1])
        return 0.5 * ridge * flat @ flat - jnp.sum(chain.pairs * logs)

    start = jnp.concatenate([jnp.ravel(guard.weights), jnp.ravel(guard.bias)])
    found = jax.scipy.optimize.minimize(cost, start, method="BFGS")
    better = found.fun < cost(start)
    return unflat(jnp.where(better, found.x, start))


def _parts(model: RecurrentSwitching) -> tuple[Parts, Guard]:
    """Return the numbers of a model, or say which part is not given by matrices."""
    seen, initial = model.observation, model.initial
    matrices = [t for t in model.transitions if isinstance(t, LinearTransition)]
    if len(matrices) < model.modes or not isinstance(seen, LinearObservation):
        raise InputError(
            "`model` must consist of LinearTransition and LinearObservation to be "
            "fitted; got other parts. Pass their matrices for one step."
        )
    alike = lambda x: bool(np.all(np.asarray(x) == np.asarray(x)[:1]))
    if not (alike(initial.locations) and alike(initial.covariances)):
        raise InputError(
            "`model` must have one belief about the first state for all modes; got "
            "several. Repeat one of them."
        )
    F, b = jnp.stack([t.F for t in matrices]), jnp.stack([t.b for t in matrices])
    Q = jnp.stack([t.Q for t in matrices])
    parts = Parts(
        initial.locations[0],
        initial.covariances[0],
        jax.nn.log_softmax(initial.log_weights),
        F,
        b,
        Q,
        seen.H,
        seen.R,
        jnp.full((model.modes, model.modes), 1.0 / model.modes, F.dtype),
    )
    return parts, Guard(model.weights, model.bias)


def _model(model: RecurrentSwitching, parts: Parts, guard: Guard) -> RecurrentSwitching:
    """Return a model with new numbers."""
    moves = tuple(
        LinearTransition(parts.F[j], parts.Q[j], parts.b[j]) for j in range(model.modes)
    )
    assert isinstance(model.observation, LinearObservation)
    seen = eqx.tree_at(lambda o: o.R, model.observation, parts.R)
    return RecurrentSwitching(model.initial, moves, seen, guard.weights, guard.bias)


def crossing(guard: Guard, mode: int, direction: ScalarLike = 0) -> Scalar:
    """Return where, along one component, a guard between two modes is even.

    Args:
        guard: The guard.
        mode: Present mode.
        direction: Number of the component; the others at zero.
    """
    slope = guard.weights[mode, 1, direction] - guard.weights[mode, 0, direction]
    return (guard.bias[mode, 0] - guard.bias[mode, 1]) / slope
