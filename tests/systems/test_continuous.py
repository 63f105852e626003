"""Steps in continuous time, against 50-digit exponentials and against each other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from slipstate.assimilate import Kalman, Observations, filter_series
from slipstate.ground.errors import InputError
from slipstate.systems import (
    ContinuousLinearGaussian,
    ContinuousTransition,
    DiagonalTransition,
    Gaussian,
    IntegratedWiener,
    LinearGaussian,
    LinearObservation,
    Matern,
    StateSpaceModel,
)
from slipstate.systems.discretise import (
    decaying_moments,
    diagonal_step,
    discretise,
    van_loan,
)

step = jax.jit(discretise)
moments = jax.jit(decaying_moments, static_argnums=0)
RATE = 1.7


def exact(A, W, dt, digits=60):
    """Return F and Q by Van Loan's exponential in many digits."""
    n = len(A)
    with mpmath.workdps(digits + int(2 * np.abs(A).sum() * dt)):
        block = mpmath.matrix(2 * n, 2 * n)
        for i in range(n):
            for j in range(n):
                block[i, j] = -mpmath.mpf(A[i, j]) * dt
                block[i, n + j] = mpmath.mpf(W[i, j]) * dt
                block[n + i, n + j] = mpmath.mpf(A[j, i]) * dt
        whole = mpmath.expm(block)
        F = whole[n:, n:].T
        return tuple(np.array(m.tolist(), float) for m in (F, F * whole[:n, n:]))


def matern_drift(order):
    """Return A and W of a Matern process in scaled derivatives, and its kernel."""
    kernel = Matern(order + 0.5, np.sqrt(2 * order + 1) / RATE, 2.0)
    n = order + 1
    A = np.eye(n, k=1)
    A[-1] = [-float(mpmath.binomial(n, k)) for k in range(n)]
    P = np.asarray(kernel.stationary_cov())
    W = np.zeros((n, n))
    W[-1, -1] = -2.0 * RATE * (A @ P)[-1, -1]
    return RATE * A, W, kernel


def distance(got, want):
    """Return the largest error of a covariance, scaled to unit diagonal."""
    size = np.sqrt(np.diagonal(want))
    return np.abs((np.asarray(got) - want) / np.outer(size, size)).max()


@pytest.mark.parametrize("dt", [1e-6, 1e-3, 0.1, 1.0, 10.0, 100.0])
def test_doubling_and_closed_forms_keep_all_digits_of_a_step(dt):
    A, W, kernel = matern_drift(2)
    F, Q = exact(A, W, dt)
    doubled = step(jnp.array(A), jnp.array(W), dt)
    for got_F, got_Q in (doubled, (kernel.matrix(dt), kernel.noise_cov(dt))):
        np.testing.assert_allclose(got_F, F, rtol=0, atol=1e-14)
        assert distance(got_Q, Q) < 2e-14


def test_the_exponential_of_van_loan_loses_long_steps_and_doubling_does_not():
    A, W, _ = matern_drift(2)
    near, far = exact(A, W, 0.5)[1], exact(A, W, 60.0)[1]
    A, W = jnp.array(A), jnp.array(W)
    assert distance(van_loan(A, W, 0.5)[1], near) < 1e-13
    assert distance(van_loan(A, W, 60.0)[1], far) > 1e-8
    assert distance(step(A, W, 60.0)[1], far) < 1e-13


def test_a_general_stiff_system_is_exact():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(3, 3)) - np.diag([0.5, 3.0, 300.0])
    root = rng.normal(size=(3, 2))
    F, Q = exact(A, root @ root.T, 0.7)
    got_F, got_Q = step(jnp.array(A), jnp.array(root @ root.T), 0.7)
    np.testing.assert_allclose(got_F, F, rtol=0, atol=1e-12)
    assert distance(got_Q, Q) < 1e-12


def test_diagonal_systems_real_and_complex_have_closed_forms():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3))
    rates = np.array([-0.3 + 2.0j, -1e-9 + 0.0j, 0.0 + 1.0j])
    W, dt = root @ root.conj().T, 1.3
    F, Q = diagonal_step(jnp.array(rates), jnp.array(W), dt)
    s = (np.arange(4000) + 0.5) * dt / 4000
    waves = np.exp(rates[:, None] * s)
    midpoint = np.einsum("is,ij,js->ij", waves, W, waves.conj()) * dt / 4000
    np.testing.assert_allclose(F, np.exp(rates * dt), rtol=1e-14)
    np.testing.assert_allclose(Q, midpoint, rtol=1e-6)
    a, real = np.array([-0.4, 0.2, 0.0]), W.real
    full = step(jnp.array(np.diag(a)), jnp.array(real), dt)
    simple = DiagonalTransition(a, real)
    np.testing.assert_allclose(simple.matrix(dt), full[0], rtol=1e-14)
    np.testing.assert_allclose(simple.noise_cov(dt), full[1], rtol=1e-13)


def test_an_integrated_wiener_process_is_its_general_step():
    A, W = np.eye(3, k=1), np.diag([0.0, 0.0, 0.7])
    walk, general = IntegratedWiener(2, 0.7), ContinuousTransition(A, W)
    for dt in (1e-4, 0.3, 5.0):
        np.testing.assert_allclose(walk.matrix(dt), general.matrix(dt), rtol=1e-13)
        got, want = walk.noise_cov(dt), np.asarray(general.noise_cov(dt))
        np.testing.assert_allclose(got, want, rtol=1e-12)
    assert IntegratedWiener(0, 2.0).noise_cov(3.0) == 6.0


