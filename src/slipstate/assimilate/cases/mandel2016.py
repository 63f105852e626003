"""Lorenz-63 seen through sharp nonlinear functions of all its variables.

The cube, as in Mandel et al. (2016), with variance 8: where a variable is large it is
known almost exactly, where it is small hardly at all, and linearising errs by more than
the noise. The distance from 5 folds the attractor onto itself.

References:
    Mandel, Bergou, Gurol, Gratton & Kasanicky (2016), Hybrid Levenberg-Marquardt and
    weak-constraint ensemble Kalman smoother method, Nonlin. Proc. Geophys. 23.
    Published scores: Raanes et al. (2024), DAPPER.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.cases.case import Accepted, Case, diffusion_of
from slipstate.assimilate.cases.sakov2012 import START
from slipstate.assimilate.stochastic_ensemble import StochasticEnsembleKalman
from slipstate.earth.chaos import Lorenz63
from slipstate.ground.types import Scalar
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.protocol import AbstractObservation, Input, StateSpaceModel


class CubeObservation(AbstractObservation):
    """y = x^3 + noise.

    Attributes:
        sd: Standard deviation of the noise.
        units: No unit.
    """

    sd: Scalar
    units: tuple[str, ...] = eqx.field(static=True, default=("1", "1", "1"))

    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return x^3."""
        return x**3

    def noise_factor(self) -> Float[Array, "obs noise"]:
        """Return the standard deviations."""
        return self.sd * jnp.eye(len(self.units))


class DistanceObservation(AbstractObservation):
    """y = |x - centre| + noise.

    Attributes:
        sd: Standard deviation of the noise.
        centre: Where the distance is 0, in every component.
        units: No unit.
    """

    sd: Scalar
    centre: Scalar
    units: tuple[str, ...] = eqx.field(static=True, default=("1", "1", "1"))

    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return |x - centre|."""
        return jnp.abs(x - self.centre)

    def noise_factor(self) -> Float[Array, "obs noise"]:
        """Return the standard deviations."""
        return self.sd * jnp.eye(len(self.units))


def lorenz63_mandel2016(*, model_noise: float = 0.01, substeps: int = 35) -> Case:
    """Return Lorenz-63 whose cubes are observed.

    Args:
        model_noise: Variance that each cycle adds to every variable.
        substeps: Steps of 0.01 between observations; 5, 35 or 55 in the paper.

    Returns:
        The case; its reference holds for the defaults. The noise is added once per
        cycle here and after each step there.

    Raises:
        InputError: The variance is negative.
    """
    observation = CubeObservation(sd=jnp.sqrt(8.0))
    accepted = Accepted(
        StochasticEnsembleKalman(members=100, inflation=1.0), 0.1, 0.4, 0.2
    )
    return _case("lorenz63_mandel2016", observation, model_noise, substeps, (accepted,))


def lorenz63_distance(*, model_noise: float = 0.02, centre: float = 5.0) -> Case:
    """Return Lorenz-63 seen through |x - centre| every 0.25, variance 1.

    Args:
        model_noise: Variance that each cycle adds to every variable.
        centre: Where the distance is 0.

    Returns:
        The case, without published scores.

    Raises:
        InputError: The variance is negative.
    """
    seen = DistanceObservation(sd=jnp.ones(()), centre=jnp.asarray(centre, float))
    return _case("lorenz63_distance", seen, model_noise, 25, ())


def _case(
    name: str,
    observation: AbstractObservation,
    model_noise: float,
    substeps: int,
    reference: tuple[Accepted, ...],
) -> Case:
    interval = 0.01 * substeps
    diffusion = diffusion_of(model_noise, interval)
    model = StateSpaceModel(
        Gaussian(jnp.asarray(START, float), 2.0 * jnp.eye(3)),
        Lorenz63(diffusion=diffusion, substeps=substeps),
        observation,
    )
    return Case(name, model, interval=interval, burn=64, reference=reference)
