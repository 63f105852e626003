"""The iterative ensemble Kalman smoother: Gauss-Newton over a window of steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.ensemble_update import (
    EnsembleInfo,
    innovation_log_density,
    observe,
)
from slipstate.assimilate.inflation import (
    AbstractInflation,
    Multiplicative,
    as_inflation,
)
from slipstate.assimilate.members import (
    check_members,
    check_samples,
    draw_members,
    move_members,
    needed,
    no_input,
    rotate,
)
from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Ensemble


class WindowStep(eqx.Module):
    """What it takes to repeat a step: its length and random key.

    Attributes:
        dt: Length; 0 for a step that was not made.
        key: Random key of the step.
    """

    dt: Float[Array, " lag"]
    key: Array


class Window(eqx.Module):
    """An ensemble at the start of a window, and now.

    Attributes:
        start: Members at the start of the window.
        now: The same members, moved to the present.
        steps: The steps between, oldest first.
    """

    start: Float[Array, "ens state"]
    now: Float[Array, "ens state"]
    steps: WindowStep


class IterativeEnsembleKalmanSmoother(AbstractFilter):
    """Each observation corrects the state `lag` steps ago, until both agree.

    With start members x_0 + X_0 w and the model between start and observation, the
    least of

        |y - h(model(x_0 + X_0^T w))|^2_R + |w|^2

    over weights w is found by Gauss-Newton. Derivatives are differences between
    members: of the ensemble conditioned so far (transform), or shrunk to `bundle` times
    its size. The next window starts one step later. Noise of the model is drawn once
    per step and kept while iterating.

    Attributes:
        members: Size of the ensemble, at least 2.
        lag: Steps in the window, at least 1.
        inflation: Factor on the start anomalies after each update, or a rule.
        rotate: Whether to turn them at random.
        iterations: Gauss-Newton steps.
        bundle: Scale of the differences; None for the transform form.

    References:
        Bocquet & Sakov (2014), An iterative ensemble Kalman smoother, QJRMS 140.
        Sakov, Oliver & Bertino (2012), Monthly Weather Review 140.
    """

    members: int = eqx.field(static=True, default=20)
    lag: int = eqx.field(static=True, default=1)
    inflation: AbstractInflation = eqx.field(
        converter=as_inflation, default_factory=Multiplicative
    )
    rotate: bool = eqx.field(static=True, default=True)
    iterations: int = eqx.field(static=True, default=10)
    bundle: ScalarLike | None = None

    def __check_init__(self) -> None:
        """Refuse ensembles without spread."""
        check_members(self.members)

    def check(self, model: AbstractModel) -> None:
        """Raise unless the initial belief and the one transition can be sampled.

        Args:
            model: The model.

        Raises:
            MethodError: The initial belief is diffuse or has another size, or the
                model switches.
        """
        check_samples(model, "IterativeEnsembleKalmanSmoother", self.members)

    def init(self, model: AbstractModel, *, key: Key | None) -> Window:
        """Draw the first ensemble, at the start of an empty window."""
        key = needed(key, "IterativeEnsembleKalmanSmoother")
        members = draw_members(model, self.members, key=key).members
        dt = jnp.zeros(self.lag, members.dtype)
        return Window(members, members, WindowStep(dt, jax.random.split(key, self.lag)))

    def predict(
        self,
        model: AbstractModel,
        state: Window,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> Window:
        """Move the window by one step and the members through it."""
        key = needed(key, "IterativeEnsembleKalmanSmoother")
        no_input(u, "IterativeEnsembleKalmanSmoother")
        old = state.steps
        start = _repeat(model, state.start, (old.dt[0], old.key[0]))
        steps = WindowStep(
            jnp.append(old.dt[1:], jnp.asarray(dt, old.dt.dtype)),
            jnp.concatenate([old.key[1:], key[None]]),
        )
        now = move_members(model, state.now, u, dt, key=key)
        return Window(start, now, steps)

    def update(
        self,
        model: AbstractModel,
        state: Window,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[Window, EnsembleInfo]:
        """Return the window with start and present given the entries of `y`."""
        key_inflate, key_rotate = jax.random.split(
            needed(key, "IterativeEnsembleKalmanSmoother")
        )
        M = self.members
        size = jnp.sqrt(jnp.asarray(M - 1, y.dtype))
        centre = jnp.mean(state.start, axis=0)
        X = (state.start - centre[None, :]) / size
        eye = jnp.eye(M, dtype=y.dtype)
        scale = 1.0 if self.bundle is None else self.bundle

        def forward(w: Array, T: Array) -> Array:
            members = (centre + w @ X)[None, :] + scale * size * (T @ X)
            return _through(model, members, state.steps)

        def iterate(
            carry: tuple[Array, Array, Array], _: None
        ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
            w, T, inverse = carry
            seen = observe(model, forward(w, T), y, mask, u)[1]
            # anomalies as those of the start ensemble would be
            S = (inverse @ seen.S) / scale
            values, vectors = jnp.linalg.eigh(symmetric(S @ S.T))
            roots = jnp.sqrt(1.0 + jnp.maximum(values, 0.0))
            gradient = S @ seen.innovation - w
            w = w + vectors @ ((vectors.T @ gradient) / roots**2)
            if self.bundle is None:
                T = (vectors / roots[None, :]) @ vectors.T
                inverse = (vectors * roots[None, :]) @ vectors.T
            return (w, T, inverse), (vectors, roots)

        first = jnp.zeros(M, y.dtype)
        (w, T, _), (vectors, roots) = jax.lax.scan(
            iterate, (first, eye, eye), None, length=self.iterations
        )
        T = (vectors[-1] / roots[-1][None, :]) @ vectors[-1].T
        info = observe(model, state.now, y, mask, u)[0]
        after = self.inflation.after(X, T @ X, key=key_inflate)
        if self.rotate:
            after = rotate(after, key=key_rotate)
        start = (centre + w @ X)[None, :] + size * after
        ok = jnp.any(info.mask) & jnp.all(jnp.isfinite(start))
        start = jnp.where(ok, start, state.start)
        now = jnp.where(ok, _through(model, start, state.steps), state.now)
        return Window(start, now, state.steps), info

    def belief(self, state: Window) -> AbstractBelief:
        """Return the present members: they are a belief."""
        return Ensemble(state.now)

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log N(innovation; 0, its covariance) of the forecast."""
        assert isinstance(info, EnsembleInfo)
        return innovation_log_density(info)


def _repeat(
    model: AbstractModel,
    members: Float[Array, "ens state"],
    step: tuple[Array, Array],
) -> Float[Array, "ens state"]:
    """Make a step again, with the noise it had; one of length 0 changes nothing."""
    dt, key = step
    made = dt > 0.0
    moved = move_members(model, members, None, jnp.where(made, dt, 1.0), key=key)
    return jnp.where(made, moved, members)


def _through(
    model: AbstractModel,
    members: Float[Array, "ens state"],
    steps: WindowStep,
) -> Float[Array, "ens state"]:
    """Move members through all steps of a window."""

    def body(x: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
        return _repeat(model, x, step), None

    return jax.lax.scan(body, members, (steps.dt, steps.key))[0]
