"""Calibrating intervals as observations come in: exact laws, and what they give."""

import numpy as np
import pytest
import scipy.special

from slipstate.assimilate import Conformal
from slipstate.ground.errors import InputError


def follow(settings, z, seen=None):
    """Return log q before each row, after the last, and which rows were missed."""
    seen = np.ones(z.shape, bool) if seen is None else seen
    log_q = settings.start(z.shape[1])
    path, missed = [log_q], []
    for row, there in zip(z, seen):
        missed.append((np.abs(row) > np.exp(log_q)) & there)
        log_q = settings.learn(log_q, row, there)
        path.append(log_q)
    return np.array(path), np.array(missed)


def test_the_share_of_misses_is_what_the_law_says():
    """Whatever the data: normal, heavy-tailed, drifting, adversarial, with gaps."""
    settings = Conformal((0.5, 0.8, 0.9), 0.03)
    rng = np.random.default_rng(0)
    n = 400
    z = np.stack(
        [
            rng.normal(size=n),
            3.0 * rng.standard_cauchy(size=n),
            np.linspace(0.1, 9.0, n) * rng.normal(size=n),
            np.where(np.arange(n) % 7 == 0, 1e3, 0.0),
        ],
        axis=1,
    )
    seen = rng.uniform(size=z.shape) < 0.8
    path, missed = follow(settings, z, seen)
    alpha = 1.0 - np.array(settings.levels)[:, None]
    want = alpha * seen.sum(0) + (path[-1] - path[0]) / settings.rate
    np.testing.assert_allclose(missed.sum(0), want, atol=1e-8)


def test_a_wrong_variance_is_put_right():
    """Spread three times too small, then twice too large: 90 +- 1.5 % of the time."""
    rng = np.random.default_rng(1)
    for factor in (3.0, 0.5, 30.0):
        z = factor * rng.normal(size=(6000, 2))
        _, missed = follow(Conformal((0.5, 0.9)), z)
        covered = 1.0 - missed[500:].mean(axis=(0, 2))
        np.testing.assert_allclose(covered, [0.5, 0.9], atol=0.015)
        # the normal interval itself is far from it
        raw = (np.abs(z) <= scipy.special.ndtri(0.95)).mean()
        assert abs(raw - 0.9) > 0.05


def test_a_right_variance_stays_and_gaps_change_nothing():
    rng = np.random.default_rng(2)
    settings = Conformal((0.9,))
    z = rng.normal(size=(4000, 1))
    path, missed = follow(settings, z)
    assert abs(missed.mean() - 0.1) < 0.005
    assert np.abs(np.mean(path[500:]) - np.log(scipy.special.ndtri(0.95))) < 0.02
    log_q = settings.start(2)
    same = settings.learn(log_q, np.array([9.0, np.nan]), np.array([False, True]))
    np.testing.assert_array_equal(same, log_q)


def test_intervals_are_those_of_the_normal_law_at_the_start():
    settings = Conformal((0.5, 0.9))
    found = settings.interval(settings.start(2), np.array([1.0, -2.0]), np.ones(2) * 2)
    np.testing.assert_allclose(found.lower, found.raw_lower, rtol=1e-14)
    np.testing.assert_allclose(found.upper, found.raw_upper, rtol=1e-14)
    half = 2.0 * scipy.special.ndtri([0.75, 0.95])
    np.testing.assert_allclose(found.upper - found.lower, 2 * half[:, None] * [[1, 1]])


def test_wrong_settings_are_refused():
    for levels in ((), (0.0,), (1.0,), (0.5, 2.0)):
        with pytest.raises(InputError, match="`levels`"):
            Conformal(levels)
    with pytest.raises(InputError, match="`rate`"):
        Conformal(rate=0.0)
