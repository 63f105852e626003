"""One small watched network: what it finds, how it is weighed, written and tabled."""

import numpy as np
import pytest
import xarray as xr

from slipstate.assimilate.network import NetworkFilter
from slipstate.earth.trajectory import TERMS
from slipstate.fit.progress import SilentProgress
from slipstate.systems.network import forecast_rows
from slipstate.watch.network_dataset import network_dataset
from slipstate.watch.network_job import NetworkRun, watch_network
from slipstate.watch.output import EVENT_COLUMNS, check_run, events_csv
from slipstate.watch.pieces import PIECE, run_piece
from slipstate.watch.series import tick_series
from slipstate.watch.table import iso, network_events
from slipstate.watch.weigh import slip_probability

pytestmark = pytest.mark.slow
T, STEP, SLIPS, HORIZONS = 1400, 1100, ((500, 520), (900, 925)), (1, 10)


class Memory:
    def __init__(self, kept=()):
        self.kept = dict(kept)

    def get(self, name):
        return self.kept.get(name)

    def put(self, name, arrays):
        self.kept[name] = arrays


def record() -> xr.Dataset:
    """Two stations that move east, reverse twice together, and one that steps."""
    rng = np.random.default_rng(91)
    days = np.arange(T)
    values = 1.0 * rng.standard_t(5, size=(T, 2, 2))
    values[..., 0] += 0.02 * days[:, None]
    for first, last in SLIPS:
        values[..., 0] -= 7.0 * np.clip((days - first) / (last - first), 0, 1)[:, None]
    values[STEP:, 1] += np.array([-40.0, 25.0])
    values[700:712, 0] = np.nan
    dims = ("time", "station", "component")
    return xr.Dataset(
        {
            "value": (dims, values, {"units": "mm"}),
            "sigma": (dims, np.full(values.shape, 1.0)),
            "mask": (dims, np.isfinite(values)),
        },
        {
            "time": np.datetime64("2001-01-01", "ns") + days * np.timedelta64(1, "D"),
            "station": ["AAAA", "BBBB"],
            "component": ["east", "north"],
            "component_units": ("component", ["mm", "mm"]),
        },
        {"history": "now: made up", "kind": "gnss", "source": "made up"},
    )


@pytest.fixture(scope="module")
def watched() -> tuple[xr.Dataset, NetworkRun, Memory]:
    data, store = record(), Memory()
    series = tick_series(data, 0.5)
    return data, watch_network(series, HORIZONS, store, SilentProgress()), store


def test_it_finds_what_was_put_in(watched):
    _, run, _ = watched
    assert [e.kind for e in run.past.events] == ["slow slip", "slow slip", "step"]
    for event, (first, last) in zip(run.past.events, SLIPS):
        day = int((event.onset - run.series.times[0]) / np.timedelta64(1, "D"))
        assert abs(day - first) <= 8
        assert event.onset_lo <= event.onset <= event.onset_hi
        assert abs(event.duration - (last - first)) <= 12
        assert event.latency <= 15
        assert event.stations.all()
    step = run.past.events[2]
    assert step.onset == run.series.times[STEP]
    assert step.stations.tolist() == [False, True]
    truth = [[-7.0, 0.0]] * 2
    for k in range(2):
        z = (run.past.offsets[k] - truth) / run.past.offset_sds[k]
        assert np.abs(z).max() < 4.0
    assert np.isnan(run.past.offsets[2, 0]).all()
    np.testing.assert_allclose(run.past.offsets[2, 1], [-40.0, 25.0], atol=3.0)


def test_resumed_from_its_own_store_it_is_the_same(watched):
    data, run, store = watched
    kept = Memory((k, v) for k, v in store.kept.items() if k <= "piece-000000")
    assert 0 < len(kept.kept) < len(store.kept)
    again = watch_network(tick_series(data, 0.5), HORIZONS, kept, SilentProgress())
    np.testing.assert_array_equal(run.forecasts.quantiles, again.forecasts.quantiles)
    np.testing.assert_array_equal(run.past.slipping, again.past.slipping)
    np.testing.assert_array_equal(run.past.offsets, again.past.offsets)


