"""The scorecard in a sentence or two that hide nothing."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

NAMES = {
    "persistence": "persistence",
    "trajectory": "the linear + seasonal trajectory",
    "climatology": "climatology",
}
_TWO_SIDED_95 = 1.959964


def compose_verdict(
    scores: xr.Dataset, times: int, units: str, engine: str = ""
) -> str:
    """Say which baselines are beaten by CRPS, and name each one that is not.

    Args:
        scores: `score`, `crps_gain` and `crps_gain_se` of a scorecard.
        times: Number of times with a scored entry.
        units: Unit of the pooled CRPS.
        engine: Name of our filter, where others follow the same data.

    Returns:
        One sentence; a second one on other filters where the scorecard has some.
    """
    crps = scores["score"].sel({"metric": "crps"})
    count = int(scores["score"].sel({"metric": "count", "method": "slipstate"}).sum())
    if count == 0:
        return (
            "Nothing could be scored, because no observation outside the training part "
            "was forecast by every method."
        )
    horizons = [float(h) for h in scores["horizon"].values]
    beaten, lost, unsure = [], [], []
    for method, name in NAMES.items():
        for horizon in horizons:
            place = {"method": method, "horizon": horizon}
            gain = float(scores["crps_gain"].sel(place))
            error = float(scores["crps_gain_se"].sel(place))
            if np.isnan(gain):
                continue
            close = not abs(gain) > _TWO_SIDED_95 * error
            if gain > 0:
                beaten.append((name, horizon))
                if close:
                    unsure.append((name, horizon))
                continue
            ours = float(crps.sel({"method": "slipstate", "horizon": horizon}))
            theirs = float(crps.sel(place))
            hedge = "; within sampling error" if close else ""
            lost.append(
                f"{name} at {days(horizon)} (CRPS {ours:.4g} against {theirs:.4g}"
                f"{'' if units == '1' else ' ' + units}{hedge})"
            )
    start = (
        f"Over {count:,} forecasts at {times:,} times not used for fitting, slipstate "
    )
    if not lost:
        ahead = _list([days(h) for h in horizons])
        where = f"every horizon ({ahead})" if len(horizons) > 1 else ahead
        end = f"beats {_list(list(NAMES.values()))} by CRPS at {where}"
    else:
        end = f"does not beat {_list(lost, 'or')}"
        if beaten:
            end += f"; it beats {_by_name(beaten)}"
    if unsure:
        end += f"; the lead over {_by_name(unsure)} is within sampling error"
    return start + end + "." + _against_filters(scores, engine)


def other_filters(scores: xr.Dataset) -> list[str]:
    """Return the methods of a scorecard that are neither ours nor baselines.

    Args:
        scores: The scorecard.

    Returns:
        Their labels.
    """
    return [str(m) for m in scores["method"].values if m not in ("slipstate", *NAMES)]


def standing(scores: xr.Dataset, method: str, horizon: float) -> int:
    """Return how a method stands to ours by CRPS.

    Args:
        scores: A scorecard with `crps_gain` and `crps_gain_se`.
        method: The method.
        horizon: The horizon [days].

    Returns:
        1 where it is worse than ours, -1 where it is better, 0 within sampling error.
    """
    place = {"method": method, "horizon": horizon}
    gain = float(scores["crps_gain"].sel(place))
    error = float(scores["crps_gain_se"].sel(place))
    return int(np.sign(gain)) if abs(gain) > _TWO_SIDED_95 * error else 0


def _against_filters(scores: xr.Dataset, engine: str) -> str:
    """Say how our filter did against others on the same data; empty without any."""
    others = other_filters(scores)
    horizons = [float(h) for h in scores["horizon"].values]
    words = {1: "better than", -1: "worse than", 0: "within sampling error of"}
    parts = []
    for sign, relation in words.items():
        names = []
        for name in others:
            where = [h for h in horizons if standing(scores, name, h) == sign]
            if where:
                some = "" if len(where) == len(horizons) else _at(where)
                names.append(f"the {name}{some}")
        parts += [f"{relation} {_list(names)}"] if names else []
    if not parts:
        return ""
    return f" On the same data its {engine or 'filter'} is {_list(parts)}."


def _at(horizons: Sequence[float]) -> str:
    return f" at {_list([days(h) for h in horizons])}"


def days(horizon: float) -> str:
    """Write a horizon given in days in the unit a reader expects."""
    for size, name in ((1.0, "day"), (1 / 24, "hour"), (1 / 1440, "minute")):
        if horizon >= size or horizon == 0:
            return _count(horizon / size, name)
    return _count(horizon * 86_400, "second")


def _count(number: float, name: str) -> str:
    return f"{number:.4g} {name}{'' if number == 1 else 's'}"


def _by_name(pairs: list[tuple[str, float]]) -> str:
    names = dict.fromkeys(name for name, _ in pairs)
    return _list(
        [
            f"{name} at {_list([days(h) for other, h in pairs if other == name])}"
            for name in names
        ]
    )


def _list(words: Sequence[str], conjunction: str = "and") -> str:
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"
