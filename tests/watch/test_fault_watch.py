"""Watching faults: by any filter, from a record with gaps, and against the others."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from slipstate.assimilate import crps_mixture
from slipstate.cli import watch as verb
from slipstate.cli.app import app
from slipstate.earth import build_twin
from slipstate.records import netcdf_bytes, read_record
from slipstate.watch.fault_events import fault_events
from slipstate.watch.fault_methods import (
    FAULT_METHODS,
    choose_method,
    compared_with,
)
from slipstate.watch.fault_slip import slipped, slipping
from slipstate.watch.scorecard import BASELINES


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def refused(*arguments):
    result = invoke(*arguments)
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 2, result.output
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def test_the_help_names_every_filter():
    assert tuple(m.name for m in FAULT_METHODS) == verb.METHODS
    names = invoke("watch", "--help").stdout
    for method in FAULT_METHODS:
        assert method.name in names
    assert all(m.members == m.method.members for m in FAULT_METHODS)


def test_the_bridge_the_kalman_ensemble_and_particles_are_compared():
    first = [
        m.name for m in (choose_method("bridge"), *compared_with(FAULT_METHODS[0]))
    ]
    assert first == ["bridge", "etkf", "particle"]
    other = compared_with(choose_method("netf"))
    assert [m.name for m in other] == ["bridge", "etkf", "particle"]


def test_a_filter_nobody_knows(tmp_path):
    line = refused("watch", "--method", "magic", "--out", tmp_path / "out")
    assert "'magic'" in line
    assert "bridge, etkf, particle" in line
    assert not (tmp_path / "out").exists()


def test_a_filter_for_what_is_no_fault(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("date,east (mm)\n2001-01-01,1.0\n")
    line = refused("watch", path, "--method", "etkf", "--out", tmp_path / "out")
    assert "no record of one" in line


@pytest.fixture(scope="module")
def record():
    return build_twin(members=2, years=3.2, every=20.0, seed=3).record


def damaged(record, kind):
    if kind == "untold":
        return record.drop_attrs(deep=False).assign_attrs(
            {k: v for k, v in record.attrs.items() if k != "fault_Dc"}
        )
    if kind == "law":
        return record.assign_attrs(fault_law="magic")
    if kind == "creeping":
        return record.assign_attrs(fault_k=1e9)
    if kind == "uneven":
        times = record["time"].values.copy()
        times[5:] += np.timedelta64(31, "h")
        return record.assign_coords(time=times)
    if kind == "short":
        return record.isel(time=slice(5))
    return record.assign(sigma=record["sigma"] * np.nan)


@pytest.mark.parametrize(("kind", "words"), [
    ("untold", "`fault_Dc`"), ("law", "`fault_law`"), ("creeping", "`fault_k`"),
    ("uneven", "evenly spaced"), ("short", "20 times"), ("sigma", "`sigma`"),
])  # fmt: skip
def test_a_record_that_cannot_be_followed(tmp_path, record, kind, words):
    path = tmp_path / "fault.nc"
    path.write_bytes(netcdf_bytes(damaged(record, kind)))
    line = refused("watch", path, "--out", tmp_path / "out")
    assert str(path) in line
    assert words in line


@pytest.mark.slow
def test_a_record_with_gaps_is_followed_by_any_filter(tmp_path, record):
    """A day lost, a component lost, no truth: scores still are those of the members."""
    kept = np.r_[0:9, 10 : record.sizes["time"]]
    given = record.isel(time=kept).drop_vars("truth").copy(deep=True)
    given["value"][20, 0] = np.nan
    given["mask"][20, 0] = False
    path = tmp_path / "fault.nc"
    path.write_bytes(netcdf_bytes(given))
    out = tmp_path / "out"
    result = invoke("watch", path, "--method", "netf", "--out", out)
    assert result.exit_code == 0, result.stderr
    run = xr.load_dataset(out / "run.nc")
    assert run.sizes["time"] == record.sizes["time"]
    assert int((~run["observed_mask"]).sum()) == 3
    assert "truth" not in run
    assert np.isfinite(run["member"]).all()
    methods = ["slipstate", "bridge", "ETKF", "particle filter", *BASELINES]
    assert run["method"].values.tolist() == methods
    assert np.isfinite(run["score"].sel(metric="crps")).all()
    assert (run["score"].sel(metric="count") == run["score"][0, -1]).all()
    # the pooled CRPS of a peer, once more and slowly, from its own forecasts
    scored = (~run["training"]) & run["observed_mask"].isel(station=0)
    one = run["peer_crps"].sel(peer="ETKF").isel(station=0, horizon=0)
    spread = run["observed"].isel(station=0).where(run["training"]).std("time", ddof=1)
    whole = float((one / spread).where(scored).mean())
    table = run["score"].sel(method="ETKF", metric="crps").isel(horizon=0)
    np.testing.assert_allclose(float(table), whole, rtol=0.02)
    report = (out / "report.html").read_text()
    assert "On the same data its NETF is" in report
    assert "nonlinear ensemble transform filter" in report
    events = pd.read_csv(out / "events.csv")
    assert not np.isfinite(events["latency_days"].to_numpy(float)).any()


def test_events_of_a_fault_whose_stress_is_not_seen():
    time = np.datetime64("2000-01-01", "ns") + np.arange(5) * np.timedelta64(10, "D")
    dims = ("time", "station", "component")
    run = xr.Dataset(
        {
            "slip_probability": ("time", [0.0, 0.0, 0.97, 1.0, 0.0]),
            "filtered": (dims, np.zeros((5, 1, 1))),
            "filtered_sd": (dims, np.ones((5, 1, 1))),
        },
        {"time": time, "component": ["ln V"]},
    )
    events = fault_events(run)
    assert len(events) == 1
    assert str(events["onset"].iloc[0]).startswith("2000-01-21")
    assert np.isnan(events["offset_tau_Pa"].iloc[0])


def test_slip_between_two_observations_is_seen_in_the_stress():
    """All pairs of members, one by one; and a fault that is known."""
    rng = np.random.default_rng(4)
    ln_v = rng.normal(-20.0, 2.0, size=(6, 5))
    tau = rng.normal(0.0, 2.0, size=(6, 5)).cumsum(axis=0)
    weights = rng.dirichlet(np.ones(5), size=6)
    given = {"k": 2.0, "Vpl": 1e-9, "seconds": 1e8}
    got = slipping(ln_v, tau, weights, **given)
    for row in range(6):
        want = 0.0
        for i in range(5):
            fast = ln_v[row, i] > np.log(1e-8)
            for j in range(5):
                rate = np.inf if fast else -np.inf
                if row:
                    gain = tau[row, i] - tau[row - 1, j]
                    rate = max(rate, 1e-9 - gain / (2.0 * 1e8))
                earlier = weights[row - 1, j] if row else 0.2
                want += weights[row, i] * earlier * (rate > 1e-8)
        np.testing.assert_allclose(got[row], want, atol=1e-12)
    known = slipped(ln_v[:, 0], tau[:, 0], **given)
    one = np.ones((6, 1))
    want = slipping(ln_v[:, :1], tau[:, :1], one, **given)
    np.testing.assert_array_equal(known, want == 1.0)


def test_weights_of_particles_enter_the_scores():
    """Two particles of weights 1/4 and 3/4 are four members, three of them equal."""
    few = crps_mixture(
        np.array([0.3]),
        np.array([[0.25, 0.75]]),
        np.array([[0.0, 1.0]]),
        np.ones((1, 2)),
    )
    many = crps_mixture(
        np.array([0.3]),
        np.full((1, 4), 0.25),
        np.array([[0.0, 1.0, 1.0, 1.0]]),
        np.ones((1, 4)),
    )
    np.testing.assert_allclose(few, many, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_fault_killed_and_resumed_is_as_if_never_killed(tmp_path, record):
    path = tmp_path / "fault.nc"
    path.write_bytes(netcdf_bytes(record))
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "slipstate", "watch", str(path), "--out"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = {"check": True, "env": env, "capture_output": True}
    subprocess.run([*command, str(whole)], **done)
    for wanted in ("bridge-000000", "etkf-000000"):
        run = subprocess.Popen(
            [*command, str(broken), "--resume"],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + 120.0
        while run.poll() is None and time.monotonic() < limit:
            if list((broken / "checkpoint").glob(f"{wanted}*.json")):
                run.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        run.wait()
    subprocess.run([*command, str(broken), "--resume"], **done)
    first, second = (xr.load_dataset(out / "run.nc") for out in (whole, broken))
    for name in ("forecast", "filtered", "member", "peer_forecast", "score"):
        np.testing.assert_array_equal(first[name].values, second[name].values)
    tables = [(out / "events.csv").read_bytes() for out in (whole, broken)]
    assert tables[0] == tables[1]
    again = subprocess.run(
        [*command, str(broken), "--resume", "--method", "etkf"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 2
    assert "expected to resume with the same" in again.stderr


@pytest.mark.parametrize(("seen", "names"), [
    ("both", ["ln V", "tau"]), ("rate", ["ln V"]), ("stress", ["tau"]),
])  # fmt: skip
def test_a_simulated_record_can_be_watched(tmp_path, seen, names):
    out = tmp_path / "fault.nc"
    words = ("--years", 2, "--every", 30, "--see", seen, "--out", out)
    result = invoke("simulate", "fault", *words)
    assert result.exit_code == 0, result.stderr
    record = read_record(out)
    assert record.attrs["kind"] == "fault"
    assert record["component"].values.tolist() == names
    assert record.attrs["fault_law"] == "cutoff"
    assert record.sizes["time"] == 25
