"""What every ensemble Kalman filter shares: members, anomalies and one update.

A filter of this family differs from the others only in `analyse`: how anomalies and an
innovation, both whitened by the noise, become a shift of the mean and new anomalies.
Drawing, moving, masking, inflation, rotation and likelihood are here, once.

A member that the model sends to infinity stays where it was; an observed component
whose prediction is not finite for some member counts as not observed.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.inflation import AbstractInflation
from slipstate.assimilate.members import (
    check_members,
    check_samples,
    draw_members,
    move_members,
    needed,
    rotate,
)
from slipstate.assimilate.noise import noise_covariance
from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo
from slipstate.ground.elimination import UNROLL, decorrelate
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, masked_log_density
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Ensemble


class Whitened(eqx.Module):
    """An innovation and predicted anomalies in units of the observation noise.

    Attributes:
        S: Predicted anomalies over sqrt(members - 1); 0 where masked.
        innovation: Innovation of the mean; 0 where masked.
        log_noise: Log variance of the noise of each component, 0 where masked.
        seen: 1 where observed, else 0.
    """

    S: Float[Array, "ens obs"]
    innovation: Float[Array, " obs"]
    log_noise: Float[Array, " obs"]
    seen: Float[Array, " obs"]


class EnsembleInfo(AbstractInfo):
    """Diagnostics of one ensemble update.

    Attributes:
        innovation: Observation minus the mean of its predictions; 0 where masked.
        innovation_cov: Sample covariance of the predictions, plus the noise R.
        mask: True where observed.
        whitened: The same innovation and spread in units of the noise.
    """

    innovation: Float[Array, " obs"]
    innovation_cov: Float[Array, "obs obs"]
    mask: Bool[Array, " obs"]
    whitened: Whitened | None = None


class Inflated(eqx.Module):
    """An ensemble and what its inflation has learnt.

    Attributes:
        ensemble: The members.
        memory: Memory of the inflation.
    """

    ensemble: Ensemble
    memory: Float[Array, " memory"]


EnsembleState = Ensemble | Inflated
"""An ensemble filter carries members, and a memory where its inflation has one."""


class AbstractEnsembleFilter(AbstractFilter):
    """An ensemble Kalman filter for any transition and observation.

    Attributes:
        members: Size of the ensemble, at least 2.
        inflation: Rule that puts spread back.
        rotate: Whether to turn the anomalies at random after each update.
    """

    members: eqx.AbstractVar[int]
    inflation: eqx.AbstractVar[AbstractInflation]
    rotate: eqx.AbstractVar[bool]

    @abstractmethod
    def analyse(
        self, X: Float[Array, "ens state"], seen: Whitened, *, key: Key | None
    ) -> tuple[Float[Array, " state"], Float[Array, "ens state"]]:
        """Return shift of the mean and anomalies given an innovation.

        Args:
            X: Anomalies over sqrt(members - 1).
            seen: Innovation and predicted anomalies in units of the noise.
            key: Random key.
        """

    def check(self, model: AbstractModel) -> None:
        """Raise unless the initial belief and the one transition can be sampled.

        Args:
            model: The model.

        Raises:
            MethodError: The initial belief is diffuse or has another size, or the
                model switches.
        """
        check_members(self.members)
        check_samples(model, type(self).__name__, self.members)

    def init(self, model: AbstractModel, *, key: Key | None) -> EnsembleState:
        """Draw the first ensemble, or take it from the model where it is one.

        Args:
            model: The model.
            key: Random key.

        Returns:
            The ensemble.

        Raises:
            InputError: No key was given.
        """
        name = type(self).__name__
        ensemble = draw_members(model, self.members, key=needed(key, name))
        memory = self.inflation.start()
        return Inflated(ensemble, memory) if memory.size else ensemble

    def predict(
        self,
        model: AbstractModel,
        state: EnsembleState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> EnsembleState:
        """Move every member by a draw of the transition."""
        ensemble = _ensemble(state)
        key = needed(key, type(self).__name__)
        moved = Ensemble(move_members(model, ensemble.members, u, dt, key=key))
        return Inflated(moved, state.memory) if isinstance(state, Inflated) else moved

    def update(
        self,
        model: AbstractModel,
        state: EnsembleState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[EnsembleState, EnsembleInfo]:
        """Return the ensemble given the observed entries of `y`."""
        # `rotate` makes other numbers of the same key than jax's generator does
        keys = (None,) * 2 if key is None else jax.random.split(key)
        ensemble = _ensemble(state)
        memory = state.memory if isinstance(state, Inflated) else jnp.zeros(0)
        size = jnp.sqrt(jnp.asarray(self.members - 1, y.dtype))
        centre = ensemble.mean()
        X = self.inflation.before((ensemble.members - centre[None, :]) / size, memory)
        info, seen = observe(model, centre[None, :] + size * X, y, mask, u)
        shift, after = self.analyse(X, seen, key=keys[0])
        after = self.inflation.after(X, after, key=keys[1])
        if self.rotate:
            after = rotate(after, key=needed(key, type(self).__name__))
        analysis = (centre + shift)[None, :] + size * after
        members = jnp.where(jnp.any(info.mask), analysis, ensemble.members)
        if isinstance(state, Inflated):
            learnt = self.inflation.learn(memory, seen.S, seen.innovation, seen.seen)
            return Inflated(Ensemble(members), learnt), info
        return Ensemble(members), info

    def belief(self, state: EnsembleState) -> AbstractBelief:
        """Return the ensemble: it is a belief."""
        return _ensemble(state)

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log N(innovation; 0, its covariance) of the observed components."""
        assert isinstance(info, EnsembleInfo)
        return innovation_log_density(info)


