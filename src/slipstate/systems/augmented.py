"""Parameters that are not known become part of the state, and are learnt on the way.

A model with parameters p, each kept inside its set by a bijection p = g(z), becomes a
model of the longer state (x, z):

    x' = mean(x; g(z)) + L(x; g(z)) w,      z' = z + s sqrt(dt) v,
    y  = predict(x; g(z)) + noise.

Any filter for nonlinear models then finds state and parameters together, because what
an observation says about x it says through their covariance about z. The evolution s
keeps the parameters able to move: without it an ensemble forgets how to, with too much
of it nothing is remembered. Whatever a filter does to z, p stays inside its set.

The noise of the observation cannot depend on p here, as it may not depend on the state;
fit it by the evidence (`slipstate.fit.fit_evidence`).

References:
    Banerjee, van Dinther & Vossepoel (2023), Nonlin. Proc. Geophys. 30: a bias in the
    friction parameters of 14 % is only overcome by estimating them with the state.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.params import AbstractBijection, Real
from slipstate.ground.types import Key, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Gaussian
from slipstate.systems.protocol import (
    AbstractObservation,
    AbstractStateSpaceModel,
    AbstractTransition,
    Input,
    StateSpaceModel,
)
from slipstate.systems.samples import Ensemble

Build = Callable[[Float[Array, " param"]], AbstractStateSpaceModel]
"""Makes a model of the natural values of its parameters."""


class Unknown(eqx.Module):
    """A parameter that is not known.

    Attributes:
        name: Its name.
        guess: Natural value in the middle of the prior.
        spread: Standard deviation of the prior, of the unconstrained number z.
        evolution: Standard deviation of the walk of z per square root of a unit of
            time; 0 for a constant.
        bijection: The set the parameter stays in, as a map from all real numbers.
    """

    name: str = eqx.field(static=True)
    guess: ScalarLike
    spread: ScalarLike
    evolution: ScalarLike = 0.0
    bijection: AbstractBijection = Real()

    def __check_init__(self) -> None:
        """Refuse what is no prior."""
        for name, value in (("spread", self.spread), ("evolution", self.evolution)):
            if is_concrete(value) and not float(value) >= 0.0:
                raise InputError(
                    f"`{name}` of {self.name} must not be negative; got {value}. Pass "
                    "0 for none."
                )
        middle = self.middle()
        if is_concrete(middle) and not bool(jnp.isfinite(middle)):
            raise InputError(
                f"`guess` of {self.name} must lie inside its set; got {self.guess}. "
                "Pass a value well inside."
            )

    def middle(self) -> Float[Array, ""]:
        """Return z of the guess."""
        return self.bijection.inverse(jnp.asarray(self.guess, float))


class AugmentedTransition(AbstractTransition):
    """How state and parameters move together.

    Attributes:
        build: Makes a model of natural values.
        unknowns: The parameters.
    """

    build: Build
    unknowns: tuple[Unknown, ...]

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return the state moved by the model of its parameters; these stay."""
        state, free = split_state(self.unknowns, x)
        model = self.build(natural_values(self.unknowns, free))
        return jnp.concatenate([model.transition.mean(state, u, dt), free])

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state noise"]:
        """Return the factor of the model's noise and of the walk of the parameters."""
        state, free = split_state(self.unknowns, x)
        model = self.build(natural_values(self.unknowns, free))
        walk = jnp.stack([jnp.asarray(p.evolution, float) for p in self.unknowns])
        walk = walk * jnp.sqrt(jnp.asarray(dt, float))
        own = model.transition.noise_factor(state, u, dt)
        return jax.scipy.linalg.block_diag(own, jnp.diag(walk))


