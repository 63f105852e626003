"""Where covariances settle, the short road gives what the long one gives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import (
    Kalman,
    Observations,
    filter_series,
    sequential,
    smooth_series,
    steady,
)
from slipstate.assimilate.run import init
from slipstate.systems import ContinuousLinearGaussian, LinearGaussian

ROWS, N, P = 700, 3, 2
RNG = np.random.default_rng(5)
F = 0.8 * np.linalg.qr(RNG.normal(size=(N, N)))[0]
H = RNG.normal(size=(P, N))
MODEL = LinearGaussian(
    np.ones(N),
    4.0 * np.eye(N),
    F,
    0.3 * np.eye(N),
    H,
    np.array([[0.5, 0.2], [0.2, 0.3]]),
)
Y = RNG.normal(size=(ROWS, P))
GAPS = Y.copy()
GAPS[400, 1] = np.nan
GAPS[500:503] = np.nan


@eqx.filter_jit
def long_road(model, observations):
    rows, method = observations.rows(), Kalman()
    done = sequential.filter_rows(model, init(model), rows, method, "full")
    terms = jax.vmap(method.log_likelihood)(done.info)
    return done, terms, sequential.smooth_rows(model, rows, done, method)


def close(one, other, tolerance):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("y", [Y, GAPS], ids=["whole", "gaps"])
def test_the_short_road_is_the_long_one(y):
    series = Observations(y)
    got = smooth_series(MODEL, series)
    done, terms, smoothed = long_road(MODEL, series)
    close(got.filter.predicted, done.predicted, 1e-13)
    close(got.filter.filtered, done.filtered, 1e-13)
    close(got.filter.info, done.info, 1e-13)
    close(got.filter.final, done.final, 1e-13)
    close(got.filter.step_log_likelihoods, terms, 1e-12)
    close(got.smoothed, smoothed, 1e-13)
    covs = np.asarray(got.filter.covs)
    assert (covs[300] == covs[250]).all()  # it was taken


def test_the_length_of_the_step_counts_where_matrices_follow_from_it():
    model = ContinuousLinearGaussian(
        np.zeros(2), np.eye(2), -np.eye(2) + 0.3, np.eye(2), np.eye(1, 2), np.eye(1)
    )
    gaps = np.full(ROWS, 0.25)
    gaps[300], gaps[450:] = 1.5, 0.5
    series = Observations(Y[:, :1], t=np.cumsum(gaps))
    got = smooth_series(model, series)
    done, terms, smoothed = long_road(model, series)
    close(got.filter.filtered, done.filtered, 1e-12)
    close(got.filter.step_log_likelihoods, terms, 1e-12)
    close(got.smoothed, smoothed, 1e-12)
    depends = steady._depends_on_dt
    assert depends(model.transition)
    assert not depends(MODEL.transition)


@pytest.mark.slow
def test_a_run_goes_on_from_the_middle_of_a_settled_stretch():
    series = Observations(Y)
    whole = filter_series(MODEL, series)
    first = filter_series(MODEL, series[:333])
    second = filter_series(MODEL, series[333:], running=first.final)
    close(second.filtered, jax.tree.map(lambda x: x[333:], whole.filtered), 1e-12)
    close(second.final, whole.final, 1e-12)


@pytest.mark.slow
def test_derivatives_take_the_long_road():
    """From the settled covariance on, nothing changes along the short road."""
    settled = filter_series(MODEL, Observations(Y)).final.state.covariance
    start = jnp.asarray(F @ settled @ F.T + 0.3 * np.eye(N))
    start = 0.5 * (start + start.T)

    def height(scale):
        model = LinearGaussian(
            jnp.ones(N), start, F, scale * 0.3 * jnp.eye(N), H, MODEL.observation.R
        )
        result = smooth_series(model, Observations(Y[:200]))
        return result.log_likelihood + jnp.sum(result.means[:, 0] ** 2)

    slope = jax.jit(jax.grad(height))(1.0)
    ahead, behind = (height(1.0 + d) for d in (1e-4, -1e-4))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-4, rtol=1e-6)
    forward = jax.jvp(height, (1.0,), (1.0,))[1]
    np.testing.assert_allclose(forward, slope, rtol=1e-10)


def test_many_sequences_settle_each_by_itself():
    series = jnp.asarray(np.stack([Y[:200], Y[200:400]]))
    run = lambda y: filter_series(MODEL, Observations(y)).means
    together = jax.jit(jax.vmap(run))(series)
    alone = np.stack([run(y) for y in series])
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-13)
