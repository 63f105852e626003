"""Noise of position series, exactly discretised.

The power spectrum of GNSS noise is close to a power law between white and random walk.
White noise plus a random walk plus a first-order Gauss-Markov process spans that range
with one pole, and stays a linear state space.

References:
    Langbein, J. Geod. 86, 775 (2012); Williams, J. Geod. 76, 483 (2003).
"""

import jax.numpy as jnp

from slipstate.ground.types import Scalar, ScalarLike


def random_walk_variance(rate: ScalarLike, dt: ScalarLike) -> Scalar:
    """Return the variance a random walk gains in `dt`.

    Args:
        rate: Standard deviation per square root of time [mm/sqrt(day)].
        dt: Time [day].

    Returns:
        rate^2 dt [mm^2].
    """
    return jnp.asarray(rate**2 * dt)


def gauss_markov_decay(time: ScalarLike, dt: ScalarLike) -> Scalar:
    """Return exp(-dt / time), the correlation of a Gauss-Markov process over `dt`."""
    return jnp.exp(-jnp.asarray(dt / time))


def gauss_markov_variance(sd: ScalarLike, time: ScalarLike, dt: ScalarLike) -> Scalar:
    """Return the variance a stationary Gauss-Markov process renews in `dt`.

    Args:
        sd: Stationary standard deviation [mm].
        time: Correlation time [day].
        dt: Time [day].

    Returns:
        sd^2 (1 - exp(-2 dt / time)) [mm^2].
    """
    return sd**2 * -jnp.expm1(-2.0 * jnp.asarray(dt / time))
