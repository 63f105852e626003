"""Events as a table: one row an event, offsets with their errors beside it."""

import numpy as np
import pandas as pd

from slipstate.watch.network_job import NetworkRun


def network_events(run: NetworkRun, units: list[str]) -> pd.DataFrame:
    """Return the events of a watched network.

    Args:
        run: The run.
        units: Unit of each component.

    Returns:
        Columns onset, onset_lo, onset_hi (ISO 8601, UTC), type, offsets and their
        standard errors per component (and station where there are several), duration
        [days], probability, latency_days, stations.
    """
    series = run.series
    several = len(series.stations) > 1
    rows = []
    for k, event in enumerate(run.past.events):
        row: dict[str, object] = {
            "onset": iso(event.onset),
            "onset_lo": iso(event.onset_lo),
            "onset_hi": iso(event.onset_hi),
            "type": event.kind,
        }
        for s, station in enumerate(series.stations):
            for c, component in enumerate(series.components):
                place = f"{station}_{component}" if several else component
                name = f"{place}_{units[c].replace('/', '_per_')}"
                row[f"offset_{name}"] = _short(run.past.offsets[k, s, c])
                row[f"sigma_{name}"] = _short(run.past.offset_sds[k, s, c])
        row |= {
            "duration": round(event.duration, 3),
            "probability": round(event.probability, 4),
            "latency_days": event.latency,
            "stations": ";".join(np.asarray(series.stations)[event.stations]),
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=_columns(run, units, several))


def iso(time: np.datetime64) -> str:
    """Return a time as ISO 8601 in UTC, to the second."""
    return f"{np.datetime_as_string(time.astype('datetime64[s]'))}Z"


def _short(value: float) -> float:
    """Return a number with as many digits as an offset deserves."""
    return float(f"{value:.5g}")


def _columns(run: NetworkRun, units: list[str], several: bool) -> list[str]:
    """Return the columns also where there is no event."""
    offsets = []
    for station in run.series.stations:
        for component, unit in zip(run.series.components, units, strict=True):
            place = f"{station}_{component}" if several else component
            name = f"{place}_{unit.replace('/', '_per_')}"
            offsets += [f"offset_{name}", f"sigma_{name}"]
    first = ["onset", "onset_lo", "onset_hi", "type"]
    return [*first, *offsets, "duration", "probability", "latency_days", "stations"]
