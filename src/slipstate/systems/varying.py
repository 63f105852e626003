"""Models whose matrices change from row to row of a series.

    x_k = F_k x_{k-1} + b_k + w,  w ~ N(0, Q_k)
    y_k = H_k x_k + d_k + v,      v ~ N(0, R_k)

F_k and Q_k belong to the step that ends at row k, so the first ones are used only where
the initial belief holds one step before the first row. A driver asks for the model `at`
each row; a method never sees that matrices change.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.arrays import (
    Numbers,
    as_real,
    check_covariance,
    check_finite,
    is_concrete,
)
from slipstate.ground.errors import InputError
from slipstate.ground.types import ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Diffuse, Gaussian
from slipstate.systems.linear import LinearObservation, LinearTransition
from slipstate.systems.protocol import (
    AbstractModel,
    AbstractObservation,
    StateSpaceModel,
)


class AbstractVaryingModel(AbstractModel):
    """A model that is another one at each row.

    Attributes:
        initial: Belief about the state at the first row.
        observation: What is seen at the first row; its units are those of all rows.
    """

    initial: eqx.AbstractVar[AbstractBelief]
    observation: eqx.AbstractVar[AbstractObservation]

    @abstractmethod
    def at(self, row: ScalarLike) -> AbstractModel:
        """Return the model of one row, counted from the start of the run."""

    @abstractmethod
    def rows(self) -> int:
        """Return for how many rows the model is known."""


class VaryingLinearGaussian(AbstractVaryingModel):
    """The linear Gaussian state-space model whose matrices change from row to row.

    Attributes:
        initial: Belief about the first state, `Gaussian` or `Diffuse`.
        transition: Transition of every row, stacked along time.
        observation: Observation of the first row.
        observations: Observation of every row, stacked along time.
    """

    initial: AbstractBelief
    transition: LinearTransition
    observation: LinearObservation
    observations: LinearObservation

    def __init__(
        self,
        initial_mean: Numbers,
        initial_cov: Numbers,
        F: Numbers,
        Q: Numbers,
        H: Numbers,
        R: Numbers,
        *,
        b: Numbers | None = None,
        d: Numbers | None = None,
        diffuse: Numbers | None = None,
        units: tuple[str, ...] | None = None,
    ) -> None:
        """Check and keep the matrices.

        Args:
            initial_mean: Mean of the first state.
            initial_cov: Its covariance.
            F: State matrix of each row (time, state, state), or one for all rows.
            Q: Covariance of the model noise, the same way.
            H: Observation matrix of each row (time, obs, state), or one for all rows.
            R: Covariance of the observation noise, the same way.
            b: Offset of the state of each row (time, state), or one; None for none.
            d: Offset of the observation of each row (time, obs), or one; None for none.
            diffuse: Columns span the unknown directions of the first state; None where
                the belief is proper.
            units: Unit of each observed component; None for numbers without unit.

        Raises:
            InputError: Shapes disagree, a matrix of some row is no covariance, or
                nothing varies.
        """
        mean = as_real("initial_mean", initial_mean, (None,))
        cov = as_real("initial_cov", initial_cov, (mean.shape[0], mean.shape[0]))
        check_finite("initial_mean", mean)
        check_covariance("initial_cov", cov)
        given = {"F": F, "Q": Q, "H": H, "R": R, "b": b, "d": d}
        rows = _count(given)
        n = mean.shape[0]
        H = _stack("H", H, rows, (None, n))
        p = H.shape[1]
        F, Q = (_stack(*pair, rows, (n, n)) for pair in (("F", F), ("Q", Q)))
        R = _stack("R", R, rows, (p, p))
        b = _stack("b", jnp.zeros(n, F.dtype) if b is None else b, rows, (n,))
        d = _stack("d", jnp.zeros(p, H.dtype) if d is None else d, rows, (p,))
        for name, stack in (("Q", Q), ("R", R)):
            _check_covariances(name, stack)
        for name, stack in (("F", F), ("H", H), ("b", b), ("d", d)):
            check_finite(name, stack)
        self.transition = eqx.filter_vmap(LinearTransition)(F, Q, b)
        build = lambda H, R, d: LinearObservation(H, R, d, units)
        self.observations = eqx.filter_vmap(build)(H, R, d)
        self.observation = build(H[0], R[0], d[0])
        if diffuse is None:
            self.initial = Gaussian(mean, cov)
        else:
            self.initial = Diffuse(mean, cov, as_real("diffuse", diffuse, (n, None)))

    def at(self, row: ScalarLike) -> StateSpaceModel:
        """Return the model of one row."""
        transition, observation = jax.tree.map(
            lambda stack: stack[row], (self.transition, self.observations)
        )
        return StateSpaceModel(self.initial, transition, observation)

    def rows(self) -> int:
        """Return the number of rows that the matrices were given for."""
        return self.transition.F.shape[0]


def _count(given: dict[str, Numbers | None]) -> int:
    """Return the number of rows of the arguments that have one entry per row."""
    found = {}
    for name, value in given.items():
        whole = 1 if name in "bd" else 2
        if value is not None and np.ndim(value) == whole + 1:
            found[name] = np.shape(value)[0]
    if not found:
        raise InputError(
            "`F`, `Q`, `H`, `R`, `b` or `d` must have one entry for each row; got one "
            "for all. Use LinearGaussian, or pass arrays with time as first axis."
        )
    if len(set(found.values())) > 1 or 0 in found.values():
        raise InputError(
            f"`F`, `Q`, `H`, `R`, `b` and `d` must have the same number of rows; got "
            f"{found}. Repeat the last one, or cut the longer ones."
        )
    return next(iter(found.values()))


def _stack(
    name: str, value: Numbers, rows: int, shape: tuple[int | None, ...]
) -> Float[Array, "time ..."]:
    """Return one entry for each row, of one value or of as many."""
    if np.ndim(value) == len(shape):
        whole = as_real(name, value, shape)
        return jnp.broadcast_to(whole, (rows, *whole.shape))
    return as_real(name, value, (rows, *shape))


def _check_covariances(name: str, stack: Float[Array, "time n n"]) -> None:
    """Raise unless every matrix of a stack is a covariance; name the first that is not.

    Equal neighbours are looked at once.
    """
    if not is_concrete(stack):
        return
    values = np.asarray(stack)
    fresh = np.ones(len(values), bool)
    fresh[1:] = (values[1:] != values[:-1]).any(axis=(1, 2))
    for row in np.flatnonzero(fresh):
        check_covariance(f"{name}[{row}]", stack[row])
