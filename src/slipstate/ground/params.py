"""Constrained parameters: a value, the set it must stay in, and whether it is fitted.

A model is fitted on unconstrained numbers and used on natural ones. Any pytree (a
dictionary, a whole model) may hold `Parameter`s among its leaves; everything else in
it stays as it is.
"""

from abc import abstractmethod
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers, is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import ScalarLike

Tree = TypeVar("Tree")


class AbstractBijection(eqx.Module):
    """An increasing map from all real numbers onto the set a parameter lives in."""

    @abstractmethod
    def forward(self, free: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return the natural value of an unconstrained number."""

    @abstractmethod
    def inverse(self, value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return the unconstrained number of a natural value."""


class Real(AbstractBijection):
    """All real numbers; the identity."""

    def forward(self, free: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return `free`."""
        return free

    def inverse(self, value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return `value`."""
        return value


class Positive(AbstractBijection):
    """Positive numbers, by the logarithm: steps are factors, whatever the unit."""

    def forward(self, free: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return exp(free)."""
        return jnp.exp(free)

    def inverse(self, value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return log(value)."""
        return jnp.log(value)


class Interval(AbstractBijection):
    """Numbers strictly between two bounds, by the logit.

    Attributes:
        low: Lower bound.
        high: Upper bound.
    """

    low: ScalarLike
    high: ScalarLike

    def forward(self, free: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return low + (high - low) / (1 + exp(-free))."""
        return self.low + (self.high - self.low) * jax.nn.sigmoid(free)

    def inverse(self, value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return log((value - low) / (high - value))."""
        return jnp.log((value - self.low) / (self.high - value))


class Unit(AbstractBijection):
    """Numbers strictly between 0 and 1, such as probabilities, by the logit."""

    def forward(self, free: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return 1 / (1 + exp(-free))."""
        return jax.nn.sigmoid(free)

    def inverse(self, value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return log(value / (1 - value))."""
        return jnp.log(value) - jnp.log1p(-value)


class Parameter(eqx.Module):
    """A number or array that a fit may move within the set it must stay in.

    Attributes:
        value: Natural value.
        bijection: The set, as a map from all real numbers.
        trainable: Whether a fit moves it.
    """

    value: Float[Array, "*shape"]
    bijection: AbstractBijection
    trainable: bool = eqx.field(static=True)

    def __init__(
        self,
        value: Numbers,
        bijection: AbstractBijection = Real(),  # noqa: B008  frozen, without fields
        trainable: bool = True,
    ) -> None:
        """Check that the value lies in its set.

        Args:
            value: Natural value.
            bijection: The set, as a map from all real numbers.
            trainable: Whether a fit moves it.

        Raises:
            InputError: The value lies outside or on the edge of its set.
        """
        array = jnp.asarray(value)
        if not jnp.issubdtype(array.dtype, jnp.floating):
            array = array.astype(float)
        self.value, self.bijection, self.trainable = array, bijection, trainable
        free = bijection.inverse(array)
        if is_concrete(free) and not np.isfinite(np.asarray(free)).all():
            raise InputError(
                f"`value` must lie inside {type(bijection).__name__}; got "
                f"{np.asarray(array)}. Start from a value well inside."
            )


def natural(tree: Any) -> Any:
    """Return `tree` with every `Parameter` replaced by its value."""
    return jax.tree.map(
        lambda leaf: leaf.value if isinstance(leaf, Parameter) else leaf,
        tree,
        is_leaf=_is_parameter,
    )


def trainable(tree: Any) -> list[Parameter]:
    """Return the parameters of `tree` that a fit moves, in the order of the tree."""
    leaves = jax.tree.leaves(tree, is_leaf=_is_parameter)
    return [leaf for leaf in leaves if _is_parameter(leaf) and leaf.trainable]


def free_vector(tree: Any) -> Float[Array, " free"]:
    """Return the unconstrained numbers of all trainable parameters in one vector."""
    parts = [jnp.ravel(p.bijection.inverse(p.value)) for p in trainable(tree)]
    return jnp.concatenate(parts) if parts else jnp.zeros(0)


def natural_vector(tree: Any, free: Float[Array, " free"]) -> Float[Array, " free"]:
    """Return the natural values that belong to unconstrained numbers.

    Args:
        tree: Holds the parameters in the order of `free`.
        free: Unconstrained numbers.

    Returns:
        Natural values in the same order.
    """
    sizes = [p.value.size for p in trainable(tree)]
    pieces = jnp.split(free, np.cumsum(sizes)[:-1].tolist())
    parts = [p.bijection.forward(z) for p, z in zip(trainable(tree), pieces)]
    return jnp.concatenate(parts)


def with_values(tree: Tree, values: Float[Array, " free"]) -> Tree:
    """Return `tree` with new natural values in its trainable parameters.

    Args:
        tree: Holds the parameters in the order of `values`.
        values: Natural values.

    Returns:
        The same tree, otherwise unchanged.
    """
    taken = 0

    def replace(leaf: Any) -> Any:
        nonlocal taken
        if not (_is_parameter(leaf) and leaf.trainable):
            return leaf
        start, taken = taken, taken + leaf.value.size
        value = jnp.reshape(values[start:taken], leaf.value.shape)
        return eqx.tree_at(lambda parameter: parameter.value, leaf, value)

    return jax.tree.map(replace, tree, is_leaf=_is_parameter)


def _is_parameter(leaf: Any) -> bool:
    """Tell whether a leaf is a parameter."""
    return isinstance(leaf, Parameter)
