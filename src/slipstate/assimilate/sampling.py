"""Paths of a model: what it thinks the world could do, drawn before any observation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from slipstate.assimilate.sequential import row_model
from slipstate.ground.arrays import Numbers, as_real, check_finite
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.types import Count, Key
from slipstate.systems.hidden_markov import HiddenMarkov
from slipstate.systems.protocol import (
    AbstractModel,
    AbstractStateSpaceModel,
    AbstractTransition,
    Input,
)
from slipstate.systems.switching import AbstractSwitchingModel

Start = tuple[Float[Array, " state"], Count | None]


class Path(eqx.Module):
    """One draw of a model over a stretch of time.

    Attributes:
        t: The times.
        states: The state at each of them; of a hidden Markov model, rows of the
            identity.
        observations: What is observed there, noise included.
        modes: The mode at each time, None for models without modes.
    """

    t: Float[Array, " time"]
    states: Float[Array, "time state"]
    observations: Float[Array, "time obs"]
    modes: Int[Array, " time"] | None


def sample(
    model: AbstractModel, t: Numbers, *, u: Numbers | None = None, key: Key
) -> Path:
    """Draw states and observations at given times, the first from the initial belief.

    Many paths: `jax.vmap(lambda key: sample(model, t, key=key))(keys)`.

    Args:
        model: The model.
        t: The times, non-decreasing.
        u: Exogenous input of each time, or None.
        key: Random key.

    Returns:
        One path.

    Raises:
        InputError: There is no time, or the initial belief cannot be sampled.
        MethodError: Paths of such a model cannot be drawn.
    """
    times = as_real("t", t, (None,)).astype(float)
    check_finite("t", times)
    if times.shape[0] == 0:
        raise InputError("`t` must hold at least one time; got none. Ask for one.")
    inputs = None if u is None else as_real("u", u, (times.shape[0], None))
    if isinstance(model, HiddenMarkov):
        modes, values = model.draw_path(times.shape[0], t=times, u=inputs, key=key)
        states = jax.nn.one_hot(modes, model.modes, dtype=values.dtype)
        return Path(times, states, values, modes)
    return _sample(model, times, inputs, key)


@eqx.filter_jit
def _sample(
    model: AbstractModel,
    t: Float[Array, " time"],
    u: Float[Array, "time input"] | None,
    key: Key,
) -> Path:
    key_first, key_rest = jax.random.split(key)
    x, mode = _first(row_model(model, 0), key_first)

    def body(carry: Start, step) -> tuple[Start, tuple]:
        row, dt, u = step
        there = row_model(model, row)
        keys = jax.random.split(jax.random.fold_in(key_rest, row), 3)
        moved, next_mode = _move(
            there, carry, u, dt.astype(x.dtype), (keys[0], keys[1])
        )
        moved = jnp.where(row > 0, moved, carry[0])
        if next_mode is not None:
            assert carry[1] is not None
            next_mode = jnp.where(row > 0, next_mode, carry[1])
        y = _observe(there, moved, u, keys[2])
        return (moved, next_mode), (moved, next_mode, y)

    gaps = jnp.concatenate([jnp.ones(1), jnp.diff(t)])
    steps = (jnp.arange(t.shape[0]), gaps, u)
    _, (states, modes, values) = jax.lax.scan(body, (x, mode), steps)
    return Path(t, states, values, modes)


def _first(model: AbstractModel, key: Key) -> Start:
    """Draw the first state, and the first mode where there are modes."""
    if not isinstance(model, AbstractSwitchingModel):
        return model.initial.sample(key=key), None
    key_mode, key_state = jax.random.split(key)
    log_weights = model.initial.log_weights
    mode = jax.random.categorical(key_mode, log_weights)
    chosen = jnp.where(jnp.arange(model.modes) == mode, 0.0, -jnp.inf)
    belief = eqx.tree_at(
        lambda initial: initial.log_weights,
        model.initial,
        chosen.astype(log_weights.dtype),
    )
    return belief.sample(key=key_state), mode


def _move(
    model: AbstractModel, start: Start, u: Input, dt: Array, keys: tuple[Key, Key]
) -> tuple[Float[Array, " state"], Count | None]:
    """Draw the next state, and the next mode where there are modes."""
    x, mode = start
    if isinstance(model, AbstractSwitchingModel):
        assert mode is not None
        logits = model.switch_log_probs(x, mode, u, dt)
        mode = jax.random.categorical(keys[0], logits)
        each = jnp.stack([_moved(t, x, u, dt, keys[1]) for t in model.transitions])
        return each[mode], mode
    if isinstance(model, AbstractStateSpaceModel):
        return _moved(model.transition, x, u, dt, keys[1]), None
    raise MethodError(
        f"`sample` draws from models that move by transitions; {type(model).__name__} "
        "does not. Use a StateSpaceModel, a switching or a hidden Markov model."
    )


def _moved(
    transition: AbstractTransition,
    x: Float[Array, " state"],
    u: Input,
    dt: Array,
    key: Key,
) -> Float[Array, " state"]:
    return transition.sample(x, u, dt, key=key)


def _observe(
    model: AbstractModel, x: Float[Array, " state"], u: Input, key: Key
) -> Float[Array, " obs"]:
    """Draw an observation of a state."""
    factor = model.observation.noise_factor()
    draw = jax.random.normal(key, factor.shape[-1:], factor.dtype)
    return model.observation.predict(x, u) + factor @ draw
