"""Daily positions of the Nevada Geodetic Laboratory, tenv3 form.

White-space separated columns below one header line. A coordinate is an integer number
of metres and a fraction, which together are relative to a reference meridian, the
equator and the ellipsoid. Newer files end each row with latitude, longitude and height.

References:
    Blewitt, G., W. C. Hammond, C. Kreemer (2018), Eos 99, doi:10.1029/2018EO104623.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from slipstate.records.reader import AbstractReader
from slipstate.records.schema import (
    GNSS_COMPONENTS,
    Samples,
    Station,
    build_record,
    history_line,
)
from slipstate.records.table import (
    Rows,
    data_rows,
    parse_columns,
    require_increasing,
    require_values,
)
from slipstate.records.text import excerpt, first_lines, read_text

_SITE, _DATE, _MJD = 0, 1, 3
_METRES = {"east": (7, 8), "north": (9, 10), "up": (11, 12)}
_SIGMA = {"east": 14, "north": 15, "up": 16}
_GEODETIC = {"latitude": 20, "longitude": 21, "height": 22}
_FEWEST = 20
_MJD_ZERO = np.datetime64("1858-11-17", "D")
_MJD_RANGE = (40_000, 150_000)  # 1968 to 2269; a day outside is a damaged cell
_REFERENCE = "Blewitt et al. (2018), doi:10.1029/2018EO104623"


class Tenv3Reader(AbstractReader):
    """Reads NGL tenv3 files (`*.tenv3`); metres become mm from the first epoch."""

    name = "NGL tenv3"

    def recognises(self, path: Path) -> bool:
        """Tell by the header line."""
        lines = first_lines(path)
        names = lines[0].split() if lines else []
        return len(names) >= _FEWEST and names[:2] == ["site", "YYMMMDD"]

    def read(self, path: Path) -> xr.Dataset:
        """Return positions relative to the first epoch.

        Args:
            path: The file.

        Returns:
            Components east, north, up [mm]; dates at 00:00 UTC.

        Raises:
            RecordError: A row cannot be read.
        """
        text = read_text(path)
        names = text.split("\n", 1)[0].split()
        rows = data_rows(path, text, 2, None)
        geodetic = {
            part: place for part, place in _GEODETIC.items() if len(names) > place
        }
        wanted = [
            _MJD,
            *(place for pair in _METRES.values() for place in pair),
            *_SIGMA.values(),
            *geodetic.values(),
        ]
        columns = parse_columns(
            rows,
            len(names),
            {place: names[place] for place in wanted},
            {_SITE: "site", _DATE: "date"},
        )
        time = _dates(rows, columns[_MJD], columns[_DATE])
        site = _one_site(rows, columns[_SITE])
        metres = [columns[a] for a, _ in _METRES.values()]
        whole = np.stack([part - part[0] for part in metres], 1)
        fraction = np.stack(
            [columns[b] - columns[b][0] for _, b in _METRES.values()], 1
        )
        value = 1e3 * (whole + fraction)
        sigma = 1e3 * np.stack([columns[place] for place in _SIGMA.values()], 1)
        require_values(rows, [names[b] for _, b in _METRES.values()], value)
        rows.require_positive(sigma, [names[place] for place in _SIGMA.values()])
        place = {part: float(columns[i][0]) for part, i in geodetic.items()}
        if "longitude" in place:
            # NGL lets longitudes run below -180
            place["longitude"] = (place["longitude"] + 180.0) % 360.0 - 180.0
        return build_record(
            Samples(time, value, sigma, GNSS_COMPONENTS, ("mm",) * 3),
            Station(site, **place),
            kind="gnss",
            title=f"{site}: daily GNSS positions (NGL)",
            history=history_line(
                f"read {path.name} ({self.name}); metres to mm relative to the first "
                "epoch; dates kept at 00:00 UTC"
            ),
            attributes={"references": _REFERENCE, "source": path.name},
        )


def _dates(rows: Rows, days: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Return the day of each row; the two columns that name it must agree."""
    lowest, highest = _MJD_RANGE
    fine = (days >= lowest) & (days <= highest) & (days == np.round(days))
    if not fine.all():
        index = int(np.flatnonzero(~fine)[0])
        raise rows.blame(
            index,
            "a modified Julian day in column 4",
            excerpt(rows.fields(index)[_MJD]),
            "Repair the row or remove it.",
        )
    time = _MJD_ZERO + days.astype("timedelta64[D]")
    named = pd.to_datetime(
        pd.Series(dates, dtype="str"), format="%y%b%d", errors="coerce"
    ).to_numpy()
    differs = np.flatnonzero(~(named.astype("datetime64[D]") == time))
    if differs.size:
        index = int(differs[0])
        raise rows.blame(
            index,
            f"the date of modified Julian day {days[index]:.0f}, {time[index]}",
            excerpt(str(dates[index])),
            "Repair the row or remove it.",
        )
    require_increasing(rows.blame, time, dates)
    return time.astype("datetime64[ns]")


def _one_site(rows: Rows, sites: np.ndarray) -> str:
    other = np.flatnonzero(sites != sites[0])
    if other.size:
        index = int(other[0])
        raise rows.blame(
            index,
            f"the station {sites[0]} as in the rows before",
            excerpt(str(sites[index])),
            "Put each station in its own file.",
        )
    return str(sites[0])
