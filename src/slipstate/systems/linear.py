"""Linear Gaussian systems given by their matrices.

    x_{k+1} = F x_k + b + w,  w ~ N(0, Q)        y_k = H x_k + d + v,  v ~ N(0, R)

Here F and Q belong to ONE STEP, whatever time it takes: `dt` is ignored. A system whose
F and Q follow from the length of the step is a transition of its own.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers, as_real, check_covariance, check_finite
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.types import ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Diffuse, Gaussian
from slipstate.systems.protocol import (
    AbstractLinearObservation,
    AbstractLinearTransition,
    AbstractModel,
    AbstractStateSpaceModel,
    Input,
)


class LinearTransition(AbstractLinearTransition):
    """The transition x' = F x + b + w, w ~ N(0, Q), one step whatever `dt` says.

    Attributes:
        F: State matrix.
        Q: Covariance of the model noise.
        b: Constant offset.
    """

    F: Float[Array, "state state"]
    Q: Float[Array, "state state"]
    b: Float[Array, " state"]

    def __init__(
        self,
        F: Numbers,
        Q: Numbers,
        b: Numbers | None = None,
    ) -> None:
        """Check and keep the matrices.

        Args:
            F: State matrix.
            Q: Covariance of the model noise, symmetric positive semi-definite.
            b: Constant offset; None for none.

        Raises:
            InputError: Shapes disagree, or Q is no covariance.
        """
        self.F = as_real("F", F, (None, None))
        n = self.F.shape[1]
        self.F = as_real("F", F, (n, n))
        self.Q = as_real("Q", Q, (n, n))
        self.b = jnp.zeros(n, self.F.dtype) if b is None else as_real("b", b, (n,))
        check_finite("F", self.F)
        check_covariance("Q", self.Q)
        check_finite("b", self.b)

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return F."""
        return self.F

    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return b."""
        return self.b

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q."""
        return self.Q

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return F x + b."""
        return self.F @ x + self.b

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state state"]:
        """Return the triangular L with L L^T = Q."""
        return psd_root(self.Q)


class LinearObservation(AbstractLinearObservation):
    """The observation y = H x + d + v, v ~ N(0, R).

    Attributes:
        H: Observation matrix.
        R: Covariance of the observation noise.
        d: Constant offset.
        units: Unit of each observed component.
    """

    H: Float[Array, "obs state"]
    R: Float[Array, "obs obs"]
    d: Float[Array, " obs"]
    units: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        H: Numbers,
        R: Numbers,
        d: Numbers | None = None,
        units: tuple[str, ...] | None = None,
    ) -> None:
        """Check and keep the matrices.

        Args:
            H: Observation matrix.
            R: Covariance of the observation noise, symmetric positive semi-definite.
            d: Constant offset; None for none.
            units: Unit of each component; None for numbers without unit.

        Raises:
            InputError: Shapes disagree, or R is no covariance.
        """
        self.H = as_real("H", H, (None, None))
        p = self.H.shape[0]
        self.R = as_real("R", R, (p, p))
        self.d = jnp.zeros(p, self.H.dtype) if d is None else as_real("d", d, (p,))
        self.units = ("1",) * p if units is None else units
        if len(self.units) != p:
            raise InputError(
                f"`units` must name the unit of each of {p} components; got "
                f'{self.units}. Pass one string per row of `H`, such as ("mm",).'
            )
        check_finite("H", self.H)
        check_covariance("R", self.R)
        check_finite("d", self.d)

    def matrix(self) -> Float[Array, "obs state"]:
        """Return H."""
        return self.H

    def offset(self, u: Input) -> Float[Array, " obs"]:
        """Return d."""
        return self.d

    def noise_cov(self) -> Float[Array, "obs obs"]:
        """Return R."""
        return self.R

    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return H x + d."""
        return self.H @ x + self.d

    def noise_factor(self) -> Float[Array, "obs obs"]:
        """Return the triangular L with L L^T = R."""
        return psd_root(self.R)


class LinearGaussian(AbstractStateSpaceModel):
    """The linear Gaussian state-space model given by six matrices.

    F and Q belong to one step, whatever time it takes. The initial belief sits on the
    state at the first observation time unless a driver is told otherwise.

    Attributes:
        initial: Belief about the first state, `Gaussian` or `Diffuse`.
        transition: x' = F x + w, w ~ N(0, Q).
        observation: y = H x + v, v ~ N(0, R).
    """

    initial: AbstractBelief
    transition: LinearTransition
    observation: LinearObservation

    def __init__(
        self,
        initial_mean: Numbers,
        initial_cov: Numbers,
        F: Numbers,
        Q: Numbers,
        H: Numbers,
        R: Numbers,
        *,
        diffuse: Numbers | None = None,
    ) -> None:
        """Check and keep the matrices.

        Args:
            initial_mean: Mean of the first state.
            initial_cov: Its covariance.
            F: State matrix.
            Q: Covariance of the model noise.
            H: Observation matrix.
            R: Covariance of the observation noise.
            diffuse: Columns span the directions of the first state about which nothing
                is known (infinite variance); None where the belief is proper.

        Raises:
            InputError: Shapes disagree, or a covariance is none.
        """
        self.transition = LinearTransition(F, Q)
        n = self.transition.F.shape[0]
        self.observation = LinearObservation(as_real("H", H, (None, n)), R)
        mean = as_real("initial_mean", initial_mean, (n,))
        cov = as_real("initial_cov", initial_cov, (n, n))
        check_finite("initial_mean", mean)
        check_covariance("initial_cov", cov)
        if diffuse is None:
            self.initial = Gaussian(mean, cov)
        else:
            self.initial = Diffuse(mean, cov, as_real("diffuse", diffuse, (n, None)))


def is_linear(model: AbstractModel) -> bool:
    """Tell whether an exact linear method may treat `model`."""
    return (
        isinstance(model, AbstractStateSpaceModel)
        and isinstance(model.transition, AbstractLinearTransition)
        and isinstance(model.observation, AbstractLinearObservation)
    )
