"""Records as netCDF: what `write_record` writes, and whatever looks like a record.

A file of the schema comes back exactly, masks and history included. From any other
netCDF file the variables along `time` alone are taken, each with its `units`; a
variable `NAME_sd` is the spread of NAME.
"""

import os
from collections.abc import Hashable
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from slipstate.ground.errors import InputError, RecordError
from slipstate.ground.files import replace_file
from slipstate.records.clock import elapsed
from slipstate.records.reader import AbstractReader
from slipstate.records.schema import (
    GNSS_COMPONENTS,
    Samples,
    Station,
    build_record,
    check_record,
    history_line,
)
from slipstate.records.table import require_increasing
from slipstate.records.text import excerpt, head
from slipstate.records.units import Unit, convert

MAX_ARRAY_BYTES = 1 << 30
"""A file whose header claims larger arrays is refused before they are read [bytes]."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_CLASSIC = (b"CDF\x01", b"CDF\x02")
_NAME = "netCDF"
_REMEDY = "Fetch the file again, or write it with `records.write_record`."
_OWN = {"value", "sigma", "mask", "component", "component_units", "station"}
_CLOCKS = {"s", "ms", "min", "h", "days", "d", "day", "seconds", "hours"}


class NetcdfReader(AbstractReader):
    """Reads netCDF files (`*.nc`), version 4 and classic."""

    name = _NAME

    def recognises(self, path: Path) -> bool:
        """Tell by the signature."""
        return head(path).startswith((_HDF5, *_CLASSIC))

    def read(self, path: Path) -> xr.Dataset:
        """Return the record.

        Args:
            path: The file.

        Returns:
            Exactly what was written for a file of the schema; otherwise the variables
            along time as components.

        Raises:
            RecordError: The file is damaged, or holds no record.
        """
        engine = "h5netcdf" if head(path).startswith(_HDF5) else "scipy"
        try:
            _require_size(path)
            with xr.open_dataset(path, engine=engine) as opened:
                dataset = opened.load().drop_encoding()
        except RecordError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            said = " ".join(str(error).split())
            raise RecordError(
                path, "a whole netCDF file", excerpt(said), _REMEDY
            ) from None
        if set(dataset.variables) >= _OWN:
            return _own(path, dataset)
        return _foreign(path, dataset)


def write_record(dataset: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a record as netCDF-4, whole or not at all.

    Args:
        dataset: A record; see `check_record`.
        path: Final name, by custom ending in `.nc`.

    Raises:
        InputError: It is no record.
        OutputError: It cannot be written; what was there is untouched.
    """
    check_record(dataset)
    replace_file(path, netcdf_bytes(dataset))


def netcdf_bytes(dataset: xr.Dataset) -> memoryview:
    """Return a dataset as the bytes of a netCDF-4 file with checksums.

    The file is made in memory, so that a full disk is met by our own write and never
    inside the HDF5 library.

    Args:
        dataset: Any dataset with CF-encodable variables.

    Returns:
        The content of the file.
    """
    # masks and counts shrink to nothing; noise hardly shrinks, and that takes its time
    encoding: dict[Hashable, dict[str, object]] = {}
    for name, variable in dataset.variables.items():
        if variable.ndim > 0 and variable.dtype.kind in "fiub":
            encoding[name] = {"fletcher32": True}
            if variable.dtype.kind != "f":
                encoding[name] |= {"zlib": True, "complevel": 4}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind == "M":
            encoding[name] = {
                "fletcher32": variable.ndim > 0,
                "units": f"{_step(variable.values)} since 1970-01-01",
                "dtype": "int64",
            }
    return memoryview(
        dataset.drop_encoding().to_netcdf(engine="h5netcdf", encoding=encoding)
    )


def _step(time: np.ndarray) -> str:
    """Return the coarsest unit that holds every time as an integer."""
    count = time[~np.isnat(time)].astype("datetime64[ns]").astype(np.int64)
    for name, size in (("days", 86_400 * 10**9), ("seconds", 10**9)):
        if (count % size == 0).all():
            return name
    return "nanoseconds"


def _require_size(path: Path) -> None:
    """Raise where the header claims more than may be read, before xarray reads it.

    A damaged root group also fails here, inside h5py; h5netcdf would complain a second
    time when its half-made object is collected.
    """
    claimed = path.stat().st_size
    if head(path).startswith(_HDF5):
        with h5py.File(path, "r") as file:
            file.attrs.get("_nc3_strict")
            sizes: list[int] = []
            file.visititems(lambda _, item: sizes.append(_bytes(item)))
        claimed = sum(sizes)
    if claimed > MAX_ARRAY_BYTES:
        raise RecordError(
            path,
            f"arrays of at most {MAX_ARRAY_BYTES >> 20} MiB",
            f"a header that claims {claimed / 2**20:.0f} MiB",
            "Select the variables and times you need first.",
        )


def _bytes(item: h5py.HLObject) -> int:
    return int(item.nbytes) if isinstance(item, h5py.Dataset) else 0


