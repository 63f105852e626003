"""The network filter against loops, dense Gaussians and enumeration."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate.evidence import lane, lane_log_likelihoods, links
from slipstate.assimilate.network import NetworkFilter, NetworkRow, run_network
from slipstate.earth.trajectory import NetworkParameters, NetworkPrior, network_model
from slipstate.systems.network import forecast_rows

GAUSSIAN = 1e9  # degrees of freedom at which Student's density is the normal one
SETTLED = math.inf  # memory of the noise level: it never moves


def log_normal(y, mean, cov):
    residual = np.linalg.solve(np.linalg.cholesky(cov), y - mean)
    _, log_det = np.linalg.slogdet(2.0 * np.pi * cov)
    return -0.5 * (residual @ residual + log_det)


def rows_of(y, mask=None, scale=None, quiet=None):
    mask = np.ones(y.shape, bool) if mask is None else mask
    scale = np.ones(y.shape) if scale is None else scale
    quiet = np.zeros(len(y), bool) if quiet is None else quiet
    return NetworkRow(*(jnp.asarray(x) for x in (y, mask, scale, quiet)))


def follow(model, rows, dof=4.0, horizons=(1,), memory=SETTLED, **settings):
    method = NetworkFilter(dof=dof, memory=memory, **settings)
    ahead = forecast_rows(model, horizons)
    return run_network(method, model, ahead, method.init(model), rows)


def student(v, q, dof):
    constant = math.lgamma(0.5 * dof + 0.5) - math.lgamma(0.5 * dof)
    return (
        constant
        - 0.5 * math.log(dof * math.pi * q)
        - 0.5 * (dof + 1) * math.log1p(v * v / (dof * q))
    )


def two_mode_loop(model, y, mask, scale, dof):
    """Blom and Bar-Shalom's filter of one series, word for word."""
    F, b, Q = np.asarray(model.F[0, 0]), model.b[:, 0, 0], model.Q[:, 0, 0]
    h, p = np.asarray(model.h), np.asarray(model.switch)
    mu = np.asarray(model.initial_probs)
    means = [np.asarray(model.initial_mean[0, 0])] * 2
    covs = [np.asarray(model.initial_cov[0, 0])] * 2
    terms, probs, signals, signal_vars = [], [], [], []
    for t in range(len(y)):
        predicted = [sum(mu[i] * p[i, j] for i in range(2)) for j in range(2)]
        new_means, new_covs, logs = [], [], []
        for j in range(2):
            w = [mu[i] * p[i, j] / predicted[j] for i in range(2)]
            m = sum(w[i] * means[i] for i in range(2))
            P = sum(
                w[i] * (covs[i] + np.outer(means[i] - m, means[i] - m))
                for i in range(2)
            )
            m, P = F @ m + np.asarray(b[j]), F @ P @ F.T + np.asarray(Q[j])
            log = math.log(predicted[j])
            if mask[t]:
                v, s = y[t] - h @ m, h @ P @ h
                r = (float(model.noise_scale[0, 0]) * scale[t]) ** 2
                trust = (dof + 1) / (dof + v * v / (s + r))
                gain = P @ h / (s + r / trust)
                log += student(v, s + r, dof)
                m, P = m + gain * v, P - np.outer(gain, h @ P)
            new_means.append(m)
            new_covs.append(P)
            logs.append(log)
        total = np.logaddexp(*logs)
        mu = np.exp(np.array(logs) - total)
        means, covs = new_means, new_covs
        signal = sum(mu[j] * (h @ means[j]) for j in range(2))
        terms.append(total)
        probs.append(mu)
        signals.append(signal)
        signal_vars.append(
            sum(
                mu[j] * (h @ covs[j] @ h + (h @ means[j] - signal) ** 2)
                for j in range(2)
            )
        )
    return np.array(terms), np.array(probs), np.array(signals), np.array(signal_vars)


@pytest.mark.parametrize("dof", [4.0, 30.0])
def test_one_series_is_the_plain_two_mode_filter(build_network, dof):
    model = build_network()
    rng = np.random.default_rng(1)
    y, scale = 3.0 * rng.normal(size=60), rng.uniform(0.5, 2.0, size=60)
    mask = rng.uniform(size=60) > 0.2
    y[mask.argmax()] = 40.0  # an outlier
    expected = two_mode_loop(model, y, mask, scale, dof)
    rows = rows_of(y[:, None, None], mask[:, None, None], scale[:, None, None])
    _, ticks = follow(model, rows, dof)
    found = (
        ticks.log_likelihood,
        jnp.exp(ticks.log_probs),
        ticks.signal[:, 0, 0],
        ticks.signal_var[:, 0, 0],
    )
    for value, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, truth, rtol=1e-9, atol=1e-10)