def test_slip_is_weighed_by_the_evidence_with_and_without_it(watched):
    _, run, _ = watched
    method, rows = NetworkFilter(), forecast_rows(run.model, HORIZONS)
    states, state = {}, method.init(run.model)
    for start in range(0, T, PIECE):
        states[start] = state
        state, _ = run_piece(method, run.model, rows, state, run.series, start)
    terms = np.asarray(run.ticks.log_likelihood)

    def weigh(first, last):
        return slip_probability(
            first, last, method, run.model, rows, states.__getitem__, run.series, terms
        )

    for first, last in SLIPS:
        assert weigh(first, last) > 0.999
    assert weigh(250, 260) < 0.9
    assert weigh(SLIPS[1][0] - 300, SLIPS[1][0] - 290) < 0.9
    # a window at the very end of the record is judged by what there is
    assert 0.0 <= weigh(T - 3, T - 1) <= 1.0


def test_smoothed_states_add_up_to_the_series(watched):
    _, run, _ = watched
    signal = run.past.state_mean @ np.asarray(run.model.h)
    error = np.where(run.series.mask, run.series.y - signal, np.nan)
    assert np.nanmax(np.abs(np.nanmedian(error, axis=0))) < 0.3
    assert np.nanmedian(np.abs(error)) < 1.2
    assert (run.past.signal_sd > 0).all()


def test_the_dataset_names_every_unit_and_every_thing(watched):
    data, run, _ = watched
    dataset = network_dataset(run, data)
    attrs = {"Conventions": "CF-1.11", "title": "t", "kind": "gnss", "history": "h"}
    check_run(dataset.assign_attrs(attrs | {"slipstate_version": "0"}))
    for name, variable in dataset.data_vars.items():
        assert variable.attrs["units"], name
        assert variable.attrs["long_name"], name
    assert dict(dataset.sizes) == {
        "time": T, "station": 2, "component": 2, "horizon": 2, "quantile": 5,
        "term": len(TERMS) - 2,
    }  # fmt: skip
    np.testing.assert_array_equal(dataset["horizon"], [1.0, 10.0])
    np.testing.assert_array_equal(dataset["observed"], data["value"])
    assert (dataset["observed"].isnull() == ~dataset["observed_mask"]).all()
    units = dict(zip(dataset["term"].values, dataset["term_units"].values))
    assert units["rate"] == "mm/day"
    assert units["level"] == "mm"
    for name in ("slip_probability", "slip_probability_smoothed", "step_probability"):
        assert dataset[name].min() >= 0
        assert dataset[name].max() <= 1 + 1e-12
    steps = dataset["step_probability_smoothed"]
    assert np.argwhere(steps.values > 0).tolist() == [[STEP, 1]]
    # quantiles and the filter agree about the valid time: the jump comes one day late
    east = dataset["forecast"].sel(station="BBBB", component="east", quantile=0.5)
    ahead = east.sel(horizon=1.0).values
    assert abs(ahead[STEP] - ahead[STEP - 1]) < 5.0
    assert ahead[STEP + 12] - ahead[STEP - 1] == pytest.approx(-40.0, abs=4.0)


def test_the_table_has_one_row_an_event_and_one_column_an_offset(watched):
    _, run, _ = watched
    table = network_events(run, ["mm", "mm/day"])
    assert len(table) == 3
    assert list(table.columns[:4]) == list(EVENT_COLUMNS[:4])
    assert list(table.columns[4:12]) == [
        f"{what}_{station}_{unit}"
        for station in ("AAAA", "BBBB")
        for unit in ("east_mm", "north_mm_per_day")
        for what in ("offset", "sigma")
    ]
    assert table["stations"].tolist() == ["AAAA;BBBB", "AAAA;BBBB", "BBBB"]
    assert table["onset"].iloc[2] == iso(run.series.times[STEP])
    assert table["offset_BBBB_east_mm"].iloc[2] == pytest.approx(-40.0, abs=3.0)
    assert np.isnan(table["offset_AAAA_east_mm"].iloc[2])
    assert events_csv(table).count("\n") == 4
    assert iso(np.datetime64("2010-04-05", "ns")) == "2010-04-05T00:00:00Z"
