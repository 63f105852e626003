"""The one schema of observations, and its check.

| name              | dims                       | meaning                             |
|-------------------|----------------------------|-------------------------------------|
| `value`           | time, [station,] component | observation, NaN where missing      |
| `sigma`           | the same                   | one standard deviation, NaN unknown |
| `mask`            | the same                   | True where observed                 |
| `quality`         | time[, station]            | flag of the source, optional        |
| `component_units` | component                  | unit of each component              |

`time` is datetime64[ns], UTC, strictly increasing; a missing day is an absent row. One
station is a scalar coordinate `station`; several stations have the dimension. The
attributes `Conventions`, `title`, `kind` and `history` are always there.
"""

import datetime
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from slipstate.ground.errors import InputError, RecordError

CONVENTIONS = "CF-1.11"
KINDS = ("gnss", "series", "fault")
GNSS_COMPONENTS = ("east", "north", "up")
SEVERAL_UNITS = "see component_units"


@dataclass(frozen=True)
class Station:
    """Where a record was taken.

    Attributes:
        name: Identifier, for example "ALBH".
        latitude: North positive [degrees], NaN where unknown.
        longitude: East positive [degrees], NaN where unknown.
        height: Above the ellipsoid [m], NaN where unknown.
    """

    name: str
    latitude: float = float("nan")
    longitude: float = float("nan")
    height: float = float("nan")


@dataclass(frozen=True)
class Samples:
    """The numbers of a record before they carry names and units.

    Attributes:
        time: datetime64[ns] (time,).
        value: Observations, NaN where missing (time, component).
        sigma: One standard deviation, NaN where unknown (time, component).
        components: Name of each component.
        units: Unit of each component, SI or mm.
        quality: Flag of each sample (time,), or None.
    """

    time: np.ndarray
    value: np.ndarray
    sigma: np.ndarray
    components: tuple[str, ...]
    units: tuple[str, ...]
    quality: np.ndarray | None = field(default=None)


