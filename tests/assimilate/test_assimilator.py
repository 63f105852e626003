"""A run in real time is the run in order: late, double, in parts, killed, hurried."""

import os
import signal
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

from slipstate.assimilate import (
    Alarm,
    Arrival,
    Assimilator,
    EnsembleTransformKalman,
    Observations,
    Rung,
    StochasticEnsembleKalman,
    filter_series,
)
from slipstate.assimilate.programs import Programs
from slipstate.ground.errors import CheckpointError, InputError, MethodError
from slipstate.systems import Gaussian, LinearGaussian

N, P, ROWS, M = 3, 2, 14, 6
KEY = jax.random.key(20_100_405)
RNG = np.random.default_rng(11)
MODEL = LinearGaussian(
    np.ones(N),
    np.eye(N),
    0.9 * np.linalg.qr(RNG.normal(size=(N, N)))[0],
    0.1 * np.eye(N),
    RNG.normal(size=(P, N)),
    0.5 * np.eye(P),
)
METHOD = EnsembleTransformKalman(members=M)
RUNGS = (
    Rung("full", METHOD),
    Rung("other", StochasticEnsembleKalman(members=M)),
    Rung("forecast only", None),
)
CLIMATE = Gaussian(jax.numpy.zeros(N), jax.numpy.eye(N))
PROGRAMS = Programs(MODEL, RUNGS, climate=CLIMATE)
Y = RNG.normal(size=(ROWS, P))
Y[RNG.uniform(size=Y.shape) < 0.3] = np.nan
Y[4] = np.nan
Y[:2] = RNG.normal(size=(2, P))
T = np.cumsum(RNG.uniform(0.5, 2.0, size=ROWS))
NAN = np.full(P, np.nan)


class Clock:
    """Time that passes only when asked to: `slow` seconds between two looks."""

    def __init__(self, slow=0.0):
        self.now, self.slow = 0.0, slow

    def __call__(self):
        self.now += self.slow
        return self.now


def start(**settings):
    given = {"key": KEY, "programs": PROGRAMS, "clock": Clock()} | settings
    return Assimilator(MODEL, METHOD, **given)


def same(one, other):
    """Bit for bit: state, alarms, intervals, and what is kept for later."""
    np.testing.assert_array_equal(np.asarray(one.carry[0]), np.asarray(other.carry[0]))
    assert one.watch.condition == other.watch.condition
    np.testing.assert_array_equal(one.watch.log_q, other.watch.log_q)
    assert (one.t, one.floor) == (other.t, other.floor)
    assert len(one.kept) == len(other.kept)
    for a, b in zip(one.kept, other.kept):
        assert (a.rung, a.row.t, a.watch.condition) == (b.rung, b.row.t, b[1][0])
        np.testing.assert_array_equal(a.row.given(), b.row.given())
        np.testing.assert_array_equal(np.asarray(a.carry[0]), np.asarray(b.carry[0]))


@pytest.fixture(scope="module")
def whole():
    run = start()
    reports = [run.step(y, t=t) for y, t in zip(Y, T)]
    return run, reports


def test_steps_are_the_whole_series(whole):
    run, reports = whole
    want = filter_series(MODEL, Observations(Y, t=T), METHOD, key=KEY)
    np.testing.assert_allclose(
        run.belief.members, want.ensembles[-1], rtol=1e-12, atol=1e-12
    )
    got = np.array([report.log_likelihood for report in reports])
    np.testing.assert_allclose(got, want.step_log_likelihoods, atol=1e-12)
    got = np.stack([report.innovation for report in reports])
    np.testing.assert_allclose(got, want.innovations, atol=1e-12)
    sds = np.stack([report.interval.sd for report in reports])
    np.testing.assert_allclose(sds**2, want.innovation_variances, rtol=1e-12)
    assert all(report.arrival is Arrival.new and report.rows == 1 for report in reports)
    assert run.running.count == ROWS
    assert run.tally["full"] == ROWS
    assert run.tally["missed"] == 0


