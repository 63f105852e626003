"""The scorecard against plain loops, and its sentence against what is true."""

import time as clock
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import xarray as xr

from slipstate.assimilate.scores import crps_gaussian
from slipstate.watch.baselines import (
    climatology,
    last_before,
    persistence,
    sharpest_spread,
    trajectory,
)
from slipstate.watch.scorecard import BASELINES, METRICS, scorecard

DIMS = ("time", "station", "component")
HORIZONS = np.array([1.0, 5.0])
QUANTILES = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
NORMAL = np.array([-1.6448536269514722, -0.6744897501960817, 0.0])


def _run(days=500, stations=2, seed=0, *, units=("mm", "mm", "mm"), sharp=0.7):
    """A run whose forecasts are the truth plus an error of known spread."""
    rng = np.random.default_rng(seed)
    time = np.datetime64("2010-01-01", "ns") + np.sort(
        rng.choice(int(days * 1.2), days, replace=False)
    ) * np.timedelta64(1, "D")
    shape = (days, stations, len(units))
    truth = np.cumsum(rng.standard_normal(shape) * 0.3, axis=0) + 20.0
    observed = truth + rng.standard_normal(shape)
    mask = rng.uniform(size=shape) > 0.15
    mask[:, 0, 1] = mask[:, 0, 0]  # two series share their gaps
    mean = truth[..., None] + sharp * rng.standard_normal((*shape, 2))
    sd = np.full(mean.shape, np.hypot(1.0, sharp)) * rng.uniform(0.9, 1.1, mean.shape)
    mean[:3] = np.nan
    z = np.concatenate([NORMAL, -NORMAL[1::-1]])
    names = ("east", "north", "up")[: len(units)]
    return xr.Dataset(
        {
            "observed": (DIMS, np.where(mask, observed, 77.0)),
            "observed_mask": (DIMS, mask),
            "training": ("time", np.arange(days) < 0.6 * days),
            "forecast_mean": ((*DIMS, "horizon"), mean),
            "forecast_sd": ((*DIMS, "horizon"), sd),
            "forecast": (
                (*DIMS, "horizon", "quantile"),
                mean[..., None] + sd[..., None] * z,
            ),
        },
        coords={
            "time": time,
            "station": [f"S{k}" for k in range(stations)],
            "component": list(names),
            "component_units": ("component", list(units)),
            "horizon": HORIZONS,
            "quantile": QUANTILES,
        },
    )


def _flat(run):
    values = np.where(run.observed_mask, run.observed, np.nan)
    return run.time.values, values.reshape(run.sizes["time"], -1), run.training.values


def test_spread_minimises_the_mean_crps_of_the_errors():
    rng = np.random.default_rng(0)
    errors = rng.standard_t(3, size=(400, 3)) * np.array([1e-6, 1.0, 1e5])
    errors[rng.uniform(size=errors.shape) < 0.2] = np.nan
    for found, column in zip(sharpest_spread(errors), errors.T):
        e = column[np.isfinite(column)]
        best: Any = scipy.optimize.minimize_scalar(
            lambda u, e=e: (
                np.mean(crps_gaussian(e, np.zeros_like(e), np.exp(u))) / np.std(e)
            ),
            bracket=(np.log(np.std(e)) - 1, np.log(np.std(e)) + 1),
            tol=1e-10,
        )
        assert np.log(found) == pytest.approx(best.x, abs=1e-6)


def test_spread_of_gaussian_errors_is_their_sd_and_outliers_hardly_move_it():
    errors = 3.0 * np.random.default_rng(1).standard_normal((20_000, 1))
    assert sharpest_spread(errors)[0] == pytest.approx(3.0, rel=0.02)
    errors[:20] = 1e4
    assert sharpest_spread(errors)[0] == pytest.approx(3.0, rel=0.02)
    assert sharpest_spread(np.zeros((9, 1)))[0] == 0.0
    assert np.isnan(sharpest_spread(np.full((9, 1), np.nan))[0])


def test_persistence_is_the_last_observation_known_at_issue():
    run = _run(days=200)
    time, values, training = _flat(run)
    found = persistence(time, values, training, HORIZONS)
    for h, horizon in enumerate(HORIZONS):
        for series in range(values.shape[1]):
            increments = []
            for t in range(time.size):
                known = [
                    i
                    for i in range(time.size)
                    if time[i] <= time[t] - np.timedelta64(int(horizon), "D")
                    and np.isfinite(values[i, series])
                ]
                expected = values[known[-1], series] if known else np.nan
                np.testing.assert_equal(found.mean[t, series, h], expected)
                if training[t]:
                    increments.append(values[t, series] - expected)
            spread = sharpest_spread(np.array(increments)[:, None])[0]
            assert found.sd[0, series, h] == pytest.approx(spread, rel=1e-12)


