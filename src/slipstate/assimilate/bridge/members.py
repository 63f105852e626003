"""What a bridge carries from one observation to the next: members and their past."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int

from slipstate.assimilate.protocol import require_transition
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key, ScalarLike
from slipstate.systems.protocol import AbstractModel, Input


class BridgeState(eqx.Module):
    """An ensemble that remembers how its members came about.

    Attributes:
        members: The members; model noise is drawn.
        origins: The members before model noise was drawn; the members where it is not
            kept apart.
        noise: Factor of the model noise of each member; no columns where it is not
            kept apart, zero after an update.
        ancestors: Which member of the row before each member descends from.
    """

    members: Float[Array, "*time ens state"]
    origins: Float[Array, "*time ens state"]
    noise: Float[Array, "*time ens state noise"]
    ancestors: Int[Array, "*time ens"]


def move_members(
    model: AbstractModel,
    members: Float[Array, "ens state"],
    u: Input,
    dt: ScalarLike,
    *,
    key: Key,
) -> Float[Array, "ens state"]:
    """Move every member by a draw of the transition.

    Args:
        model: The model.
        members: The members.
        u: Exogenous input.
        dt: Length of the step.
        key: Random key.

    Returns:
        The members after `dt`.
    """
    transition = require_transition(model, "move_members")
    keys = jax.random.split(key, len(members))
    move = lambda x, key: transition.sample(x, u, dt, key=key)
    return jax.vmap(move)(members, keys)


def split_moves(
    model: AbstractModel,
    members: Float[Array, "ens state"],
    u: Input,
    dt: ScalarLike,
    *,
    key: Key,
) -> tuple[Float[Array, "ens state"], Float[Array, "ens state state"]]:
    """Move every member up to its last noise, and return the noise it would have had.

    Args:
        model: The model.
        members: The members.
        u: Exogenous input.
        dt: Length of the step.
        key: Random key, for the noise of all parts of the step but the last.

    Returns:
        Where the members go before the last noise, and a square factor of the last
        noise of each.
    """
    transition = require_transition(model, "split_moves")
    parts = transition.parts
    part = dt / parts

    def move(x: Array, key: Key) -> tuple[Array, Array]:
        def advance(x: Array, key: Key) -> tuple[Array, None]:
            factor = transition.noise_factor(x, u, part)
            draw = jax.random.normal(key, factor.shape[-1:], x.dtype)
            return transition.mean(x, u, part) + factor @ draw, None

        x, _ = jax.lax.scan(advance, x, jax.random.split(key, parts)[1:])
        factor = transition.noise_factor(x, u, part)
        return transition.mean(x, u, part), psd_root(factor @ factor.T)

    return jax.vmap(move)(members, jax.random.split(key, len(members)))


def needed(key: Key | None, method: str) -> Key:
    """Return the key, or say that one is needed.

    Args:
        key: Random key, or None.
        method: Name of the method that asks.

    Returns:
        The key.

    Raises:
        InputError: No key was given.
    """
    if key is None:
        raise InputError(
            f"`key` must be a random key for {method}, which draws; got None. Pass "
            "key=jax.random.key(0)."
        )
    return key
