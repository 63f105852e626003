"""A watched fault as the one run dataset (see docs/notation.md, `run.nc`)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from slipstate.earth.twin import FAULT_STATES, FaultTwin
from slipstate.watch.fault_follow import FaultRun
from slipstate.watch.fault_forecasts import FaultForecasts
from slipstate.watch.fault_slip import slipped, slipping
from slipstate.watch.forecasts import QUANTILES

HORIZONS = (1, 3, 9)
"""Steps ahead."""

_SECOND = np.timedelta64(1, "s")

TRAINING = 1.0 / 3.0
"""Part of the record in which the filter settles and the baselines learn."""


def fault_dataset(
    twin: FaultTwin,
    found: FaultRun,
    ours: FaultForecasts,
    peers: Mapping[str, FaultForecasts],
) -> xr.Dataset:
    """Put a run into CF form.

    Args:
        twin: The fault and its record.
        found: What the filter has to say.
        ours: Its forecasts.
        peers: Forecasts of other filters that followed the same record, by label.

    Returns:
        The dataset, without scorecard.
    """
    record, model = twin.record, twin.model
    observe = jax.vmap(jax.vmap(lambda x: model.observation.predict(x, None)))
    y = record["value"].values
    seen = np.asarray(observe(jnp.asarray(found.ensembles)))
    T = len(y)
    weights = found.weights[..., None]
    mean = np.sum(weights * seen, axis=1)
    bias = 1.0 - np.sum(weights**2, axis=1)  # so that equal weights divide by M - 1
    apart = seen - mean[:, None, :]
    spread = np.sqrt(np.sum(weights * apart**2, axis=1) / bias)
    units = {"units": "see component_units"}
    series = ("time", "station", "component")
    plain = lambda x: np.asarray(x)[:, None, :]
    stress = jax.vmap(jax.vmap(twin.slider.stress))
    of_slider = {
        "k": float(twin.slider.k),
        "Vpl": float(twin.slider.Vpl),
        "seconds": float(np.diff(record["time"].values[:2])[0] / _SECOND),
    }
    states = found.ensembles
    share = slipping(
        states[..., 0],
        np.asarray(stress(jnp.asarray(states[..., 0]), jnp.asarray(states[..., 1]))),
        found.weights,
        **of_slider,
    )
    members = _equally_likely(found)
    branch = np.linspace(
        found.ensembles[..., 0].min(), found.ensembles[..., 0].max(), 200
    )
    steady = np.asarray(twin.slider.steady_stress(jnp.asarray(branch)))
    variables = {
        "observed": (series, plain(y), units | {"long_name": "observation"}),
        "observed_sigma": (
            series,
            plain(record["sigma"].values),
            units | {"long_name": "error of the observation"},
        ),
        "observed_mask": (
            series,
            plain(record["mask"].values),
            {"units": "1", "long_name": "observed"},
        ),
        "training": (
            ("time",),
            np.arange(T) < TRAINING * T,
            {"units": "1", "long_name": "filter settles, baselines learn"},
        ),
        **_forecast_variables(ours, series),
        "filtered": (
            series,
            plain(mean),
            units | {"long_name": "signal given the past"},
        ),
        "filtered_sd": (
            series,
            plain(spread),
            units | {"long_name": "its spread"},
        ),
        "innovation": (
            series,
            plain(found.innovations),
            units | {"long_name": "observation minus its prediction"},
        ),
        "innovation_sd": (
            series,
            plain(np.sqrt(found.innovation_vars)),
            units | {"long_name": "spread of the prediction"},
        ),
        "slip_probability": (
            ("time",),
            share,
            {
                "units": "1",
                "long_name": "the fault slips, or has since the time before",
            },
        ),
        "member": (
            ("time", "member", "state"),
            members,
            {"units": "1", "long_name": "ln V [m/s] and ln theta [s] of the members"},
        ),
        "steady_tau": (
            ("branch",),
            steady,
            {"units": "Pa", "long_name": "steady state"},
        ),
        "steady_ln_v": (("branch",), branch, {"units": "1", "long_name": "ln V of it"}),
        "log_likelihood": (
            ("time",),
            found.log_likelihoods,
            {"units": "nat", "long_name": "log density of the observation"},
        ),
    }
    if "truth" in record:
        truth = record["truth"]
        variables["truth"] = (("time", "state"), truth.values, truth.attrs)
        ln_v, ln_theta = truth.values.T
        tau = np.asarray(jax.vmap(twin.slider.stress)(ln_v, ln_theta))
        variables["truth_slips"] = (
            ("time",),
            slipped(ln_v, tau, **of_slider),
            {"units": "1", "long_name": "the true fault slips, or has"},
        )
    for name, one in _peer_variables(peers, series).items():
        variables[name] = one
    every = np.diff(record["time"].values[:2])[0] / np.timedelta64(1, "D")
    coords = {
        "time": record["time"].values,
        "station": ["fault"],
        "component": [str(c) for c in record["component"].values],
        "component_units": ("component", record["component_units"].values),
        "horizon": ("horizon", np.asarray(HORIZONS) * every, {"units": "days"}),
        "quantile": ("quantile", list(QUANTILES), {"units": "1"}),
        "state": list(FAULT_STATES),
    }
    if peers:
        coords["peer"] = list(peers)
    return xr.Dataset(variables, coords)


def _forecast_variables(
    forecasts: FaultForecasts, series: tuple[str, ...]
) -> dict[str, tuple]:
    """Return forecasts and their scores as variables."""
    dims = (*series, "horizon")
    own = "see component_units"
    table = (
        ("forecast_mean", forecasts.mean, own, "mean of the forecast"),
        ("forecast_sd", forecasts.sd, own, "spread of the forecast"),
        ("pit", forecasts.pit, "1", "probability integral transform"),
        ("crps", forecasts.crps, own, "continuous ranked probability score"),
        ("log_score", forecasts.log_score, "nat", "minus log density of what came"),
    )
    words = "quantiles of the observation, issued earlier"
    return {
        "forecast": (
            (*dims, "quantile"),
            forecasts.quantiles,
            {"units": own, "long_name": words},
        ),
        **{
            name: (dims, values, {"units": units, "long_name": long_name})
            for name, values, units, long_name in table
        },
    }


def _peer_variables(
    peers: Mapping[str, FaultForecasts], series: tuple[str, ...]
) -> dict[str, tuple]:
    """Return the forecasts of other filters, the same names with `peer_` in front."""
    each = [_forecast_variables(one, series) for one in peers.values()]
    if not each:
        return {}
    return {
        f"peer_{name}": (
            ("peer", *dims),
            np.stack([one[name][1] for one in each]),
            attrs | {"long_name": f"{attrs['long_name']}, of other filters"},
        )
        for name, (dims, _, attrs) in each[0].items()
    }


def _equally_likely(found: FaultRun) -> Float[np.ndarray, "time ens state"]:
    """Return members as they are where weights are equal, else drawn by weight."""
    weights = found.weights
    if np.ptp(weights) < 1e-12:
        return found.ensembles
    M = weights.shape[1]
    steps = (np.arange(M) + 0.5) / M
    sums = np.cumsum(weights, axis=1)
    label = np.stack([np.searchsorted(row, steps) for row in sums]).clip(max=M - 1)
    return np.take_along_axis(found.ensembles, label[..., None], axis=1)
