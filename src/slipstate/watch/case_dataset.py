"""A benchmark run as a dataset, with the numbers that say whether to believe it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import xarray as xr

from slipstate import __version__
from slipstate.assimilate import (
    AbstractFilter,
    coverage_target,
    innovation_whiteness,
    pit_uniformity,
    rank_uniformity,
    spread_skill,
)
from slipstate.assimilate.cases import Case, Twin
from slipstate.watch.case_chunk import LEVELS, QUANTILES, SHOWN
from slipstate.watch.case_names import case_names, noise_sd

_BATCHES = 20
_ROWS = {
    "error": "root mean square error of the mean over components",
    "spread": "root mean square spread over components",
    "crps": "fair CRPS of the state, mean over components",
    "crps_y": "fair CRPS of the next observation over its noise, mean over components",
    "crps_points": "CRPS of the ensemble as it is, mean over components",
    "energy": "fair energy score of the state",
    "log_likelihood": "log density of the observation given the past",
    "effective": "what the weights are worth, in members",
    "bandwidth": "bandwidth of the bridge",
}
_COLUMNS = {
    "innovation": "observation minus its forecast",
    "innovation_sd": "standard deviation of the forecast, noise included",
    "standardised": "innovation over its standard deviation",
    "pit": "probability that the forecast gave to smaller values",
}


def case_dataset(
    case: Case,
    method: AbstractFilter,
    twin: Twin,
    chunks: Sequence[Mapping[str, np.ndarray]],
    facts: Mapping[str, object],
) -> xr.Dataset:
    """Return a run as a dataset.

    Args:
        case: The case.
        method: The filter.
        twin: Truth and observations.
        chunks: What was kept of each stretch, in order.
        facts: What goes into the attributes.

    Returns:
        Scores of every cycle and of the run, ready to be drawn and written.
    """
    join = lambda name: np.concatenate([chunk[name] for chunk in chunks])
    cycles = len(twin.observations)
    units = list(case.model.observation.units)
    called = case_names(case, twin.states.shape[1])
    state = list(called.state[:SHOWN])
    variables: dict[str, tuple[object, ...]] = {
        name: ("time", join(name), _words(words)) for name, words in _ROWS.items()
    }
    for name, words in _COLUMNS.items():
        variables[name] = (("time", "obs"), join(name), _words(words))
    variables |= {
        "observed": (
            ("time", "obs"),
            np.asarray(twin.observations.y),
            _words("observation"),
        ),
        "truth": (("time", "state"), join("truth"), _words("true state")),
        "mean": (("time", "state"), join("mean"), _words("mean of the state")),
        "quantiles": (
            ("time", "state", "quantile"),
            join("quantiles"),
            _words("quantiles of the members"),
        ),
        "covered": (
            ("time", "level"),
            join("covered"),
            _words("share of state components inside their interval"),
        ),
        "covered_y": (
            ("time", "level"),
            join("covered_y"),
            _words("share of observations inside their interval"),
        ),
        "rank": (
            "rank",
            sum(chunk["rank"] for chunk in chunks),
            _words("truths of each rank among the members"),
        ),
        "rank_y": (
            "rank_y",
            sum(chunk["rank_y"] for chunk in chunks),
            _words("observations of each rank among the forecasts"),
        ),
    }
    time = case.interval * np.arange(float(cycles))
    coords = {
        "time": ("time", time, {"units": called.unit.strip() or "1"}),
        "obs": list(called.obs),
        "noise_sd": ("obs", noise_sd(case), _words("noise of the observation")),
        "observed_units": ("obs", units),
        "state": state,
        "level": list(LEVELS),
        "quantile": list(QUANTILES),
        "scored": ("time", np.arange(cycles) >= case.burn),
    }
    run = xr.Dataset(variables, coords)
    scores = case_scores(run, twin.states.shape[1])
    names = list(scores)
    run["score"] = (
        "score_name",
        np.array([scores[name][0] for name in names]),
        _words("scores of the run"),
    )
    run["score_error"] = (
        "score_name",
        np.array([scores[name][1] for name in names]),
        _words("standard errors of the scores"),
    )
    run = run.assign_coords(score_name=names)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    accepted = [a for a in case.reference if type(a.method) is type(method)]
    attrs = {
        "Conventions": "CF-1.11",
        "title": f"{case.name}, {facts['method_words']}",
        "kind": "case",
        "history": f"{stamp}: simulated and followed by slipstate assimilate",
        "slipstate_version": __version__,
        "source": "simulated",
        "burn": case.burn,
        "interval": f"{case.interval:g}{called.unit}",
        "time_words": called.time,
        "state_size": twin.states.shape[1],
        "accepted": f"{accepted[0].low} to {accepted[0].high}" if accepted else "",
        **{name: str(value) for name, value in facts.items()},
    }
    run = run.assign_attrs(attrs)
    return run.assign_attrs(verdict=case_verdict(run))


def case_scores(run: xr.Dataset, size: int) -> dict[str, tuple[float, float]]:
    """Return scores over the cycles after the burn-in, with standard errors.

    Args:
        run: The run.
        size: Number of state components.

    Returns:
        Name to value and standard error from means of batches; NaN where none is
        given.
    """
    late = run.isel(time=run["scored"].values.astype(bool))
    M = run.sizes["rank"] - 1
    errors = late["error"].values
    z, pit = late["standardised"].values, late["pit"].values
    # the density of observations in units of their noise
    noise = float(np.log(late["noise_sd"].values).mean())
    per_value = late["log_likelihood"].values / z.shape[1] + noise
    found = {
        "rmse": batched(errors),
        "spread": batched(late["spread"].values),
        "spread_skill": (
            spread_skill(
                errors, np.zeros_like(errors), late["spread"].values, members=M
            ),
            np.nan,
        ),
        "crps": batched(late["crps"].values),
        "energy": batched(late["energy"].values),
        "crps_forecast": batched(late["crps_y"].values),
        "log_score": tuple(np.array(batched(per_value)) * [-1.0, 1.0]),
        "nis": batched(np.nanmean(z**2, axis=1)),
    }
    for level in (0.5, 0.9):
        percent = f"{100 * level:.0f}"
        found[f"coverage{percent}"] = batched(late["covered"].sel(level=level).values)
        found[f"coverage{percent}_forecast"] = batched(
            late["covered_y"].sel(level=level).values
        )
        found[f"coverage{percent}_target"] = (coverage_target(level, M), np.nan)
    white = innovation_whiteness(z)
    ranks = rank_uniformity(late["rank_y"].values)
    uniform = pit_uniformity(pit.ravel(), effective=float(pit.size))
    found |= {
        "lag_one": (white.correlation, 1.0 / np.sqrt(z.size)),
        "whiteness_p": (white.p_value, np.nan),
        "rank_chi2_per_rank": (ranks.statistic / M, np.nan),
        "rank_p": (ranks.p_value, np.nan),
        "pit_distance": (uniform.statistic, np.nan),
        "pit_p": (uniform.p_value, np.nan),
        "members": (float(M), np.nan),
        "components": (float(size), np.nan),
    }
    for name in ("effective", "bandwidth"):
        values = late[name].values
        if np.isfinite(values).any():
            found[name] = batched(values)
    return found


def batched(values: np.ndarray) -> tuple[float, float]:
    """Return a mean and its standard error from means of batches.

    Args:
        values: One per cycle; NaN is left out.
    """
    mean = float(np.nanmean(values))
    parts = np.array_split(values, min(_BATCHES, max(2, values.size // 10)))
    means = np.array([np.nanmean(part) for part in parts])
    return mean, float(means.std(ddof=1) / np.sqrt(means.size))


def case_verdict(run: xr.Dataset) -> str:
    """Say in two or three sentences whether the method may be believed.

    Args:
        run: The run with its scores.
    """
    score = {
        str(n): float(x) for n, x in zip(run["score_name"].values, run["score"].values)
    }
    words = [
        f"RMSE {score['rmse']:.3g} with a spread of {score['spread']:.3g}"
        + (
            f" (other programs: {run.attrs['accepted']})"
            if run.attrs["accepted"]
            else ""
        )
        + "."
    ]
    ratio = score["spread_skill"]
    if not np.isfinite(ratio):
        words.append("The run ended in numbers that are not finite.")
    elif ratio < 0.5 and score["rmse"] < 2.0 * score["spread"]:
        words.append("Most errors are as the spread says; a few are far beyond it.")
    elif ratio < 0.5:
        words.append(
            "The filter has lost the truth: errors are more than twice the spread."
        )
    elif ratio < 0.85:
        words.append("Overconfident: the spread is too small for the error.")
    elif ratio > 1.2:
        words.append("Timid: the spread is larger than the error.")
    else:
        words.append("Spread and error agree.")
    words.append(
        f"90 % intervals cover {100 * score['coverage90']:.1f} % of the truth; "
        f"{100 * score['coverage90_target']:.1f} % is right for "
        f"{score['members']:.0f} members."
    )
    gap = score["coverage90"] - score["coverage90_target"]
    if np.isfinite(ratio) and abs(gap) >= 0.05:
        words.append(f"The intervals are too {'wide' if gap > 0 else 'narrow'}.")
    return " ".join(words)


def _words(words: str) -> dict[str, str]:
    return {"units": "1", "long_name": words}
