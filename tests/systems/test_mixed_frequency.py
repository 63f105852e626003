"""Aggregated series, against one dense Gaussian of all times."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import (
    Observations,
    Sigma,
    Taylor,
    filter_series,
    smooth_series,
)
from slipstate.ground.errors import InputError
from slipstate.systems import (
    AbstractTransition,
    Average,
    Gaussian,
    Growth,
    LinearGaussian,
    LinearObservation,
    StateSpaceModel,
    Stock,
    Total,
    mixed_frequency,
)

ROWS = 18
F = np.array([[0.8, 0.3], [-0.2, 0.7]])
Q = np.array([[0.3, 0.1], [0.1, 0.2]])
H = np.array([[1.0, 0.0], [0.5, 1.0]])
R = np.diag([0.2, 0.1])
MEAN, COV = np.array([0.5, -0.3]), np.eye(2) + 0.2


def monthly():
    return LinearGaussian(MEAN, COV, F, Q, H, R)


def published(every=3, first=2):
    """Return a series whose second component appears once in `every` rows."""
    y = np.random.default_rng(0).normal(size=(ROWS, 2))
    late = np.ones(ROWS, bool)
    late[first::every] = False
    y[late, 1] = np.nan
    y[5, 0] = np.nan
    y[-2:, 0] = np.nan  # the ragged edge
    return y


def log_density(apart, cov):
    """Return the log density of a normal distribution about zero."""
    square = apart @ np.linalg.solve(cov, apart)
    return -0.5 * (square + np.linalg.slogdet(2.0 * np.pi * cov)[1])


def dense_states():
    """Return mean and covariance of the states at all rows, stacked."""
    means, cov = [MEAN], np.zeros((2 * ROWS, 2 * ROWS))
    block, P = lambda i: slice(2 * i, 2 * i + 2), COV
    for k in range(ROWS):
        if k:
            means.append(F @ means[-1])
            P = F @ P @ F.T + Q
        cov[block(k), block(k)] = P
        across = P
        for later in range(k + 1, ROWS):
            across = F @ across
            cov[block(later), block(k)] = across
            cov[block(k), block(later)] = across.T
    return np.concatenate(means), cov


def dense_twin(y, weights, past=None):
    """Return log density and smoothed states where component 1 sums `weights`."""
    mean, cov = dense_states()
    extra = len(weights) - 1
    if past is not None:
        mean = np.concatenate([mean, past.location])
        cov = np.block(
            [
                [cov, np.zeros((len(cov), extra))],
                [np.zeros((extra, len(cov))), np.asarray(past.covariance)],
            ]
        )
    rows, noise, values = [], [], []
    for k in range(ROWS):
        for component in range(2):
            if np.isnan(y[k, component]):
                continue
            row = np.zeros(len(mean))
            for lag, w in enumerate(weights if component else (1.0,)):
                if k - lag >= 0:
                    row[2 * (k - lag) : 2 * (k - lag) + 2] += w * H[component]
                else:
                    row[2 * ROWS + lag - k - 1] += w
            rows.append(row)
            noise.append(R[component, component])
            values.append(y[k, component])
    A = np.array(rows)
    S = A @ cov @ A.T + np.diag(noise)
    apart = np.array(values) - A @ mean
    smooth = mean + cov @ A.T @ np.linalg.solve(S, apart)
    density = log_density(apart, S)
    return density, smooth[: 2 * ROWS].reshape(ROWS, 2)


@pytest.mark.parametrize(
    "aggregate",
    [pytest.param(Total(3), marks=pytest.mark.slow), Average(3)],
    ids=["total", "average"],
)
def test_windows_inside_the_series_are_the_dense_gaussian(aggregate):
    y = published()
    density, smooth = dense_twin(y, aggregate.weights())
    model = mixed_frequency(monthly(), (Stock(), aggregate))
    got = smooth_series(model, Observations(y))
    np.testing.assert_allclose(got.log_likelihood, density, rtol=1e-11)
    np.testing.assert_allclose(got.means[:, :2], smooth, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_growth_reaches_back_into_a_known_past():
    y = published()
    root = np.random.default_rng(1).normal(size=(4, 4))
    past = Gaussian(jnp.arange(4.0), jnp.array(root @ root.T + np.eye(4)))
    density, smooth = dense_twin(y, (1 / 3, 2 / 3, 1.0, 2 / 3, 1 / 3), past)
    model = mixed_frequency(monthly(), (Stock(), Growth(3)), past)
    got = smooth_series(model, Observations(y))
    np.testing.assert_allclose(got.log_likelihood, density, rtol=1e-11)
    np.testing.assert_allclose(got.means[:, :2], smooth, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_an_unknown_past_takes_what_the_first_figure_says():
    """The figure of the first row is spent on the sum of two unknown values."""
    y = published(first=0)
    y[0, 0] = np.nan
    without = y.copy()
    without[0, 1] = np.nan
    model = mixed_frequency(monthly(), (Stock(), Total(3)))
    means = [smooth_series(model, Observations(s)).means for s in (y, without)]
    np.testing.assert_allclose(means[0][:, :2], means[1][:, :2], rtol=0, atol=1e-9)


@pytest.mark.slow
def test_a_stock_is_the_model_itself():
    y = published()
    got = filter_series(
        mixed_frequency(monthly(), (Stock(), Total(1))), Observations(y)
    )
    plain = filter_series(monthly(), Observations(y))
    np.testing.assert_allclose(got.means, plain.means, rtol=0, atol=1e-14)
    np.testing.assert_allclose(got.log_likelihood, plain.log_likelihood, rtol=1e-14)


class Plain(AbstractTransition):
    """The linear transition, as a model that nothing knows to be linear."""

    def mean(self, x, u, dt):
        return jnp.asarray(F) @ x

    def noise_factor(self, x, u, dt):
        return jnp.linalg.cholesky(jnp.asarray(Q))


@pytest.mark.slow
def test_any_model_can_be_wrapped():
    y, past = published(), Gaussian(jnp.zeros(2), jnp.eye(2))
    aggregates = (Stock(), Average(3))
    blind = StateSpaceModel(monthly().initial, Plain(), LinearObservation(H, R))
    got = filter_series(
        mixed_frequency(blind, aggregates, past), Observations(y), Sigma(Taylor())
    )
    want = filter_series(mixed_frequency(monthly(), aggregates, past), Observations(y))
    np.testing.assert_allclose(got.means, want.means, rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-12)


@pytest.mark.slow
def test_slopes_are_finite_with_any_mask():
    def height(scale, mask):
        model = mixed_frequency(
            LinearGaussian(MEAN, COV, F, scale * Q, H, R), (Stock(), Average(3))
        )
        data = Observations(jnp.ones((6, 2)), mask=mask)
        return filter_series(model, data).log_likelihood

    slope = jax.jit(jax.grad(height))
    for mask in (np.zeros((6, 2), bool), np.ones((6, 2), bool)):
        assert np.isfinite(slope(jnp.ones(()), jnp.array(mask)))


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="`aggregates` must name one for each of 2"):
        mixed_frequency(monthly(), (Stock(),))
    with pytest.raises(InputError, match="`every` must be a whole number"):
        Total(0)
    wrong = Gaussian(jnp.zeros(3), jnp.eye(3))
    with pytest.raises(InputError, match="`past` must have 2 components"):
        mixed_frequency(monthly(), (Stock(), Total(3)), wrong)
    blind = StateSpaceModel(monthly().initial, Plain(), LinearObservation(H, R))
    with pytest.raises(InputError, match="`past` must be a Gaussian"):
        mixed_frequency(blind, (Stock(), Total(3)))
    assert Growth(3).weights() == (1 / 3, 2 / 3, 1.0, 2 / 3, 1 / 3)
