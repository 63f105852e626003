"""Made-up records and series to be watched."""

import numpy as np
import pytest
import xarray as xr

from slipstate.watch.series import TickSeries


@pytest.fixture
def make_record():
    """Return a function that wraps (time, station, component) values as a record."""

    def make(values, start="2001-01-01", spacing="1D", units="mm", sigma=None):
        T, S, C = values.shape
        time = np.datetime64(start, "ns") + np.arange(T) * np.timedelta64(
            int(spacing[:-1]), spacing[-1]
        )
        return xr.Dataset(
            {
                "value": (("time", "station", "component"), values, {"units": units}),
                "sigma": (
                    ("time", "station", "component"),
                    np.full(values.shape, np.nan) if sigma is None else sigma,
                ),
                "mask": (("time", "station", "component"), np.isfinite(values)),
            },
            {
                "time": time,
                "station": [f"S{k:03d}" for k in range(S)],
                "component": ["east", "north", "up"][:C],
                "component_units": ("component", [units] * C),
            },
            {"history": "now: made up", "kind": "gnss", "source": "made up"},
        )

    return make


@pytest.fixture
def make_series():
    """Return a function that lays values (NaN where missing) on a daily grid."""

    def make(values, unit=1.0):
        T, S, C = values.shape
        mask, day = np.isfinite(values), np.timedelta64(1, "D")
        return TickSeries(
            times=np.datetime64("2001-01-01", "ns") + np.arange(T) * day,
            tick=1.0,
            y=np.where(mask, values, 0.0),
            mask=mask,
            sigma=np.full(values.shape, np.nan),
            scale=np.ones(values.shape),
            training=np.arange(T)[:, None] < np.full(S, T // 2),
            unit=np.full(C, unit),
            stations=tuple(f"S{k:03d}" for k in range(S)),
            components=("east", "north", "up")[:C],
        )  # fmt: skip

    return make
