"""A watched fault as the one run dataset (see docs/notation.md, `run.nc`)."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from slipstate.assimilate.mixtures import (
    mixture_distribution,
    mixture_log_density,
    mixture_moments,
    mixture_quantiles,
)
from slipstate.assimilate.scores import crps_mixture
from slipstate.earth.twin import FAULT_STATES, FaultTwin
from slipstate.watch.forecasts import QUANTILES

HORIZONS = (1, 3, 9)
"""Steps of ten days ahead."""

TRAINING = 1.0 / 3.0
"""Part of the record in which the filter settles and the baselines learn."""


@dataclass(frozen=True)
class FaultRun:
    """What the ensemble has to say.

    Attributes:
        ensembles: Members after each observation.
        innovations: Observation minus prediction.
        innovation_vars: Variance of the prediction.
        ahead: Members at each horizon, issued at each time.
        log_likelihoods: Log density of each observation given the past [nats].
    """

    ensembles: Float[np.ndarray, "time ens state"]
    innovations: Float[np.ndarray, "time obs"]
    innovation_vars: Float[np.ndarray, "time obs"]
    ahead: Float[np.ndarray, "horizon time ens state"]
    log_likelihoods: Float[np.ndarray, " time"]


def fault_dataset(
    twin: FaultTwin, found: FaultRun, advance: Callable[[int, int], None]
) -> xr.Dataset:
    """Put a run into CF form and score its forecasts.

    Args:
        twin: The fault and its record.
        found: What the ensemble has to say.
        advance: Called with horizons done and all horizons.

    Returns:
        The dataset, without scorecard.
    """
    record, model = twin.record, twin.model
    observe = jax.vmap(jax.vmap(lambda x: model.observation.predict(x, None)))
    noise = np.sqrt(np.sum(np.asarray(model.observation.noise_factor()) ** 2, 1))
    y = record["value"].values
    seen = np.asarray(observe(jnp.asarray(found.ensembles)))
    T, C = y.shape
    members_count = found.ensembles.shape[1]
    H = len(HORIZONS)
    quantiles = np.full((T, 1, C, H, len(QUANTILES)), np.nan)
    scores = {
        k: np.full((T, 1, C, H), np.nan) for k in ("mean", "sd", "pit", "crps", "log")
    }
    weights = np.full((1, members_count), 1.0 / members_count)
    for k, ahead in enumerate(HORIZONS):
        members = np.asarray(observe(jnp.asarray(found.ahead[k, : T - ahead])))
        for c in range(C):
            m = np.ascontiguousarray(members[..., c])
            w, sd = np.broadcast_to(weights, m.shape), np.full(m.shape, noise[c])
            at = (slice(ahead, T), 0, c, k)
            came = y[ahead:, c]
            quantiles[at] = mixture_quantiles(np.asarray(QUANTILES), w, m, sd)
            scores["mean"][at], scores["sd"][at] = mixture_moments(w, m, sd)
            scores["pit"][at] = mixture_distribution(came, w, m, sd)
            scores["crps"][at] = crps_mixture(came, w, m, sd)
            scores["log"][at] = -mixture_log_density(came, w, m, sd)
        advance(k + 1, H)
    units = {"units": "see component_units"}
    series = ("time", "station", "component")
    plain = lambda x: np.asarray(x)[:, None, :]
    fast = found.ensembles[..., 0] > np.log(10.0 * float(twin.slider.Vpl))
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
        "forecast": (
            (*series, "horizon", "quantile"),
            quantiles,
            units | {"long_name": "quantiles of the observation, issued earlier"},
        ),
        **{
            name: (
                (*series, "horizon"),
                scores[key],
                {"units": unit, "long_name": words},
            )
            for name, key, unit, words in (
                (
                    "forecast_mean",
                    "mean",
                    "see component_units",
                    "mean of the forecast",
                ),
                ("forecast_sd", "sd", "see component_units", "spread of the forecast"),
                ("pit", "pit", "1", "probability integral transform"),
                (
                    "crps",
                    "crps",
                    "see component_units",
                    "continuous ranked probability score",
                ),
                ("log_score", "log", "nat", "minus log density of the observation"),
            )
        },
        "filtered": (
            series,
            plain(seen.mean(1)),
            units | {"long_name": "signal given the past"},
        ),
        "filtered_sd": (
            series,
            plain(seen.std(1, ddof=1)),
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
            fast.mean(1),
            {
                "units": "1",
                "long_name": "members slipping faster than ten times the load",
            },
        ),
        "member": (
            ("time", "member", "state"),
            found.ensembles,
            {"units": "1", "long_name": "ln V [m/s] and ln theta [s] of the members"},
        ),
        "truth": (("time", "state"), record["truth"].values, record["truth"].attrs),
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
    return xr.Dataset(variables, coords)