def history_line(what: str) -> str:
    """Return one line of the CF `history`: when, and what was done."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{now}: {what}"


def build_record(
    samples: Samples,
    station: Station,
    *,
    kind: str,
    title: str,
    history: str,
    attributes: dict[str, str] | None = None,
) -> xr.Dataset:
    """Return a checked record.

    Args:
        samples: The numbers.
        station: Where they were taken.
        kind: "gnss", "series" or "fault".
        title: One line for headings.
        history: What was done so far; see `history_line`.
        attributes: More attributes of the dataset, for example `references`.

    Returns:
        A dataset of the schema at the top of this page.

    Raises:
        InputError: The parts do not fit together.
    """
    one_unit = len(set(samples.units)) == 1
    unit = samples.units[0] if one_unit else SEVERAL_UNITS
    value = np.asarray(samples.value, np.float64)
    dims = ("time", "component")
    known = {"units": unit}
    data: dict[str, tuple] = {
        "value": (dims, value, known | {"long_name": "observed value"}),
        "sigma": (
            dims,
            np.asarray(samples.sigma, np.float64),
            known | {"long_name": "standard deviation of the observed value"},
        ),
        "mask": (
            dims,
            ~np.isnan(value),
            {"units": "1", "long_name": "true where observed"},
        ),
    }
    if samples.quality is not None:
        data["quality"] = (
            "time",
            np.asarray(samples.quality, np.str_),
            {"long_name": "quality flag of the source"},
        )
    coordinates: dict[str, tuple] = {
        "time": (
            "time",
            np.asarray(samples.time, "datetime64[ns]"),
            {"standard_name": "time", "long_name": "time (UTC)"},
        ),
        "component": (
            "component",
            np.asarray(samples.components, np.str_),
            {"long_name": "component of the observation"},
        ),
        "component_units": (
            "component",
            np.asarray(samples.units, np.str_),
            {"long_name": "unit of each component"},
        ),
        "station": (
            (),
            station.name,
            {"long_name": "station identifier", "cf_role": "timeseries_id"},
        ),
        "latitude": (
            (),
            float(station.latitude),
            {"standard_name": "latitude", "units": "degrees_north"},
        ),
        "longitude": (
            (),
            float(station.longitude),
            {"standard_name": "longitude", "units": "degrees_east"},
        ),
        "height": (
            (),
            float(station.height),
            {
                "standard_name": "height_above_reference_ellipsoid",
                "units": "m",
                "positive": "up",
            },
        ),
    }
    attrs = {
        "Conventions": CONVENTIONS,
        "featureType": "timeSeries",
        "title": title,
        "kind": kind,
        "history": history,
    }
    record = xr.Dataset(data, coordinates, attrs | (attributes or {}))
    check_record(record)
    return record


def check_record(dataset: xr.Dataset) -> None:
    """Raise unless a dataset keeps the schema.

    Args:
        dataset: A record of one station, or several stations from `combine`.

    Raises:
        InputError: The first rule that is broken, with what to do.
    """
    missing = {"value", "sigma", "mask"} - set(dataset.data_vars)
    missing |= {"time", "component", "component_units", "station"} - set(dataset.coords)
    if missing:
        raise InputError(
            f"`dataset` must have {', '.join(sorted(missing))}; got "
            f"{', '.join(map(str, dataset.variables))}. Build it with "
            "`records.read_record` or `records.build_record`."
        )
    several = "station" in dataset.dims
    dims = ("time", "station", "component") if several else ("time", "component")
    for name in ("value", "sigma", "mask"):
        if dataset[name].dims != dims:
            raise InputError(
                f"`{name}` must have dims {dims}; got {dataset[name].dims}. "
                f"Use `.transpose{dims}`."
            )
    _check_dtypes(dataset)
    time = dataset["time"].values
    if time.size and not (time[1:] > time[:-1]).all():
        raise InputError(
            "`time` must increase strictly; got repeated or unsorted times. Use "
            "`.sortby('time')` and `.drop_duplicates('time')`."
        )
    if not np.isfinite(dataset["value"].values[dataset["mask"].values]).all():
        raise InputError(
            "`value` must be finite where `mask` is True; got NaN or infinity. Set "
            "`mask = isfinite(value)`."
        )
    sigma = dataset["sigma"].values
    if (sigma <= 0).any() or np.isinf(sigma).any():
        raise InputError(
            "`sigma` must be positive and finite, or NaN where unknown; got "
            f"{sigma[(sigma <= 0) | np.isinf(sigma)][0]}."
        )
    _check_attributes(dataset)


def require_length(dataset: xr.Dataset, rows: int, path: str) -> None:
    """Raise unless a record has enough samples for what is to be done with it.

    Args:
        dataset: A record.
        rows: Least number of times with an observation.
        path: Where it came from, for the message.

    Raises:
        RecordError: There are fewer.
    """
    others = [dim for dim in dataset["mask"].dims if dim != "time"]
    found = int(dataset["mask"].any(others).sum())
    if found < rows:
        raise RecordError(
            path,
            f"at least {rows} samples to learn from",
            f"{found}",
            "Give a longer record.",
        )


def _check_dtypes(dataset: xr.Dataset) -> None:
    expected = {"value": "float64", "sigma": "float64", "mask": "bool"}
    for name, dtype in (expected | {"time": "datetime64[ns]"}).items():
        if dataset[name].dtype != np.dtype(dtype):
            raise InputError(
                f"`{name}` must be {dtype}; got {dataset[name].dtype}. "
                f"Use `.astype({dtype!r})`."
            )


def _check_attributes(dataset: xr.Dataset) -> None:
    units = [str(unit) for unit in dataset["component_units"].values]
    expected = units[0] if len(set(units)) == 1 else SEVERAL_UNITS
    for name in ("value", "sigma"):
        if dataset[name].attrs.get("units") != expected:
            raise InputError(
                f"`{name}.attrs['units']` must be {expected!r} as in "
                f"`component_units`; got {dataset[name].attrs.get('units')!r}."
            )
    for name in ("Conventions", "title", "history", "kind"):
        if not dataset.attrs.get(name):
            raise InputError(
                f"`dataset.attrs[{name!r}]` must say something; got nothing. Build the "
                "record with `records.build_record`."
            )
    kind = dataset.attrs["kind"]
    if kind not in KINDS:
        raise InputError(f"`kind` must be one of {', '.join(KINDS)}; got {kind!r}.")
    names = tuple(str(name) for name in dataset["component"].values)
    if len(set(names)) != len(names):
        raise InputError(f"`component` must hold each name once; got {names}.")
    if kind == "gnss":
        order = tuple(name for name in GNSS_COMPONENTS if name in names)
        if names != order:
            raise InputError(
                f"`component` of a gnss record must be of {GNSS_COMPONENTS} in this "
                f"order; got {names}."
            )
