"""Maximum likelihood on unconstrained parameters, with standard errors."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, Bool, Float

from slipstate.ground.errors import InputError
from slipstate.ground.params import (
    free_vector,
    natural,
    natural_vector,
    trainable,
    with_values,
)
from slipstate.ground.solution import Outcome, Solution
from slipstate.ground.types import Count, Key, Scalar

_FEW = 16  # parameters up to which forward derivatives are cheaper than a backward pass


def maximise(
    log_likelihood: Callable[[Any], Scalar],
    start: Any,
    *,
    forward: bool | None = None,
    rtol: float = 1e-8,
    max_steps: int = 500,
    restarts: int = 0,
    spread: float = 1.0,
    errors: bool = True,
    key: Key | None = None,
) -> Solution[Any]:
    """Find the parameters of the highest log-likelihood by BFGS.

    The search runs on unconstrained numbers, scaled so that its first step has length
    one. Standard errors come from the observed information: the inverse of minus the
    second derivative there, carried to natural values by the delta method.

    Args:
        log_likelihood: Function of a tree like `start` with values in place of
            `Parameter`s. One that is called again with other data compiles once if it
            is an `eqx.Partial` or module that holds the data.
        start: Tree whose `Parameter`s are fitted where they are trainable.
        forward: Forward derivatives, cheap for few parameters and long series, instead
            of a backward pass. None: forward up to 16 free numbers.
        rtol: Relative tolerance on parameters and likelihood.
        max_steps: Limit of the iteration.
        restarts: Further starts, drawn about `start`; the best result is returned.
        spread: Standard deviation of these draws, in unconstrained numbers.
        errors: Whether to compute standard errors.
        key: Random key; needed for restarts.

    Returns:
        Solution whose value is the tree with fitted values. Its info holds
        "log_likelihood", "parameters" (the tree with fitted `Parameter`s),
        "log_likelihoods" and "steps" (one per start) and, if asked for,
        "standard_errors" (a tree like the value, 0 where nothing was fitted) and
        "free_cov", the covariance in unconstrained numbers. NaN there means that the
        likelihood has no proper maximum at the point found.

    Raises:
        InputError: Nothing to fit, or restarts without a key.
    """
    centre = free_vector(start)
    size = centre.shape[0]
    if size == 0:
        raise InputError(
            "`start` must hold at least one trainable Parameter; got none. Wrap "
            "what is to be fitted, e.g. Parameter(1.0, Positive())."
        )
    ahead = size <= _FEW if forward is None else forward
    starts = _starts(centre, restarts, spread, key)
    runs = [
        _search(log_likelihood, start, first, ahead, rtol, max_steps)
        for first in starts
    ]
    heights = np.array([float(run[1]) for run in runs])
    ranked = np.where(np.isfinite(heights), heights, -np.inf)
    free, height, _, converged = runs[int(np.argmax(ranked))]
    fitted = with_values(start, natural_vector(start, free))
    info: dict[str, Any] = {
        "log_likelihood": height,
        "log_likelihoods": jnp.asarray(heights),
        "steps": jnp.stack([run[2] for run in runs]),
        "parameters": fitted,
    }
    if errors:
        cov, deviations = _errors(log_likelihood, start, free, ahead)
        info["free_cov"] = cov
        info["standard_errors"] = _only_fitted(start, deviations)
    provenance = (
        f"maximum likelihood, BFGS on {size} unconstrained numbers, {len(starts)} "
        f"start(s), rtol {rtol:g}, {'forward' if ahead else 'reverse'} derivatives"
    )
    return Solution(
        natural(fitted), _outcome(bool(converged), float(height)), info, provenance
    )


def curvature_errors(log_likelihood: Callable[[Any], Scalar], at: Any) -> Any:
    """Return standard errors at a maximum that was found by other means, such as EM.

    Args:
        log_likelihood: Function of a tree like `at` with values for `Parameter`s.
        at: Tree whose `Parameter`s stand at the maximum.

    Returns:
        A tree of standard errors like that of `maximise`; NaN where the likelihood has
        no proper maximum there.
    """
    free = free_vector(at)
    _, deviations = _errors(log_likelihood, at, free, free.shape[0] <= _FEW)
    return _only_fitted(at, deviations)


def _starts(
    centre: Float[Array, " free"], restarts: int, spread: float, key: Key | None
) -> list[Float[Array, " free"]]:
    """Return the first points of all searches."""
    if restarts == 0:
        return [centre]
    if key is None:
        raise InputError(
            "`key` must be a random key where `restarts` > 0; got None. Pass "
            "key=jax.random.key(0)."
        )
    noise = jax.random.normal(key, (restarts, centre.shape[0]), centre.dtype)
    return [centre, *(centre + spread * draw for draw in noise)]


@eqx.filter_jit
def _search(
    log_likelihood: Callable[[Any], Scalar],
    tree: Any,
    first: Float[Array, " free"],
    ahead: bool,
    rtol: float,
    max_steps: int,
) -> tuple[Float[Array, " free"], Scalar, Count, Bool[Array, ""]]:
    """Run one search; return the point, its likelihood, steps and convergence."""

    def height(free: Float[Array, " free"], args: Any) -> Scalar:
        log_likelihood, tree = args
        return log_likelihood(natural(with_values(tree, natural_vector(tree, free))))

    args = (log_likelihood, tree)
    derivative = jax.jacfwd(height) if ahead else jax.grad(height)
    # the first step of BFGS is the gradient itself: make it one unit long
    scale = 1.0 / jnp.maximum(jnp.linalg.norm(derivative(first, args)), 1e-300)
    solution = optimistix.minimise(
        lambda free, args: -scale * height(free, args),
        optimistix.BFGS(rtol=rtol, atol=rtol),
        first,
        args,
        {"autodiff_mode": "fwd" if ahead else "bwd"},
        max_steps=max_steps,
        throw=False,
    )
    free = solution.value
    converged = solution.result == optimistix.RESULTS.successful
    return free, height(free, args), solution.stats["num_steps"], converged


@eqx.filter_jit
def _errors(
    log_likelihood: Callable[[Any], Scalar],
    tree: Any,
    free: Float[Array, " free"],
    ahead: bool,
) -> tuple[Float[Array, "free free"], Float[Array, " free"]]:
    """Return the covariance of the free numbers and the errors of natural values."""

    def height(free: Float[Array, " free"]) -> Scalar:
        return log_likelihood(natural(with_values(tree, natural_vector(tree, free))))

    inner = jax.jacfwd(height) if ahead else jax.grad(height)
    information = -jax.jacfwd(inner)(free)
    cov = jnp.linalg.inv(0.5 * (information + information.T))
    _, slope = jax.jvp(
        lambda z: natural_vector(tree, z), (free,), (jnp.ones_like(free),)
    )
    variances = jnp.diagonal(cov)
    deviations = jnp.sqrt(jnp.where(variances > 0, variances, jnp.nan))
    return cov, jnp.abs(slope) * deviations


def _only_fitted(tree: Any, deviations: Float[Array, " free"]) -> Any:
    """Return a tree of standard errors, 0 where nothing was fitted."""
    nothing = jax.tree.map(
        lambda leaf: jnp.zeros_like(leaf) if eqx.is_inexact_array(leaf) else leaf, tree
    )
    assert len(trainable(nothing)) == len(trainable(tree))
    return natural(with_values(nothing, deviations))


def _outcome(converged: bool, height: float) -> Outcome:
    """Return how the search ended."""
    if not np.isfinite(height):
        return Outcome.not_finite
    return Outcome.successful if converged else Outcome.not_converged
