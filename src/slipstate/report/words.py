"""What a run says in words and tables."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from slipstate.report.figures.network import loudest_component
from slipstate.report.view import DAY, display_unit, event_times, significant
from slipstate.watch.verdict import days

_SHOWN_STATIONS = 4


class Table(NamedTuple):
    """A table of ready-made texts.

    Attributes:
        heads: Column heads.
        rows: Cells, row by row.
        marks: One class per row, empty where nothing is special.
    """

    heads: list[str]
    rows: list[list[str]]
    marks: list[str]


def describe_watched(run: xr.Dataset) -> str:
    """Say in two sentences what was watched."""
    stations = [str(s) for s in run["station"].values]
    components = [str(c) for c in run["component"].values]
    times = run["time"].values.astype("datetime64[ns]")
    seen = run["observed_mask"].values.astype(bool)
    kind = run.attrs.get("kind")
    if kind == "fault":
        what = f"A simulated fault, seen through {join(components)}"
    elif len(stations) == 1:
        what = f"Station {stations[0]} ({join(components)})"
    else:
        some = ", ".join(stations[:_SHOWN_STATIONS])
        more = f" and {len(stations) - _SHOWN_STATIONS} more"
        if len(stations) <= _SHOWN_STATIONS:
            some, more = join(stations), ""
        what = f"{len(stations)} stations ({some}{more}; {join(components)})"
    span = float((times[-1] - times[0]) / DAY)
    if kind == "fault":
        period = f"over {_span(span)}"
    else:
        period = f"from {_date(times[0])} to {_date(times[-1])}"
    step = days(float(np.median(np.diff(times)) / DAY)) if times.size > 1 else "unknown"
    missing = 100.0 * (1.0 - seen.mean())
    training = run["training"]
    used = int(training.any([d for d in training.dims if d != "time"]).sum())
    split = (
        f"The first {used:,} times were used for fitting, the other "
        f"{times.size - used:,} for scoring."
    )
    if run.sizes["station"] > 1 and "station" in training.dims:
        split = (
            "The first part of each station was used for fitting and the rest for "
            f"scoring, {100.0 * (1.0 - float(training.mean())):.0f} % of the whole."
        )
    return (
        f"{what}, {period}: {times.size:,} times {step} apart, {int(seen.sum()):,} "
        f"observed values, {missing:.2g} % missing. {split}"
    )


def describe_events(run: xr.Dataset, events: pd.DataFrame) -> str:
    """Say in a sentence or two what was flagged."""
    if not len(events):
        return "No event was flagged."
    kinds = events["type"].value_counts()
    parts = [f"{count} {_kind(str(kind), int(count))}" for kind, count in kinds.items()]
    total = f"{len(events)} event{'s were' if len(events) > 1 else ' was'} flagged"
    when = _moment(run, event_times(events, "onset")[-1:])[0]
    text = f"{total}: {join(parts)}; the latest began {when}."
    latency = events["latency_days"].to_numpy(dtype=np.float64)
    latency = latency[np.isfinite(latency)]
    if latency.size:
        middle = float(np.median(latency))
        text += (
            f" Median time from onset to alarm: {days(middle)}."
            if middle > 0
            else " The median alarm came with the sample of the onset."
        )
    return text


def event_table(run: xr.Dataset, events: pd.DataFrame) -> Table:
    """Return the table of events as it is shown, newest last."""
    stations = [str(s) for s in run["station"].values]
    heads = [
        "",
        "Type",
        "Onset",
        "90 % interval of onset",
        "Duration",
        "Probability",
        "Latency",
    ]
    rows = []
    onset, low, high = (
        event_times(events, name) if len(events) else np.zeros(0, "M8[ns]")
        for name in ("onset", "onset_lo", "onset_hi")
    )
    when = _moment(run, onset)
    for k in range(len(events)):
        event = events.iloc[k]
        rows.append(
            [
                str(k + 1),
                str(event["type"]),
                when[k],
                _around(onset[k], low[k], high[k]),
                "–" if event["duration"] == 0 else _length(event["duration"]),
                _probability(float(event["probability"])),
                _length(event["latency_days"]),
            ]
        )
    if len(stations) == 1:
        for component in run["component"].values:
            unit = display_unit(run, str(component))
            cells = _offset_cells(events, "", str(component), unit.factor)
            if any(cells):
                heads.append(f"Offset {unit.label}")
                for row, cell in zip(rows, cells):
                    row.append(cell or "–")
    elif len(events):
        component = loudest_component(run, events)
        unit = display_unit(run, component)
        heads += [f"Largest offsets, {unit.label}", "Stations"]
        for row, cell, count in zip(
            rows,
            _largest_offsets(events, stations, component, unit.factor),
            events["stations"].fillna("").astype(str).str.split(";").str.len(),
        ):
            row += [cell, str(count)]
    marks = [str(kind).replace(" ", "-") for kind in events["type"]] if rows else []
    return Table(heads, rows, marks)


def score_table(run: xr.Dataset) -> Table:
    """Return the pooled scores as they are shown."""
    score = run["score"]
    heads = [
        "Horizon",
        "Method",
        "CRPS",
        "gain",
        "RMSE",
        "50 % covers",
        "90 % covers",
        "spread / error",
        "log score",
        "forecasts",
    ]
    rows, marks = [], []
    for horizon in run["horizon"].values.astype(float):
        ours = float(
            score.sel({"method": "slipstate", "metric": "crps"}).sel(horizon=horizon)
        )
        for method in run["method"].values:
            one = score.sel({"method": method, "horizon": horizon})
            value = {str(m): float(one.sel(metric=m)) for m in run["metric"].values}
            mine = str(method) == "slipstate"
            gain = 100.0 * (1.0 - ours / value["crps"]) if value["crps"] > 0 else np.nan
            rows.append(
                [
                    days(horizon) if mine else "",
                    str(method),
                    _digits(value["crps"]),
                    "" if mine else _number(gain, "{:+.1f} %"),
                    _digits(value["rmse"]),
                    _number(100 * value["coverage50"], "{:.1f} %"),
                    _number(100 * value["coverage90"], "{:.1f} %"),
                    _number(value["spread_skill"], "{:.2f}"),
                    _number(value["log_score"], "{:.3f}"),
                    f"{value['count']:,.0f}",
                ]
            )
            lost = not mine and value["crps"] <= ours
            marks.append("ours" if mine else "lost" if lost else "")
    return Table(heads, rows, marks)


def term_table(run: xr.Dataset) -> Table | None:
    """Return the terms of the trajectory model at the last time, or None."""
    if "term_mean" not in run or "term_sd" not in run:
        return None
    mean, sd = run["term_mean"].isel(time=-1), run["term_sd"].isel(time=-1)
    terms = [str(t) for t in run["term"].values]
    units = (
        run["term_units"].values if "term_units" in run.coords else [""] * len(terms)
    )
    heads = ["Station", "Component"]
    heads += [f"{t} ({u})" if u else t for t, u in zip(terms, units)]
    rows = []
    for station in run["station"].values:
        for component in run["component"].values:
            place = {"station": station, "component": component}
            cells = [
                plus_minus(
                    float(mean.sel({**place, "term": t})),
                    float(sd.sel({**place, "term": t})),
                )
                for t in run["term"].values
            ]
            rows.append([str(station), str(component), *cells])
    return Table(heads, rows, [""] * len(rows))


def plus_minus(value: float, sigma: float) -> str:
    """Write a value with its standard deviation, to the digits that mean something."""
    if not np.isfinite(value):
        return ""
    if not np.isfinite(sigma) or sigma <= 0:
        return _minus(f"{value:.4g}")
    exponent = int(np.floor(np.log10(sigma)))
    digits = int(np.clip(-exponent + (sigma < 2.0 * 10.0**exponent), 0, 9))
    return _minus(f"{value:.{digits}f}") + f" ± {sigma:.{digits}f}"


def join(words: list[str]) -> str:
    """Write a list as a sentence does."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _offset_cells(
    events: pd.DataFrame, station: str, component: str, factor: float
) -> list[str]:
    value, sigma = _offset_values(events, station, component)
    return [plus_minus(v * factor, s * factor) for v, s in zip(value, sigma)]