def test_the_common_mode_of_three_stations_is_exact_for_normal_noise(build_network):
    model = build_network(stations=3, common=1.3)
    y = np.array([2.0, -1.0, 0.5])
    state, tick = follow(model, rows_of(y[None, :, None]), GAUSSIAN)
    h, phi = np.asarray(model.h), 0.7
    common = phi**2 * 1.3**2 + (1 - phi**2) * 1.3**2
    predicted = np.asarray(model.initial_probs @ model.switch)
    logs, means, covs = [], [], []
    for j in range(2):
        # joint Gaussian of all states and the common mode, conditioned on all data
        N = h.size
        mean = np.zeros(3 * N + 1)
        cov = np.zeros((3 * N + 1, 3 * N + 1))
        H = np.zeros((3, 3 * N + 1))
        for i in range(3):
            part = slice(i * N, (i + 1) * N)
            F = np.asarray(model.F[i, 0])
            mean[part] = F @ model.initial_mean[i, 0] + model.b[j, i, 0]
            cov[part, part] = F @ model.initial_cov[i, 0] @ F.T + model.Q[j, i, 0]
            H[i, part] = h
        cov[-1, -1] = common
        H[:, -1] = 1.0
        noise = np.diag(np.asarray(model.noise_scale[:, 0]) ** 2)
        S = H @ cov @ H.T + noise
        gain = cov @ H.T @ np.linalg.inv(S)
        density = log_normal(y, H @ mean, S)
        logs.append(np.log(predicted[j]) + density)
        means.append(mean + gain @ (y - H @ mean))
        covs.append(cov - gain @ H @ cov)
    np.testing.assert_allclose(tick.log_likelihood[0], np.logaddexp(*logs), atol=1e-5)
    for j in range(2):
        for i in range(3):
            part = slice(i * 3, (i + 1) * 3)
            np.testing.assert_allclose(
                state.mean[i, 0, j, 0], means[j][part], rtol=1e-7, atol=1e-8
            )
            np.testing.assert_allclose(
                state.cov[i, 0, j, 0], covs[j][part, part], rtol=1e-7, atol=1e-8
            )
        np.testing.assert_allclose(state.common.mean[j, 0], means[j][-1], rtol=1e-7)
        np.testing.assert_allclose(state.common.var[j, 0], covs[j][-1, -1], rtol=1e-7)


