"""Smoothing a nonlinear model by linearising it about its own smoothed path.

Each turn linearises every step and every observation about the smoothed beliefs of the
turn before, which makes a linear model with matrices of its own at each row, and runs
the exact smoother over that. With `Taylor` these are Gauss-Newton steps towards the
most probable path; with a rule of points it is posterior linearisation, which takes the
spread of the beliefs into account.

References:
    Bell (1994), The iterated Kalman smoother as a Gauss-Newton method, SIAM J. Optim.
    4. Garcia-Fernandez, Svensson & Sarkka (2017), Iterated posterior linearization
    smoother, IEEE Trans. Automatic Control 62.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.kalman import Kalman
from slipstate.assimilate.linearise import AbstractRule, Taylor, in_state
from slipstate.assimilate.observations import Observations
from slipstate.assimilate.protocol import require_transition
from slipstate.assimilate.results import SmoothResult
from slipstate.assimilate.run import smooth_series
from slipstate.assimilate.sigma import Sigma, observation_cov, transition_cov
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.linalg import symmetric
from slipstate.ground.solution import Outcome, Solution
from slipstate.ground.types import Count, Scalar, ScalarLike
from slipstate.systems.protocol import AbstractStateSpaceModel
from slipstate.systems.varying import VaryingLinearGaussian

_TAYLOR = Taylor()


def smooth_iterated(
    model: AbstractStateSpaceModel,
    observations: Observations,
    rule: AbstractRule = _TAYLOR,
    *,
    max_steps: int = 50,
    rtol: float = 1e-8,
    damping: float = 1.0,
) -> Solution[SmoothResult]:
    """Smooth a series by repeated linearisation about the smoothed path.

    Args:
        model: The model; its initial belief holds at the first row.
        observations: The series.
        rule: How functions are linearised; `Taylor()` leads to the most probable path.
        max_steps: Most turns after the first pass.
        rtol: Tolerance on the change of the means, in smoothed standard deviations.
        damping: Part of each step of the path that is taken, above 0 and up to 1;
            smaller where full steps overshoot.

    Returns:
        Solution whose value is a result of the linearised model as from
        `smooth_series`. Its info holds "steps" and the last "change".

    Raises:
        MethodError: The model switches or its initial belief is diffuse.
        InputError: A number is out of range, or sizes disagree.
    """
    if not 0.0 < damping <= 1.0:
        raise InputError(
            f"`damping` must be above 0 and at most 1; got {damping}. Pass 1 for full "
            "steps."
        )
    if max_steps < 1:
        raise InputError(f"`max_steps` must be at least 1; got {max_steps}. Pass 50.")
    Sigma(rule).check(model)
    result, steps, change = _iterate(
        model, observations, rule, max_steps, jnp.asarray(rtol), jnp.asarray(damping)
    )
    lost = Outcome.where(
        jnp.isfinite(change), Outcome.not_converged, Outcome.not_finite
    )
    outcome = Outcome.where(change <= rtol, Outcome.successful, lost)
    words = f"iterated smoothing, {type(rule).__name__}, rtol {rtol:g}"
    return Solution(result, outcome, {"steps": steps, "change": change}, words)


@eqx.filter_jit
def _iterate(
    model: AbstractStateSpaceModel,
    observations: Observations,
    rule: AbstractRule,
    max_steps: int,
    rtol: Scalar,
    damping: Scalar,
) -> tuple[SmoothResult, Count, Scalar]:
    """Return the last result, the number of turns and the last change."""
    first = smooth_series(model, observations, Sigma(rule))
    start = first.means, first.covs

    def turn(means: Array, covs: Array) -> SmoothResult:
        line = linearised_model(model, observations, rule, means, covs)
        return smooth_series(line, observations, Kalman())

    def going(carry: Any) -> Array:
        _, steps, change = carry
        return (steps < max_steps) & (change > rtol)

    def body(carry: Any) -> Any:
        (means, covs), steps, _ = carry
        result = turn(means, covs)
        variances = jnp.diagonal(result.covs, axis1=1, axis2=2)
        sizes = jnp.sqrt(jnp.where(variances > 0, variances, 1.0))
        move = result.means - means
        change = jnp.max(jnp.abs(move) / sizes)
        return (means + damping * move, result.covs), steps + 1, change

    begin = (start, jnp.zeros((), int), jnp.asarray(jnp.inf, start[0].dtype))
    (means, covs), steps, change = jax.lax.while_loop(going, body, begin)
    return turn(means, covs), steps, change


def linearised_model(
    model: AbstractStateSpaceModel,
    observations: Observations,
    rule: AbstractRule,
    means: Float[Array, "time state"],
    covs: Float[Array, "time state state"],
) -> VaryingLinearGaussian:
    """Return the linear model that `model` is near one Gaussian for each row.

    Args:
        model: The model.
        observations: The series; gives the lengths of steps and the inputs.
        rule: How functions are linearised.
        means: Where, for each row.
        covs: How widely, for each row.

    Returns:
        A model with matrices for each row.
    """
    transition = require_transition(model, "linearised_model")
    R = observation_cov(model.observation)

    def move(
        mean: Array, cov: Array, u: Array | None, dt: ScalarLike
    ) -> tuple[Array, Array, Array]:
        f = lambda x: transition.mean(x, u, dt)
        line = rule.linearise(f, mean, psd_root(cov))
        F = in_state(line, cov)
        Q = symmetric(line.spread + transition_cov(transition, mean, u, dt))
        return F, line.mean - F @ mean, Q

    def look(mean: Array, cov: Array, u: Array | None) -> tuple[Array, Array, Array]:
        f = lambda x: model.observation.predict(x, u)
        line = rule.linearise(f, mean, psd_root(cov))
        H = in_state(line, cov)
        return H, line.mean - H @ mean, symmetric(line.spread + R)

    u = observations.u
    dts = jnp.diff(observations.t).astype(means.dtype)
    later = None if u is None else u[1:]
    F, b, Q = jax.vmap(move)(means[:-1], covs[:-1], later, dts)
    H, d, R_all = jax.vmap(look)(means, covs, u)
    n = means.shape[1]
    # no step leads to the first row
    F, Q = (jnp.concatenate([jnp.eye(n, dtype=F.dtype)[None], x]) for x in (F, Q))
    b = jnp.concatenate([jnp.zeros((1, n), b.dtype), b])
    initial = model.initial
    return VaryingLinearGaussian(
        initial.mean(),
        initial.cov(),
        F,
        Q,
        H,
        R_all,
        b=b,
        d=d,
        units=model.observation.units,
    )
