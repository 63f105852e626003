"""Candidate models: what they find in data that they made, and what they refuse."""

import jax
import numpy as np
import pytest
import statsmodels.api as sm

from slipstate.assimilate import (
    ForwardBackward,
    InteractingMultipleModel,
    Kalman,
    Observations,
    filter_series,
)
from slipstate.fit.candidates import CANDIDATES, choose_candidates
from slipstate.fit.compare import follow
from slipstate.fit.series import column_series
from slipstate.ground.errors import InputError
from slipstate.records.schema import Samples, Station, build_record, history_line


def record_of(values, stamps, unit="mm"):
    values = np.asarray(values, float)[:, None]
    samples = Samples(
        time=np.asarray(stamps, "datetime64[ns]"),
        value=values,
        sigma=np.full_like(values, np.nan),
        components=("east",),
        units=(unit,),
    )
    return build_record(
        samples,
        Station("TEST"),
        kind="series",
        title="test",
        history=history_line("simulated"),
    )


def days(count):
    return np.datetime64("2001-01-01") + np.arange(count)


def years(count, first=1871):
    return (np.arange(count) + first - 1970).astype("datetime64[Y]")


def fitted_to(name, series):
    return CANDIDATES[name].fit(series, jax.random.key(3))


def within(fitted, truth):
    """Assert that every parameter lies within three standard errors of the truth."""
    for number in fitted.numbers:
        if number.name in truth:
            off = abs(number.value - truth[number.name])
            assert off < 3.0 * number.error, number
    assert set(truth) <= {number.name for number in fitted.numbers}


def test_a_local_level_is_found_again_through_gaps():
    rng = np.random.default_rng(5)
    level = np.cumsum(0.5 * rng.standard_normal(125))
    y = level + 0.6 * rng.standard_normal(125)
    kept = np.ones(125, bool)
    kept[40:55] = False
    series = column_series(record_of(y[kept], days(125)[kept]), train=85 / 110)
    assert series.regular
    assert len(series.values) == 125
    assert series.cut == 100  # as long as the Nile below: compiled once
    fitted = fitted_to("local-level", series)
    assert [number.unit for number in fitted.numbers] == ["mm", "mm/sqrt(day)"]
    within(fitted, {"white noise, sd": 0.6, "random walk of the level": 0.5})
    assert fitted.free == 3  # two numbers and the diffuse level
    bic = -2 * fitted.log_likelihood + 3 * np.log(fitted.samples)
    assert np.isclose(fitted.bic, bic)
    # the same number by the model itself, on the part it was fitted to
    head = series.observations[: series.cut]
    again = filter_series(fitted.model, head, cov="none")
    assert np.isclose(float(again.log_likelihood), fitted.log_likelihood)


def test_the_nile_is_fitted_at_its_published_maximum():
    data = sm.datasets.nile.load_pandas().data
    assert data is not None
    flow = data["volume"].to_numpy(float)
    series = column_series(record_of(flow, years(100)), train=0.7)
    assert (series.time_unit, series.step, series.cut) == ("year", 1.0, 70)
    whole = series._replace(cut=100)
    fitted = fitted_to("local-level", whole)
    assert np.isclose(fitted.log_likelihood, -633.46456, atol=1e-5)
    values = [number.value for number in fitted.numbers]
    assert np.allclose(values, np.sqrt([15098.5, 1469.18]), rtol=1e-3)
    assert [number.unit for number in fitted.numbers] == ["mm", "mm/sqrt(year)"]


@pytest.mark.slow
def test_a_trend_with_seasons_and_a_markov_trend_are_found_again():
    rng = np.random.default_rng(8)
    t = np.arange(1500)
    season = 3.0 * np.sin(2 * np.pi * t / 365.25) + np.cos(4 * np.pi * t / 365.25)
    walk = np.cumsum(0.15 * rng.standard_normal(t.size))
    y = 0.01 * t + season + walk + 0.8 * rng.standard_normal(t.size)
    series = column_series(record_of(y, days(t.size)), train=0.9)
    fitted = fitted_to("trend-seasonal", series)
    within(fitted, {"white noise, sd": 0.8, "random walk of the level": 0.15})
    assert fitted.free == 5  # three numbers, level and slope
    red = np.zeros(t.size)
    for k in range(1, t.size):
        red[k] = np.exp(-1 / 15) * red[k - 1] + rng.standard_normal()
    sd = 1 / np.sqrt(1 - np.exp(-2 / 15))
    y = 0.02 * t + red + 0.6 * rng.standard_normal(t.size)
    series = column_series(record_of(y, days(t.size)), train=0.9)
    truth = {"white noise, sd": 0.6, "Gauss-Markov noise, sd": sd}
    within(fitted_to("markov", series), truth | {"its correlation time": 15.0})


@pytest.mark.slow
def test_hidden_modes_are_found_again():
    rng = np.random.default_rng(2)
    modes = np.zeros(400, int)
    for k in range(1, 400):
        modes[k] = modes[k - 1] ^ (rng.random() < 0.05)
    y = np.array([-2.0, 3.0])[modes] + rng.standard_normal(400)
    series = column_series(record_of(y, days(400)), train=0.9)
    fitted = fitted_to("hmm", series)
    assert fitted.modes == ("A", "B")
    within(
        fitted,
        {
            "mean in mode A": -2.0,
            "mean in mode B": 3.0,
            "sd in mode A": 1.0,
            "staying in A at a step": 0.95,
        },
    )
    found = follow(fitted, series).mode_probs
    assert found is not None
    probs = found[1]
    assert np.mean(probs.argmax(1) == modes) > 0.97


