"""Segments: cut by the certificate, merged exactly, bounded in number."""

import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.errors import InputError, MethodError
from slipstate.memory import (
    ExponentialClock,
    LagMemory,
    Legendre,
    ScaleClock,
    SegmentedMemory,
    merge_segments,
)

L = 4000
X = (np.arange(L) + 0.5) / L
EDGES = np.arange(L + 1) / L
JUMP = (np.sin(6 * np.pi * X) + (X > 0.37))[:, None]


def legs(modes):
    return LagMemory(Legendre(modes), ScaleClock())


def test_a_jump_is_found_at_its_sample_and_costs_nothing():
    memory = SegmentedMemory(legs(24), 1e-2)
    states = memory.scan(JUMP, EDGES)
    assert np.flatnonzero(states.cut).tolist() == [1480]
    assert np.allclose(memory.bounds(states.last), [0.0, 0.37, 1.0])
    rec = memory.reconstruct(states.last, X)
    assert np.linalg.norm(rec - JUMP) < 1e-5 * np.linalg.norm(JUMP)
    plain = legs(64)
    rec = plain.reconstruct(plain.scan(JUMP, EDGES).last, X)
    assert np.isclose(
        np.linalg.norm(rec - JUMP) / np.linalg.norm(JUMP), 4.67e-2, rtol=2e-3
    )


def test_steps_equal_the_scan():
    memory = SegmentedMemory(legs(24), 0.01)
    u = np.concatenate([np.zeros((100, 1)), np.ones((L - 100, 1))])
    states = memory.scan(u)
    state, cuts, errors = memory.init(1), [], []
    for k in range(110):
        state, cut = memory.step(state, u[k], k + 1.0)
        cuts.append(bool(cut))
        errors.append(memory.segment_errors(state)[-1, 0])
    assert cuts == np.asarray(states.cut[:110]).tolist()
    assert cuts.index(True) == 100
    after = np.where(states.cut[:110], 0.0, states.errors[:110, 0])
    assert np.allclose(errors, after, atol=1e-7)


def test_merging_is_the_projection_of_the_union():
    u = np.random.default_rng(3).standard_normal((50, 2))
    memory = legs(12)
    left = memory.scan(u[:20]).last.coefficients
    right = memory.scan(u[20:]).last.coefficients
    both = memory.scan(u).last.coefficients
    assert np.allclose(merge_segments(left, right, jnp.asarray(0.4)), both, atol=1e-13)


def test_the_number_of_segments_is_bounded_and_the_certificate_stays_exact():
    memory = SegmentedMemory(legs(16), 0.1, capacity=6, longest=0.02)
    states = memory.scan(JUMP, EDGES)
    assert int(states.last.cuts) > 40
    bounds = np.asarray(memory.bounds(states.last))
    assert len(bounds) == 8
    widths = np.diff(bounds)
    assert widths[0] > 4 * widths[-2]  # coarse for the old past
    nodes, weights = np.polynomial.legendre.leggauss(8)
    times = EDGES[:-1, None] + (nodes + 1) / 2 / L
    rec = np.asarray(memory.reconstruct(states.last, times.ravel())).reshape(L, 8)
    truth = np.sqrt(np.sum((rec - JUMP) ** 2 * weights / 2) / L)
    assert np.isclose(memory.error(states.last)[0], truth, rtol=1e-9)


def test_bad_settings_name_the_argument():
    with pytest.raises(MethodError, match="`memory`"):
        SegmentedMemory(LagMemory(Legendre(4), ExponentialClock(1.0)), 0.1)
    with pytest.raises(InputError, match="`capacity`"):
        SegmentedMemory(legs(4), 0.1, capacity=1)
    with pytest.raises(InputError, match="`longest`"):
        SegmentedMemory(legs(4), 0.1, longest=0.0)
