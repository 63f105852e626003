"""One observation at a time in microseconds: the same run as any other."""

import jax
import numpy as np
import pytest

from slipstate.assimilate import (
    EnsembleTransformKalman,
    Observations,
    Stepper,
    filter_series,
    init as start,
    load_state,
    save_state,
)
from slipstate.ground.errors import CheckpointError, InputError, OutputError
from slipstate.systems import LinearGaussian

N, P, ROWS = 4, 2, 12
RNG = np.random.default_rng(11)
MODEL = LinearGaussian(
    np.ones(N),
    np.eye(N),
    0.9 * np.linalg.qr(RNG.normal(size=(N, N)))[0],
    0.1 * np.eye(N),
    RNG.normal(size=(P, N)),
    0.5 * np.eye(P),
)
Y = RNG.normal(size=(ROWS, P))
Y[RNG.uniform(size=Y.shape) < 0.3] = np.nan
T = np.cumsum(RNG.uniform(0.5, 2.0, size=ROWS))


def same(one, other, tolerance=1e-12):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jax.numpy.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def follow():
    return Stepper(MODEL)


@pytest.fixture(scope="module")
def whole():
    return filter_series(MODEL, Observations(Y, t=T))


def test_a_stepper_is_the_whole_series(follow, whole):
    infos = [follow(y, t=t) for y, t in zip(Y, T)]
    before = follow.running
    same(before, whole.final)
    for row, info in enumerate(infos):
        same(info, jax.tree.map(lambda x, row=row: x[row], whole.info))
    # what it refuses leaves the run as it was
    with pytest.raises(InputError, match=r"not before .* after 12 rows; got 0"):
        follow(Y[0], t=0.0)
    with pytest.raises(InputError, match="must have 2 components"):
        follow(np.zeros(3), t=100.0)
    with pytest.raises(InputError, match="must be finite wherever"):
        follow(np.array([np.inf, 0.0]), t=100.0)
    with pytest.raises(InputError, match="must be finite wherever"):
        follow(np.array([np.nan, 0.0]), t=100.0, mask=np.ones(2, bool))
    same(follow.running, before, 0.0)
    # a copy: the next call does not take it away
    follow(np.zeros(P), t=100.0)
    same(before, whole.final)


@pytest.mark.slow
def test_a_stepper_draws_what_the_series_draws(key):
    method = EnsembleTransformKalman(members=4)
    want = filter_series(MODEL, Observations(Y, t=T), method, key=key)
    first = filter_series(MODEL, Observations(Y[:5], t=T[:5]), method, key=key)
    follow = Stepper(MODEL, method, running=first.final, key=key)
    for y, t in zip(Y[5:], T[5:]):
        follow(y, t=t)
    same(follow.running, want.final)


def test_a_saved_state_goes_on_bit_for_bit(tmp_path, whole, key):
    path = tmp_path / "state.safetensors"
    first = filter_series(MODEL, Observations(Y[:6], t=T[:6])).final
    save_state(path, first, MODEL)
    loaded = load_state(path, start(MODEL), MODEL)
    same(loaded, first, 0.0)
    rest = Observations(Y[6:], t=T[6:])
    one = filter_series(MODEL, rest, running=loaded)
    other = filter_series(MODEL, rest, running=first)
    same(one, other, 0.0)
    same(one.final, whole.final)
    # a run that draws keeps its key
    method = EnsembleTransformKalman(members=4)
    drawing = start(MODEL, method, key=key)
    save_state(path, drawing)
    same(load_state(path, drawing, MODEL), drawing, 0.0)


def test_a_state_of_another_run_is_refused(tmp_path, key):
    path = tmp_path / "state.safetensors"
    running = start(MODEL)
    save_state(path, running, MODEL)
    other = LinearGaussian(
        np.ones(N), np.eye(N), np.eye(N), np.eye(N), np.ones((P, N)), np.eye(P)
    )
    with pytest.raises(CheckpointError, match="other numbers"):
        load_state(path, running, other)
    small = LinearGaussian([0.0], [[1.0]], [[1.0]], [[1.0]], [[1.0]], [[1.0]])
    with pytest.raises(CheckpointError, match=r"expected float64\[1\] at .*location"):
        load_state(path, start(small))
    method = EnsembleTransformKalman(members=4)
    with pytest.raises(CheckpointError, match="found"):
        load_state(path, start(MODEL, method, key=key))
    with pytest.raises(CheckpointError, match="No such file"):
        load_state(tmp_path / "absent", running)
    with pytest.raises(OutputError, match="Nothing was replaced"):
        save_state(tmp_path / "no" / "folder", running)
    whole = path.read_bytes()
    for damaged in (whole[:-3], whole[:-1] + b"\x01", b"", b"not a state"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged"):
            load_state(path, running)
