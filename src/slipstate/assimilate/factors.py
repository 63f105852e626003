"""Gaussian beliefs held by factors of their covariance, and how they move.

A covariance travels as a factor L, P = L L^T, and every step is one orthogonal
transformation to triangular form (written ->):

    predict   [F L, Q^1/2]                          ->  [L', 0]
    update    [[R^1/2, H L], [0, L]]                ->  [[S^1/2, 0], [K S^1/2, L+]]
    smooth    [[Q^1/2, F L], [0, L]]                ->  [[P'^1/2, 0], [G P'^1/2, D]]
              [D, G Ls]                             ->  [Ls', 0]

Nothing is subtracted, so no covariance can lose its sign, and half as many digits are
needed as for P itself. Factors of any rank are welcome. While a direction is unknown
(an initial belief of type `Diffuse`), `condition` treats the limit exactly.

References:
    Kailath, Sayed & Hassibi (2000), Linear Estimation, chapter 12.
    Park & Kailath (1995), Square-root RTS smoothing algorithms, Int. J. Control 62.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.conditioning import condition
from slipstate.assimilate.protocol import AbstractInfo
from slipstate.ground.elimination import psd_root
from slipstate.ground.linalg import divide_lower, triangular_factor
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Diffuse, Gaussian
from slipstate.systems.protocol import AbstractLinearTransition, Input


class FactorState(eqx.Module):
    """A Gaussian belief held by a factor of its covariance.

    Attributes:
        location: The mean m.
        factor: Any L with P = L L^T.
        directions: Unknown directions as in `Diffuse`; no columns for a proper belief.
    """

    location: Float[Array, " state"]
    factor: Float[Array, "state state"]
    directions: Float[Array, "state diffuse"]


class FactorInfo(AbstractInfo):
    """Diagnostics of one update by factors.

    Attributes:
        innovation: Observation minus prediction; 0 where nothing was observed.
        innovation_cov: H P H^T + R.
        distance: v^T S^-1 v over the observed components.
        log_det: log det (2 pi S) over the observed components.
    """

    innovation: Float[Array, " obs"]
    innovation_cov: Float[Array, "obs obs"]
    distance: Scalar
    log_det: Scalar


class FactorStep(eqx.Module):
    """One step of the smoother: x_k = offset + gain x_{k+1} + factor w.

    Attributes:
        gain: G.
        offset: m_k - G m_{k+1}, both given the observations up to k.
        factor: D, with D D^T the covariance of x_k once x_{k+1} is known.
    """

    gain: Float[Array, "state state"]
    offset: Float[Array, " state"]
    factor: Float[Array, "state state"]


Updated = tuple[FactorState, Scalar, Scalar]
"""A state after an update, v^T S^-1 v and log det (2 pi S)."""


def factor_state(belief: AbstractBelief) -> FactorState:
    """Return a belief by its factor.

    Args:
        belief: Any belief; its mean and covariance count.
    """
    if isinstance(belief, Diffuse):
        root = psd_root(belief.covariance)
        return FactorState(belief.location, root, belief.directions)
    mean = belief.mean()
    none = jnp.zeros((mean.shape[0], 0), mean.dtype)
    return FactorState(mean, psd_root(belief.cov()), none)


def factor_belief(state: FactorState) -> AbstractBelief:
    """Return what a state held by its factor says.

    Args:
        state: Mean, factor and unknown directions.
    """
    cov = state.factor @ state.factor.T
    if state.directions.shape[1]:
        return Diffuse(state.location, cov, state.directions)
    return Gaussian(state.location, cov)


def move_factor(
    transition: AbstractLinearTransition, state: FactorState, u: Input, dt: ScalarLike
) -> FactorState:
    """Return the state after `dt` without observation.

    Args:
        transition: How the state moves.
        state: The state before.
        u: Exogenous input of the step.
        dt: Length of the step.
    """
    F, root = transition.matrix(dt), psd_root(transition.noise_cov(dt))
    mean = F @ state.location + transition.offset(u, dt)
    factor = triangular_factor(jnp.concatenate([F @ state.factor, root], axis=1))
    return FactorState(mean, factor, F @ state.directions)


def triangle(
    noise: Float[Array, "obs obs"],
    signal: Float[Array, "obs state"],
    factor: Float[Array, "state state"],
) -> Float[Array, "both both"]:
    """Return the triangular form of [[noise, signal], [0, factor]].

    Args:
        noise: Factor of the noise.
        signal: Factor of what is seen, H L.
        factor: Factor of the state, L.
    """
    below = jnp.zeros((factor.shape[0], noise.shape[1]), factor.dtype)
    return triangular_factor(jnp.block([[noise, signal], [below, factor]]))


def spread(
    predicted: Float[Array, " obs"],
    cov: Float[Array, "obs obs"],
    directions: Float[Array, "obs diffuse"],
) -> Float[Array, "obs obs"]:
    """Return the covariance of a prediction, infinite where a direction is unknown.

    Args:
        predicted: The predicted observation.
        cov: Its covariance without the unknown directions.
        directions: What is seen of the unknown directions.
    """
    if directions.shape[1]:
        return Diffuse(predicted, cov, directions).cov()
    return cov


def while_diffuse(
    state: FactorState,
    H: Float[Array, "obs state"],
    R: Float[Array, "obs obs"],
    innovation: Float[Array, " obs"],
    mask: Bool[Array, " obs"],
    otherwise: Callable[[], Updated],
) -> Updated:
    """Update scalar by scalar while a direction is unknown, and `otherwise` after that.

    Args:
        state: The state before.
        H: Observation matrix.
        R: Noise covariance.
        innovation: Observation minus prediction; 0 where masked.
        mask: True where observed.
        otherwise: Function without arguments that updates a proper state.

    Returns:
        The state after, v^T S^-1 v and log det (2 pi S).
    """
    if not state.directions.shape[1]:
        return otherwise()

    def by_scalars() -> Updated:
        cov = state.factor @ state.factor.T
        found = condition(cov, state.directions, H, R, innovation[:, None], mask)
        scalars = found.scalars
        v, total = scalars.innovation[:, 0], scalars.signal + scalars.noise
        safe = jnp.where(mask, total, 1.0)
        distance = jnp.sum(jnp.where(mask, v * v / safe, 0.0))
        log_det = jnp.sum(jnp.where(mask, jnp.log(2.0 * jnp.pi * safe), 0.0))
        mean = state.location + found.shift[:, 0]
        after = FactorState(mean, psd_root(found.cov), found.directions)
        return after, distance, log_det

    unknown = jnp.any(state.directions != 0)
    return jax.lax.cond(unknown, by_scalars, otherwise)


def step_back(
    transition: AbstractLinearTransition,
    filtered: FactorState,
    predicted: FactorState,
    dt: ScalarLike,
) -> FactorStep:
    """Condition the state at time k on the state at time k + 1.

    Args:
        transition: How the state moves.
        filtered: State at time k given the observations up to k.
        predicted: State at time k + 1 given the same observations.
        dt: Length of the step.

    Returns:
        The step backwards.
    """
    F, Q = transition.matrix(dt), transition.noise_cov(dt)
    L, A = filtered.factor, filtered.directions
    n = L.shape[0]

    def by_factors() -> tuple[Array, Array]:
        post = triangle(psd_root(Q), F @ L, L)
        return divide_lower(post[n:, :n], post[:n, :n]), post[n:, n:]

    def by_scalars() -> tuple[Array, Array]:
        eye, seen = jnp.eye(n, dtype=L.dtype), jnp.ones(n, bool)
        found = condition(L @ L.T, A, F, Q, eye, seen, exact=True)
        return found.shift, psd_root(found.cov)

    if A.shape[1]:
        gain, factor = jax.lax.cond(jnp.any(A != 0), by_scalars, by_factors)
    else:
        gain, factor = by_factors()
    return FactorStep(gain, filtered.location - gain @ predicted.location, factor)


def smooth_back(element: FactorStep, smoothed: FactorState) -> FactorState:
    """Return the state at time k given everything.

    Args:
        element: What `step_back` returned for time k.
        smoothed: State at time k + 1 given everything.
    """
    G = element.gain
    mean = element.offset + G @ smoothed.location
    columns = jnp.concatenate([element.factor, G @ smoothed.factor], axis=1)
    known = jnp.zeros_like(smoothed.directions)
    return FactorState(mean, triangular_factor(columns), known)
