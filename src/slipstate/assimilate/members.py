"""Members of an ensemble: drawn, moved, turned, and checked before anything runs."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate.protocol import require_transition
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.quick_random import quick_uniform
from slipstate.ground.types import Key, ScalarLike
from slipstate.systems.beliefs import Diffuse
from slipstate.systems.protocol import AbstractModel, Input
from slipstate.systems.samples import Ensemble

# Eight reflections serve a chaotic model as well as a uniformly random rotation does.
_REFLECTIONS = 8


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
    # any law of the mirrors will do; this one needs no loop of its own
    normals = quick_uniform(key, (count, X.shape[0]), X.dtype)
    normals = normals - jnp.mean(normals, axis=1, keepdims=True)
    size = jnp.sum(normals * normals, axis=1, keepdims=True)
    normals = normals * jax.lax.rsqrt(size)
    # one product of reflections is I - 2 N^T (I + A)^-1 N, A = 2 strict lower part of
    # N N^T: what each mirror sees is known from what those before it took away.
    # A^count = 0, so that (I + A)^-1 = (I - A) (I + A^2) (I + A^4) ...
    power = -2.0 * jnp.tril(normals @ normals.T, -1)
    seen, reach = normals @ X, 1
    while reach < count:
        seen, power, reach = seen + power @ seen, power @ power, 2 * reach
    return X - 2.0 * (normals.T @ seen)


def move_members(
    model: AbstractModel,
    members: Float[Array, "ens state"],
    u: Input,
    dt: ScalarLike,
    *,
    key: Key,
) -> Float[Array, "ens state"]:
    """Return a draw of the transition for each member; who overflows stays.

    Args:
        model: The model.
        members: The ensemble.
        u: Exogenous input.
        dt: Length of the step.
        key: Random key.
    """
    transition = require_transition(model, "An ensemble filter")
    keys = jax.random.split(key, len(members))
    moved = jax.vmap(lambda x, k: transition.sample(x, u, dt, key=k))(members, keys)
    return jnp.where(jnp.all(jnp.isfinite(moved), 1, keepdims=True), moved, members)


def draw_members(model: AbstractModel, count: int, *, key: Key) -> Ensemble:
    """Draw an ensemble from the initial belief, or take it where it is one.

    Args:
        model: The model.
        count: Number of members.
        key: Random key.
    """
    if isinstance(model.initial, Ensemble):
        return model.initial
    keys = jax.random.split(key, count)
    return Ensemble(jax.vmap(lambda key: model.initial.sample(key=key))(keys))


def check_members(count: int) -> None:
    """Raise unless an ensemble of this size has a spread.

    Args:
        count: Number of members.

    Raises:
        InputError: There are fewer than two.
    """
    if count < 2:
        raise InputError(
            f"`members` must be at least 2; got {count}. Pass 50 to start with."
        )


def check_samples(model: AbstractModel, method: str, count: int) -> None:
    """Raise unless initial belief and transition of a model can be sampled.

    Args:
        model: The model.
        method: Name of the method that asks.
        count: Number of members.

    Raises:
        MethodError: The initial belief is diffuse or has another size, or the model
            switches.
    """
    require_transition(model, method)
    initial = model.initial
    if isinstance(initial, Diffuse):
        raise MethodError(
            f"`{method}` cannot sample a Diffuse initial belief. Pass a Gaussian that "
            "covers what is possible, or use Kalman()."
        )
    if isinstance(initial, Ensemble) and len(initial.members) != count:
        raise MethodError(
            f"`members` must be {len(initial.members)}, the size of the model's "
            f"initial ensemble; got {count}."
        )


def needed(key: Key | None, method: str) -> Key:
    """Return the key, or say that one is needed.

    Args:
        key: The key or None.
        method: Name of the method that asks.

    Raises:
        InputError: There is none.
    """
    if key is None:
        raise InputError(
            f"`key` must be a random key for {method}, which draws; got None. Pass "
            "key=jax.random.key(0)."
        )
    return key


def no_input(u: Input, method: str) -> None:
    """Raise where there is an exogenous input, for a method that repeats steps.

    Args:
        u: The input or None.
        method: Name of the method that asks.

    Raises:
        MethodError: There is an input.
    """
    if u is not None:
        raise MethodError(
            f"`{method}` repeats the steps of a window and keeps no inputs; got `u`. "
            "Use EnsembleTransformKalman(members=50)."
        )


def zero_sum_basis(count: int) -> Float[np.ndarray, "ens latent"]:
    """Return orthonormal columns that each sum to zero (Helmert's).

    Args:
        count: Number of members; there is one column less.
    """
    basis = np.zeros((count, count - 1))
    for k in range(1, count):
        basis[:k, k - 1] = 1.0
        basis[k, k - 1] = -k
        basis[:, k - 1] /= np.sqrt(k * (k + 1.0))
    return basis
