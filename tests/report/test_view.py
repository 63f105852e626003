"""Thinning, detrending and units, against plain loops."""

import numpy as np
import pytest

from slipstate.report.figures.diagnostics import autocorrelation
from slipstate.report.style import VARIABLES, house_style, new_figure, to_svg
from slipstate.report.view import (
    display_unit,
    significant,
    smooth_part,
    thin,
    time_axis,
)
from slipstate.report.words import plus_minus


def test_thinning_averages_equal_bins_and_leaves_gaps_open():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 10, 5000))
    x = x[(x < 4) | (x > 6)]
    y = np.where(rng.uniform(size=x.size) < 0.1, np.nan, np.sin(x))
    place, mean = thin(x, y, most=50)
    _, top = thin(x, y, most=50, peaks=True)
    edges = np.linspace(x[0], x[-1], 51)
    for k in range(50):
        last = k == 49
        inside = (x >= edges[k]) & ((x <= edges[k + 1]) if last else (x < edges[k + 1]))
        seen = y[inside & np.isfinite(y)]
        assert mean[k] == pytest.approx(
            seen.mean() if seen.size else np.nan, nan_ok=True
        )
        assert top[k] == pytest.approx(seen.max() if seen.size else np.nan, nan_ok=True)
    assert np.isnan(mean[(place > 4.2) & (place < 5.8)]).all()


def test_few_samples_are_kept_and_long_gaps_break_the_line():
    x = np.array([0.0, 1.0, 2.0, 30.0, 31.0])
    place, y = thin(x, x * 2)
    np.testing.assert_array_equal(place, [0, 1, 2, 30, 30, 31])
    np.testing.assert_array_equal(y, [0, 2, 4, np.nan, 60, 62])


def test_what_is_removed_is_line_and_seasons_but_not_steps(station):
    run, events = station
    run = run.copy(deep=True)
    days = (run.time.values - run.time.values[0]) / np.timedelta64(1, "D")
    smooth = 3.0 + 0.02 * days + 2.0 * np.cos(2 * np.pi * days / 365.25)
    at = np.datetime64(events.loc[events["type"] == "step", "onset"].iloc[0][:10])
    run["observed"][:, 0, 0] = smooth + 50.0 * (run.time.values >= at)
    found = smooth_part(run, events, "ALBH", "east")
    np.testing.assert_allclose(found, smooth, atol=1e-8)


def test_units_get_a_prefix_that_keeps_numbers_short(fault, station):
    assert display_unit(fault[0], "tau") == ("τ (MPa)", "MPa", 1e-6)
    assert display_unit(fault[0], "ln V").factor == 1.0
    assert display_unit(station[0], "east").label == "east (mm)"


def test_simulations_show_elapsed_time(fault, station):
    run, _ = fault
    axis = time_axis(run)
    assert axis.label == "time since start (years)"
    assert axis.place(run.time.values)[-1] == pytest.approx(5470 / 365.25)
    assert time_axis(station[0]).unit == 0.0


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (-4.512, 0.42, "−4.5 ± 0.4"),
        (6.7123, 0.042, "6.71 ± 0.04"),
        (6.7123, 0.0149, "6.712 ± 0.015"),
        (-180.6, 2.9, "−181 ± 3"),
        (1234.0, 250.0, "1234 ± 250"),
        (2.5, np.nan, "2.5"),
        (np.nan, 1.0, ""),
    ],
)
def test_values_carry_the_digits_that_mean_something(value, sigma, text):
    assert plus_minus(value, sigma) == text


def test_autocorrelation_is_its_double_loop():
    rng = np.random.default_rng(2)
    z = rng.standard_normal((60, 2))
    z[rng.uniform(size=z.shape) < 0.2] = np.nan
    found, pairs = autocorrelation(z, 6)
    centred = z - np.nanmean(z, 0)

    def product(lag):
        terms = [
            centred[t, s] * centred[t + lag, s]
            for s in range(2)
            for t in range(60 - lag)
            if np.isfinite(centred[t, s] + centred[t + lag, s])
        ]
        return np.mean(terms), len(terms)

    variance, _ = product(0)
    for lag in range(1, 7):
        assert found[lag - 1] == pytest.approx(product(lag)[0] / variance, rel=1e-10)
    assert pairs == product(1)[1]


def test_drawings_carry_variables_and_no_colours_of_their_own():
    with house_style():
        figure = new_figure(1.0)
        axes = figure.add_axes((0.1, 0.2, 0.8, 0.7))
        for colour in VARIABLES:
            axes.plot([0, 1.234567, 2], [0, 1, 0.5], color=colour)
        svg = to_svg(figure, "one")
    for colour, name in VARIABLES.items():
        assert colour not in svg
        assert f"var(--{name})" in svg
    assert "<metadata" not in svg
    assert svg.startswith("<svg ")
    assert len(set(VARIABLES.values())) == len(VARIABLES)


def test_numbers_are_shown_without_powers_of_ten_where_they_can_be():
    cases = {3321.7: "3,322", 47091.0: "47,090", 0.15894: "0.1589", 5.0: "5.000"}
    for value, shown in cases.items():
        assert significant(value, 4) == shown
    assert significant(123.4, 3) == "123"
    assert significant(-3321.7, 3) == "-3,320"
    assert significant(4.2e7, 3) == "4.20e+07"
