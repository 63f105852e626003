"""What happened between two observations, against exact smoothing and first passage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import Observations, smooth_series
from slipstate.assimilate.bridge import bridge_window
from slipstate.ground.errors import InputError, MethodError
from slipstate.systems import AbstractTransition, LinearGaussian

STEPS = 10


class Decay(AbstractTransition):
    """dX = -a X dt + s dW by Euler's steps."""

    rate: float
    sd: float

    def mean(self, x, u, dt):
        return x - self.rate * x * dt

    def noise_factor(self, x, u, dt):
        return self.sd * jnp.sqrt(dt) * jnp.eye(1)


def normal(y, sd):
    return lambda x: -0.5 * ((y - x[0]) / sd) ** 2 - jnp.log(sd * jnp.sqrt(2 * jnp.pi))


@pytest.fixture(scope="module")
def windows():
    key = jax.random.key(1)
    start = jax.random.normal(key, (600, 1))
    args = (Decay(0.5, 0.8), start, 1.0, normal(jnp.asarray(1.5), 0.3))
    return [
        bridge_window(*args, steps=STEPS, pinned=pinned, key=key)
        for pinned in (False, True)
    ]


def test_bayes_law_is_the_kalman_smoother(windows):
    free, _ = windows
    y = np.full((STEPS + 1, 1), np.nan)
    y[-1] = 1.5
    d = 1.0 / STEPS
    exact = smooth_series(
        LinearGaussian(
            [0.0], [[1.0]], [[1 - 0.5 * d]], [[0.64 * d]], [[1.0]], [[0.09]]
        ),
        Observations(y),
    )
    p, x = np.asarray(free.marginals()), np.asarray(free.clouds[:, :, 0])
    mean = (p * x).sum(axis=1)
    sd = np.sqrt((p * x**2).sum(axis=1) - mean**2)
    np.testing.assert_allclose(mean, exact.means[:, 0], atol=0.12)
    np.testing.assert_allclose(sd, np.sqrt(exact.covs[:, 0, 0]), rtol=0.15)
    np.testing.assert_allclose(free.log_evidence, exact.log_likelihood, atol=0.12)


def test_schroedingers_law_keeps_both_ends_and_bends_the_paths(windows, key):
    free, pinned = windows
    p, q = np.asarray(pinned.marginals()), np.asarray(free.marginals())
    np.testing.assert_allclose(p[0], 1.0 / 600, rtol=1e-10)
    np.testing.assert_allclose(p[-1], q[-1], atol=1e-6)
    assert float(pinned.missed) < 1e-4
    # the start is not revised, so the paths have further to go
    assert (p[0] @ pinned.clouds[0, :, 0]) < (q[0] @ free.clouds[0, :, 0]) - 0.2
    paths = np.asarray(pinned.paths(4000, key=key))
    assert paths.shape == (4000, STEPS + 1, 1)
    want = (p * np.asarray(pinned.clouds[:, :, 0])).sum(axis=1)
    np.testing.assert_allclose(paths[:, :, 0].mean(axis=0), want, atol=0.06)


def test_the_first_passage_is_that_of_a_grid(windows, key):
    free, _ = windows
    barrier, d = 1.2, 1.0 / STEPS
    got = np.asarray(free.first_passage(lambda x: x[0] > barrier))
    x = np.linspace(-5, 5, 801)
    step = np.exp(-0.5 * ((x[None] - (1 - 0.5 * d) * x[:, None]) / 0.8) ** 2 / d)
    step /= step.sum(axis=1, keepdims=True)
    psi = [np.exp(-0.5 * ((1.5 - x) / 0.3) ** 2)]
    for _ in range(STEPS):
        psi.append(step @ psi[-1])
    psi = psi[::-1]
    p = np.exp(-0.5 * x**2) * psi[0]
    p, want = p / p.sum(), []
    for k in range(STEPS + 1):
        want.append(p[x > barrier].sum())
        p = np.where(x > barrier, 0.0, p)
        if k < STEPS:
            p = (p / psi[k]) @ (step * psi[k + 1][None, :])
    np.testing.assert_allclose(got, want, atol=0.05)
    assert abs(got.sum() - np.sum(want)) < 0.05
    paths = np.asarray(free.paths(4000, key=key))[:, :, 0]
    crossed = (paths > barrier).any(axis=1).mean()
    np.testing.assert_allclose(crossed, got.sum(), atol=0.04)


@pytest.mark.slow
def test_the_drift_is_that_of_a_bridge_to_the_observation(windows):
    free, _ = windows
    # psi at time t is N(y; m(x), v): the drift is s^2 d/dx log of it
    for knot, place in ((2, 0.3), (6, 0.8)):
        left, d = STEPS - knot, 1.0 / STEPS
        slope = (1 - 0.5 * d) ** left
        v = 0.09 + 0.64 * d * sum((1 - 0.5 * d) ** (2 * i) for i in range(left))
        want = 0.64 * slope * (1.5 - slope * place) / v
        got = free.drift(knot, jnp.array([place]))
        np.testing.assert_allclose(got[0], want, atol=0.25)


def test_models_without_noise_and_windows_without_steps_are_refused(key):
    members = jnp.zeros((4, 1))
    see = normal(jnp.asarray(0.0), 1.0)
    with pytest.raises(MethodError, match="`transition`"):
        bridge_window(Decay(1.0, 0.0), members, 1.0, see, key=key)
    with pytest.raises(InputError, match="`steps`"):
        bridge_window(Decay(1.0, 1.0), members, 1.0, see, steps=0, key=key)
