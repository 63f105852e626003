"""3D- and 4D-Var: one state and a fixed background covariance."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.ensemble_update import whiten
from slipstate.assimilate.members import no_input
from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractInfo,
    require_transition,
)
from slipstate.assimilate.stochastic_ensemble import solve_shifted
from slipstate.ground.arrays import Numbers, as_real, check_covariance
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Gaussian, masked_log_density
from slipstate.systems.protocol import AbstractModel, Input


class VariationalInfo(AbstractInfo):
    """Diagnostics of one variational update.

    Attributes:
        innovation: Observation minus its prediction; 0 where masked.
        innovation_cov: H P H^T + R with the covariance P of the prediction.
        mask: True where observed.
    """

    innovation: Float[Array, " obs"]
    innovation_cov: Float[Array, "obs obs"]
    mask: Bool[Array, " obs"]


class VariationalState(eqx.Module):
    """The state at the start of a window, and what is believed now.

    Attributes:
        start: State at the start of the window.
        now: Belief about the present.
        dts: Lengths of the steps between, oldest first; 0 for one not made.
    """

    start: Float[Array, " state"]
    now: Gaussian
    dts: Float[Array, " lag"]


class FourDVar(AbstractFilter):
    """Variational assimilation of each observation into the state `lag` steps ago.

    With B = L L^T and the start of the window at x_b + L v, the least of

        |v|^2 + |e|^2 + |y - h(model(x_b + L v; e))|^2_R

    is found by Gauss-Newton (incremental: the model linearised in outer loops). The
    inner quadratic problem is solved by conjugate gradients with the tangent and the
    adjoint that automatic differentiation gives, or with the whole Jacobian where
    `inner` is None. e is the standardised noise of each step in the window where
    `weak`, else it is not there. With `lag` 0 it is 3D-Var. The next window starts one
    step later; B is the same in every window.

    Attributes:
        background: B.
        lag: Steps in the window; 0 for 3D-Var.
        outer: Gauss-Newton steps.
        inner: Conjugate-gradient steps in each; None to solve exactly.
        weak: Whether the model may be in error.

    References:
        Courtier, Thepaut & Hollingsworth (1994), A strategy for operational
        implementation of 4D-Var, QJRMS 120. Tremolet (2006), QJRMS 132 (weak).
    """

    background: Float[Array, "state state"]
    lag: int = eqx.field(static=True)
    outer: int = eqx.field(static=True)
    inner: int | None = eqx.field(static=True)
    weak: bool = eqx.field(static=True)

    def __init__(
        self,
        background: Numbers,
        lag: int = 1,
        outer: int = 3,
        inner: int | None = None,
        weak: bool = False,
    ) -> None:
        """Check and keep the settings.

        Args:
            background: B, symmetric positive semi-definite.
            lag: Steps in the window; 0 for 3D-Var.
            outer: Gauss-Newton steps.
            inner: Conjugate-gradient steps in each; None to solve exactly.
            weak: Whether the model may be in error.

        Raises:
            InputError: B is no covariance, or a number of steps is negative.
        """
        self.background = as_real("background", background, (None, None))
        check_covariance("background", self.background)
        if lag < 0 or outer < 1 or (inner is not None and inner < 1):
            raise InputError(
                f"`lag` must be 0 or more, `outer` and `inner` 1 or more; got {lag}, "
                f"{outer} and {inner}. Pass lag=0 for 3D-Var."
            )
        self.lag, self.outer, self.inner, self.weak = lag, outer, inner, weak

    def check(self, model: AbstractModel) -> None:
        """Raise unless the model has one transition.

        Args:
            model: The model.

        Raises:
            MethodError: The model switches.
            InputError: B is of another size than the state.
        """
        require_transition(model, "FourDVar")
        size, got = model.initial.mean().shape[0], self.background.shape[0]
        if size != got:
            raise InputError(
                f"`background` must be ({size}, {size}) as the state; got "
                f"({got}, {got})."
            )

    def init(self, model: AbstractModel, *, key: Key | None = None) -> VariationalState:
        """Return the mean of the initial belief, with the background's covariance."""
        mean = model.initial.mean()
        return VariationalState(
            mean, Gaussian(mean, self.background), jnp.zeros(self.lag, mean.dtype)
        )

    def predict(
        self,
        model: AbstractModel,
        state: VariationalState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None = None,
    ) -> VariationalState:
        """Move the window by one step, and the belief by the linearised model."""
        transition = require_transition(model, "FourDVar")
        if self.lag:
            no_input(u, "FourDVar")
        dt = jnp.asarray(dt, state.start.dtype)
        move = lambda x: _advance(model, x, u, dt, None)
        mean = move(state.now.location)
        if self.lag:
            start = _advance(model, state.start, u, state.dts[0], None)
            cov = state.now.covariance
            F = jax.jacfwd(move)(state.now.location)
            noise = transition.noise_factor(state.now.location, u, dt)
            cov = symmetric(F @ cov @ F.T + noise @ noise.T)
            return VariationalState(
                start, Gaussian(mean, cov), jnp.append(state.dts[1:], dt)
            )
        return VariationalState(mean, Gaussian(mean, self.background), state.dts)

    def update(
        self,
        model: AbstractModel,
        state: VariationalState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None = None,
    ) -> tuple[VariationalState, VariationalInfo]:
        """Return start and present given the observed entries of `y`."""
        n = len(state.start)
        L = psd_root(self.background)
        factor = model.observation.noise_factor()
        R = factor @ factor.T
        transition = require_transition(model, "FourDVar")
        columns = transition.noise_factor(state.start, u, jnp.ones(())).shape[1]
        noises = columns if self.weak else 0

        def path(v: Array) -> Array:
            x = state.start + L @ v[:n]
            errors = v[n:].reshape(self.lag, noises)
            for place in range(self.lag):
                x = _advance(model, x, u, state.dts[place], errors[place])
            return x

        see = lambda v: model.observation.predict(path(v), u)
        finite = lambda value: jnp.all(jnp.isfinite(value))

        def outer(v: Array, _: None) -> tuple[Array, None]:
            predicted, tangent = jax.linearize(see, v)
            usable = mask & jnp.isfinite(predicted)
            residual = jnp.where(usable, jnp.where(mask, y, 0.0) - predicted, 0.0)
            if self.inner is None:
                J = jax.vmap(tangent)(jnp.eye(len(v), dtype=v.dtype))
                white = whiten(J, residual, R, usable)
                S, d = white.S, white.innovation
                # about v: (I + S S^T) dv = S d - v
                step = solve_shifted(S @ S.T, (S @ d - v)[:, None])[:, 0]
            else:
                # R^-1/2 as a matrix: the whitened rows of the identity
                root = whiten(jnp.eye(len(y)), residual, R, usable)
                adjoint = jax.linear_transpose(tangent, v)
                back = lambda r: adjoint(root.S @ r)[0]
                apply = lambda p: p + back(root.S.T @ tangent(p))
                step = _conjugate(apply, back(root.innovation) - v, self.inner)
            new = v + step
            return jnp.where(finite(new), new, v), None

        zero = jnp.zeros(n + self.lag * noises, y.dtype)
        v = jax.lax.scan(outer, zero, None, length=self.outer)[0]
        now = path(v)
        J = jax.jacfwd(path)(v).T
        H = jax.jacfwd(lambda x: model.observation.predict(x, u))(now)
        usable = mask & jnp.all(jnp.isfinite(H), axis=1)
        S = whiten(
            J @ jnp.where(usable[None, :], H.T, 0.0), jnp.zeros_like(y), R, usable
        ).S
        cov = symmetric(J.T @ solve_shifted(S @ S.T, J))
        prior = state.now
        expected = model.observation.predict(prior.location, u)
        mask = usable & jnp.isfinite(expected)
        innovation = jnp.where(mask, jnp.where(mask, y, 0.0) - expected, 0.0)
        H = jax.jacfwd(lambda x: model.observation.predict(x, u))(prior.location)
        H = jnp.where(jnp.isfinite(H), H, 0.0)
        info = VariationalInfo(innovation, H @ prior.covariance @ H.T + R, mask)
        known = jnp.any(mask) & finite(now) & finite(cov)
        after = VariationalState(state.start + L @ v[:n], Gaussian(now, cov), state.dts)
        return jax.tree.map(lambda a, b: jnp.where(known, a, b), after, state), info

    def belief(self, state: VariationalState) -> AbstractBelief:
        """Return the Gaussian about the present."""
        return state.now

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log N(innovation; 0, its covariance) of the observed components."""
        assert isinstance(info, VariationalInfo)
        return masked_log_density(info.innovation, info.innovation_cov, info.mask)


def _advance(
    model: AbstractModel,
    x: Float[Array, " state"],
    u: Input,
    dt: Scalar,
    error: Float[Array, " noise"] | None,
) -> Float[Array, " state"]:
    """Return the state after `dt`, with standardised noise; `dt` 0 is rest."""
    transition = require_transition(model, "FourDVar")
    made = dt > 0.0
    length = jnp.where(made, dt, 1.0)
    moved = transition.mean(x, u, length)
    if error is not None and error.shape[0]:
        moved = moved + transition.noise_factor(x, u, length) @ error
    return jnp.where(made, moved, x)


def _conjugate(
    apply: Callable[[Array], Array], b: Float[Array, " n"], trips: int
) -> Float[Array, " n"]:
    """Return A^-1 b by a fixed number of conjugate-gradient steps."""

    def trip(
        carry: tuple[Array, Array, Array], _: None
    ) -> tuple[tuple[Array, Array, Array], None]:
        x, r, p = carry
        Ap = apply(p)
        square, curve = r @ r, p @ Ap
        some = curve > 0.0
        a = jnp.where(some, square / jnp.where(some, curve, 1.0), 0.0)
        x, new = x + a * p, r - a * Ap
        left = jnp.where(
            square > 0.0, (new @ new) / jnp.where(square > 0.0, square, 1.0), 0.0
        )
        return (x, new, new + left * p), None

    return jax.lax.scan(trip, (jnp.zeros_like(b), b, b), None, length=trips)[0][0]
