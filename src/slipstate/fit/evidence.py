"""Parameters of highest evidence, with any filter standing for the likelihood.

The evidence p(y) of a model is what a filter leaves behind as its log-likelihood, so
noise levels Q and R and any other parameter can be fitted through the filter:

    fit_evidence      follows derivatives through the filter: exact for Kalman filters,
                      and for ensemble filters whose draws are held fixed
    search_evidence   asks for values only: for filters that choose among members

A filter that draws is given the same keys at every evaluation (common random numbers),
so the evidence is a function and not a noise; what remains of the draws is the error of
the answer over other keys, which `search_evidence` returns beside it.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Shaped

from slipstate.assimilate import AbstractFilter, Kalman, Observations, filter_series
from slipstate.fit.optimise import maximise
from slipstate.ground.errors import InputError
from slipstate.ground.params import (
    free_vector,
    natural,
    natural_vector,
    with_values,
)
from slipstate.ground.solution import Outcome, Solution
from slipstate.ground.types import Key, Scalar
from slipstate.systems.protocol import AbstractModel

_EXACT = Kalman()
_LOST = -1e12  # evidence of parameters with which the filter gives no number


def fit_evidence(
    build: Callable[[Any], AbstractModel],
    start: Any,
    observations: Observations,
    method: AbstractFilter = _EXACT,
    *,
    key: Key | None = None,
    rtol: float = 1e-6,
    max_steps: int = 200,
    errors: bool = True,
) -> Solution[Any]:
    """Find the parameters of highest evidence by derivatives through the filter.

    Args:
        build: Makes a model of a tree like `start` with values for `Parameter`s.
        start: Tree whose `Parameter`s are fitted where they are trainable.
        observations: The series.
        method: The filter; its evidence must be differentiable with its draws fixed,
            as that of Kalman and ensemble Kalman filters is.
        key: Random key of the filter; the same at every evaluation.
        rtol: Relative tolerance on parameters and evidence.
        max_steps: Limit of the iteration.
        errors: Whether to compute standard errors from the curvature.

    Returns:
        As `slipstate.fit.maximise`.

    Raises:
        InputError: There is nothing to fit.
        MethodError: The filter cannot treat the model.
    """
    target = eqx.Partial(log_evidence, build, observations, method, key)
    return maximise(target, start, rtol=rtol, max_steps=max_steps, errors=errors)


def search_evidence(
    build: Callable[[Any], AbstractModel],
    start: Any,
    observations: Observations,
    method: AbstractFilter,
    *,
    key: Key,
    draws: int = 4,
    step: float = 0.3,
    tolerance: float = 0.01,
    max_evaluations: int = 200,
) -> Solution[Any]:
    """Find the parameters of highest evidence by a simplex search, without derivatives.

    The evidence is the mean of the likelihoods over `draws` keys, which are the same at
    every evaluation. The search ends where the simplex is smaller than `tolerance`.

    Args:
        build: Makes a model of a tree like `start` with values for `Parameter`s.
        start: Tree whose `Parameter`s are fitted where they are trainable.
        observations: The series.
        method: The filter.
        key: Random key.
        draws: Number of keys.
        step: First size of the simplex, in unconstrained numbers.
        tolerance: Last size of the simplex.
        max_evaluations: Limit of the search.

    Returns:
        Solution whose value is the tree with fitted values. Its info holds
        "log_likelihood", "evaluations", "parameters" (the tree with fitted
        `Parameter`s), "errors" (natural, one per free number: from the curvature of a
        parabola through the last points; NaN where there is none) and "draw_error",
        the standard error of the log evidence from the draws.

    Raises:
        InputError: There is nothing to fit, or no draw.
        MethodError: The filter cannot treat the model.
    """
    centre = np.asarray(free_vector(start), dtype=np.float64)
    if centre.size == 0:
        raise InputError(
            "`start` must hold at least one trainable Parameter; got none. Wrap "
            "what is to be fitted, e.g. Parameter(1.0, Positive())."
        )
    if draws < 1:
        raise InputError(f"`draws` must be 1 or more; got {draws}. Pass 4.")
    keys = jax.random.split(key, draws)
    seen: list[tuple[np.ndarray, float]] = []

    def loss(free: np.ndarray) -> float:
        terms = _each(build, start, observations, method, keys, jnp.asarray(free))
        height = float(jax.nn.logsumexp(terms) - jnp.log(1.0 * draws))
        height = height if np.isfinite(height) else _LOST
        seen.append((np.array(free), height))
        return -height

    corners = np.vstack([centre, centre + step * np.eye(centre.size)])
    found = scipy.optimize.minimize(
        loss,
        centre,
        method="Nelder-Mead",
        options={
            "initial_simplex": corners,
            "xatol": tolerance,
            "fatol": np.inf,  # the simplex alone decides: the evidence may be rough
            "maxfev": max_evaluations,
        },
    )
    free = jnp.asarray(found.x)
    terms = _each(build, start, observations, method, keys, free)
    fitted = with_values(start, natural_vector(start, free))
    slope = jax.jvp(
        lambda z: natural_vector(start, z), (free,), (jnp.ones_like(free),)
    )[1]
    info: dict[str, Any] = {
        "log_likelihood": jnp.asarray(-found.fun),
        "evaluations": len(seen),
        "parameters": fitted,
        "errors": jnp.abs(slope) * _curvature(seen, np.asarray(found.x)),
        "draw_error": _draw_error(terms),
    }
    provenance = (
        f"highest evidence of {type(method).__name__}, simplex search over "
        f"{centre.size} unconstrained numbers, {draws} fixed key(s), "
        f"{len(seen)} evaluations"
    )
    good = bool(found.success) and -found.fun > _LOST
    outcome = Outcome.successful if good else Outcome.not_converged
    return Solution(natural(fitted), outcome, info, provenance)


def log_evidence(
    build: Callable[[Any], AbstractModel],
    observations: Observations,
    method: AbstractFilter,
    key: Key | None,
    values: Any,
) -> Scalar:
    """Return the log evidence [nats] of a series under a model.

    Args:
        build: Makes a model of `values`.
        observations: The series.
        method: The filter.
        key: Random key of the filter.
        values: Parameters.

    Returns:
        The sum of the filter's log-likelihoods.
    """
    model = build(values)
    return filter_series(
        model, observations, method, key=key, cov="none"
    ).log_likelihood


@eqx.filter_jit
def _each(
    build: Callable[[Any], AbstractModel],
    start: Any,
    observations: Observations,
    method: AbstractFilter,
    keys: Shaped[Array, "draw ..."],
    free: Float[Array, " free"],
) -> Float[Array, " draw"]:
    """Return the log evidence with each key."""
    values = natural(with_values(start, natural_vector(start, free)))
    one = lambda key: log_evidence(build, observations, method, key, values)
    return jax.lax.map(one, keys)


def _draw_error(terms: Float[Array, " draw"]) -> Scalar:
    """Return the standard error of the log of the mean likelihood, from its draws."""
    count = len(terms)
    if count < 2:
        return jnp.asarray(jnp.nan)
    relative = jnp.exp(terms - jnp.max(terms))
    return jnp.std(relative, ddof=1) / jnp.mean(relative) / np.sqrt(count)


def _curvature(
    seen: list[tuple[np.ndarray, float]], best: np.ndarray
) -> Float[Array, " free"]:
    """Return standard deviations by a paraboloid through the points near the best."""
    n = best.size
    points = np.stack([p for p, _ in seen]) - best
    heights = np.array([h for _, h in seen])
    terms = 1 + n + n * (n + 1) // 2
    near = heights > heights.max() - 8.0
    if near.sum() < terms + 1:
        return jnp.full(n, jnp.nan)
    rows, columns = np.triu_indices(n)
    x = points[near]
    design = np.concatenate(
        [np.ones((len(x), 1)), x, x[:, rows] * x[:, columns]], axis=1
    )
    fit = np.linalg.lstsq(design, heights[near], rcond=None)[0]
    H = np.zeros((n, n))
    H[rows, columns] = fit[1 + n :]
    information = -(H + H.T)
    sizes = np.linalg.eigvalsh(information)
    if sizes.min() <= 1e-12 * max(sizes.max(), 0.0) or sizes.max() <= 0.0:
        return jnp.full(n, jnp.nan)
    return jnp.asarray(np.sqrt(np.diagonal(np.linalg.inv(information))))