def test_a_station_that_says_nothing_does_not_count_for_the_common_mode(build_network):
    three = build_network(stations=3, common=1.3)
    take = lambda x: jnp.asarray(x)[:2]
    two = jax.tree.map(lambda x: x, three)
    two = type(three)(
        **{
            **vars(two),
            **{n: take(getattr(three, n)) for n in ("F", "noise_scale", "kick_cov")},
            **{n: take(getattr(three, n)) for n in ("initial_mean", "initial_cov")},
            "b": three.b[:, :2],
            "Q": three.Q[:, :2],
        }
    )
    y = np.random.default_rng(5).normal(size=(20, 3, 1))
    mask = np.ones(y.shape, bool)
    mask[:, 2] = False
    _, silent = follow(three, rows_of(y, mask))
    _, absent = follow(two, rows_of(y[:, :2]))
    np.testing.assert_allclose(
        silent.log_likelihood, absent.log_likelihood, rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(silent.signal[:, :2], absent.signal, rtol=1e-10)


def test_without_steps_it_is_the_evidence_of_a_fit(build_network):
    stacked = [build_network(seed=k) for k in (3, 4, 5)]
    rng = np.random.default_rng(7)
    y = 2.0 * rng.normal(size=(50, 3))
    mask = rng.uniform(size=y.shape) > 0.3
    scale = rng.uniform(0.5, 2.0, size=y.shape)
    no_step = np.zeros(y.shape, bool)
    models = jax.tree.map(lambda *x: jnp.stack(x, -1), *(lane(m) for m in stacked))
    given = (jnp.asarray(x) for x in (y, mask, scale, no_step))
    terms = lane_log_likelihoods(models, links(stacked[0]), *given)
    for k, model in enumerate(stacked):
        alone = [x[:, k, None, None] for x in (y, mask, scale)]
        _, ticks = follow(model, rows_of(*alone))
        np.testing.assert_allclose(
            ticks.log_likelihood, terms[:, k], rtol=1e-9, atol=1e-9
        )


def test_a_step_in_the_evidence_adds_its_covariance(build_network):
    model = build_network()
    y = np.array([[0.1], [-0.2], [25.0]])
    day, everything = np.array([[False], [False], [True]]), np.ones(y.shape, bool)
    models = jax.tree.map(lambda x: x[..., None], lane(model))
    series, mask, weights = map(jnp.asarray, (y, everything, np.ones(y.shape)))
    steps = jnp.asarray(day)
    heard = links(model)
    told = lane_log_likelihoods(
        models, heard, series, mask, weights, steps, dof=GAUSSIAN
    )
    late = {"Q": model.Q + model.kick_cov[None]}
    kicked = type(model)(**{**vars(model), **late})
    state = lane_log_likelihoods(
        models, heard, series[:2], mask[:2], weights[:2], steps[:2], dof=GAUSSIAN
    )
    np.testing.assert_allclose(told[:2], state, rtol=1e-12)
    both = [NetworkFilter(dof=GAUSSIAN, memory=SETTLED), forecast_rows(model, (1,))]
    before, _ = run_network(both[0], model, both[1], both[0].init(model), rows_of(
        y[:2, :, None]
    ))  # fmt: skip
    _, last = run_network(both[0], kicked, both[1], before, rows_of(y[2:, :, None]))
    np.testing.assert_allclose(told[2, 0], last.log_likelihood[0], rtol=1e-9)


def test_a_tick_without_observation_is_a_prediction(build_network):
    model = build_network(stations=2, comps=2, common=0.5, kick=1e-3)
    y = np.full((1, 2, 2), 1e6)
    state, tick = follow(model, rows_of(y, np.zeros(y.shape, bool)))
    predicted = np.asarray(model.initial_probs @ model.switch)
    np.testing.assert_allclose(np.exp(tick.log_probs[0]), predicted, rtol=1e-12)
    np.testing.assert_allclose(tick.log_likelihood, 0.0, atol=1e-12)
    for s, c, j in np.ndindex(2, 2, 2):
        F = np.asarray(model.F[s, c])
        mean = F @ model.initial_mean[s, c] + model.b[j, s, c]
        cov = F @ model.initial_cov[s, c] @ F.T + model.Q[j, s, c]
        np.testing.assert_allclose(state.mean[s, 0, j, c], mean, rtol=1e-12)
        np.testing.assert_allclose(state.cov[s, 0, j, c], cov, rtol=1e-11, atol=1e-13)
    assert not np.any(state.age)
    np.testing.assert_array_equal(tick.innovation, 0.0)


def test_two_halves_are_the_whole_bit_for_bit(build_network):
    model = build_network(stations=2, comps=2, common=0.5, kick=1e-3)
    rng = np.random.default_rng(9)
    y = 2.0 * rng.normal(size=(80, 2, 2))
    y[30:, 0] += 50.0
    rows = rows_of(y, rng.uniform(size=y.shape) > 0.2)
    method, ahead = NetworkFilter(), forecast_rows(model, (1, 3))
    end, whole = run_network(method, model, ahead, method.init(model), rows)
    first, second = (jax.tree.map(lambda x, p=p: x[p], rows) for p in np.s_[:40, 40:])
    middle, early = run_network(method, model, ahead, method.init(model), first)
    last, late = run_network(method, model, ahead, middle, second)
    assert np.any(whole.accepted)
    joined = jax.tree.map(lambda a, b: np.concatenate([a, b]), early, late)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(joined), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(jax.tree.leaves(end), jax.tree.leaves(last), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("start", [0, 1])
def test_forecast_rows_are_the_moments_over_every_path_of_the_switch(
    build_network, start
):
    model = build_network(common=0.8, kick=0.01)
    F, h = np.asarray(model.F[0, 0]), np.asarray(model.h)
    p = np.asarray(model.switch)
    rows = forecast_rows(model, (1, 4))
    for k, H in enumerate((1, 4)):
        gains = [h @ np.linalg.matrix_power(F, H - 1 - n) for n in range(H)]
        weights, sums, spreads = [], [], []
        for path in itertools.product(range(2), repeat=H):
            weights.append(np.prod([p[i, j] for i, j in zip((start, *path), path)]))
            sums.append(sum(g @ model.b[s, 0, 0] for g, s in zip(gains, path)))
            spreads.append(sum(g @ model.Q[s, 0, 0] @ g for g, s in zip(gains, path)))
        mean = np.average(sums, weights=weights)
        var = np.average((np.array(sums) - mean) ** 2 + spreads, weights=weights)
        grown = (1 - 0.7 ** (2 * H)) * 0.8**2
        np.testing.assert_allclose(rows.drift[k, start, 0, 0], mean, rtol=1e-12)
        np.testing.assert_allclose(rows.noise[k, start, 0, 0], var + grown, rtol=1e-12)
        np.testing.assert_allclose(
            rows.g[k, 0, 0], h @ np.linalg.matrix_power(F, H), rtol=1e-12
        )
        np.testing.assert_allclose(rows.common[k, 0], 0.7**H, rtol=1e-12)
        np.testing.assert_allclose(rows.steps[k], 1 - 0.99**H, rtol=1e-12)


def test_a_forecast_is_what_ticks_without_observation_lead_to(build_network):
    model = build_network(modes=1, common=0.8)
    y = np.random.default_rng(2).normal(size=(12, 1, 1))
    mask = np.arange(12)[:, None, None] < 8
    _, ticks = follow(model, rows_of(y, mask), horizons=(1, 4))
    np.testing.assert_allclose(ticks.weight[:, 0, :, 0].sum(-1), 1.0, rtol=1e-12)
    # the common mode decays on its own and its variance adds up
    mean = ticks.signal[11, 0, 0] + ticks.common[11, 0]
    np.testing.assert_allclose(ticks.forecast[7, 1, 0, 0, 0, 0], mean, rtol=1e-10)
    state, _ = follow(model, rows_of(y, mask))
    var = ticks.signal_var[11, 0, 0] + state.common.var[0, 0]
    np.testing.assert_allclose(ticks.forecast_var[7, 1, 0, 0, 0, 0], var, rtol=1e-9)


def station(stations=1):
    ones = jnp.ones((stations, 1))
    parameters = NetworkParameters(
        1.2 * ones, 0.1 * ones, 1.0 * ones, 10.0 * ones, -0.25 * ones,
        jnp.asarray(1 / 430.0), jnp.asarray(1 / 18.0), jnp.zeros(1), jnp.ones(1),
    )  # fmt: skip
    return network_model(parameters, NetworkPrior(0.0 * ones, 0.0 * ones))


def test_a_large_step_is_accepted_and_dated_by_its_first_day():
    rng = np.random.default_rng(11)
    y = 1.5 * rng.normal(size=(200, 1, 1))
    y[120:] += 100.0
    mask = np.ones(y.shape, bool)
    mask[125:128] = False
    _, ticks = follow(station(), rows_of(y, mask))
    (at,) = np.flatnonzero(ticks.accepted[:, 0])
    seen = np.flatnonzero(mask[: at + 1, 0, 0])
    assert seen[-int(ticks.age[at, 0])] == 120
    assert at == 120 + 10 - 1 + 3  # patience is counted in observations
    assert abs(float(ticks.signal[at, 0, 0]) - 100.0) < 3.0
    assert float(ticks.step_prob[121, 0]) > 0.5


def test_a_large_outlier_of_one_day_is_no_step():
    rng = np.random.default_rng(12)
    y = 1.5 * rng.normal(size=(200, 1, 1))
    y[120] += 100.0
    _, ticks = follow(station(), rows_of(y))
    assert not np.any(ticks.accepted)
    assert np.max(np.abs(ticks.signal[121:, 0, 0])) < 3.0
    assert np.all(np.exp(ticks.log_probs[122:, 1]) < 0.5)


def test_a_step_of_one_station_is_not_a_step_of_its_neighbour():
    rng = np.random.default_rng(13)
    y = 1.5 * rng.normal(size=(160, 2, 1))
    y[100:, 1] -= 60.0
    _, ticks = follow(station(2), rows_of(y))
    np.testing.assert_array_equal(np.any(ticks.accepted, axis=0), [False, True])
    assert np.all(np.exp(ticks.log_probs[115:, 1]) < 0.5)


def test_a_quiet_tick_forbids_every_mode_but_the_first(build_network):
    model = build_network()
    y = 5.0 * np.random.default_rng(4).normal(size=(10, 1, 1))
    quiet = np.arange(10) >= 5
    _, ticks = follow(model, rows_of(y, quiet=quiet))
    np.testing.assert_allclose(np.exp(ticks.log_probs[5:, 0]), 1.0, rtol=1e-12)
    assert np.all(np.exp(ticks.log_probs[:5, 1]) > 1e-6)
