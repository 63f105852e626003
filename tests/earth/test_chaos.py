"""Small chaotic systems against SciPy, exact solutions and their invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from slipstate.earth import DoubleWell, Lorenz63, Lorenz96
from slipstate.ground.errors import InputError

SYSTEMS = [
    (Lorenz63(substeps=100), np.array([1.509, -1.531, 25.46]), 0.25),
    (Lorenz96(size=7, substeps=50), np.linspace(-3.0, 8.0, 7), 0.2),
]


@pytest.mark.parametrize(("system", "start", "dt"), SYSTEMS, ids=lambda x: str(type(x)))
def test_motion_is_that_of_scipy(system, start, dt):
    def rate(t, x):
        if len(x) == 3:
            a, b, c = x
            return [10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c]
        n = len(x)
        return [(x[(i + 1) % n] - x[i - 2]) * x[i - 1] - x[i] + 8.0 for i in range(n)]

    exact = solve_ivp(rate, [0, dt], start, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    got = system.mean(jnp.asarray(start), None, dt)
    np.testing.assert_allclose(got, exact, rtol=1e-6)


def test_the_particle_falls_as_the_equation_says():
    x, h = jnp.array([0.3]), 1e-5
    well = DoubleWell()
    for dt in (0.05, 0.7):
        later, before = (well.mean(x, None, dt + e) for e in (h, -h))
        now = well.mean(x, None, dt)
        np.testing.assert_allclose(
            (later - before) / (2 * h), -4 * now * (now**2 - 1), rtol=1e-6
        )
    np.testing.assert_allclose(well.mean(x, None, 100.0), 1.0)
    np.testing.assert_allclose(well.mean(jnp.zeros(1), None, 1.0), 0.0)


@pytest.mark.slow
def test_the_double_well_keeps_its_stationary_density(key):
    """exp(-2 (x^2 - 1)^2 / s^2), from a start in one well only to its local spread."""
    well = DoubleWell()
    start = jnp.ones((4000, 1))
    move = jax.vmap(lambda x, k: well.sample(x, None, 0.4, key=k))
    for k in jax.random.split(key, 10):
        start = move(start, jax.random.split(k, 4000))
    grid = np.linspace(-2.5, 2.5, 2001)
    density = np.exp(-2 * (grid**2 - 1) ** 2 / 0.49)
    density /= density.sum()
    got = np.asarray(start)[:, 0] ** 2
    for power in (1, 2):
        exact = density @ grid ** (2 * power)
        error = got**power
        sem = error.std() / np.sqrt(len(got))
        # drawn in 20 parts: a bias of one per cent at most
        assert abs(error.mean() - exact) < 4 * sem + 0.01 * exact


def test_noise_grows_with_time_and_vanishes_when_there_is_none():
    noisy = Lorenz63(diffusion=0.3)
    factor = noisy.noise_factor(jnp.zeros(3), None, 0.25)
    np.testing.assert_allclose(factor @ factor.T, 0.09 * 0.25 * np.eye(3))
    assert Lorenz96(size=5).noise_factor(jnp.zeros(5), None, 0.1).shape == (5, 0)


def test_wrong_parameters_are_refused():
    for build in (
        lambda: Lorenz63(substeps=0),
        lambda: Lorenz63(diffusion=-1.0),
        lambda: Lorenz96(size=3),
        lambda: DoubleWell(diffusion=-0.1),
    ):
        with pytest.raises(InputError):
            build()
