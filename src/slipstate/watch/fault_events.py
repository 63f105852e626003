"""Slow slip of a simulated fault, told by the probability that it slips."""

import numpy as np
import pandas as pd
import xarray as xr

from slipstate.watch.detect import ALARM
from slipstate.watch.table import iso

_SURELY, _HARDLY = 0.95, 0.05


def fault_events(run: xr.Dataset) -> pd.DataFrame:
    """Return the slow-slip events of a fault run.

    An event is a stretch in which the fault more likely slips than not, or has since
    the time before (`fault_slip`); its onset is bounded by the last time before at
    which it hardly may and the first at which it nearly surely does. The stress drop is
    the mean over members between the sample before the event and its last one.

    Args:
        run: The run, with `slip_probability` and `filtered`; with `truth_slips` and
            stress, latency and stress drop are known too.

    Returns:
        One row an event.
    """
    share = run["slip_probability"].values
    times = run["time"].values
    stress, spread = (_stress(run, name) for name in ("filtered", "filtered_sd"))
    true = np.zeros(len(times), bool)
    if "truth_slips" in run:
        true = run["truth_slips"].values.astype(bool)
    day = np.timedelta64(1, "D")
    rows = []
    for first, last in _stretches(share > ALARM):
        if first == 0:
            continue  # it began before anything was seen
        low = np.flatnonzero(share[:first] <= _HARDLY)
        high = np.flatnonzero(share[first:] >= _SURELY)
        begin = low[-1] if low.size else first - 1
        end = first + high[0] if high.size else last
        started = [a for a, b in _stretches(true) if a <= last and b >= first - 1]
        late = (times[first] - times[started[0]]) / day if started else np.nan
        drop, sigma = stress[last] - stress[first - 1], spread[[last, first - 1]]
        rows.append(
            {
                "onset": iso(times[first]),
                "onset_lo": iso(times[begin]),
                "onset_hi": iso(times[min(end, last)]),
                "type": "slow slip",
                "offset_tau_Pa": float(f"{drop:.5g}"),
                "sigma_tau_Pa": float(f"{np.hypot(*sigma):.3g}"),
                "duration": float((times[last] - times[first - 1]) / day),
                "probability": round(float(share[first : last + 1].max()), 4),
                "latency_days": float(late),
                "stations": "fault",
            }
        )
    names = ["onset", "onset_lo", "onset_hi", "type", "offset_tau_Pa", "sigma_tau_Pa"]
    names += ["duration", "probability", "latency_days", "stations"]
    return pd.DataFrame(rows, columns=names)


def _stress(run: xr.Dataset, name: str) -> np.ndarray:
    """Return a variable of the stress; NaN where stress was not observed."""
    if "tau" not in run["component"].values:
        return np.full(run.sizes["time"], np.nan)
    return run[name].sel(component="tau").values[:, 0]


def _stretches(flag: np.ndarray) -> list[tuple[int, int]]:
    """Return first and last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flag.astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]