def test_horizons_of_milliseconds_are_exact():
    time = np.datetime64("2020-01-01", "ns") + np.arange(5) * np.timedelta64(20, "ms")
    assert last_before(time, 0.040 / 86_400).tolist() == [-1, -1, 0, 1, 2]


def test_trajectory_is_the_least_squares_fit():
    run = _run(days=1500)
    time, values, training = _flat(run)
    found = trajectory(time, values, training)
    t = (time - time[0]) / np.timedelta64(1, "D") / 365.25
    for series in range(values.shape[1]):
        rows = training & np.isfinite(values[:, series])
        design = np.stack(
            [t**0, t]
            + [f(2 * np.pi * k * t) for k in (1, 2) for f in (np.cos, np.sin)],
            axis=1,
        )
        normal = design[rows].T @ design[rows]
        terms = np.linalg.solve(normal, design[rows].T @ values[rows, series])
        np.testing.assert_allclose(found.mean[:, series, 0], design @ terms, rtol=1e-8)


def test_a_short_training_part_has_no_seasons_and_an_empty_series_no_fit():
    run = _run(days=120)
    time, values, training = _flat(run)
    values[:, 2] = np.nan
    found = trajectory(time, values, training).mean[..., 0]
    assert np.isnan(found[:, 2]).all()
    days = (time - time[0]) / np.timedelta64(1, "D")
    line = np.polyfit(days, found[:, 0], 1)
    np.testing.assert_allclose(found[:, 0], np.polyval(line, days), rtol=1e-9)


def test_climatology_is_mean_and_sd():
    run = _run()
    _, values, training = _flat(run)
    found = climatology(values, training)
    np.testing.assert_allclose(found.mean[7, :, 0], np.nanmean(values[training], 0))
    np.testing.assert_allclose(
        found.sd[0, :, 0], np.nanstd(values[training], 0, ddof=1)
    )


def _score_slowly(run, mean, sd, entries):
    """The metrics of Gaussian forecasts over a list of (time, series, horizon)."""
    _, values, _ = _flat(run)
    y = np.array([values[t, s] for t, s, h in entries])
    m = np.array([mean[t, s, h] for t, s, h in entries])
    d = np.array([sd[t, s, h] for t, s, h in entries])
    error = np.abs(y - m)
    return [
        np.mean(crps_gaussian(y, m, d)),
        np.sqrt(np.mean(error**2)),
        np.mean(error <= -NORMAL[1] * d),
        np.mean(error <= -NORMAL[0] * d),
        np.sqrt(np.mean(d**2) / np.mean(error**2)),
        np.mean(0.5 * (error / d) ** 2 + np.log(d) + 0.5 * np.log(2 * np.pi)),
        len(entries),
    ]


def test_every_method_is_scored_on_the_same_entries():
    run = _run()
    time, values, training = _flat(run)
    found = scorecard(run)
    series = values.shape[1]
    gaussians = {
        "slipstate": tuple(
            run[name].values.reshape(time.size, series, 2)
            for name in ("forecast_mean", "forecast_sd")
        ),
        "persistence": persistence(time, values, training, HORIZONS),
        "trajectory": trajectory(time, values, training),
        "climatology": climatology(values, training),
    }
    full = (time.size, series, 2)
    gaussians = {
        k: tuple(np.broadcast_to(a, full) for a in v) for k, v in gaussians.items()
    }
    for h in range(2):
        entries = [
            (t, s, h)
            for t in range(time.size)
            for s in range(series)
            if not training[t]
            and np.isfinite(values[t, s])
            and all(np.isfinite(m[t, s, h] + d[t, s, h]) for m, d in gaussians.values())
        ]
        assert len(entries) > 500
        for method, (mean, sd) in gaussians.items():
            slow = _score_slowly(run, mean, sd, entries)
            fast = found.score.sel({"method": method}).isel(horizon=h)
            np.testing.assert_allclose(fast, slow, rtol=1e-10)
            for c, name in enumerate(run.component.values):
                some = [e for e in entries if e[1] % 3 == c]
                slow = _score_slowly(run, mean, sd, some)
                fast = found.score_component.sel({"method": method, "component": name})
                np.testing.assert_allclose(fast.isel(horizon=h), slow, rtol=1e-10)
    assert found.method.values.tolist() == ["slipstate", *BASELINES]
    assert found.metric.values.tolist() == list(METRICS)


def test_scores_made_by_the_run_itself_are_used():
    run = _run()
    shape = run.forecast_mean.shape
    run["crps"] = ((*DIMS, "horizon"), np.full(shape, 0.25))
    run["log_score"] = ((*DIMS, "horizon"), np.full(shape, -1.5))
    run["forecast"] = run.forecast * 0.0 + xr.DataArray(
        [-1e9, -1e9, 0.0, 1e9, 1e9], dims="quantile", coords={"quantile": QUANTILES}
    )
    ours = scorecard(run).score.sel({"method": "slipstate"}).isel(horizon=0)
    assert ours.sel({"metric": "crps"}) == pytest.approx(0.25)
    assert ours.sel({"metric": "log_score"}) == pytest.approx(-1.5)
    assert ours.sel({"metric": "coverage50"}) == pytest.approx(1.0)