def _offset_values(
    events: pd.DataFrame, station: str, component: str
) -> tuple[np.ndarray, np.ndarray]:
    stem = f"{station}_{component}_" if station else f"{component}_"
    found = []
    for what in ("offset", "sigma"):
        names = [c for c in events.columns if str(c).startswith(f"{what}_{stem}")]
        found.append(
            events[names[0]].to_numpy(dtype=np.float64)
            if names
            else np.full(len(events), np.nan)
        )
    return found[0], found[1]


def _largest_offsets(
    events: pd.DataFrame, stations: list[str], component: str, factor: float
) -> list[str]:
    pairs = [_offset_values(events, s, component) for s in stations]
    value = np.stack([p[0] for p in pairs]) * factor
    sigma = np.stack([p[1] for p in pairs]) * factor
    cells = []
    for k in range(value.shape[1]):
        size = np.where(np.isfinite(value[:, k]), np.abs(value[:, k]), -1.0)
        order = [i for i in np.argsort(-size, kind="stable")[:3] if size[i] > 0]
        cells.append(
            ", ".join(
                f"{stations[i]} {plus_minus(value[i, k], sigma[i, k])}" for i in order
            )
        )
    return cells


def _moment(run: xr.Dataset, times: np.ndarray) -> list[str]:
    """Write times as dates, or as time elapsed for a simulation."""
    if run.attrs.get("kind") == "fault":
        origin = run["time"].values[0].astype("datetime64[ns]")
        span = float((run["time"].values[-1] - origin) / DAY)
        unit, name = (365.25, "yr") if span > 730 else (1.0, "d")
        return [f"{float((t - origin) / DAY) / unit:.3f} {name}" for t in times]
    return [_date(t) for t in times]


