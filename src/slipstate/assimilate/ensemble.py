"""The ensemble transform Kalman filter: members in place of moments."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractInfo,
    require_transition,
)
from slipstate.ground.arrays import is_concrete
from slipstate.ground.elimination import decorrelate, loop
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.roots import inverse_and_shrinkage
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Diffuse, masked_log_density
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Ensemble

# Eight reflections serve a chaotic model as well as a uniformly random rotation does.
_REFLECTIONS = 8


class EnsembleInfo(AbstractInfo):
    """Diagnostics of one ensemble update.

    Attributes:
        innovation: Observation minus the mean of its predictions; 0 where masked.
        innovation_cov: Sample covariance of the predictions, plus the noise R.
        mask: True where observed.
    """

    innovation: Float[Array, " obs"]
    innovation_cov: Float[Array, "obs obs"]
    mask: Bool[Array, " obs"]


class EnsembleTransformKalman(AbstractFilter):
    """Square-root ensemble Kalman filter for any transition and observation.

    With anomalies X and predicted anomalies Y as rows, both over sqrt(members - 1),
    and S = Y R^-1/2,

        mean <- mean + X^T S (I + S^T S)^-1 R^-1/2 (y - mean of predictions),
        X    <- (I + S S^T)^-1/2 X,

    the symmetric root, so that the mean of the members is the mean. The analysis is
    then rotated by a random orthogonal matrix that keeps mean and covariance, and
    inflated about the mean. Rows without any observation change nothing.

    Attributes:
        members: Size of the ensemble, at least 2.
        inflation: Factor on the anomalies after each update, 1 for none; compensates
            what a finite ensemble and a nonlinear model lose in spread.
        rotate: Whether to rotate; without it nonlinear models build up outliers.

    References:
        Bishop, Etherton & Majumdar (2001), Monthly Weather Review 129. Sakov & Oke
        (2008), Implications of the form of the ensemble transformation, MWR 136.
    """

    members: int = eqx.field(static=True, default=50)
    inflation: ScalarLike = 1.0
    rotate: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        """Refuse ensembles without spread and inflation that is not positive."""
        if self.members < 2:
            raise InputError(
                f"`members` must be at least 2; got {self.members}. Pass 50 to start "
                "with."
            )
        if is_concrete(self.inflation) and not float(self.inflation) > 0.0:
            raise InputError(
                f"`inflation` must be positive; got {float(self.inflation)}. Pass 1 "
                "for none, or 1.02 for a chaotic model without noise."
            )

    def check(self, model: AbstractModel) -> None:
        """Raise unless the initial belief and the one transition can be sampled.

        Args:
            model: The model.

        Raises:
            MethodError: The initial belief is diffuse or has another size, or the
                model switches.
        """
        require_transition(model, "EnsembleTransformKalman")
        if isinstance(model.initial, Diffuse):
            raise MethodError(
                "`EnsembleTransformKalman` cannot sample a Diffuse initial belief. "
                "Pass a Gaussian that covers what is possible, or use Kalman()."
            )
        initial = model.initial
        if isinstance(initial, Ensemble) and len(initial.members) != self.members:
            raise MethodError(
                f"`members` must be {len(initial.members)}, the size of the model's "
                f"initial ensemble; got {self.members}."
            )

    def init(self, model: AbstractModel, *, key: Key | None) -> Ensemble:
        """Draw the first ensemble, or take it from the model where it is one.

        Args:
            model: The model.
            key: Random key.

        Returns:
            The ensemble.

        Raises:
            InputError: No key was given.
        """
        keys = jax.random.split(_needed(key), self.members)
        if isinstance(model.initial, Ensemble):
            return model.initial
        return Ensemble(jax.vmap(lambda key: model.initial.sample(key=key))(keys))

    def predict(
        self,
        model: AbstractModel,
        state: Ensemble,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None,
    ) -> Ensemble:
        """Move every member by a draw of the transition."""
        keys = jax.random.split(_needed(key), self.members)
        transition = require_transition(model, "EnsembleTransformKalman")
        move = lambda x, key: transition.sample(x, u, dt, key=key)
        return Ensemble(jax.vmap(move)(state.members, keys))

    def update(
        self,
        model: AbstractModel,
        state: Ensemble,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None,
    ) -> tuple[Ensemble, EnsembleInfo]:
        """Return the ensemble given the observed entries of `y`."""
        size = jnp.sqrt(jnp.asarray(self.members - 1, y.dtype))
        predictions = jax.vmap(lambda x: model.observation.predict(x, u))(state.members)
        centre, expected = state.mean(), jnp.mean(predictions, axis=0)
        X = (state.members - centre[None, :]) / size
        Y = (predictions - expected[None, :]) / size
        factor = model.observation.noise_factor()
        R = factor @ factor.T
        innovation = jnp.where(mask, jnp.where(mask, y, 0.0) - expected, 0.0)
        S, white = _whiten(Y, innovation, R, mask)
        shift, X = transform(X, S, white)
        if self.rotate:
            X = rotate(X, key=_needed(key))
        analysis = (centre + shift)[None, :] + self.inflation * size * X
        members = jnp.where(jnp.any(mask), analysis, state.members)
        return Ensemble(members), EnsembleInfo(innovation, Y.T @ Y + R, mask)

    def belief(self, state: Ensemble) -> AbstractBelief:
        """Return the ensemble itself: it is a belief."""
        return state

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log N(innovation; 0, its covariance) of the observed components."""
        assert isinstance(info, EnsembleInfo)
        return masked_log_density(info.innovation, info.innovation_cov, info.mask)


