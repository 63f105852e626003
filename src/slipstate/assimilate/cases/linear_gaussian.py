"""Constant velocity in the plane: the Kalman filter is exact.

The case on which libraries agree to ten digits: 1000 positions, every 0.1, of a point
with white acceleration of unit intensity; noise variance 0.25.
"""

import jax.numpy as jnp
import numpy as np

from slipstate.assimilate.cases.case import Accepted, Case
from slipstate.assimilate.kalman import Kalman
from slipstate.systems.linear import LinearGaussian


def constant_velocity() -> Case:
    """Return the constant-velocity model in the plane.

    Returns:
        The case; state (x, x', y, y').
    """
    dt = 0.1
    F = np.array([[1.0, dt], [0.0, 1.0]])
    Q = np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    eye = np.eye(2)
    model = LinearGaussian(
        np.zeros(4),
        np.eye(4),
        np.kron(eye, F),
        np.kron(eye, Q),
        np.kron(eye, np.array([[1.0, 0.0]])),
        0.25 * jnp.eye(2),
    )
    reference = (Accepted(Kalman(), 0.45, 0.65, 0.55),)
    return Case("constant_velocity", model, interval=dt, burn=50, reference=reference)
