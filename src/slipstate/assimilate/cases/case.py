"""What a benchmark case is: a model, a way to make data, and the accepted numbers."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.observations import Observations
from slipstate.assimilate.protocol import AbstractFilter
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key
from slipstate.systems.protocol import AbstractStateSpaceModel


@dataclass(frozen=True)
class Accepted:
    """An error that other programs agree on.

    The score is the mean over cycles of the root mean square over state components of
    the filtered mean's error, after the burn-in.

    Attributes:
        method: The method with its settings.
        low: Least accepted score over 1000 cycles or more.
        high: Greatest accepted score.
        published: The published score.
    """

    method: AbstractFilter
    low: float
    high: float
    published: float


class Twin(eqx.Module):
    """A simulated truth and what was seen of it.

    Attributes:
        states: The truth at each observation.
        observations: The observations, complete.
    """

    states: Float[Array, "time state"]
    observations: Observations


class Case(eqx.Module):
    """A benchmark case.

    The initial belief of the model holds at the first observation, and the first true
    state is a draw of it.

    Attributes:
        name: Name of the case.
        model: The model that follows.
        truth: The model that makes the data; the same in a perfect-model case.
        interval: Time between observations, in the time unit of the model.
        burn: Cycles at the start that are not scored.
        reference: Accepted scores.
    """

    name: str = eqx.field(static=True)
    model: AbstractStateSpaceModel
    truth: AbstractStateSpaceModel
    interval: float = eqx.field(static=True)
    burn: int = eqx.field(static=True)
    reference: tuple[Accepted, ...] = eqx.field(static=True)

    def __init__(
        self,
        name: str,
        model: AbstractStateSpaceModel,
        *,
        truth: AbstractStateSpaceModel | None = None,
        interval: float,
        burn: int = 50,
        reference: tuple[Accepted, ...] = (),
    ) -> None:
        """Keep the parts.

        Args:
            name: Name of the case.
            model: The model that follows.
            truth: The model that makes the data; None for the same.
            interval: Time between observations.
            burn: Cycles at the start that are not scored.
            reference: Accepted scores.
        """
        self.name, self.model = name, model
        self.truth = model if truth is None else truth
        self.interval, self.burn, self.reference = interval, burn, reference

    def simulate(self, *, key: Key, cycles: int) -> Twin:
        """Draw a truth and its observations.

        Args:
            key: Random key.
            cycles: Number of observations.

        Returns:
            True states and observations, at t = 0, interval, 2 interval, ...

        Raises:
            InputError: `cycles` is not positive.
        """
        if cycles < 1:
            raise InputError(f"`cycles` must be 1 or more; got {cycles}. Pass 1000.")
        states, y = _simulate(self.truth, self.interval, cycles, key)
        times = self.interval * jnp.arange(float(cycles))
        return Twin(states, Observations(y, t=times))


@eqx.filter_jit
def _simulate(
    model: AbstractStateSpaceModel, interval: float, cycles: int, key: Key
) -> tuple[Float[Array, "time state"], Float[Array, "time obs"]]:
    key_first, key_path, key_noise = jax.random.split(key, 3)
    dt = jnp.asarray(interval, float)
    first = model.initial.sample(key=key_first)

    def advance(x: Array, key: Key) -> tuple[Array, Array]:
        return model.transition.sample(x, None, dt, key=key), x

    states = jax.lax.scan(advance, first, jax.random.split(key_path, cycles))[1]
    clean = jax.vmap(lambda x: model.observation.predict(x, None))(states)
    factor = model.observation.noise_factor()
    draws = jax.random.normal(key_noise, (cycles, factor.shape[1]), clean.dtype)
    return states, clean + draws @ factor.T


def diffusion_of(model_noise: float, interval: float) -> float | None:
    """Return the diffusion that makes a variance of `model_noise` per cycle.

    Args:
        model_noise: Variance per cycle; 0 for no noise.
        interval: Time between observations.

    Returns:
        Standard deviation per square root of time, None for no noise.

    Raises:
        InputError: The variance is negative.
    """
    if not model_noise >= 0.0:
        raise InputError(
            f"`model_noise` must not be negative; got {model_noise}. Pass the variance "
            "that each cycle adds, such as 0.02."
        )
    return (model_noise / interval) ** 0.5 if model_noise > 0.0 else None
