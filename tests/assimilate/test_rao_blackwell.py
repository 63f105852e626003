"""Particles of modes, against every possible past and against plain particles."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from slipstate.assimilate import (
    GaussHermite,
    Observations,
    RaoBlackwellised,
    filter_series,
    keep_branches,
)
from slipstate.ground.errors import InputError, MethodError
from slipstate.systems import (
    LinearGaussian,
    LinearObservation,
    LinearTransition,
    Mixture,
    RecurrentSwitching,
    SwitchingLinearGaussian,
    soft_guard,
)

F = np.array([[[0.9, 0.2], [0.0, 0.8]], [[0.5, -0.4], [0.3, 0.6]]])
Q = np.array([np.diag([0.1, 0.2]), np.diag([0.5, 0.3])])
b = np.array([[0.0, 0.0], [1.0, -1.0]])
H, R = np.array([[1.0, 0.5]]), np.array([[0.3]])
MEAN, COV = np.array([0.2, -0.1]), np.eye(2)
PROBS, SWITCH = np.array([0.7, 0.3]), np.array([[0.9, 0.1], [0.25, 0.75]])
ROWS = 6


def model():
    return SwitchingLinearGaussian(MEAN, COV, PROBS, F, Q, H, R, SWITCH, b)


def series(rows=ROWS):
    y = np.random.default_rng(0).normal(size=(rows, 1)) * 1.5
    y[2] = np.nan
    return y


def every_past(y):
    """Return the log-likelihood, the mean of the last state and its mode."""
    logs, means, lasts = [], [], []
    for path in itertools.product(range(2), repeat=len(y)):
        m, P, log = MEAN, COV, np.log(PROBS[path[0]])
        for k, mode in enumerate(path):
            if k:
                log += np.log(SWITCH[path[k - 1], mode])
                m, P = F[mode] @ m + b[mode], F[mode] @ P @ F[mode].T + Q[mode]
            if np.isnan(y[k, 0]):
                continue
            S = H @ P @ H.T + R
            log += scipy.stats.norm.logpdf(y[k, 0], (H @ m)[0], np.sqrt(S[0, 0]))
            K = P @ H.T / S
            m, P = m + K @ (y[k] - H @ m), P - K @ S @ K.T
        logs.append(log)
        means.append(m)
        lasts.append(path[-1])
    total = np.logaddexp.reduce(logs)
    weights = np.exp(np.array(logs) - total)
    probs = [weights[np.array(lasts) == mode].sum() for mode in range(2)]
    return total, weights @ np.array(means), np.array(probs)


def test_enough_particles_enumerate_every_past(key):
    method = RaoBlackwellised(particles=64)
    got = filter_series(model(), Observations(series()), method, key=key)
    log, mean, probs = every_past(series())
    np.testing.assert_allclose(got.log_likelihood, log, rtol=1e-12)
    np.testing.assert_allclose(got.means[-1], mean, rtol=0, atol=1e-12)
    found = modes_of(method, got)
    np.testing.assert_allclose(found[-1], probs, rtol=0, atol=1e-12)
    assert found.shape == (ROWS, 2)


@pytest.mark.slow
def test_few_particles_are_right_on_average(key):
    method = RaoBlackwellised(particles=4)
    data = Observations(series())

    @jax.jit
    def likelihoods(keys):
        run = lambda key: filter_series(model(), data, method, key=key).log_likelihood
        return jax.vmap(run)(keys)

    exact = every_past(series())[0]
    ratios = np.exp(likelihoods(jax.random.split(key, 400)) - exact)
    assert ratios.std() > 1e-3  # four of 64 pasts do leave something out
    assert abs(ratios.mean() - 1.0) < 4.0 * ratios.std() / np.sqrt(400)


def test_kept_weights_are_right_on_average_and_heavy_branches_stay():
    weights = np.array([0.4, 0.02, 0.3, 0.08, 0.1, 0.06, 0.04])
    keep = jax.jit(jax.vmap(keep_branches, in_axes=(None, None, 0)), static_argnums=1)
    grid = jnp.array((np.arange(2000) + 0.5) / 2000)
    kept, logs = keep(jnp.log(jnp.array(weights)), 4, grid)
    kept, logs = np.asarray(kept), np.asarray(logs)
    assert all(len(set(row)) == 4 for row in kept)
    total = np.zeros(7)
    np.add.at(total, kept.ravel(), np.exp(logs).ravel() / 2000)
    np.testing.assert_allclose(total, weights, atol=1e-3)
    heavy = np.exp(logs)[np.isin(kept, (0, 2))]
    assert len(heavy) == 4000
    np.testing.assert_allclose(np.sort(heavy)[[0, -1]], [0.3, 0.4], rtol=1e-12)
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1.0, rtol=1e-12)


def test_fewer_branches_than_places_all_stay():
    kept, logs = keep_branches(jnp.log(jnp.array([0.25, 0.75])), 5, jnp.array(0.4))
    weights = np.exp(np.asarray(logs))
    assert sorted(weights[weights > 0]) == pytest.approx([0.25, 0.75], rel=1e-14)
    assert {int(k) for k in np.asarray(kept)[weights > 0]} == {0, 1}


def modes_of(method, result):
    return np.asarray(method.mode_probs(result.filtered))


def guarded():
    """Return a state that drifts up to one, then jumps back: stick and slip."""
    up, down = soft_guard([1.0], 1.0, 0.1), soft_guard([1.0], 0.0, 0.1)
    return RecurrentSwitching(
        Mixture(jnp.log(jnp.array([0.9, 0.1])), jnp.zeros((2, 1)), jnp.ones((2, 1, 1))),
        (
            LinearTransition([[1.0]], [[0.03]], [0.15]),
            LinearTransition([[0.3]], [[0.03]], [0.0]),
        ),
        LinearObservation([[1.0]], [[0.2]]),
        jnp.stack([up[0], down[0]]),
        jnp.stack([up[1], down[1]]),
    )


def plain_particles(y, count=200_000):
    """Return log-likelihood and mode probabilities by particles of state and mode."""
    rng = np.random.default_rng(1)
    mode, x = (rng.uniform(size=count) < 0.1).astype(int), rng.normal(size=count)
    total, probs = 0.0, []
    for k, seen in enumerate(y[:, 0]):
        if k:
            edge = np.where(mode == 0, 1.0, 0.0)
            mode = (
                rng.uniform(size=count) < scipy.special.expit((x - edge) / 0.1)
            ).astype(int)
            x = np.where(mode == 0, x + 0.15, 0.3 * x)
            x = x + np.sqrt(0.03) * rng.normal(size=count)
        weights = scipy.stats.norm.pdf(seen, x, np.sqrt(0.2))
        total += np.log(weights.mean())
        pick = rng.choice(count, size=count, p=weights / weights.sum())
        mode, x = mode[pick], x[pick]
        probs.append(mode.mean())
    return total, np.array(probs)


@pytest.mark.slow
def test_a_switch_that_asks_the_state_is_followed(key):
    y = (np.arange(15) % 7 * 0.2)[:, None] + np.random.default_rng(2).normal(
        size=(15, 1)
    ) * 0.4
    total, probs = plain_particles(y)
    run = lambda rule: filter_series(
        guarded(), Observations(y), RaoBlackwellised(200, rule), key=key
    )
    averaged, asked = run(GaussHermite(9)), run(None)
    found = [modes_of(RaoBlackwellised(200), result) for result in (averaged, asked)]
    error = [np.abs(each[:, 1] - probs).max() for each in found]
    assert error[0] < 0.04
    assert error[0] < error[1]  # averaging over the Gaussian is worth its points
    assert abs(averaged.log_likelihood - total) < 0.1


@pytest.mark.slow
def test_averaging_a_switch_that_does_not_ask_changes_nothing(key):
    data = Observations(series())
    one, other = (
        filter_series(model(), data, RaoBlackwellised(16, rule), key=key)
        for rule in (None, GaussHermite(3))
    )
    np.testing.assert_allclose(one.means, other.means, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-12)


def test_what_does_not_fit_is_named(key):
    data = Observations(series())
    with pytest.raises(InputError, match="`particles` must be at least 1; got 0"):
        RaoBlackwellised(0)
    with pytest.raises(InputError, match="`key` must be a random key"):
        filter_series(model(), data, RaoBlackwellised(4))
    plain = LinearGaussian(MEAN, COV, F[0], Q[0], H, R)
    with pytest.raises(MethodError, match="needs a model that switches"):
        filter_series(plain, data, RaoBlackwellised(4), key=key)
    parts = guarded()
    with pytest.raises(InputError, match=r"`weights` must have shape \(2, 2, 1\)"):
        RecurrentSwitching(
            parts.initial, parts.transitions, parts.observation, np.ones((2, 1)), b
        )
    with pytest.raises(InputError, match="`initial` must have one component for each"):
        RecurrentSwitching(
            parts.initial,
            parts.transitions[:1],
            parts.observation,
            np.ones((1, 1, 1)),
            np.ones((1, 1)),
        )