@pytest.mark.parametrize("z", [0.0, 1e-9, 0.5, 7.99, 8.01, 400.0])
def test_decaying_moments_keep_all_digits(z):
    area = lambda m: mpmath.quad(lambda s: s**m * mpmath.exp(-z * s), [0, 0.1, 1])
    want = np.array([area(m) for m in range(5)]).astype(float)
    np.testing.assert_allclose(moments(4, jnp.array(z)), want, rtol=2e-14)


def test_two_steps_are_one_with_a_push():
    rng = np.random.default_rng(2)
    moving = ContinuousTransition(
        rng.normal(size=(2, 2)), np.eye(2), np.array([0.3, -1.0])
    )
    x = jnp.array([0.4, 1.2])
    move = eqx.filter_jit(
        lambda x, dt: (
            moving.mean(x, None, dt),
            moving.matrix(dt),
            moving.noise_cov(dt),
            moving.noise_factor(x, None, dt),
        )
    )
    short, long, whole = (jnp.array(dt) for dt in (0.4, 0.9, 1.3))
    once, _, first, _ = move(x, short)
    twice, F, Q, factor = move(once, long)
    both, _, total, _ = move(x, whole)
    np.testing.assert_allclose(both, twice, rtol=1e-13)
    np.testing.assert_allclose(total, F @ first @ F.T + Q, rtol=1e-13)
    np.testing.assert_allclose(factor @ factor.T, Q, rtol=1e-13)


def model(scale=1.0):
    return ContinuousLinearGaussian(
        np.zeros(2),
        np.eye(2),
        jnp.array([[0.0, 1.0], [-2.0, -0.3]]) * scale,
        np.diag([0.0, 0.5]),
        np.array([[1.0, 0.0]]),
        np.array([[0.1]]),
    )


def test_irregular_stamps_with_equal_gaps_are_the_regular_grid():
    y = np.random.default_rng(3).normal(size=(25, 1))
    y[4:7] = np.nan
    gap = 0.25
    continuous = model()
    timed = filter_series(continuous, Observations(y, t=7.0 + gap * np.arange(25)))
    discrete = LinearGaussian(
        np.zeros(2),
        np.eye(2),
        continuous.transition.matrix(gap),
        continuous.transition.noise_cov(gap),
        np.array([[1.0, 0.0]]),
        np.array([[0.1]]),
    )
    plain = filter_series(discrete, Observations(y))
    np.testing.assert_allclose(timed.means, plain.means, rtol=0, atol=1e-13)
    np.testing.assert_allclose(timed.log_likelihood, plain.log_likelihood, rtol=1e-14)


@pytest.mark.slow
def test_a_stamp_without_observation_changes_nothing():
    rng = np.random.default_rng(4)
    t = np.sort(rng.uniform(0, 6, size=12))
    y = rng.normal(size=(12, 1))
    keep = np.delete(np.arange(12), [2, 5, 6])
    y[[2, 5, 6]] = np.nan
    whole = filter_series(model(), Observations(y, t=t))
    short = filter_series(model(), Observations(y[keep], t=t[keep]))
    np.testing.assert_allclose(whole.means[keep], short.means, rtol=0, atol=1e-13)
    np.testing.assert_allclose(whole.log_likelihood, short.log_likelihood, rtol=1e-13)


@pytest.mark.slow
def test_the_slope_of_the_likelihood_is_that_of_finite_differences():
    rng = np.random.default_rng(5)
    data = Observations(rng.normal(size=(8, 1)), t=np.cumsum(rng.uniform(size=8)))
    height = jax.jit(lambda s: filter_series(model(s), data, Kalman()).log_likelihood)
    slope = jax.jit(jax.grad(height))(jnp.array(1.0))
    apart = height(jnp.array(1.0 + 1e-5)) - height(jnp.array(1.0 - 1e-5))
    np.testing.assert_allclose(slope, apart / 2e-5, rtol=1e-7)


def test_a_step_too_long_for_its_rates_is_not_a_number():
    lost = step(jnp.array([[-1e13]]), jnp.ones((1, 1)), 1.0)
    assert np.isnan(lost[0]).all()
    assert np.isnan(lost[1]).all()


def test_wrong_matrices_are_named():
    with pytest.raises(InputError, match=r"`drift` must have shape \(3, 3\)"):
        ContinuousTransition(np.zeros((2, 3)), np.eye(3))
    with pytest.raises(InputError, match="`diffusion` must be positive semi-definite"):
        ContinuousTransition(np.zeros((2, 2)), -np.eye(2))
    with pytest.raises(InputError, match="`drift` must be finite"):
        ContinuousTransition(np.full((2, 2), np.nan), np.eye(2))
    with pytest.raises(InputError, match="`order` must be a whole number"):
        IntegratedWiener(-1, 1.0)
    with pytest.raises(InputError, match="`intensity` must be positive semi"):
        IntegratedWiener(1, -1.0)


def test_an_integrated_walk_runs_in_a_filter():
    walk = StateSpaceModel(
        Gaussian(jnp.zeros(2), jnp.eye(2)),
        IntegratedWiener(1, 0.1),
        LinearObservation([[1.0, 0.0]], [[0.2]]),
    )
    y, t = np.array([[0.1], [0.5], [2.0]]), np.array([0.0, 1.0, 1.0])
    got = filter_series(walk, Observations(y, t=t))
    np.testing.assert_array_equal(got.predicted_means[2], got.means[1])
