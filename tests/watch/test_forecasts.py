"""Forecasts by valid time: the mixture, its quantiles and its scores."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from slipstate.assimilate.network import NetworkFilter
from slipstate.earth.trajectory import NetworkParameters, NetworkPrior, network_model
from slipstate.systems.network import forecast_rows
from slipstate.watch.forecasts import QUANTILES, make_forecasts, tail_variances
from slipstate.watch.pieces import run_pieces

HORIZONS, T, DOF = (1, 10), 150, 4.0
KICK_SD, SCALE = 30.0, np.array([[1.2, 1.4]])


@pytest.fixture(scope="module")
def followed(request):
    y = 1.3 * np.random.default_rng(81).standard_t(4, size=(T, 1, 2))
    y[100:] += 60.0  # so that a second hypothesis is open for a while
    y[40:43] = np.nan
    one = jnp.ones((1, 2))
    parameters = NetworkParameters(
        jnp.asarray(SCALE), 0.1 * one, 0.8 * one, 8.0 * one, -0.25 * one,
        jnp.asarray(1 / 430.0), jnp.asarray(1 / 18.0), jnp.zeros(2), jnp.full(2, 5.0),
    )  # fmt: skip
    model = network_model(parameters, NetworkPrior(0.0 * one, 0.0 * one))
    return y, model


@pytest.fixture(scope="module")
def ticks(followed):
    y, model = followed
    from_series = _series(y)
    return run_pieces(NetworkFilter(), model, from_series, T, HORIZONS)


def _series(y, unit=1.0):
    from slipstate.watch.series import TickSeries

    mask = np.isfinite(y)
    day = np.timedelta64(1, "D")
    return TickSeries(
        np.datetime64("2001-01-01", "ns") + np.arange(len(y)) * day,
        1.0, np.where(mask, y, 0.0), mask, np.full(y.shape, np.nan), np.ones(y.shape),
        np.zeros(y.shape[:2], bool), np.full(y.shape[2], unit), ("S000",),
        ("east", "north"),
    )  # fmt: skip


def forecasts_of(followed, ticks, unit=1.0):
    y, model = followed
    steps = np.asarray(forecast_rows(model, HORIZONS).steps)
    found, parts = make_forecasts(
        _series(y, unit), ticks, HORIZONS, SCALE, KICK_SD, steps, DOF
    )
    for part in reversed(parts):
        part()
    return found, steps


def mixture(ticks, steps, issued, k, c):
    """Weights, means and variances written from the definition."""
    w = np.asarray(ticks.weight)[issued, 0]
    m = np.asarray(ticks.forecast)[issued, k, 0, ..., c]
    v = np.asarray(ticks.forecast_var)[issued, k, 0, ..., c]
    w, m, v = w.ravel(), m.ravel(), v.ravel()
    mean = w @ m
    spread = w @ (v + (m - mean) ** 2)
    w = np.append((1 - steps[k]) * w, steps[k])
    m, v = np.append(m, mean), np.append(v, spread + KICK_SD**2)
    noise = SCALE[0, c] ** 2 * np.asarray(ticks.unrest)[issued, 0, c]
    parts = noise * tail_variances(DOF)
    return (
        np.repeat(w / 3, 3), np.repeat(m, 3), (v[:, None] + parts).ravel()
    )  # fmt: skip


@pytest.mark.parametrize("valid", [20, 99, 100, 101, 105, 149])
@pytest.mark.parametrize("k", [0, 1])
def test_a_forecast_is_the_mixture_issued_a_horizon_earlier(followed, ticks, valid, k):
    found, steps = forecasts_of(followed, ticks)
    w, m, v = mixture(ticks, steps, valid - HORIZONS[k], k, 1)
    at = (valid, 0, 1, k)
    sd = np.sqrt(v)
    cdf = lambda x: w @ scipy.stats.norm.cdf((x - m) / sd)
    # an open hypothesis of negligible weight may be left out
    for level, q in zip(QUANTILES, found.quantiles[at]):
        assert cdf(q) == pytest.approx(level, abs=2e-4)
    y = followed[0][valid, 0, 1]
    assert found.pit[at] == pytest.approx(cdf(y), abs=2e-4)
    density = w @ scipy.stats.norm.pdf(y, m, sd)
    assert found.log_score[at] == pytest.approx(np.log(density), abs=1e-3)
    mean = w @ m
    assert found.mean[at] == pytest.approx(mean, abs=1e-2)
    assert found.sd[at] == pytest.approx(np.sqrt(w @ (v + (m - mean) ** 2)), rel=1e-3)


def test_quantiles_and_crps_are_those_of_samples(followed, ticks):
    found, steps = forecasts_of(followed, ticks)
    w, m, v = mixture(ticks, steps, 91, 1, 0)
    rng = np.random.default_rng(82)
    part = rng.choice(w.size, size=400_000, p=w / w.sum())
    x = rng.normal(m[part], np.sqrt(v[part]))
    at = (101, 0, 0, 1)
    np.testing.assert_allclose(
        found.quantiles[at], np.quantile(x, QUANTILES), atol=0.03
    )
    y = followed[0][101, 0, 0]
    crps = np.abs(x - y).mean() - 0.5 * np.abs(x[::2] - x[1::2]).mean()
    assert found.crps[at] == pytest.approx(crps, rel=0.01)


def test_nothing_is_forecast_before_a_horizon_has_passed(followed, ticks):
    found, _ = forecasts_of(followed, ticks)
    for k, ahead in enumerate(HORIZONS):
        assert np.isnan(found.quantiles[:ahead, ..., k, :]).all()
        assert np.isfinite(found.quantiles[ahead:, ..., k, :]).all()
        assert np.isfinite(found.pit[ahead:40, ..., k]).all()
    # what was not observed has a forecast and no score
    for score in (found.pit, found.crps, found.log_score):
        assert np.isnan(score[40:43]).all()
    assert (np.diff(found.quantiles[10:], axis=-1) > 0).all()


def test_an_open_step_makes_the_forecast_wider(followed, ticks):
    found, _ = forecasts_of(followed, ticks)
    width = found.quantiles[..., 0, 4] - found.quantiles[..., 0, 0]
    assert width[101].min() > 1.2 * np.median(width[50:100])
    # once the step is accepted the forecast is as sharp as before, at the new level
    assert width[140].max() < 1.2 * np.median(width[50:100])
    assert np.abs(found.mean[140] - 60.0).max() < 4.0


def test_lengths_scale_with_the_unit_and_probabilities_do_not(followed, ticks):
    one, _ = forecasts_of(followed, ticks)
    other, _ = forecasts_of(followed, ticks, unit=1000.0)
    for name in ("quantiles", "mean", "sd", "crps"):
        np.testing.assert_allclose(getattr(other, name), 1e3 * getattr(one, name))
    np.testing.assert_array_equal(other.pit, one.pit)
    np.testing.assert_allclose(other.log_score, one.log_score - np.log(1e3))


def test_the_parts_of_the_noise_stand_for_students_density():
    sd = np.sqrt(tail_variances(4.0))
    assert np.all(np.diff(sd) < 0)
    for level in (0.75, 0.95):
        q = scipy.stats.t.ppf(level, 4.0)
        assert scipy.stats.norm.cdf(q / sd).mean() == pytest.approx(level, abs=0.01)


def test_pieces_do_not_show_in_what_the_filter_says(followed, ticks):
    # the padding of the last piece leaves no trace
    y, model = followed
    longer = np.concatenate([y, np.full((30, 1, 2), np.nan)])
    again = run_pieces(NetworkFilter(), model, _series(longer), T, HORIZONS)
    assert eqx.tree_equal(ticks, again)
