"""Runs that obey the schema of `run.nc`, made without the pipeline.

The GNSS forecasts come from a plain Kalman filter (level + rate per series) over a
record with a rate, seasons, slow slip and one step, so they fail where it fails. The
fault is case C: a slow-slip spring-slider with a cut-off law.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.special
import xarray as xr

from slipstate.assimilate.scores import crps_gaussian, log_score_gaussian
from slipstate.watch import scorecard

DAY = np.timedelta64(1, "D").astype("timedelta64[ns]")
DIMS = ("time", "station", "component")
QUANTILES = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
NAMES = ["ALBH", "SC02", "P439", "SEAT", *(f"P{k}" for k in range(401, 419))]


def _dataset(variables, coords, attrs):
    run = xr.Dataset(
        {
            name: (dims, values, {"units": units, "long_name": name.replace("_", " ")})
            for name, (dims, values, units) in variables.items()
        },
        coords=coords,
        attrs=attrs,
    )
    scores = scorecard(run)
    return run.merge(scores).assign_attrs(verdict=scores.attrs["verdict"])


def _forecast(mean, sd, observed, mask, training):
    """Quantiles, PIT and scores of Gaussian forecasts, horizon last."""
    dims = (*DIMS, "horizon")
    y = np.where(mask, observed, np.nan)[..., None]
    scored = ~training[:, None, None, None]
    z = scipy.special.ndtri(QUANTILES)
    pit = np.where(scored, scipy.special.ndtr((y - mean) / sd), np.nan)
    return {
        "forecast": ((*dims, "quantile"), mean[..., None] + sd[..., None] * z, "mm"),
        "forecast_mean": (dims, mean, "mm"),
        "forecast_sd": (dims, sd, "mm"),
        "pit": (dims, pit, "1"),
        "crps": (dims, crps_gaussian(y, mean, sd), "mm"),
        "log_score": (dims, log_score_gaussian(y, mean, sd), "nat"),
    }


def _onsets(days):
    return np.arange(200.0, days - 30.0, 430.0)


def _truth(days, stations, rng):
    t = np.arange(days, dtype=float)
    slip = sum(
        scipy.special.expit((t - onset - 9.0) / 3.0) for onset in _onsets(days)
    ) + np.zeros(days)
    gain = np.linspace(1.0, 0.3, stations)[:, None] * np.array([-4.5, -2.0, 1.0])
    rate = np.array([6.7, 4.0, -0.4]) + rng.standard_normal((stations, 3))
    phase = 2 * np.pi * t[:, None, None] / 365.25 + rng.uniform(0, 6, (stations, 3))
    season = np.cos(phase) * np.array([0.8, 0.9, 2.5])
    walk = np.cumsum(rng.standard_normal((days, stations, 3)), 0) * [0.08, 0.08, 0.2]
    step = (t >= 0.55 * days)[:, None, None] * np.array([6.0, -9.0, 0.0])
    step = step * (np.arange(stations) == min(1, stations - 1))[:, None]
    line = t[:, None, None] / 365.25 * rate
    return line + season + walk + slip[:, None, None] * gain + step


def _filter(observed, mask, noise, horizons):
    """Level and rate of each series by a Kalman filter, in plain NumPy."""
    shape = observed.shape
    y, seen = observed.reshape(shape[0], -1), mask.reshape(shape[0], -1)
    r = np.broadcast_to(noise**2, shape[1:]).ravel()
    count = r.size
    x = np.stack([np.nan_to_num(y[0]), np.zeros(count)], -1)
    p = np.zeros((count, 2, 2))
    p[:, 0, 0], p[:, 1, 1] = 25.0, 1e-3
    step, drift = np.array([[1.0, 1.0], [0.0, 1.0]]), np.diag([0.02, 1e-8])
    states, covs, ahead = [], [], []
    for k in range(shape[0]):
        if k:
            x, p = x @ step.T, step @ p @ step.T + drift
        ahead.append((x[:, 0], p[:, 0, 0] + r))
        gain = p[:, :, 0] / (p[:, 0, 0] + r)[:, None] * seen[k][:, None]
        x = x + gain * (np.where(seen[k], y[k], 0.0) - x[:, 0])[:, None]
        p = p - gain[:, :, None] * p[:, None, 0, :]
        states.append(x)
        covs.append(p)
    x, p = np.array(states), np.array(covs)
    level, spread = x[..., 0], np.sqrt(p[..., 0, 0])
    mean = np.full((*y.shape, len(horizons)), np.nan)
    sd = mean.copy()
    for j, h in enumerate(int(v) for v in horizons):
        jump = np.array([[1.0, h], [0.0, 1.0]])
        late = jump @ p @ jump.T
        mean[h:, :, j] = (x[..., 0] + h * x[..., 1])[:-h]
        sd[h:, :, j] = np.sqrt(late[..., 0, 0] + r + 0.02 * h)[:-h]
    one, var = (np.array(v) for v in zip(*ahead))
    arrays = level, spread, one, np.sqrt(var), mean, sd
    return [a.reshape(*shape, *a.shape[2:]) for a in arrays]


def make_gnss_run(stations=1, days=1500, seed=2):
    """Return a run over a simulated network and its table of events."""
    rng = np.random.default_rng(seed)
    truth = _truth(days, stations, rng)
    noise = np.array([1.6, 1.4, 4.5])
    observed = truth + noise * rng.standard_normal(truth.shape)
    mask = np.repeat(rng.uniform(size=truth.shape[:2]) > 0.05, 3, 1).reshape(
        truth.shape
    )
    mask[int(0.3 * days) : int(0.33 * days)] = False  # a gap
    observed = np.where(mask, observed, np.nan)
    training = np.arange(days) < 0.5 * days
    horizons = np.array([1.0, 10.0, 30.0])
    level, spread, one, one_sd, mean, sd = _filter(observed, mask, noise, horizons)
    t = np.arange(days, dtype=float)
    lag, box = np.zeros(days), np.zeros(days)
    for onset in _onsets(days):
        rise = scipy.special.expit((t - onset - 9.0) / 1.5)
        lag = np.maximum(lag, rise * scipy.special.expit((onset + 28.0 - t) / 3.0))
        edge = scipy.special.expit((t - onset) / 0.8)
        box = np.maximum(box, edge * scipy.special.expit((onset + 18.0 - t) / 0.8))
    lag = np.clip(lag + 0.03 * rng.exponential(size=days), 0, 1)
    jump = np.zeros((days, stations))
    jump[int(np.ceil(0.55 * days)), min(1, stations - 1)] = 0.99
    signal, per_step = (level, spread), 0.6
    variables = {
        "observed": (DIMS, observed, "mm"),
        "observed_sigma": (DIMS, np.broadcast_to(noise, truth.shape).copy(), "mm"),
        "observed_mask": (DIMS, mask, "1"),
        "training": ("time", training, "1"),
        "filtered": (DIMS, signal[0], "mm"),
        "filtered_sd": (DIMS, signal[1], "mm"),
        "smoothed": (DIMS, truth, "mm"),
        "smoothed_sd": (DIMS, per_step * spread, "mm"),
        "innovation": (DIMS, observed - one, "mm"),
        "innovation_sd": (DIMS, one_sd, "mm"),
        "slip_probability": ("time", lag, "1"),
        "slip_probability_smoothed": ("time", box, "1"),
        "step_probability": (("time", "station"), jump, "1"),
        "step_probability_smoothed": (("time", "station"), jump, "1"),
        **_forecast(mean, sd, observed, mask, training),
    }
    names = NAMES[:stations]
    coords = {
        "time": np.datetime64("2005-01-01", "ns") + np.arange(days) * DAY,
        "station": names,
        "component": ["east", "north", "up"],
        "component_units": ("component", ["mm"] * 3),
        "horizon": ("horizon", horizons, {"units": "day"}),
        "quantile": QUANTILES,
    }
    attrs = {
        "title": "Simulated network, for the tests of the report",
        "kind": "gnss",
        "Conventions": "CF-1.11",
        "slipstate_version": "0.1.0",
        "source": "ALBH.pbo.nam08.csv",
        "license": "MIT",
        "references": "Herring et al. 2016, doi:10.1002/2016RG000529",
        "history": "2020-01-01T00:00:00Z: simulated\n2020-01-01T00:00:05Z: filtered",
    }
    run = _dataset(variables, coords, attrs)
    return run, _events(run, days, stations, names)


def _events(run, days, stations, names):
    rows = []
    where = [f"{n}_" for n in names] if stations > 1 else [""]
    gain = np.linspace(1.0, 0.3, stations)
    kinds = [(o, "slow slip", 18.0, (-4.5, -2.0, 1.0)) for o in _onsets(days)]
    kinds.append((np.ceil(0.55 * days), "step", 0.0, (6.0, -9.0, 0.0)))
    for onset, kind, duration, size in sorted(kinds):
        at = pd.Timestamp(run.time.values[int(onset)], tz="UTC")
        row: dict[str, object] = {
            "onset": at.isoformat(),
            "onset_lo": (at - pd.Timedelta(days=3 * (duration > 0))).isoformat(),
            "onset_hi": (at + pd.Timedelta(days=4 * (duration > 0))).isoformat(),
            "type": kind,
        }
        moved = [min(1, stations - 1)] if kind == "step" else range(stations)
        for k, name in enumerate(where):
            for component, value in zip(("east", "north", "up"), size):
                share = gain[k] if kind == "slow slip" else float(k in moved)
                row[f"offset_{name}{component}_mm"] = share * value
                row[f"sigma_{name}{component}_mm"] = 0.4
        row |= {
            "duration": duration,
            "probability": 0.98,
            "latency_days": 9.0 if duration else 0.0,
            "stations": ";".join(names[k] for k in moved),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _slider(time):
    """Case C: (ln V, ln theta, tau) of a slow-slip slider with a cut-off law."""
    a, b, dc, sigma, f0 = 0.010, 0.015, 4e-3, 2e6, 0.6
    v0, vpl, vc, eta, k = 1e-6, 1e-9, 1e-7, 4.62444e6, 1.25e6
    kappa, alpha, q0 = k * dc / sigma, eta * vpl / sigma, vc / vpl

    def rate(_, s):
        x, y = s
        state = np.exp(-y) - np.exp(x)
        q = q0 * np.exp(y)
        soft = b * q / (1 + q)
        return [
            (kappa * (1 - np.exp(x)) - soft * state) / (a + alpha * np.exp(x)),
            state,
        ]

    scaled = np.concatenate([[0.0], 30.0 * 3.15576e7 + time]) * vpl / dc
    x, y = scipy.integrate.solve_ivp(
        rate, (0, scaled[-1]), [0.5, -0.5], "LSODA", scaled[1:], rtol=1e-8, atol=1e-8
    ).y
    v, theta = vpl * np.exp(x), dc / vpl * np.exp(y)
    tau = sigma * (f0 + a * np.log(v / v0) + b * np.log1p(theta * vc / dc)) + eta * v
    return np.log(v), np.log(theta), tau, sigma, f0, a, b, v0, vc


def make_fault_run(samples=548, seed=1, members=50):
    """Return a run over case C observed every 10 days, and its table of events."""
    rng = np.random.default_rng(seed)
    days = 10.0 * np.arange(samples)
    ln_v, ln_theta, tau, *law = _slider(days * 86_400.0)
    truth = np.stack([ln_v, tau], -1)[:, None, :]
    noise = np.array([0.5, 5e3])
    observed = truth + noise * rng.standard_normal(truth.shape)
    mask = np.ones(truth.shape, bool)
    training = np.arange(samples) < 73
    fog = np.array([0.15, 9e2])
    horizons = np.array([10.0, 30.0, 90.0])
    error = rng.standard_normal((*truth.shape, 3)) * fog[:, None] * [1.0, 1.6, 3.0]
    width = fog[:, None] * np.array([1.0, 1.6, 3.0])
    sd = np.broadcast_to(np.hypot(width, noise[:, None]), error.shape).copy()
    mean = truth[..., None] + error
    state = np.stack([ln_v, ln_theta], -1)
    cloud = rng.multivariate_normal([0, 0], [[0.02, -0.012], [-0.012, 0.01]], members)
    centre = state + 0.1 * rng.standard_normal(state.shape)
    sigma, f0, a, b, v0, vc = law[-6:]
    line = np.linspace(ln_v.min() - 1, ln_v.max() + 1, 60)
    steady = sigma * (f0 + a * (line - np.log(v0)) + b * np.log1p(vc / np.exp(line)))
    fast = scipy.special.expit((ln_v - np.log(1e-8)) * 2.0)
    first = truth + error[..., 0]
    variables = {
        "observed": (DIMS, observed, "1"),
        "observed_sigma": (DIMS, np.broadcast_to(noise, truth.shape).copy(), "1"),
        "observed_mask": (DIMS, mask, "1"),
        "training": ("time", training, "1"),
        "filtered": (DIMS, truth + 0.8 * error[..., 0], "1"),
        "filtered_sd": (DIMS, np.broadcast_to(fog, truth.shape).copy(), "1"),
        "innovation": (DIMS, observed - first, "1"),
        "innovation_sd": (DIMS, sd[..., 0], "1"),
        "slip_probability": ("time", fast, "1"),
        "member": (("time", "member", "state"), centre[:, None] + cloud, "1"),
        "truth": (("time", "state"), state, "1"),
        "steady_ln_v": ("branch", line, "ln(m/s)"),
        "steady_tau": ("branch", steady, "Pa"),
        **_forecast(mean, sd, observed, mask, training),
    }
    time = np.datetime64("2000-01-01", "ns") + (days * 86_400e9).astype(
        "timedelta64[ns]"
    )
    coords = {
        "time": time,
        "station": ["fault"],
        "component": ["ln V", "tau"],
        "component_units": ("component", ["1", "Pa"]),
        "horizon": ("horizon", horizons, {"units": "day"}),
        "quantile": QUANTILES,
        "state": ["ln V", "ln theta"],
    }
    attrs = {
        "title": "Slow-slip spring-slider (embedded twin)",
        "kind": "fault",
        "Conventions": "CF-1.11",
        "slipstate_version": "0.1.0",
        "source": "simulated",
        "history": "2020-01-01T00:00:00Z: simulated",
        "members": members,
    }
    run = _dataset(variables, coords, attrs)
    rises = np.flatnonzero((fast[1:] > 0.5) & (fast[:-1] <= 0.5)) + 1
    events = pd.DataFrame(
        {
            "onset": [pd.Timestamp(time[i], tz="UTC").isoformat() for i in rises],
            "onset_lo": [
                pd.Timestamp(time[i - 1], tz="UTC").isoformat() for i in rises
            ],
            "onset_hi": [pd.Timestamp(time[i], tz="UTC").isoformat() for i in rises],
            "type": "slow slip",
            "offset_ln V_1": np.nan,
            "sigma_ln V_1": np.nan,
            "offset_tau_Pa": -5.2e4,
            "sigma_tau_Pa": 1.1e3,
            "duration": 80.0,
            "probability": 0.97,
            "latency_days": 10.0,
            "stations": "fault",
        }
    )
    return run, events


@pytest.fixture(scope="session")
def station():
    return make_gnss_run()


@pytest.fixture(scope="session")
def network():
    return make_gnss_run(stations=4, days=1100)


@pytest.fixture(scope="session")
def fault():
    return make_fault_run()