def test_calibrated_forecasts_show_it():
    run = _run(days=3000, stations=3)
    ours = scorecard(run).score.sel({"method": "slipstate"})
    assert ours.sel({"metric": "coverage50"}).values == pytest.approx(0.5, abs=0.03)
    assert ours.sel({"metric": "coverage90"}).values == pytest.approx(0.9, abs=0.02)
    assert ours.sel({"metric": "spread_skill"}).values == pytest.approx(1.0, abs=0.04)


def test_units_of_one_component_do_not_change_the_pooled_score_of_mixed_ones():
    run = _run(units=("1", "Pa"))
    there = run.copy(deep=True)
    for name in ("observed", "forecast_mean", "forecast_sd", "forecast"):
        there[name][:, :, 1] = there[name][:, :, 1] * 1e6
    a, b = scorecard(run), scorecard(there)
    np.testing.assert_allclose(a.score, b.score, rtol=1e-9)
    np.testing.assert_allclose(a.crps_gain, b.crps_gain, rtol=1e-9)
    assert a.crps_gain.attrs["units"] == "1"


def test_members_inflate_the_spread_of_our_ensemble_only():
    run = _run()
    plain = scorecard(run).score.sel({"metric": "spread_skill"})
    run.attrs["members"] = 10
    few = scorecard(run).score.sel({"metric": "spread_skill"})
    np.testing.assert_allclose(few[0], plain[0] * np.sqrt(1.1))
    np.testing.assert_allclose(few[1:], plain[1:])
    assert scorecard(run).score.attrs["coverage90_target"] == pytest.approx(
        0.9 * 9 / 11
    )


def test_the_verdict_of_a_good_forecast():
    verdict = scorecard(_run(sharp=0.2)).attrs["verdict"]
    assert (
        "beats persistence, the linear + seasonal trajectory and climatology" in verdict
    )
    assert "at every horizon (1 day and 5 days)" in verdict
    assert "not beat" not in verdict
    assert verdict.count(". ") == 0


def test_the_verdict_names_each_baseline_that_is_not_beaten():
    run = _run(sharp=0.2)
    run["forecast_mean"][..., 1] += 4.0  # spoil the second horizon
    verdict = scorecard(run).attrs["verdict"]
    table = scorecard(run).score.sel({"metric": "crps"})
    worse = table.sel({"horizon": 5.0}) <= table.sel(
        {"method": "slipstate", "horizon": 5.0}
    )
    assert bool(worse.sel({"method": "persistence"}))
    lost = verdict.split("does not beat")[1].split("; it beats")[0]
    assert "persistence at 5 days (CRPS " in lost
    assert "1 day " not in lost
    for method, name in (
        ("trajectory", "trajectory at 5"),
        ("climatology", "climatology at 5"),
    ):
        assert (name in lost) == bool(worse.sel({"method": method}))


def test_a_tie_is_not_a_win():
    run = _run()
    time, values, training = _flat(run)
    rest = climatology(values, training)
    shape = run.forecast_mean.shape
    wide = (time.size, values.shape[1], 2)
    run["forecast_mean"] = (
        (*DIMS, "horizon"),
        np.broadcast_to(rest.mean, wide).reshape(shape),
    )
    run["forecast_sd"] = (
        (*DIMS, "horizon"),
        np.broadcast_to(rest.sd, wide).reshape(shape),
    )
    verdict = scorecard(run).attrs["verdict"]
    assert "climatology at 1 day (CRPS" in verdict
    assert "climatology at 5 days (CRPS" in verdict


def test_the_standard_error_of_a_gain_matches_many_repetitions():
    results = [scorecard(_run(days=600, stations=1, seed=k)) for k in range(60)]
    gains = np.array(
        [r.crps_gain.sel({"method": "persistence"}).values for r in results]
    )
    errors = np.array(
        [r.crps_gain_se.sel({"method": "persistence"}).values for r in results]
    )
    assert np.mean(errors, 0) == pytest.approx(np.std(gains, 0), rel=0.4)


def test_a_run_without_anything_to_score_says_so():
    run = _run()
    run["training"] = ("time", np.ones(run.sizes["time"], bool))
    found = scorecard(run)
    assert found.attrs["verdict"].startswith("Nothing could be scored")
    assert np.isnan(found.score.sel({"metric": "crps"})).all()
    assert (found.score.sel({"metric": "count"}) == 0).all()


@pytest.mark.slow
def test_a_network_is_scored_in_seconds():
    run = _run(days=7700, stations=22)
    start = clock.process_time()
    scorecard(run)
    assert clock.process_time() - start < 6.0
