"""A watched network as the one run dataset (see docs/notation.md, `run.nc`)."""

import numpy as np
import numpy.typing as npt
import xarray as xr

from slipstate.earth.trajectory import ANNUAL, SEMI, TERMS
from slipstate.watch.forecasts import QUANTILES
from slipstate.watch.network_job import NetworkRun

_QUADRATURES = {ANNUAL + 1, SEMI + 1}  # the unobserved halves of rotating pairs
_SERIES = ("time", "station", "component")


def network_dataset(run: NetworkRun, record: xr.Dataset) -> xr.Dataset:
    """Put a run into CF form.

    Args:
        run: The run.
        record: The record that was watched, for units and provenance.

    Returns:
        The dataset, without scorecard.
    """
    series, ticks, forecasts = run.series, run.ticks, run.forecasts
    unit = series.unit
    units = [str(u) for u in record["component_units"].values]
    one_unit = units[0] if len(set(units)) == 1 else "see component_units"
    shown = [k for k in range(len(TERMS)) if k not in _QUADRATURES]
    horizons = np.asarray(run.horizons) * series.tick
    used = np.where(series.mask, 1.0, np.nan)
    signal = run.past.state_mean @ np.asarray(run.model.h)

    def series_array(values: npt.ArrayLike, name: str) -> tuple:
        scaled = np.asarray(values) * unit
        return _SERIES, scaled, {"units": one_unit, "long_name": name}

    def probability(dims: tuple[str, ...], values: npt.ArrayLike, name: str) -> tuple:
        return dims, np.asarray(values, float), {"units": "1", "long_name": name}

    def forecast_array(values: np.ndarray, name: str, units: str = one_unit) -> tuple:
        dims = (*_SERIES, "horizon", "quantile")[: values.ndim]
        return dims, values, {"units": units, "long_name": name}

    variables = {
        "observed": series_array(
            np.where(series.mask, series.y, np.nan), "observation"
        ),
        "observed_sigma": series_array(series.sigma, "formal error of the observation"),
        "observed_mask": (
            _SERIES,
            series.mask,
            {"units": "1", "long_name": "observed"},
        ),
        "training": (
            ("time", "station"),
            series.training,
            {"units": "1", "long_name": "may have been used to fit"},
        ),
        "forecast": forecast_array(
            forecasts.quantiles,
            "quantiles of the observation, issued a horizon earlier",
        ),
        "forecast_mean": forecast_array(forecasts.mean, "mean of the forecast"),
        "forecast_sd": forecast_array(forecasts.sd, "spread of the forecast"),
        "pit": forecast_array(
            forecasts.pit, "probability integral transform of the observation", "1"
        ),
        "crps": forecast_array(forecasts.crps, "continuous ranked probability score"),
        "log_score": forecast_array(
            -forecasts.log_score, "minus log density of the observation", "nat"
        ),
        "filtered": series_array(ticks.signal, "signal given the past"),
        "filtered_sd": series_array(np.sqrt(ticks.signal_var), "its spread"),
        "smoothed": series_array(signal, "signal given everything"),
        "smoothed_sd": series_array(run.past.signal_sd, "its spread"),
        "innovation": series_array(
            ticks.innovation * used, "observation minus its prediction, one tick ahead"
        ),
        "innovation_sd": series_array(
            np.sqrt(np.where(series.mask, ticks.innovation_var, np.nan)),
            "scale of the prediction, one tick ahead",
        ),
        "term_mean": (
            (*_SERIES, "term"),
            run.past.state_mean[..., shown] * unit[:, None],
            {"units": one_unit, "long_name": "terms of the trajectory, smoothed"},
        ),
        "term_sd": (
            (*_SERIES, "term"),
            run.past.state_sd[..., shown] * unit[:, None],
            {"units": one_unit, "long_name": "their spread"},
        ),
        "common_mode": (
            ("time", "component"),
            ticks.common * unit,
            {"units": one_unit, "long_name": "filtered common mode of the stations"},
        ),
        "slip_probability": probability(
            ("time",), 1.0 - np.exp(ticks.log_probs[:, 0]), "slow slip, given the past"
        ),
        "slip_probability_smoothed": probability(
            ("time",), run.past.slipping, "slow slip, given everything"
        ),
        "step_probability": probability(
            ("time", "station"), ticks.step_prob, "a step just happened, given the past"
        ),
        "step_probability_smoothed": probability(
            ("time", "station"), _step_probability(run), "step, given everything"
        ),
        "log_likelihood": (
            ("time",),
            ticks.log_likelihood,
            {"units": "nat", "long_name": "log density of the tick given the past"},
        ),
    }
    term_units = [f"{one_unit}/day" if t == "rate" else one_unit for t in TERMS]
    coords = {
        "time": ("time", series.times, {"long_name": "time, UTC"}),
        "station": list(series.stations),
        "component": list(series.components),
        "component_units": ("component", units),
        "horizon": ("horizon", horizons, {"units": "days", "long_name": "lead time"}),
        "quantile": ("quantile", list(QUANTILES), {"units": "1"}),
        "term": [TERMS[k] for k in shown],
        "term_units": ("term", [term_units[k] for k in shown]),
    }
    return xr.Dataset(variables, coords, _settings(run))


def _step_probability(run: NetworkRun) -> np.ndarray:
    """Return the probability of the reported steps, 0 elsewhere."""
    out = np.zeros(run.series.training.shape)
    for event in run.past.events:
        if event.kind == "step":
            out[event.first, event.stations] = event.probability
    return out


def _settings(run: NetworkRun) -> dict[str, str | float]:
    """Return the fitted numbers in words, for the footer of the report."""
    p = run.estimate.parameters
    rates = [
        f"{name} {run.series.components[c]} {float(p.slip_rate[s, c]):+.2f}"
        for s, (name, c) in enumerate(
            zip(run.series.stations, run.estimate.primary, strict=True)
        )
    ]
    common = ", ".join(
        f"{name} {float(sd):.2f}"
        for name, sd in zip(run.series.components, p.common_sd, strict=True)
    )
    return {
        "engine": "switching trajectory model, interacting multiple model filter",
        "slip_rate": "; ".join(rates) + " [mm/day, or scatter/day]",
        "slip_onset": f"once in {1.0 / float(p.onset_rate):.0f} days",
        "slip_duration": f"{1.0 / float(p.end_rate):.1f} days on average",
        "common_mode_sd": common,
        "fit": run.estimate.fit.provenance,
    }