@pytest.mark.slow
def test_counts_get_poisson_modes():
    rng = np.random.default_rng(4)
    modes = (np.arange(300) // 40) % 2
    y = rng.poisson(np.array([4.0, 15.0])[modes])
    series = column_series(record_of(y, days(300), "1"))
    fitted = fitted_to("hmm", series)
    assert "Poisson" in fitted.words
    within(fitted, {"rate in mode A": 4.0, "rate in mode B": 15.0})


@pytest.mark.slow
def test_two_drifts_are_found_again():
    rng = np.random.default_rng(6)
    slow = (np.arange(900) % 150) >= 130
    level = np.cumsum(np.where(slow, -0.5, 0.05) + 0.02 * rng.standard_normal(900))
    series = column_series(record_of(level + 0.5 * rng.standard_normal(900), days(900)))
    fitted = fitted_to("switching", series)
    assert isinstance(fitted.method, InteractingMultipleModel)
    within(
        fitted,
        {"drift in mode A": 0.05, "drift in mode B": -0.5, "white noise, sd": 0.5},
    )
    found = follow(fitted, series).mode_probs
    assert found is not None
    late = found[1][:, 1]
    assert late[slow].mean() > 0.8 > 0.2 > late[~slow].mean()


def test_every_prediction_has_the_density_that_its_filter_says():
    """The mixture written down row by row against the filter's own likelihood."""
    rng = np.random.default_rng(1)
    y = np.cumsum(rng.standard_normal(80))
    y[30:34] = np.nan
    series = column_series(record_of(y, days(80)))
    for name, method in (
        ("local-level", Kalman),
        ("switching", InteractingMultipleModel),
        ("hmm", ForwardBackward),
    ):
        fitted = start_of(name, series)
        assert isinstance(fitted.method, method)
        found = follow(fitted, series)
        slow = found.predicted.log_density(series.values)
        proper = np.isfinite(slow)
        assert proper.sum() >= 75
        assert np.allclose(slow[proper], found.log_densities[proper], atol=1e-9)
        assert np.isnan(found.log_densities[30:34]).all()


def start_of(name, series):
    """Return a candidate at rough parameters, without the cost of a search."""
    from slipstate.fit.fitted import Fitted
    from slipstate.ground.solution import Outcome
    from slipstate.systems import GaussianEmission, HiddenMarkov
    from slipstate.systems.drift_switch import DriftSwitch
    from slipstate.systems.structural import Level, structural

    models = {
        "local-level": (structural((Level(1.0),), 0.5), Kalman(), ()),
        "switching": (
            DriftSwitch(0.0, 5.0, [0.2, -0.4], 0.8, [0.1, 0.3], 0.5),
            InteractingMultipleModel(),
            ("A", "B"),
        ),
        "hmm": (
            HiddenMarkov(
                [0.5, 0.5],
                [[0.9, 0.1], [0.2, 0.8]],
                GaussianEmission([[-3.0], [3.0]], [[4.0], [2.0]]),
            ),
            ForwardBackward(),
            ("A", "B"),
        ),
    }
    model, method, modes = models[name]
    done = Outcome.successful
    return Fitted(name, name, model, method, (), 0.0, 1, 50, done, "by hand", modes)


def test_seasons_need_years_and_names_must_be_known():
    y = np.sin(np.arange(300.0))
    short = column_series(record_of(y, days(300)))
    chosen, left_out = choose_candidates(None, short)
    assert set(left_out) == {"trend-seasonal", "markov-seasonal"}
    assert {c.name for c in chosen} | set(left_out) == set(CANDIDATES)
    with pytest.raises(InputError, match=r"`model` trend-seasonal cannot be fitted"):
        choose_candidates(["trend-seasonal"], short)
    with pytest.raises(InputError, match=r"`model` must be one of local-level"):
        choose_candidates(["arima"], short)


def test_a_series_without_a_grid_keeps_its_stamps():
    rng = np.random.default_rng(0)
    gaps = rng.uniform(0.3, 2.0, 60)
    stamps = np.datetime64("2000-01-01", "ns") + (np.cumsum(gaps) * 86_400e9).astype(
        "timedelta64[ns]"
    )
    series = column_series(record_of(rng.standard_normal(60), stamps))
    assert not series.regular
    assert np.allclose(np.diff(series.times), gaps[1:])
    assert len(series.values) == 60


@pytest.mark.parametrize(
    ("values", "settings", "words"),
    [
        (np.arange(20.0), {}, "must leave 20 observed samples to fit"),
        (np.ones(100), {}, "must change with time"),
        (np.arange(100.0), {"train": 1.0}, "`train` must lie between 0 and 1"),
        (np.arange(100.0), {"column": "up"}, "`column` must be one of east; got up"),
    ],
)
def test_what_cannot_be_fitted_is_refused(values, settings, words):
    record = record_of(values, days(len(values)))
    column = settings.pop("column", None)
    with pytest.raises(InputError, match=words):
        column_series(record, column, **settings)


def test_observations_of_a_series_hide_what_is_missing():
    y = np.sin(np.arange(60.0))
    y[7] = np.nan
    series = column_series(record_of(y, days(60)))
    assert isinstance(series.observations, Observations)
    assert not bool(series.observations.mask[7, 0])
    assert np.isnan(series.values[7])