def test_any_order_of_arrival_gives_the_run_in_order(whole):
    """Rows swapped within the lag, given twice, and torn into their components."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        late = T + rng.uniform(0.0, 6.0, size=ROWS)
        pieces = [(late[k], T[k], Y[k]) for k in range(ROWS)]
        for k in rng.choice(ROWS, 5, replace=False):
            part = np.where(np.arange(P) == 0, Y[k], np.nan)
            pieces.append((late[k] - rng.uniform(0.0, 2.0), T[k], part))
            pieces.append((late[k] + rng.uniform(0.0, 2.0), T[k], Y[k]))
        run = start()
        for _, t, y in sorted(pieces, key=lambda piece: piece[0]):
            run.step(y, t=float(t))
        same(run, whole[0])
        assert run.tally["late"] > 0
        assert run.tally["part"] + run.tally["duplicate"] >= 5
        assert run.tally["too_late"] == 0


def test_what_is_too_late_changes_nothing(whole):
    run = start(lag=3)
    for k in range(ROWS):
        run.step(Y[k], t=T[k])
    before = run.carry
    report = run.step(np.ones(P), t=float(T[ROWS - 4]))  # the last row that is let go
    assert report.arrival is Arrival.too_late
    assert report.rows == 0
    assert run.carry is before
    assert run.tally["too_late"] == 1
    assert len(run.kept) == 3
    between = 0.5 * float(T[ROWS - 4] + T[ROWS - 3])
    assert run.step(np.ones(P), t=between).arrival is Arrival.late
    np.testing.assert_array_equal(np.asarray(before[0]), np.asarray(whole[0].carry[0]))


def test_a_revised_row_is_a_run_with_the_revised_value():
    other = Y.copy()
    other[8] = [5.0, -5.0]
    want, got = start(), start()
    for k in range(ROWS):
        want.step(other[k], t=T[k])
        got.step(Y[k], t=T[k])
    report = got.step(other[8], t=float(T[8]))
    assert report.arrival in (Arrival.revised, Arrival.part)
    assert report.rows == ROWS - 8
    same(got, want)


def test_rungs_are_recorded_and_caught_up(whole):
    """A clock that jumps: less is done while time is short, the rest later."""
    clock = Clock()
    run = start(deadline=1.0, clock=clock)
    names = []
    for k, (y, t) in enumerate(zip(Y, T)):
        clock.slow = 0.0
        if k == 3:  # a step of ten seconds, where one is allowed
            clock.slow = 10.0
        report = run.step(y, t=t, budget=0.0 if k == 10 else None)
        names.append(report.rung)
        assert report.missed == (k == 3)
    assert names[:3] == ["full"] * 3
    # three looks at a slow clock: nothing but the forecast is expected in time
    assert names[3] == "forecast only"
    assert "other" not in names[:3]
    assert run.tally["missed"] == 1
    assert sum(run.tally[rung.name] for rung in RUNGS) == ROWS
    assert np.isfinite(run.belief.members).all()
    degraded = [k for k, kept in enumerate(run.kept) if kept.rung]
    if degraded:
        report = run.catch_up()
        assert report is not None
        assert report.rung == "full"
        assert report.rows == len(run.kept) - degraded[0]
    assert run.catch_up() is None
    # all degraded rows still kept: catching up gives the run that had time
    run, clock = start(deadline=1.0, clock=Clock(), lag=ROWS), None
    for k, (y, t) in enumerate(zip(Y, T)):
        run.step(y, t=t, budget=-1.0 if k in (5, 6, 9) else None)
    assert [kept.rung for kept in run.kept] == [2 * (k in (5, 6, 9)) for k in range(14)]
    assert run.tally["forecast only"] == 3
    run.catch_up()
    np.testing.assert_array_equal(
        np.asarray(run.carry[0]), np.asarray(whole[0].carry[0])
    )


def test_a_row_given_up_is_a_row_without_observations():
    one, other = start(deadline=1.0), start()
    for k in range(5):
        one.step(Y[k], t=T[k], budget=-1.0 if k == 3 else None)
        other.step(NAN if k == 3 else Y[k], t=T[k])
    np.testing.assert_array_equal(np.asarray(one.carry[0]), np.asarray(other.carry[0]))


def test_another_method_takes_over_what_was_believed(whole):
    """The middle rung, chosen by what the rungs are known to take."""
    run = start(deadline=1.0)
    run.costs = [c._replace(mean=m) for c, m in zip(run.costs, (9.0, 0.5, 0.1))]
    first = run.step(Y[0], t=T[0])
    assert first.rung == "other"
    given = filter_series(MODEL, Observations(Y[:1], t=T[:1]), METHOD, key=KEY)
    np.testing.assert_allclose(first.innovation, given.innovations[0], atol=1e-12)
    # another draw of the same update: mean within the scatter of a small ensemble
    assert np.abs(run.belief.mean() - given.means[0]).max() < 1.0
    assert not np.allclose(run.belief.members, given.ensembles[0])


def test_a_state_that_is_no_number_starts_again_from_the_climatology():
    run = start()
    for k in range(4):
        run.step(Y[k], t=T[k])
    members = run.belief.members.at[0].set(np.nan)
    broken = jax.tree.map(
        lambda leaf: members if leaf.shape == members.shape else leaf, run.running
    )
    run.carry = PROGRAMS.pack(broken)
    report = run.step(Y[5], t=T[5])
    assert report.alarms == (Alarm.diverged,)
    assert report.recovered
    assert np.isfinite(run.belief.members).all()
    assert run.tally["recovered"] == 1


def test_what_comes_next_is_forecast_without_letting_time_pass(whole):
    run = start()
    for k in range(6):
        run.step(Y[k], t=T[k])
    before = run.carry
    ahead = run.ahead(float(T[6]))
    assert run.carry is before
    y = np.array([0.3, -0.7])
    report = run.step(y, t=float(T[6]))
    np.testing.assert_allclose(ahead.mean, y - report.innovation, atol=1e-12)
    np.testing.assert_allclose(ahead.sd, report.interval.sd, rtol=1e-12)
    np.testing.assert_allclose(ahead.lower, report.interval.lower, atol=1e-12)
    with pytest.raises(InputError, match="must not be before"):
        run.ahead(0.0)


def test_a_resumed_run_goes_on_bit_for_bit(tmp_path, whole):
    path = tmp_path / "run.safetensors"
    first = start(checkpoint=path, every=5)
    assert not first.resume()
    for k in range(8):
        first.step(Y[k], t=T[k])
    second = start(checkpoint=path, every=5)
    assert second.resume()
    assert second.t == T[4]
    assert second.running.count == 5
    for k in range(2, ROWS):  # the source repeats a few rows
        second.step(Y[k], t=T[k])
    same(second, whole[0])
    assert second.tally["duplicate"] == 3
    assert second.tally["new"] == ROWS
    other = Programs(
        MODEL, (Rung("full", StochasticEnsembleKalman(M)), RUNGS[2]), climate=CLIMATE
    )
    stranger = Assimilator(MODEL, other.method, key=KEY, programs=other)
    with pytest.raises(CheckpointError, match="same ladder"):
        stranger.resume(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="damaged"):
        second.resume()


def test_wrong_settings_are_refused():
    for wrong in ({"lag": 0}, {"every": 0}, {"deadline": 0.0}):
        with pytest.raises(InputError, match="`lag` and `every`"):
            start(**wrong)
    with pytest.raises(MethodError, match="`programs` must belong"):
        Assimilator(MODEL, EnsembleTransformKalman(7), key=KEY, programs=PROGRAMS)


STREAM = """
    import sys
    from slipstate.ground.platform import prepare_process
    prepare_process(x64=True)
    import jax
    import numpy as np
    from slipstate.assimilate import Assimilator, EnsembleTransformKalman
    from slipstate.systems import LinearGaussian

    path, rows = sys.argv[1], int(sys.argv[2])
    model = LinearGaussian([0.0, 0.0], np.eye(2), 0.9 * np.eye(2), 0.1 * np.eye(2),
                           [[1.0, 0.5]], [[0.5]])
    run = Assimilator(model, EnsembleTransformKalman(4), key=jax.random.key(3),
                      checkpoint=path, every=7)
    run.resume()
    y = np.random.default_rng(5).normal(size=(4000, 1))
    print("ready", flush=True)
    for k in range(rows):
        run.step(y[k], t=float(k))
        if k == 300:
            print("on its way", flush=True)
    print(np.asarray(run.carry[0]).tobytes().hex(), run.watch.log_q.tobytes().hex())
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    """Kill -9 in the middle of stepping and writing; twice."""
    run = [sys.executable, "-c", textwrap.dedent(STREAM)]
    whole, torn = (str(tmp_path / name) for name in ("whole", "torn"))
    want = subprocess.run(
        [*run, whole, "1200"], capture_output=True, text=True, check=True, timeout=120
    ).stdout.splitlines()[-1]
    for _ in range(2):
        process = subprocess.Popen(
            [*run, torn, "4000"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        while "on its way" not in process.stdout.readline():
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    got = subprocess.run(
        [*run, torn, "1200"], capture_output=True, text=True, check=True, timeout=120
    ).stdout.splitlines()[-1]
    assert got == want


@pytest.mark.slow
def test_memory_does_not_grow():
    """A hundred thousand rows, some late and some double, in a few kilobytes."""

    def resident():
        with open("/proc/self/statm") as file:  # noqa: PTH123 - no file on a disk
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not os.path.exists("/proc/self/statm"):  # noqa: PTH110
        pytest.skip("needs Linux")
    run = start()
    y = RNG.normal(size=(1000, P))
    sizes = []
    for k in range(100_000):
        run.step(y[k % 1000], t=2.0 * k)
        if k % 50 == 7:
            run.step(y[k % 1000], t=2.0 * k - 5.0)
            run.step(y[k % 1000], t=2.0 * k)
        if k % 20_000 == 19_999:
            sizes.append(resident())
    assert max(sizes[1:]) - sizes[1] < 4 * 2**20
    assert len(run.kept) == run.lag
