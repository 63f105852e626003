"""Seismic waveforms: miniSEED and SAC, decoded by ObsPy.

A file is recognised without ObsPy; to read it needs the extra `seismic`. A record is
one station; its components are the channels. Samples of all channels share one time
axis, each at the instant the file gives it, so channels of other rates are NaN between
their samples and a gap is a stretch without rows. Values stay in the unit of the file,
which for miniSEED is counts.

References:
    Beyreuther et al. (2010), ObsPy, doi:10.1785/gssrl.81.3.530.
"""

import importlib
import importlib.util
import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from slipstate.ground.errors import RecordError
from slipstate.records.reader import AbstractReader
from slipstate.records.schema import Samples, Station, build_record, history_line
from slipstate.records.text import excerpt, head

_MAX_BYTES = 1 << 28
_FIXED_HEADER = 48
_QUALITIES = b"DRQM"
_SAC_HEADER = 632
_SAC_VERSIONS = (6, 7)


class WaveformReader(AbstractReader):
    """Reads miniSEED (`*.mseed`) and SAC files of one station."""

    name = "miniSEED or SAC"

    def recognises(self, path: Path) -> bool:
        """Tell by the fixed header of either format."""
        return _format(path) is not None

    def read(self, path: Path) -> xr.Dataset:
        """Return all channels of one station.

        Args:
            path: The file.

        Returns:
            One component a channel, in the unit of the file, at UTC instants.

        Raises:
            RecordError: ObsPy is missing, the file is damaged, or it holds several
                stations.
        """
        traces = _decode(path)
        station = _one_station(path, traces)
        names = _component_names(traces)
        stamps = [_stamps(trace) for trace in traces]
        time = np.unique(np.concatenate(stamps))
        components = tuple(sorted(set(names)))
        value = np.full((time.size, len(components)), np.nan)
        repeated = 0
        # backwards, so that the first trace has the last word where two overlap
        for trace, name, own in reversed(list(zip(traces, names, stamps))):
            rows, column = np.searchsorted(time, own), components.index(name)
            repeated += int(np.isfinite(value[rows, column]).sum())
            value[rows, column] = trace.data
        said = f"read {path.name} ({self.name}); values in the unit of the file"
        if repeated:
            said += f"; {repeated} samples given twice, the first kept"
        return build_record(
            Samples(
                time.astype("datetime64[ns]"),
                value,
                np.full_like(value, np.nan),
                components,
                ("1",) * len(components),
            ),
            station,
            kind="series",
            title=f"{station.name}: waveform ({', '.join(components)})",
            history=history_line(said),
            attributes={"source": path.name},
        )


def _format(path: Path) -> str | None:
    """Return what ObsPy calls the format, or None."""
    start = head(path)
    numbered = len(start) > _FIXED_HEADER and start[:6].replace(b" ", b"").isdigit()
    if start.startswith(b"MS\x03") or (numbered and start[6] in _QUALITIES):
        return "MSEED"
    if len(start) >= _SAC_HEADER:
        for order in "<>":
            version, _, _, count = struct.unpack_from(f"{order}4i", start, 304)
            size = path.stat().st_size - _SAC_HEADER
            if version in _SAC_VERSIONS and count > 0 and size >= 4 * count:
                return "SAC"
    return None


def _decode(path: Path) -> list[Any]:
    """Return the traces of a file, in order of time."""
    if importlib.util.find_spec("obspy") is None:
        raise RecordError(
            path,
            "the package obspy, which decodes waveforms",
            "no such package",
            "Install it with `pip install 'slipstate[seismic]'`.",
        )
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise RecordError(
            path,
            f"a waveform of at most {_MAX_BYTES >> 20} MiB",
            f"{size / 2**20:.0f} MiB",
            "Cut it into shorter files.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obspy = importlib.import_module("obspy")
        # ObsPy warns where a file is cut short; a record is whole or not at all
        warnings.simplefilter("error", UserWarning)
        # bytes, because ObsPy takes brackets in a path for a pattern
        data = io.BytesIO(path.read_bytes())
        try:
            stream = obspy.read(data, format=_format(path))
        except Exception as error:  # noqa: BLE001 - ObsPy raises the bare class
            raise RecordError(
                path,
                "a whole waveform",
                excerpt(str(error) or type(error).__name__),
                "The file is damaged or cut short; fetch it again.",
            ) from None
    traces = sorted(stream, key=lambda trace: trace.stats.starttime)
    traces = [trace for trace in traces if len(trace)]
    numeric = all(np.asarray(trace.data).dtype.kind in "iuf" for trace in traces)
    if not traces or not numeric or not all(np.isfinite(t.data).all() for t in traces):
        raise RecordError(
            path,
            "samples that are finite numbers",
            "text, NaN, infinite samples or none",
            "Export the waveform again, without log channels.",
        )
    return traces


def _one_station(path: Path, traces: list[Any]) -> Station:
    names = sorted({f"{t.stats.network}.{t.stats.station}".strip(".") for t in traces})
    if len(names) > 1:
        raise RecordError(
            path,
            "the waveforms of one station",
            excerpt(", ".join(names)),
            "Put each station in its own file, for example with "
            "`obspy.read(...).select(station=...).write(...)`.",
        )
    placed = traces[0].stats.get("sac", {})
    unknown = float("nan")
    return Station(
        names[0] or path.name.split(".")[0],
        float(placed.get("stla", unknown)),
        float(placed.get("stlo", unknown)),
        float(placed.get("stel", unknown)),
    )


def _component_names(traces: list[Any]) -> list[str]:
    """Return channel codes, with the location where one channel has several."""
    pairs = [(t.stats.location, t.stats.channel or "value") for t in traces]
    places: dict[str, set[str]] = {}
    for location, channel in pairs:
        places.setdefault(channel, set()).add(location)
    return [
        f"{location}.{channel}" if len(places[channel]) > 1 else channel
        for location, channel in pairs
    ]


def _stamps(trace: Any) -> np.ndarray:
    """Return the instant of each sample [ns since 1970]."""
    steps = np.arange(len(trace)) * (1e9 / trace.stats.sampling_rate)
    return trace.stats.starttime.ns + np.round(steps).astype(np.int64)