def _own(path: Path, dataset: xr.Dataset) -> xr.Dataset:
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "OTS":
            words = variable.values.astype(np.str_)
            dataset[name] = (variable.dims, words, variable.attrs)
    dataset["time"] = dataset["time"].astype("datetime64[ns]")
    try:
        check_record(dataset)
    except InputError as error:
        raise RecordError(path, "a record", "a broken one", str(error)) from None
    for name, seen in zip(
        dataset["component"].values,
        dataset["mask"].transpose("component", ...).values,
    ):
        _require_some(path, str(name), bool(seen.any()))
    return dataset


def _foreign(path: Path, dataset: xr.Dataset) -> xr.Dataset:
    found = {
        str(name): variable
        for name, variable in dataset.data_vars.items()
        if variable.dims == ("time",) and variable.dtype.kind in "fiu"
    }
    spreads = {
        name.removesuffix("_sd"): variable
        for name, variable in found.items()
        if name.endswith("_sd") and name.removesuffix("_sd") in found
    }
    values = {
        name: variable
        for name, variable in found.items()
        if not (name.endswith("_sd") and name.removesuffix("_sd") in spreads)
    }
    if not values or "time" not in dataset.coords:
        raise RecordError(
            path,
            "numeric variables along `time`, each with `units`",
            excerpt(", ".join(map(str, dataset.variables))),
            "Name the dimension `time`, or write the file with `records.write_record`.",
        )
    gnss = set(values) <= set(GNSS_COMPONENTS) and all(
        v.attrs.get("units") in {"mm", "cm", "m"} for v in values.values()
    )
    names = [n for n in GNSS_COMPONENTS if n in values] if gnss else list(values)
    units = [_unit(path, name, values[name], gnss) for name in names]
    value = np.stack(
        [values[n].values.astype(np.float64) * u.factor for n, u in zip(names, units)],
        1,
    )
    sigma = np.full_like(value, np.nan)
    for index, name in enumerate(names):
        if name in spreads:
            unit = _unit(path, f"{name}_sd", spreads[name], gnss)
            if unit.symbol != units[index].symbol:
                raise RecordError(
                    path,
                    f"`{name}_sd` in {units[index].symbol}",
                    f"`{unit.symbol}`",
                    "Give the spread the unit of its value.",
                )
            sigma[:, index] = spreads[name].values * unit.factor
    for name, column in zip(names, value.T):
        _require_some(path, name, bool((~np.isnan(column)).any()))
    left = [str(n) for n in dataset.data_vars if str(n) not in found]
    what = f"read {path.name} ({_NAME}): {', '.join(names)}"
    if left:
        what += f"; left out {', '.join(left)}"
    past = dataset.attrs.get("history")
    attrs = dataset.attrs
    try:
        return build_record(
            Samples(
                _time(path, dataset["time"]),
                value,
                sigma,
                tuple(names),
                tuple(unit.symbol for unit in units),
            ),
            _station(path, dataset),
            kind="gnss" if gnss else "series",
            title=str(attrs.get("title", path.stem)),
            history="\n".join([*([str(past)] if past else []), history_line(what)]),
            attributes={"source": path.name}
            | {k: str(attrs[k]) for k in ("references",) if k in attrs},
        )
    except RecordError:
        raise
    except InputError as error:
        raise RecordError(path, "a record", "a broken one", str(error)) from None


def _require_some(path: Path, name: str, some: bool) -> None:
    if not some:
        raise RecordError(
            path,
            f"numbers in {excerpt(name)}",
            "only missing values",
            "Leave the variable out, or export the data again.",
        )


def _unit(path: Path, name: str, variable: xr.DataArray, gnss: bool) -> Unit:
    symbol = variable.attrs.get("units")
    if symbol is None:
        raise RecordError(
            path,
            f"an attribute `units` of {excerpt(name)}",
            "none",
            "Set it; write `1` for a number without dimension.",
        )
    try:
        return convert(str(symbol), lengths_in_mm=gnss)
    except InputError as error:
        raise RecordError(
            path, f"known units of {excerpt(name)}", excerpt(str(symbol)), str(error)
        ) from None


def _time(path: Path, time: xr.DataArray) -> np.ndarray:
    def blame(index: int, expected: str, found: str, remedy: str) -> RecordError:
        return RecordError(path, f"at time[{index}] {expected}", found, remedy)

    unit = str(time.attrs.get("units", ""))
    if time.dtype.kind == "M":
        instants = time.values.astype("datetime64[ns]")
        if np.isnat(instants).any():
            index = int(np.flatnonzero(np.isnat(instants))[0])
            raise blame(index, "an instant", "a missing one", _REMEDY)
        require_increasing(blame, instants, instants)
        return instants
    if time.dtype.kind in "fiu" and unit in _CLOCKS:
        seconds = convert(unit).factor
        return elapsed(blame, time.values.astype(np.float64), seconds)
    raise RecordError(
        path,
        "`time` in CF units such as `days since 1970-01-01` or `s`",
        excerpt(unit or str(time.dtype)),
        "Set the attribute `units` of `time`.",
    )


def _station(path: Path, dataset: xr.Dataset) -> Station:
    def scalar(name: str) -> str | None:
        if name in dataset.variables and dataset[name].size == 1:
            return str(dataset[name].values.reshape(())[()])
        return None

    return Station(
        scalar("station") or path.stem,
        *(float(scalar(name) or "nan") for name in ("latitude", "longitude", "height")),
    )