def transform(
    X: Float[Array, "ens state"],
    S: Float[Array, "ens obs"],
    white: Float[Array, " obs"],
) -> tuple[Float[Array, " state"], Float[Array, "ens state"]]:
    """Condition scaled anomalies on a whitened innovation, by the symmetric root.

    Args:
        X: Anomalies over sqrt(members - 1).
        S: Predicted anomalies over sqrt(members - 1), whitened by the noise.
        white: Whitened innovation.

    Returns:
        Shift of the mean, and the analysis anomalies, scaled as `X`.
    """
    if S.shape[1] <= S.shape[0]:  # decompose the smaller of S^T S and S S^T
        inverse, phi = inverse_and_shrinkage(S.T @ S)
        return X.T @ (S @ (inverse @ white)), X + S @ (phi @ (S.T @ X))
    C = S @ S.T
    inverse, phi = inverse_and_shrinkage(C)
    return X.T @ (inverse @ (S @ white)), X + phi @ (C @ X)


def rotate(X: Float[Array, "ens state"], *, key: Key) -> Float[Array, "ens state"]:
    """Turn anomalies at random among the members; mean and covariance stay.

    A product of random reflections whose mirrors contain the direction (1, ..., 1), so
    that rows which sum to zero still do. It needs no factorisation.

    Args:
        X: Anomalies, rows summing to zero.
        key: Random key.

    Returns:
        Omega X with Omega orthogonal and Omega 1 = +-1.
    """
    count = min(X.shape[0] - 1, _REFLECTIONS)
    normals = jax.random.normal(key, (count, X.shape[0]), X.dtype)
    normals = normals - jnp.mean(normals, axis=1, keepdims=True)
    normals = normals / jnp.linalg.norm(normals, axis=1, keepdims=True)

    def reflect(carry: Array, row: int | Array) -> tuple[Array, None]:
        normal = normals[row]
        return carry - 2.0 * normal[:, None] * (normal @ carry)[None, :], None

    return loop(reflect, X, count)[0]


def _whiten(
    Y: Float[Array, "ens obs"],
    innovation: Float[Array, " obs"],
    R: Float[Array, "obs obs"],
    mask: Bool[Array, " obs"],
) -> tuple[Float[Array, "ens obs"], Float[Array, " obs"]]:
    """Return Y R^-1/2 and R^-1/2 innovation, both zero where masked."""
    seen = mask.astype(Y.dtype)[:, None]
    masked = R * (seen * seen.T) + jnp.diag(1.0 - seen[:, 0])
    pivots, rows = decorrelate(
        masked, seen * jnp.concatenate([Y.T, innovation[:, None]], axis=1)
    )
    white = rows / jnp.sqrt(pivots)[:, None]
    return white[:, :-1].T, white[:, -1]


def _needed(key: Key | None) -> Key:
    """Return the key, or say that one is needed."""
    if key is None:
        raise InputError(
            "`key` must be a random key for EnsembleTransformKalman, which draws; got "
            "None. Pass key=jax.random.key(0)."
        )
    return key