def observe(
    model: AbstractModel,
    members: Float[Array, "ens state"],
    y: Float[Array, " obs"],
    mask: Bool[Array, " obs"],
    u: Input,
) -> tuple[EnsembleInfo, Whitened]:
    """Compare an observation with what an ensemble predicts.

    Args:
        model: The model.
        members: The ensemble.
        y: The observation.
        mask: True where observed.
        u: Exogenous input.

    Returns:
        Diagnostics in units of the observation, and the same in units of the noise.
    """
    size = jnp.sqrt(jnp.asarray(len(members) - 1, y.dtype))
    predictions = jax.vmap(lambda x: model.observation.predict(x, u))(members)
    finite = jnp.all(jnp.isfinite(predictions), axis=0)
    predictions = jnp.where(finite[None, :], predictions, 0.0)
    mask = mask & finite
    expected = jnp.mean(predictions, axis=0)
    Y = (predictions - expected[None, :]) / size
    R = noise_covariance(model.observation)
    innovation = jnp.where(mask, jnp.where(mask, y, 0.0) - expected, 0.0)
    seen = whiten(Y, innovation, R, mask)
    return EnsembleInfo(innovation, Y.T @ Y + R, mask, seen), seen


def whiten(
    Y: Float[Array, "ens obs"],
    innovation: Float[Array, " obs"],
    R: Float[Array, "obs obs"],
    mask: Bool[Array, " obs"],
) -> Whitened:
    """Return Y R^-1/2 and R^-1/2 innovation, both zero where masked.

    Args:
        Y: Predicted anomalies over sqrt(members - 1).
        innovation: The innovation.
        R: Covariance of the noise.
        mask: True where observed.

    Returns:
        Both in units of the noise. A component without noise gets that of rounding;
        one without noise and spread counts as masked.
    """
    seen = mask.astype(Y.dtype)[:, None]
    rows = seen * jnp.concatenate([Y.T, innovation[:, None]], axis=1)
    variances = jnp.diagonal(R)

    def diagonal() -> tuple[Array, Array]:
        return variances, rows

    def full() -> tuple[Array, Array]:
        return decorrelate(R * (seen * seen.T) + jnp.diag(1.0 - seen[:, 0]), rows)

    independent = jnp.all(jnp.diag(variances) == R)
    pivots, rows = jax.lax.cond(independent, diagonal, full)
    spread = jnp.sum(rows[:, :-1] ** 2, axis=1)
    floor = jnp.finfo(Y.dtype).eps * (variances + spread)
    noise = jnp.maximum(pivots, floor)
    usable = mask & (noise > 0.0)
    noise = jnp.where(usable, noise, 1.0)
    white = jnp.where(usable[:, None], rows, 0.0) / jnp.sqrt(noise)[:, None]
    return Whitened(
        white[:, :-1].T, white[:, -1], jnp.log(noise), usable.astype(Y.dtype)
    )


def innovation_log_density(info: EnsembleInfo) -> Scalar:
    """Return log N(innovation; 0, S^T S + 1) over the observed components [nats].

    The quadratic form is a sum of squares of what the ensemble explains and what it
    leaves, so that nothing cancels.

    Args:
        info: Diagnostics of an update.
    """
    if info.whitened is None or min(info.whitened.S.shape) <= UNROLL:
        return masked_log_density(info.innovation, info.innovation_cov, info.mask)
    seen, S, v = info.whitened.seen, info.whitened.S, info.whitened.innovation
    C = (S.T @ S if S.shape[1] <= S.shape[0] else S @ S.T).astype(S.dtype)
    root = jnp.linalg.cholesky(C + jnp.eye(len(C), dtype=C.dtype))
    solve = lambda b: jax.scipy.linalg.cho_solve((root, True), b)
    explained = S @ solve(v) if S.shape[1] <= S.shape[0] else solve(S @ v)
    left = v - S.T @ explained
    terms = seen * jnp.log(2.0 * jnp.pi) + info.whitened.log_noise + left**2
    logdet = 2.0 * jnp.sum(jnp.log(jnp.diagonal(root)))
    return -0.5 * (jnp.sum(terms) + explained @ explained + logdet)


def _ensemble(state: EnsembleState) -> Ensemble:
    return state.ensemble if isinstance(state, Inflated) else state
