"""Starting again from what is possible: climatologies, and beliefs handed over.

A method takes its first state from the model's initial belief. So whatever one method
believes becomes the state of another by standing in the place of that belief, and a
lost filter goes on from a mixture of what it believed and the climatology.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.protocol import AbstractFilter, State, require_transition
from slipstate.assimilate.resample import Systematic
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Gaussian
from slipstate.systems.protocol import AbstractModel, StateSpaceModel
from slipstate.systems.samples import Ensemble, Particles

_DRAW = Systematic()


def climatology(
    model: AbstractModel,
    *,
    interval: float,
    samples: int = 400,
    steps: int = 400,
    key: Key,
) -> Ensemble:
    """Return states of a model that runs freely, long after its start.

    Every sample is the end of a path of its own from a draw of the initial belief, so
    that they are independent once the start is forgotten.

    Args:
        model: The model, of one transition and without input.
        interval: Length of a step, such as the time between observations.
        samples: Number of states.
        steps: Length of each path.
        key: Random key.

    Returns:
        The states; paths that overflow keep their last finite state.

    Raises:
        InputError: `samples` is below 2, or `steps` below 1.
        MethodError: The model has several transitions.
    """
    if samples < 2 or steps < 1:
        raise InputError(
            "`samples` must be at least 2 and `steps` at least 1; got "
            f"{samples}, {steps}. Leave them out for 400."
        )
    require_transition(model, "climatology")
    return Ensemble(
        _run_freely(model, jnp.asarray(interval, float), samples, steps, key)
    )


@eqx.filter_jit
def _run_freely(
    model: AbstractModel, dt: Scalar, samples: int, length: int, key: Key
) -> Float[Array, "ens state"]:
    transition = require_transition(model, "climatology")
    first, steps = jax.random.split(key)
    draw = lambda k: model.initial.sample(key=k)
    start = jax.vmap(draw)(jax.random.split(first, samples))

    def body(x: Array, k: Key) -> tuple[Array, None]:
        move = lambda x, k: transition.sample(x, None, dt, key=k)
        moved = jax.vmap(move)(x, jax.random.split(k, samples))
        fine = jnp.all(jnp.isfinite(moved), axis=1, keepdims=True)
        return jnp.where(fine, moved, x), None

    return jax.lax.scan(body, start, jax.random.split(steps, length))[0]


def hand_over(
    model: AbstractModel, method: AbstractFilter, belief: AbstractBelief, *, key: Key
) -> State:
    """Return the state of a method that believes what another believes.

    What the other method carries beside its belief, such as the memory of an adaptive
    inflation, is not handed over.

    Args:
        model: The model, of one transition.
        method: The method that takes over; an ensemble of the same size.
        belief: What is believed. Weighted particles are drawn by their weights.
        key: Random key.
    """
    if isinstance(belief, Particles):
        belief = Ensemble(belief.members[_DRAW(belief.weights(), key=key)])
    transition = require_transition(model, "hand_over")
    return method.init(StateSpaceModel(belief, transition, model.observation), key=key)


def blend(
    belief: AbstractBelief, climate: AbstractBelief, share: ScalarLike, *, key: Key
) -> AbstractBelief:
    """Return the mixture of a belief and the climatology, in the form of the belief.

    Of an ensemble, a share of the members, and all that are no numbers, are replaced
    by draws of the climatology; a Gaussian takes mean and covariance of the mixture.
    Any other belief becomes the climatology itself.

    Args:
        belief: What is believed.
        climate: The climatology.
        share: Weight of the climatology.
        key: Random key.
    """
    if isinstance(belief, Particles):
        weights = jnp.where(jnp.isfinite(belief.weights()), belief.weights(), 0.0)
        total = jnp.sum(weights)
        equal = jnp.full_like(weights, 1.0 / weights.shape[0])
        weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), equal)
        belief = Ensemble(belief.members[_DRAW(weights, key=key)])
    if isinstance(belief, Ensemble):
        return _blend_members(belief.members, climate, share, key)
    if isinstance(belief, Gaussian):
        return _blend_moments(belief, climate, share)
    return climate


def _blend_members(
    members: Float[Array, "ens state"],
    climate: AbstractBelief,
    share: ScalarLike,
    key: Key,
) -> Ensemble:
    """Put draws of the climatology in the place of a share of the members."""
    count, dtype = members.shape[0], members.dtype
    chosen, drawn = jax.random.split(key)
    draw = lambda k: climate.sample(key=k)
    fresh = jax.vmap(draw)(jax.random.split(drawn, count))
    order = jax.random.permutation(chosen, count).astype(dtype)
    replaced = order < jnp.ceil(jnp.asarray(share, dtype) * count)
    replaced = replaced | ~jnp.all(jnp.isfinite(members), axis=1)
    return Ensemble(jnp.where(replaced[:, None], fresh, members))


def _blend_moments(
    belief: Gaussian, climate: AbstractBelief, share: ScalarLike
) -> Gaussian:
    """Return the Gaussian with mean and covariance of the mixture."""
    m, P = climate.mean(), climate.cov()
    old_m, old_P = belief.mean(), belief.cov()
    known = jnp.all(jnp.isfinite(old_m)) & jnp.all(jnp.isfinite(old_P))
    w = jnp.where(known, jnp.asarray(share, m.dtype), 1.0)
    old_m, old_P = jnp.where(known, old_m, m), jnp.where(known, old_P, P)
    apart = old_m - m
    between = w * (1.0 - w) * apart[:, None] * apart[None, :]
    return Gaussian((1.0 - w) * old_m + w * m, (1.0 - w) * old_P + w * P + between)


def predicted_moments(
    model: AbstractModel, climate: AbstractBelief, *, samples: int = 1000, key: Key
) -> tuple[Float[Array, " obs"], Float[Array, "obs obs"]]:
    """Return mean and covariance of the observation of a climatology, noise included.

    Args:
        model: The model.
        climate: The climatology.
        samples: Number of draws where it is no ensemble.
        key: Random key.

    Returns:
        Both over the draws whose observation is finite.
    """
    if isinstance(climate, Ensemble):
        states = climate.members
    else:
        draw = lambda k: climate.sample(key=k)
        states = jax.vmap(draw)(jax.random.split(key, samples))
    seen = jax.vmap(lambda x: model.observation.predict(x, None))(states)
    fine = jnp.all(jnp.isfinite(seen), axis=1, keepdims=True)
    count = jnp.maximum(jnp.sum(fine).astype(seen.dtype), 2.0)
    mean = jnp.sum(jnp.where(fine, seen, 0.0), axis=0) / count
    apart = jnp.where(fine, seen - mean[None, :], 0.0)
    factor = model.observation.noise_factor()
    return mean, apart.T @ apart / (count - 1.0) + factor @ factor.T
