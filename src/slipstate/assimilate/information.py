"""The Kalman filter for many outputs: observations enter by their information.

With the state written as m + L w, w standard normal, p observed components of noise R
are p more rows of a least-squares problem for w, solved by one transformation of

    [[R^-1/2 H L, R^-1/2 v], [I, 0]]   ->   [[U, c], [0, rho]]

whose size grows with p only in its rows: U^T U = I + L^T H^T R^-1 H L, the mean moves
by L U^-1 c, the factor becomes L U^-1, det S = det R det(U)^2, and rho^2 = v^T S^-1 v
is the squared length of what is left over, so that no large terms ever cancel.

References:
    Bierman (1977), Factorization Methods for Discrete Sequential Estimation, chapter 5.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.factors import (
    FactorInfo,
    FactorState,
    FactorStep,
    Updated,
    factor_belief,
    factor_state,
    move_factor,
    smooth_back,
    spread,
    step_back,
    while_diffuse,
)
from slipstate.assimilate.kalman import require_linear
from slipstate.assimilate.protocol import AbstractInfo, AbstractSmoother
from slipstate.ground.elimination import psd_root
from slipstate.ground.linalg import solve_lower, triangular_factor
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel, Input


class InformationKalman(AbstractSmoother):
    """Exact filter and smoother for many more outputs than states.

    The answers are those of `Kalman`. Where the noise of the outputs is independent
    (R diagonal) the cost of an update grows as p n^2, without any loop over the p
    outputs. Noise must not vanish: where R is singular use `Kalman`. An initial belief
    of type `Diffuse` is treated exactly: while a direction is unknown the rows are
    taken in as `Kalman` takes them in.
    """

    def check(self, model: AbstractModel) -> None:
        """Raise unless `model` is linear Gaussian.

        Args:
            model: The model.

        Raises:
            MethodError: Its transition or observation is not linear.
        """
        require_linear(model, "InformationKalman")

    def init(self, model: AbstractModel, *, key: Key | None = None) -> FactorState:
        """Return the initial belief by its factor."""
        return factor_state(model.initial)

    def predict(
        self,
        model: AbstractModel,
        state: FactorState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None = None,
    ) -> FactorState:
        """Return F m + b and the triangular form of [F L, Q^1/2]."""
        transition, _ = require_linear(model, "InformationKalman")
        return move_factor(transition, state, u, dt)

    def update(
        self,
        model: AbstractModel,
        state: FactorState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None = None,
    ) -> tuple[FactorState, FactorInfo]:
        """Return the belief given the observed entries of `y`."""
        _, observation = require_linear(model, "InformationKalman")
        H, R = observation.matrix(), observation.noise_cov()
        predicted = H @ state.location + observation.offset(u)
        innovation = jnp.where(mask, jnp.where(mask, y, 0.0) - predicted, 0.0)
        HL = H @ state.factor
        S = spread(predicted, HL @ HL.T + R, H @ state.directions)

        def at_once() -> Updated:
            return _by_information(state, H, R, innovation, mask)

        found = while_diffuse(state, H, R, innovation, mask, at_once)
        # a row without observations must not even turn a factor
        after = jax.tree.map(
            lambda new, old: jnp.where(jnp.any(mask), new, old), found[0], state
        )
        return after, FactorInfo(innovation, S, *found[1:])

    def belief(self, state: FactorState) -> AbstractBelief:
        """Return the Gaussian with covariance L L^T."""
        return factor_belief(state)

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return -(v^T S^-1 v + log det 2 pi S) / 2 of the observed components."""
        assert isinstance(info, FactorInfo)
        return -0.5 * (info.distance + info.log_det)

    def prepare_smoothing(
        self,
        model: AbstractModel,
        filtered: FactorState,
        predicted: FactorState,
        u: Input,
        dt: ScalarLike,
    ) -> FactorStep:
        """Condition the state at time k on the state at time k + 1.

        Args:
            model: The model.
            filtered: State at time k given the observations up to k.
            predicted: State at time k + 1 given the same observations.
            u: Exogenous input of the step.
            dt: Length of the step.

        Returns:
            The step backwards.
        """
        transition, _ = require_linear(model, "InformationKalman")
        return step_back(transition, filtered, predicted, dt)

    def smooth_step(self, element: FactorStep, smoothed: FactorState) -> FactorState:
        """Return the state at time k given everything."""
        return smooth_back(element, smoothed)


def _by_information(
    state: FactorState,
    H: Float[Array, "obs state"],
    R: Float[Array, "obs obs"],
    innovation: Float[Array, " obs"],
    mask: Bool[Array, " obs"],
) -> Updated:
    """Update a proper state by the triangular form of [[W H L, W v], [I, 0]]."""
    L = state.factor
    n = L.shape[0]
    seen = mask.astype(H.dtype)[:, None]
    rows = seen * jnp.concatenate([H @ L, innovation[:, None]], axis=1)
    white, deviation = _whiten(R, rows, mask)
    prior = jnp.eye(n, n + 1, dtype=H.dtype)
    post = triangular_factor(jnp.concatenate([white, prior]).T)
    root, shift = post[:n, :n], post[n, :n]
    factor = solve_lower(root, L.T).T
    terms = 2.0 * jnp.log(deviation) + jnp.log(2.0 * jnp.pi)
    log_det = jnp.sum(jnp.where(mask, terms, 0.0))
    log_det = log_det + 2.0 * jnp.sum(jnp.log(jnp.diagonal(root)))
    after = FactorState(state.location + factor @ shift, factor, state.directions)
    return after, post[n, n] ** 2, log_det


def _whiten(
    R: Float[Array, "obs obs"],
    rows: Float[Array, "obs column"],
    mask: Bool[Array, " obs"],
) -> tuple[Float[Array, "obs column"], Float[Array, " obs"]]:
    """Return W rows with W R W^T = I over the observed components, and 1 / diag W."""

    def alone() -> tuple[Array, Array]:
        deviation = jnp.sqrt(jnp.where(mask, jnp.diagonal(R), 1.0))
        return rows / deviation[:, None], deviation

    def together() -> tuple[Array, Array]:
        seen = mask.astype(R.dtype)
        root = psd_root(R * (seen[:, None] * seen[None, :]) + jnp.diag(1.0 - seen))
        deviation = jnp.diagonal(root)
        # a component without noise has infinite information: say so, not zero
        white = jnp.where(jnp.all(deviation > 0), solve_lower(root, rows), jnp.nan)
        return white, deviation

    independent = jnp.all(jnp.diag(jnp.diagonal(R)) == R)
    return jax.lax.cond(independent, alone, together)