class AugmentedObservation(AbstractObservation):
    """What is seen of the state of a model whose parameters are part of it.

    Attributes:
        build: Makes a model of natural values.
        unknowns: The parameters.
        units: Unit of each observed component.
    """

    build: Build
    unknowns: tuple[Unknown, ...]
    units: tuple[str, ...] = eqx.field(static=True)

    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return the noise-free observation by the model of the parameters."""
        state, free = split_state(self.unknowns, x)
        model = self.build(natural_values(self.unknowns, free))
        return model.observation.predict(state, u)

    def noise_factor(self) -> Float[Array, "obs noise"]:
        """Return the factor of the noise at the guesses."""
        guesses = jnp.stack([jnp.asarray(p.guess, float) for p in self.unknowns])
        return self.build(guesses).observation.noise_factor()


def augment(
    build: Build, unknowns: Sequence[Unknown], *, key: Key | None = None
) -> StateSpaceModel:
    """Return a model whose state holds its unknown parameters.

    Args:
        build: Makes a model of natural values, in the order of `unknowns`. The initial
            belief of the model of the guesses becomes that of the state.
        unknowns: The parameters.
        key: Random key; needed where that belief is an ensemble, to spread parameters
            over its members, one in each part of the prior of equal probability.

    Returns:
        The model, with the unconstrained numbers of the parameters behind the state.

    Raises:
        InputError: There is no parameter, no key, or a belief or transition that
            cannot be extended.
    """
    known = tuple(unknowns)
    if not known:
        raise InputError("`unknowns` must hold at least one parameter; got none.")
    model = build(jnp.stack([jnp.asarray(p.guess, float) for p in known]))
    if model.transition.parts != 1:
        raise InputError(
            "`build` must make models whose steps are drawn in one part; got "
            f"{model.transition.parts}. Pass a transition with Gaussian noise."
        )
    return StateSpaceModel(
        _prior(model.initial, known, key),
        AugmentedTransition(build=build, unknowns=known),
        AugmentedObservation(
            build=build, unknowns=known, units=model.observation.units
        ),
    )


def split_state(
    unknowns: Sequence[Unknown], x: Float[Array, "*batch augmented"]
) -> tuple[Float[Array, "*batch state"], Float[Array, "*batch param"]]:
    """Return the state and the unconstrained numbers of the parameters.

    Args:
        unknowns: The parameters.
        x: Augmented states.
    """
    n = x.shape[-1] - len(unknowns)
    return x[..., :n], x[..., n:]


def natural_values(
    unknowns: Sequence[Unknown], free: Float[Array, "*batch param"]
) -> Float[Array, "*batch param"]:
    """Return natural values of unconstrained numbers.

    Args:
        unknowns: The parameters.
        free: z, one per parameter along the last axis.
    """
    parts = [p.bijection.forward(free[..., k]) for k, p in enumerate(unknowns)]
    return jnp.stack(parts, axis=-1)


def _prior(
    initial: AbstractBelief, unknowns: tuple[Unknown, ...], key: Key | None
) -> AbstractBelief:
    """Return the belief about state and parameters before the first observation."""
    middle = jnp.stack([p.middle() for p in unknowns])
    spread = jnp.stack([jnp.asarray(p.spread, float) for p in unknowns])
    if isinstance(initial, Gaussian):
        return Gaussian(
            jnp.concatenate([initial.location, middle]),
            jax.scipy.linalg.block_diag(initial.covariance, jnp.diag(spread**2)),
        )
    if not isinstance(initial, Ensemble):
        raise InputError(
            "`build` must make models that start from a Gaussian or an Ensemble; got "
            f"{type(initial).__name__}."
        )
    if key is None:
        raise InputError(
            "`key` must be a random key where the model starts from an ensemble; got "
            "None. Pass key=jax.random.key(0)."
        )
    count = len(initial.members)
    keys = jax.random.split(key, len(unknowns))
    levels = (jnp.arange(float(count)) + 0.5) / count
    each = [jax.random.permutation(k, jax.scipy.special.ndtri(levels)) for k in keys]
    # quantiles in the middle of equal parts have a little less than unit variance
    draws = jnp.stack(each, axis=1)
    draws = draws / jnp.std(draws, axis=0, ddof=1, keepdims=True)
    free = middle[None, :] + spread[None, :] * draws
    return Ensemble(jnp.concatenate([initial.members, free], axis=1))
