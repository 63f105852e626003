"""Several stations as one record."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from slipstate.ground.errors import InputError
from slipstate.records.schema import (
    GNSS_COMPONENTS,
    SEVERAL_UNITS,
    check_record,
    history_line,
)

_PER_STATION = ("latitude", "longitude", "height")


def combine(records: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join records of one kind on time, with a dimension `station`.

    A station keeps its gaps: where it has no sample at a time another station has, its
    `mask` is False. So are components that only other stations have.

    Args:
        records: Records of one station each.

    Returns:
        One record with dims (time, station, component).

    Raises:
        InputError: Names repeat, or kinds or units differ.
    """
    if not records:
        raise InputError("`records` must hold a record; got none. Pass what was read.")
    for record in records:
        check_record(record)
        if "station" in record.dims:
            raise InputError(
                "`records` must hold records of one station each; got one with "
                f"{record.sizes['station']} stations. Pass `.isel(station=0)`."
            )
    names = [str(record["station"].item()) for record in records]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"`records` must hold each station once; got {', '.join(repeated)} more "
            "than once. Leave out the repeated file."
        )
    kinds = sorted({record.attrs["kind"] for record in records})
    if len(kinds) > 1:
        raise InputError(
            f"`records` must be of one kind; got {' and '.join(kinds)}. Watch them "
            "apart."
        )
    units = _units(records)
    parts = [_with_station(record, units) for record in records]
    joined = xr.concat(parts, dim="station", join="outer", fill_value=_FILL)
    joined = joined.sel(component=list(units))
    joined = joined.assign_coords(
        component_units=(
            "component",
            np.asarray(list(units.values())),
            records[0]["component_units"].attrs,
        )
    )
    joined = joined.transpose("time", "station", "component")
    one_unit = len(set(units.values())) == 1
    unit = next(iter(units.values())) if one_unit else SEVERAL_UNITS
    for name in ("value", "sigma"):
        joined[name].attrs["units"] = unit
    history = [
        f"{line} [{name}]"
        for name, record in zip(names, records)
        for line in record.attrs["history"].splitlines()
    ]
    history.append(history_line(f"joined {len(names)} stations on time"))
    joined.attrs = {
        "Conventions": records[0].attrs["Conventions"],
        "featureType": "timeSeries",
        "title": f"{len(names)} stations: {', '.join(names)}",
        "kind": kinds[0],
        "history": "\n".join(history),
    }
    for key in ("references", "source"):
        said = [record.attrs[key] for record in records if record.attrs.get(key)]
        if said:
            joined.attrs[key] = "; ".join(dict.fromkeys(said))
    check_record(joined)
    return joined


_FILL = {"value": np.nan, "sigma": np.nan, "mask": False, "quality": ""}


def _units(records: Sequence[xr.Dataset]) -> dict[str, str]:
    """Return component to unit, in the order of the first mention."""
    units: dict[str, str] = {}
    for record in records:
        for name, unit in zip(
            record["component"].values.tolist(),
            record["component_units"].values.tolist(),
        ):
            if units.setdefault(name, unit) != unit:
                raise InputError(
                    f"`records` must give {name!r} in one unit; got {units[name]} and "
                    f"{unit} ({record['station'].item()}). Convert one of them."
                )
    if records[0].attrs["kind"] == "gnss":
        return {name: units[name] for name in GNSS_COMPONENTS if name in units}
    return units


def _with_station(record: xr.Dataset, units: dict[str, str]) -> xr.Dataset:
    part = record.drop_vars("component_units")
    part = part.reindex(component=list(units), fill_value=_FILL)
    part = part.expand_dims("station")
    for name in _PER_STATION:
        if name not in part.coords:
            part = part.assign_coords({name: np.nan})
        if "station" not in part[name].dims:
            attrs = part[name].attrs
            number = np.asarray([part[name].item()])
            part = part.assign_coords({name: ("station", number, attrs)})
    if "quality" not in part:
        count = (1, part.sizes["time"])
        part["quality"] = (("station", "time"), np.full(count, "", dtype="U1"))
    return part
