"""Kernels as state spaces, against dense Gaussian process regression."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from slipstate.assimilate import Kalman, Observations, filter_series, smooth_series
from slipstate.ground.errors import InputError
from slipstate.systems import (
    Matern,
    Periodic,
    ProductKernel,
    SumKernel,
    gaussian_process,
)

KERNELS = {
    "Matern 5/2": Matern(2.5, 1.3, 2.0),
    "quasi-periodic": ProductKernel(
        Periodic(3.0, 1.0, 1.5, harmonics=3), Matern(1.5, 5.0, 1.0)
    ),
    "sum": SumKernel(Matern(1.5, 4.0, 1.0), Matern(0.5, 0.5, 0.3)),
}
NOISE = 0.3


def series(rows=40, seed=0):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0.0, 10.0, size=rows))
    y = np.sin(2.0 * t)[:, None] + rng.normal(size=(rows, 1))
    y[3::14] = np.nan
    return t, y


def log_density(apart, cov):
    """Return the log density of a normal distribution about zero."""
    square = apart @ np.linalg.solve(cov, apart)
    return -0.5 * (square + np.linalg.slogdet(2.0 * np.pi * cov)[1])


def lags(kernel, one, other):
    return jax.vmap(jax.vmap(kernel.covariance))(one[:, None] - other[None, :])


@pytest.mark.parametrize(
    "name",
    [
        "Matern 5/2",
        pytest.param("sum", marks=pytest.mark.slow),
        pytest.param("quasi-periodic", marks=pytest.mark.slow),
    ],
)
def test_the_filter_is_dense_regression(name):
    kernel = KERNELS[name]
    t, y = series()
    seen = ~np.isnan(y[:, 0])
    model = gaussian_process(kernel, NOISE)
    got = smooth_series(model, Observations(y, t=t), Kalman())
    K = np.asarray(lags(kernel, t, t))
    C = K[np.ix_(seen, seen)] + NOISE * np.eye(seen.sum())
    dense = log_density(y[seen, 0], C)
    gain = np.linalg.solve(C, K[seen]).T
    h = kernel.readout()
    var = jnp.einsum("i,tij,j->t", h, got.covs, h)
    np.testing.assert_allclose(got.log_likelihood, dense, rtol=0, atol=1e-8)
    np.testing.assert_allclose(got.means @ h, gain @ y[seen, 0], rtol=0, atol=1e-8)
    want = np.diagonal(K) - np.einsum("ts,st->t", gain, K[seen])
    np.testing.assert_allclose(var, want, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", KERNELS)
def test_a_step_leaves_the_stationary_distribution_as_it_is(name):
    kernel = KERNELS[name]
    P, h = kernel.stationary_cov(), kernel.readout()
    np.testing.assert_allclose(h @ P @ h, kernel.covariance(0.0), rtol=1e-13)
    for dt in (1e-4, 0.4, 30.0):
        F, Q = kernel.matrix(dt), kernel.noise_cov(dt)
        np.testing.assert_allclose(F @ P @ F.T + Q, P, rtol=0, atol=2e-13)
        np.testing.assert_allclose(h @ F @ P @ h, kernel.covariance(dt), atol=1e-13)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_matern_covariances_are_those_of_bessel_functions(order):
    nu, length = order + 0.5, 1.7
    for lag in (0.1, 1.0, 4.0):
        z = np.sqrt(2.0 * nu) * lag / length
        want = 2.0 ** (1.0 - nu) / scipy.special.gamma(nu) * z**nu
        want = 3.0 * want * scipy.special.kv(nu, z)
        kernel = Matern(nu, length, 3.0)
        np.testing.assert_allclose(kernel.covariance(lag), want, rtol=1e-13)


def test_harmonics_of_a_periodic_kernel_are_bessel_functions():
    kernel = Periodic(2.0, 0.8, 1.5, harmonics=5)
    j, x = np.arange(6), 1.0 / 0.8**2
    want = np.where(j == 0, 1.0, 2.0) * scipy.special.ive(j, x) * 1.5
    np.testing.assert_allclose(kernel.weights(), want, rtol=1e-12)
    smooth = Periodic(2.0, 0.8, 1.5, harmonics=14)
    for lag in (0.0, 0.3, 1.0, 7.9):
        exact = 1.5 * np.exp(-2.0 * np.sin(np.pi * lag / 2.0) ** 2 / 0.8**2)
        np.testing.assert_allclose(smooth.covariance(lag), exact, atol=1e-12)


def test_many_points_close_together_keep_their_likelihood():
    rng = np.random.default_rng(1)
    t = np.sort(np.concatenate([rng.uniform(0, 3, 15), 1.0 + 1e-6 * np.arange(10)]))
    y = rng.normal(size=(25, 1))
    kernel = Matern(2.5, 1.0, 1.0)
    got = filter_series(gaussian_process(kernel, 0.5), Observations(y, t=t))
    C = np.asarray(lags(kernel, t, t)) + 0.5 * np.eye(25)
    dense = log_density(y[:, 0], C)
    np.testing.assert_allclose(got.log_likelihood, dense, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_the_slope_by_every_hyperparameter_is_that_of_the_dense_likelihood():
    t, y = series(12)
    y = np.nan_to_num(y)

    def kernel(values):
        return ProductKernel(
            Periodic(values[0], values[1], 1.0, harmonics=2),
            Matern(1.5, values[2], values[3]),
        )

    def dense(values):
        C = lags(kernel(values), jnp.array(t), jnp.array(t)) + NOISE * jnp.eye(12)
        root = jnp.linalg.cholesky(C)
        white = jax.scipy.linalg.solve_triangular(root, y[:, 0], lower=True)
        return -0.5 * white @ white - jnp.sum(jnp.log(jnp.diagonal(root)))

    def filtered(values):
        model = gaussian_process(kernel(values), NOISE)
        return filter_series(model, Observations(y, t=t)).log_likelihood

    values = jnp.array([3.0, 1.0, 5.0, 1.2])
    got, want = jax.jit(jax.grad(filtered))(values), jax.jit(jax.grad(dense))(values)
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_wrong_numbers_are_named():
    with pytest.raises(InputError, match=r"`smoothness` must be 0\.5, 1\.5"):
        Matern(1.0, 1.0, 1.0)
    with pytest.raises(
        InputError, match="`lengthscale` must be positive and finite; got -1"
    ):
        Matern(0.5, -1.0, 1.0)
    with pytest.raises(
        InputError, match="`period` must be positive and finite; got nan"
    ):
        Periodic(np.nan, 1.0, 1.0)
    with pytest.raises(InputError, match="`order` must be a whole number"):
        Periodic(1.0, 1.0, 1.0, harmonics=-1)
