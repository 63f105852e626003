"""How good the forecasts were, against forecasts that need no model.

All methods are scored on exactly the same entries: observed, outside the training part,
and forecast by every method. Scores of components in different units are pooled after
division by the component's climatological spread.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from slipstate.assimilate.calibration import coverage_target
from slipstate.assimilate.scores import crps_gaussian, log_score_gaussian
from slipstate.watch.baselines import DAY, climatology, persistence, trajectory
from slipstate.watch.verdict import compose_verdict

BASELINES = ("persistence", "trajectory", "climatology")
METRICS = (
    "crps",
    "rmse",
    "coverage50",
    "coverage90",
    "spread_skill",
    "log_score",
    "count",
)
_Z50, _Z90 = 0.6744897501960817, 1.6448536269514722
_FEWEST_BLOCKS = 8


class _Forecast(NamedTuple):
    """What is needed of one method; each broadcasts to (time, series, horizon)."""

    error: np.ndarray
    sd: np.ndarray
    crps: np.ndarray
    log_score: np.ndarray
    in50: np.ndarray
    in90: np.ndarray


def scorecard(run: xr.Dataset) -> xr.Dataset:
    """Score the forecasts of a run against persistence, trajectory and climatology.

    Args:
        run: A run with `observed`, `observed_mask`, `training`, `forecast_mean`,
            `forecast_sd`; `forecast` (quantiles), `crps` and `log_score` are used
            where present, else taken from the Gaussian of mean and sd. The attribute
            `members` (int) tells that quantiles and sd come from that many members.

            Forecasts of other filters on the same data, `peer_forecast_mean` and so on
            (peer, time, station, component, horizon), are scored beside ours.

    Returns:
        `score` (method, metric, horizon), pooled; `score_component` (method, metric,
        horizon, component); `crps_gain`, `crps_gain_se` (method, horizon): mean CRPS of
        the method minus ours, with its standard error from blocks of time; and the
        attribute `verdict`, one sentence. The log score is -log p [nats].
    """
    horizons = np.asarray(run["horizon"].values, dtype=np.float64)
    shape = (run.sizes["time"], run.sizes["station"], run.sizes["component"])
    values = _array(run["observed"], "time", "station", "component")
    seen = run["observed_mask"].transpose("time", "station", "component").values
    values = np.where(seen, values, np.nan).reshape(shape[0], -1)
    used = run["training"].broadcast_like(run["observed"])
    used = used.transpose("time", "station", "component").values.astype(bool)
    training = used.reshape(shape[0], -1)
    time = run["time"].values

    ours = _ours(run, values)
    rest = climatology(values, training)
    baselines = (
        persistence(time, values, training, horizons),
        trajectory(time, values, training, seasonal=_has_seasons(run)),
        rest,
    )
    others = _peers(run, values)
    gaussian = [_gaussian(values, b.mean, b.sd) for b in baselines]
    forecasts = [ours, *others.values(), *gaussian]
    scored = np.isfinite(values)[..., None] & ~training[..., None]
    for forecast in forecasts:
        scored = scored & np.isfinite(forecast.crps)

    units = [str(u) for u in run["component_units"].values]
    mixed = len(set(units)) > 1
    component = np.tile(np.arange(shape[2]), shape[1])
    scale = _scales(rest.sd[0, :, 0], component, shape[2], mixed)
    members = run.attrs.get("members")
    tables = [
        _table(f, scored, component, shape[2], scale, members if f is ours else None)
        for f in forecasts
    ]
    gains = [
        _gain(f, ours, scored, scale[component], time, horizons) for f in forecasts
    ]
    methods = ["slipstate", *others, *BASELINES]
    return _dataset(run, methods, tables, gains, scored, units, mixed, members)


def _has_seasons(run: xr.Dataset) -> bool:
    return run.attrs.get("kind") != "fault"  # a simulated fault knows no summer


def _array(variable: xr.DataArray, *dims: str) -> np.ndarray:
    return np.asarray(variable.transpose(*dims).values, dtype=np.float64)


def _gaussian(values: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> _Forecast:
    y = values[..., None]
    error = y - mean
    size = np.abs(error)
    positive = np.where(sd > 0, sd, np.nan)  # certainty has no log score
    return _Forecast(
        error,
        sd,
        crps_gaussian(y, mean, sd),
        log_score_gaussian(y, mean, positive),
        size <= _Z50 * sd,
        size <= _Z90 * sd,
    )


def _ours(run: xr.Dataset, values: np.ndarray) -> _Forecast:
    """Take what the run has computed itself, the rest from mean and sd."""

    def stored(name: str) -> np.ndarray:
        array = _array(run[name], "time", "station", "component", "horizon")
        return array.reshape(*values.shape, -1)

    forecast = _gaussian(values, stored("forecast_mean"), stored("forecast_sd"))
    if "crps" in run:
        forecast = forecast._replace(crps=stored("crps"))
    if "log_score" in run:
        forecast = forecast._replace(log_score=stored("log_score"))
    if "forecast" in run:
        forecast = forecast._replace(
            in50=_inside(run, values, 0.25), in90=_inside(run, values, 0.05)
        )
    return forecast


def _peers(run: xr.Dataset, values: np.ndarray) -> dict[str, _Forecast]:
    """Take the forecasts of other filters, by label."""
    if "peer" not in run.dims:
        return {}
    found = {}
    for label in run["peer"].values:
        one = run.sel(peer=label)
        names = [str(name) for name in one.data_vars if str(name).startswith("peer_")]
        theirs = {name.removeprefix("peer_"): one[name] for name in names}
        found[str(label)] = _ours(xr.Dataset(theirs), values)
    return found


def _inside(run: xr.Dataset, values: np.ndarray, tail: float) -> np.ndarray:
    dims = ("time", "station", "component", "horizon")
    ends = (
        _array(run["forecast"].sel(quantile=q, method="nearest", tolerance=1e-6), *dims)
        for q in (tail, 1.0 - tail)
    )
    lower, upper = (end.reshape(*values.shape, -1) for end in ends)
    y = values[..., None]
    return (lower <= y) & (y <= upper)


def _scales(
    sd: np.ndarray, component: np.ndarray, count: int, mixed: bool
) -> Float[np.ndarray, " component"]:
    """Return what makes components comparable: 1, or the spread of each over all."""
    if not mixed:
        return np.ones(count)
    spread = np.array(
        [np.sqrt(np.nanmean(sd[component == k] ** 2)) for k in range(count)]
    )
    return np.where(spread > 0, spread, 1.0)


def _table(
    forecast: _Forecast,
    scored: Bool[np.ndarray, "time series horizon"],
    component: np.ndarray,
    components: int,
    scale: Float[np.ndarray, " component"],
    members: int | None,
) -> Float[np.ndarray, "metric horizon component_and_pool"]:
    """Return the metrics of one method per component, the pooled ones last."""

    def total(values: np.ndarray, where: np.ndarray) -> np.ndarray:
        """Sum over time and over the stations of each component."""
        spread = np.broadcast_to(values, scored.shape)
        series = np.sum(spread, axis=0, where=where, dtype=np.float64)
        sums = np.zeros((components, scored.shape[-1]))
        np.add.at(sums, component, series)
        return sums.T  # (horizon, component)

    ones = np.ones((1, 1, 1))
    count = total(ones, scored)
    finite = scored & np.isfinite(forecast.log_score)
    logs, log_count = total(forecast.log_score, finite), total(ones, finite)
    crps = total(forecast.crps, scored)
    squared = total(forecast.error**2, scored)
    variance = total(np.asarray(forecast.sd) ** 2, scored)
    in50, in90 = total(forecast.in50, scored), total(forecast.in90, scored)

    def pooled(sums: np.ndarray, power: int = 0) -> np.ndarray:
        return np.concatenate([sums, (sums / scale**power).sum(1, keepdims=True)], 1)

    n = pooled(count)
    n = np.where(n > 0, n, np.nan)
    nats = np.concatenate(
        [logs, (logs - log_count * np.log(scale)).sum(1, keepdims=True)], 1
    )
    log_n = pooled(log_count)
    errors = pooled(squared, 2)
    factor = 1.0 if members is None else (members + 1) / members
    ratio = factor * pooled(variance, 2) / np.where(errors > 0, errors, np.nan)
    return np.stack(
        [
            pooled(crps, 1) / n,
            np.sqrt(errors / n),
            pooled(in50) / n,
            pooled(in90) / n,
            np.sqrt(ratio),
            nats / np.where(log_n > 0, log_n, np.nan),
            pooled(count),
        ]
    )


def _gain(
    forecast: _Forecast,
    ours: _Forecast,
    scored: Bool[np.ndarray, "time series horizon"],
    scale: Float[np.ndarray, " series"],
    time: np.ndarray,
    horizons: Float[np.ndarray, " horizon"],
) -> Float[np.ndarray, "2 horizon"]:
    """Return mean CRPS of a method minus ours, and its standard error.

    Errors are correlated over a horizon and beyond; blocks of four horizons, or a
    hundredth of the scored span where that is longer, are taken as independent.
    """
    gap = (forecast.crps - ours.crps) / scale[None, :, None]
    gap = np.sum(gap, axis=1, where=scored)
    count = scored.sum(axis=1)
    days = (time - time[0]) / DAY
    result = np.full((2, horizons.size), np.nan)
    for h, horizon in enumerate(horizons):
        rows = count[:, h] > 0
        if not rows.any():
            continue
        gaps, counts, at = gap[rows, h], count[rows, h], days[rows]
        mean = gaps.sum() / counts.sum()
        result[0, h] = mean
        length = max(4.0 * horizon, np.ptp(at) / 100.0)
        if length > 0:
            block = ((at - at[0]) // length).astype(int)
            sums = np.bincount(block, gaps - mean * counts)
            blocks = np.unique(block).size
            if blocks >= _FEWEST_BLOCKS:
                variance = blocks / (blocks - 1) * np.sum(sums**2)
                result[1, h] = np.sqrt(variance) / counts.sum()
    return result


def _dataset(
    run: xr.Dataset,
    methods: list[str],
    tables: list[np.ndarray],
    gains: list[np.ndarray],
    scored: np.ndarray,
    units: list[str],
    mixed: bool,
    members: int | None,
) -> xr.Dataset:
    score, gain = np.stack(tables), np.stack(gains)
    pooled_units = "1" if mixed else units[0]
    note = (
        "CRPS and RMSE are divided by the climatological spread of each component"
        if mixed
        else "pooled over stations and components"
    )
    facts = {
        "units": f"{pooled_units} (crps, rmse), nat (log_score), 1 (the others)",
        "pooling": note,
        "coverage50_target": coverage_target(0.5, members),
        "coverage90_target": coverage_target(0.9, members),
    }
    by_method = ("method", "horizon")
    result = xr.Dataset(
        {
            "score": (
                ("method", "metric", "horizon"),
                score[..., -1],
                {"long_name": "scores outside the training part, pooled", **facts},
            ),
            "score_component": (
                ("method", "metric", "horizon", "component"),
                score[..., :-1],
                {
                    "long_name": "scores outside the training part, by component",
                    "units": "see component_units (crps, rmse), nat (log_score), 1",
                },
            ),
            "crps_gain": (
                by_method,
                gain[:, 0],
                {
                    "long_name": "mean CRPS minus that of slipstate",
                    "units": pooled_units,
                },
            ),
            "crps_gain_se": (
                by_method,
                gain[:, 1],
                {"long_name": "standard error of crps_gain", "units": pooled_units},
            ),
        },
        coords={
            "method": methods,
            "metric": list(METRICS),
            "horizon": run["horizon"],
            "component": run["component"],
        },
    )
    count = int(np.any(scored, axis=(1, 2)).sum())
    engine = str(run.attrs.get("engine_label", ""))
    result.attrs["verdict"] = compose_verdict(result, count, pooled_units, engine)
    return result
