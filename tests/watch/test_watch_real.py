"""The main job on real stations: what was read off the records by hand is found."""

from pathlib import Path

import numpy as np
import pytest

from slipstate.fit.progress import SilentProgress
from slipstate.watch.network_job import NetworkRun, watch_network
from slipstate.watch.pipeline import HORIZONS, read_files
from slipstate.watch.series import tick_series

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not there"),
]

# Westward reversals read off ALBH by eye, decimal years; one in early 2017 is cut by
# the end of the record.
REVERSALS = [
    1997.36, 1998.51, 1999.69, 2000.96, 2002.11, 2003.18, 2004.52, 2005.69, 2007.06,
    2008.38, 2009.37, 2010.65, 2011.64, 2012.70, 2013.73, 2014.95, 2015.98,
]  # fmt: skip
LAST = 2017.0


class Memory:
    def __init__(self) -> None:
        self.kept: dict[str, dict[str, np.ndarray]] = {}

    def get(self, name: str) -> dict[str, np.ndarray] | None:
        return self.kept.get(name)

    def put(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        self.kept[name] = arrays


def follow(*stations: str) -> NetworkRun:
    folders = {"P496": "gnss_coseismic_p496"}
    paths = [
        DATA / folders.get(s, "cascadia_gnss_pbo") / f"{s}.pbo.nam08.csv"
        for s in stations
    ]
    series = tick_series(read_files(paths), 0.5)
    return watch_network(series, HORIZONS, Memory(), SilentProgress())


def decimal_year(time: np.datetime64) -> float:
    year = time.astype("datetime64[Y]")
    begin, end = (
        y.astype("datetime64[D]") for y in (year, year + np.timedelta64(1, "Y"))
    )
    return 1970 + int(year.astype(int)) + float((time - begin) / (end - begin))


def matched(run: NetworkRun) -> tuple[set[float], list[float]]:
    found, false = set(), []
    for event in run.past.events:
        if event.kind != "slow slip":
            continue
        begin = decimal_year(event.onset)
        end = begin + event.duration / 365.25
        near = [r for r in REVERSALS if begin - 0.1 <= r <= end + 0.1]
        found.update(near)
        if not near:
            false.append(begin)
    return found, false


def test_the_jump_of_p496_and_nothing_else():
    run = follow("P496")
    steps = [k for k, e in enumerate(run.past.events) if e.kind == "step"]
    assert len(steps) == 1
    assert len(run.past.events) <= 2
    event, offset = run.past.events[steps[0]], run.past.offsets[steps[0], 0]
    assert event.onset == np.datetime64("2010-04-05")
    assert event.onset_lo == np.datetime64("2010-04-04")
    assert offset[1] == pytest.approx(-180.0, abs=3.0)
    assert offset[0] == pytest.approx(27.0, abs=3.0)


def test_slow_slip_of_one_station():
    found, false = matched(follow("ALBH"))
    assert len(found) >= 15
    assert not false


def test_slow_slip_of_a_network():
    run = follow("ALBH", "SC02", "P439", "SEAT")
    found, false = matched(run)
    assert len(found) >= 16
    assert len(false) <= 1
    assert all(year > LAST for year in false)
    latency = [e.latency for e in run.past.events if e.kind == "slow slip"]
    assert np.nanmedian(latency) <= 12.0


def test_the_coastal_control_is_quiet():
    assert not follow("P401").past.events


def test_outliers_are_no_ruptures():
    run = follow("KTBW")
    assert not [e for e in run.past.events if e.kind == "step"]
    assert np.isfinite(run.ticks.log_likelihood).all()


def test_forecasts_are_calibrated_and_useful():
    run = follow("SC02")
    scored = run.series.mask & ~run.series.training[..., None]
    y = run.series.values()
    for k in range(len(HORIZONS)):
        q = run.forecasts.quantiles[..., k, :]
        seen = scored & np.isfinite(q).all(-1)
        inside = (y >= q[..., 0]) & (y <= q[..., 4])
        assert 0.8 < inside[seen].mean() < 0.97