def _around(onset: np.datetime64, low: np.datetime64, high: np.datetime64) -> str:
    """Write the interval of an onset as its distances from it."""
    before, after = float((onset - low) / DAY), float((high - onset) / DAY)
    if before == 0 and after == 0:
        return "within the sample"
    size, name = 1 / 86_400, "s"
    for length, word in ((1.0, "d"), (1 / 24, "h"), (1 / 1440, "min")):
        if max(before, after) >= length:
            size, name = length, word
            break
    return _minus(f"-{before / size:.3g} / +{after / size:.3g} {name}")


def _date(time: np.datetime64) -> str:
    day = time.astype("datetime64[D]")
    return (
        str(day) if day == time else f"{time.astype('datetime64[s]')}".replace("T", " ")
    )


def _span(length: float) -> str:
    return f"{length / 365.25:.3g} years" if length > 730 else days(length)


def _length(value: object) -> str:
    number = float(value) if value is not None else np.nan  # type: ignore[arg-type]
    if not np.isfinite(number):
        return "–"
    return (
        "at once" if number == 0 else days(round(number, 2) if number >= 1 else number)
    )


def _probability(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return "> 0.999" if value > 0.999 else f"{value:.3f}"


def _number(value: float, form: str) -> str:
    return _minus(form.format(value)) if np.isfinite(value) else "–"


def _digits(value: float) -> str:
    return _minus(significant(value, 4)) if np.isfinite(value) else "–"


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _kind(kind: str, count: int) -> str:
    plural = {"slow slip": "slow slip events", "step": "steps", "rupture": "ruptures"}
    single = {"slow slip": "slow slip event"}
    return plural.get(kind, kind) if count > 1 else single.get(kind, kind)
