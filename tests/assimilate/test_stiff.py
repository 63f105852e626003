"""Millimetre noise on metre signals: the log-likelihood against 50 digits."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from slipstate.assimilate import Observations, filter_series, smooth_series
from slipstate.systems import LinearGaussian


def integrated_wiener(order, d, noise, rows, seed=0):
    """A signal whose derivative of that order is a Wiener process, seen in noise."""
    n = order + 1
    factorial = [1.0] * (2 * n)
    for i in range(1, 2 * n):
        factorial[i] = factorial[i - 1] * i
    F = np.zeros((n, n))
    Q = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if j >= i:
                F[i, j] = d ** (j - i) / factorial[j - i]
            power = 2 * n - 1 - i - j
            scale = factorial[n - 1 - i] * factorial[n - 1 - j]
            Q[i, j] = d**power / (power * scale)
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(Q)
    x, y = rng.normal(size=n), np.zeros((rows, 1))
    for k in range(rows):
        x = F @ x + root @ rng.normal(size=n) if k else x
        y[k, 0] = x[0] + np.sqrt(noise) * rng.normal()
    H = np.eye(1, n)
    return np.zeros(n), np.eye(n), F, Q, H, np.array([[noise]]), y


def fifty_digits(m0, P0, F, Q, H, R, y):
    """The textbook loop in 50 digits; H picks the first state."""
    with mpmath.workdps(50):
        n = len(m0)
        F, Q, P = (mpmath.matrix(x.tolist()) for x in (F, Q, P0))
        r, m, total = mpmath.mpf(float(R[0, 0])), mpmath.matrix(m0.tolist()), 0
        for k, value in enumerate(y[:, 0]):
            if k:
                m, P = F * m, F * P * F.T + Q
            S, v = P[0, 0] + r, mpmath.mpf(float(value)) - m[0]
            gain = [P[i, 0] / S for i in range(n)]
            total -= (mpmath.log(2 * mpmath.pi * S) + v * v / S) / 2
            for i in range(n):
                m[i] += gain[i] * v
            P = mpmath.matrix(
                [[P[i, j] - gain[i] * P[0, j] for j in range(n)] for i in range(n)]
            )
        return float(total), np.array([float(value) for value in m])


@pytest.mark.parametrize(
    ("order", "d", "noise"),
    [(1, 0.01, 1e-10), (2, 0.01, 1e-10), (2, 0.01, 1e-6), (0, 1.0, 1e-12)],
)
@pytest.mark.slow
def test_the_likelihood_is_right_to_a_millionth(order, d, noise):
    case = integrated_wiener(order, d, noise, rows=2000)
    want, final = fifty_digits(*case)
    got = filter_series(LinearGaussian(*case[:-1]), Observations(case[-1]))
    assert abs(float(got.log_likelihood) - want) < 1e-6
    np.testing.assert_allclose(got.means[-1], final, rtol=1e-6)


def test_two_sensors_that_differ_by_ten_orders_of_magnitude():
    m0, P0, F, Q, H, _, y = integrated_wiener(1, 0.01, 1e-10, rows=200)
    both = np.concatenate([y, y + np.random.default_rng(3).normal(size=y.shape)], 1)
    model = LinearGaussian(m0, P0, F, Q, np.vstack([H, H]), np.diag([1e-10, 1.0]))
    swapped = LinearGaussian(m0, P0, F, Q, np.vstack([H, H]), np.diag([1.0, 1e-10]))
    one = filter_series(model, Observations(both))
    other = filter_series(swapped, Observations(both[:, ::-1].copy()))
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-9)
    np.testing.assert_allclose(one.means, other.means, rtol=1e-7, atol=1e-9)


def test_units_do_not_matter():
    """The same track in metres and in micrometres, filtered and smoothed."""
    m0, P0, F, Q, H, R, y = integrated_wiener(2, 0.01, 1e-10, rows=300)
    scale = 1e6
    metres = smooth_series(LinearGaussian(m0, P0, F, Q, H, R), Observations(y))
    square = scale**2
    small = smooth_series(
        LinearGaussian(m0, square * P0, F, square * Q, H, square * R),
        Observations(scale * y),
    )
    np.testing.assert_allclose(small.means, scale * metres.means, rtol=1e-7, atol=1e-3)
    shift = len(y) * np.log(scale)
    np.testing.assert_allclose(
        small.log_likelihood, metres.log_likelihood - shift, atol=1e-5
    )


def test_single_precision_stays_finite():
    case = integrated_wiener(2, 0.01, 1e-10, rows=2000)
    single = [jnp.asarray(x, jnp.float32) for x in case]
    got = filter_series(LinearGaussian(*single[:-1]), Observations(single[-1]))
    assert got.means.dtype == jnp.float32
    assert np.isfinite(got.log_likelihood)
    assert jax.numpy.all(jnp.isfinite(got.covs))
