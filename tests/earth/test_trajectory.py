"""The trajectory model: exact in time, and with the moments it claims."""

import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.earth.noise import (
    gauss_markov_decay,
    gauss_markov_variance,
    random_walk_variance,
)
from slipstate.earth.trajectory import (
    ANNUAL,
    FAST,
    FAST_TIME,
    LEVEL,
    MARKOV,
    OBSERVED,
    RATE,
    SEMI,
    SLOW,
    SLOW_TIME,
    TERMS,
    YEAR,
    NetworkParameters,
    NetworkPrior,
    Trajectory,
    network_model,
)

MOTION = Trajectory(walk=0.1, markov_sd=1.5, markov_time=9.0, drift=-0.25)


@pytest.mark.parametrize("dt", [1.0, 0.3, 40.0])
def test_two_half_steps_are_one_step(dt):
    F, Q, b = MOTION.matrix(dt), MOTION.noise_cov(dt), MOTION.offset(None, dt)
    half, cov = MOTION.matrix(dt / 2), MOTION.noise_cov(dt / 2)
    shift = MOTION.offset(None, dt / 2)
    np.testing.assert_allclose(half @ half, F, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(half @ cov @ half.T + cov, Q, rtol=1e-12, atol=1e-18)
    np.testing.assert_allclose(half @ shift + shift, b, rtol=1e-14)
    L = MOTION.noise_factor(jnp.zeros(len(TERMS)), None, dt)
    np.testing.assert_allclose(L @ L.T, Q, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("at", "period"), [(ANNUAL, YEAR), (SEMI, YEAR / 2)])
def test_a_season_comes_back_after_its_period_and_not_before(at, period):
    x = jnp.zeros(len(TERMS)).at[at].set(3.0).at[at + 1].set(-1.0)
    np.testing.assert_allclose(MOTION.matrix(period) @ x, x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        MOTION.matrix(period / 2) @ x, -x, rtol=1e-12, atol=1e-12
    )
    days = np.arange(0.0, 400.0, 37.0)
    seen = [OBSERVED @ np.asarray(MOTION.matrix(t) @ x) for t in days]
    phase = 2 * np.pi * days / period
    np.testing.assert_allclose(seen, 3 * np.cos(phase) - np.sin(phase), atol=1e-12)


def test_coloured_noise_is_stationary_with_an_exponential_autocovariance():
    F, Q = MOTION.matrix(1.0), MOTION.noise_cov(1.0)
    phi, renewed = F[MARKOV, MARKOV], Q[MARKOV, MARKOV]
    np.testing.assert_allclose(renewed / (1 - phi**2), 1.5**2, rtol=1e-13)
    for lag in (1, 7, 30):
        power = np.linalg.matrix_power(np.asarray(F), lag)
        np.testing.assert_allclose(
            power[MARKOV, MARKOV] * 1.5**2, 1.5**2 * np.exp(-lag / 9.0), rtol=1e-12
        )


def test_the_level_walks_and_the_rate_moves_it():
    F, Q = np.asarray(MOTION.matrix(1.0)), np.asarray(MOTION.noise_cov(1.0))
    P = np.zeros_like(Q)
    for _ in range(100):
        P = F @ P @ F.T + Q
    # a walk of 100 days, plus the integral of a wandering rate
    np.testing.assert_allclose(
        P[LEVEL, LEVEL], 0.1**2 * 100 + 1e-12 * 100**3 / 3, rtol=1e-12
    )
    x = jnp.zeros(len(TERMS)).at[RATE].set(0.02)
    x = x.at[FAST].set(5.0).at[SLOW].set(-2.0)
    later = MOTION.mean(x, None, 50.0)
    np.testing.assert_allclose(later[LEVEL], 0.02 * 50 - 0.25 * 50, rtol=1e-13)
    np.testing.assert_allclose(later[FAST], 5 * np.exp(-50 / FAST_TIME), rtol=1e-12)
    np.testing.assert_allclose(later[SLOW], -2 * np.exp(-50 / SLOW_TIME), rtol=1e-12)


def test_noise_formulas_hold_in_their_limits():
    np.testing.assert_allclose(random_walk_variance(0.2, 25.0), 1.0)
    np.testing.assert_allclose(gauss_markov_decay(10.0, 0.0), 1.0)
    np.testing.assert_allclose(gauss_markov_variance(2.0, 10.0, 1e4), 4.0)
    # over a short time it is a random walk of rate sd sqrt(2 / time)
    np.testing.assert_allclose(
        gauss_markov_variance(2.0, 10.0, 1e-9), 4.0 * 2e-10, rtol=1e-8
    )


def test_a_network_is_put_together_as_told():
    S, C = 2, 3
    rng = np.random.default_rng(1)
    draw = lambda: jnp.asarray(rng.uniform(0.5, 2.0, size=(S, C)))
    p = NetworkParameters(
        draw(), draw(), draw(), draw(), draw(),
        jnp.asarray(1 / 430), jnp.asarray(1 / 18),
        jnp.asarray([0.1, 0.2, 0.3]), jnp.asarray([5.0, 6.0, 7.0]),
    )  # fmt: skip
    prior = NetworkPrior(draw(), draw())
    model = network_model(p, prior, 2.0)
    for s, c in np.ndindex(S, C):
        alone = Trajectory(
            p.walk[s, c], p.markov_sd[s, c], p.markov_time[s, c], p.slip_rate[s, c]
        )
        np.testing.assert_allclose(model.F[s, c], alone.matrix(2.0), rtol=1e-13)
        np.testing.assert_allclose(model.Q[1, s, c], alone.noise_cov(2.0), rtol=1e-12)
        np.testing.assert_allclose(model.b[1, s, c], alone.offset(None, 2.0))
        np.testing.assert_array_equal(model.b[0, s, c], 0.0)
        np.testing.assert_allclose(
            model.initial_cov[s, c, MARKOV, MARKOV], p.markov_sd[s, c] ** 2
        )
        np.testing.assert_array_equal(
            model.initial_mean[s, c, :2], [prior.level[s, c], prior.rate[s, c]]
        )
    np.testing.assert_allclose(np.sum(model.switch, 1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(
        model.initial_probs @ model.switch, model.initial_probs, rtol=1e-13
    )
    np.testing.assert_allclose(model.switch[0, 1], 1 - np.exp(-2 / 430), rtol=1e-12)
    np.testing.assert_allclose(model.common_decay, np.exp(-2 / np.array([5, 6, 7])))
    np.testing.assert_allclose(model.kick_prob, 1 - np.exp(-2 / 3652.5), rtol=1e-12)
    kick = np.sqrt(np.diagonal(model.kick_cov[0, 0]))
    np.testing.assert_allclose(kick[[LEVEL, FAST, SLOW]], [30.0, 6.0, 6.0])
    assert np.count_nonzero(kick) == 3
