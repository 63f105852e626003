"""Noise levels by the evidence, against the density of the whole series written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from slipstate.assimilate import (
    BridgeFilter,
    EnsembleTransformKalman,
    Observations,
)
from slipstate.fit import fit_evidence, search_evidence
from slipstate.ground.errors import InputError
from slipstate.ground.params import Parameter, Positive
from slipstate.systems import LinearGaussian

T = 150


def build(values):
    """Return a local level with variances values["q"] and values["r"]."""
    one = jnp.ones((1, 1))
    return LinearGaussian(
        jnp.zeros(1), 4.0 * one, one, values["q"] * one, one, values["r"] * one
    )


START = {"q": Parameter(1.0, Positive()), "r": Parameter(1.0, Positive())}


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(20_261_125)
    level = 2.0 * rng.standard_normal()
    level = level + np.cumsum(np.r_[0.0, 0.5 * rng.standard_normal(T - 1)])
    return Observations((level + 1.2 * rng.standard_normal(T))[:, None])


@pytest.fixture(scope="module")
def exact(series):
    """The slow twin: one normal density of all rows, and SciPy's simplex."""
    y = np.asarray(series.y[:, 0])
    steps = np.minimum.outer(np.arange(T), np.arange(T))

    def loss(logs):
        q, r = np.exp(logs)
        cov = 4.0 + q * steps + r * np.eye(T)
        return -scipy.stats.multivariate_normal.logpdf(y, cov=cov)

    found = scipy.optimize.minimize(
        loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}
    )
    step, eye = 1e-3, np.eye(2)
    second = lambda a, b: (
        loss(found.x + step * (a + b)) - loss(found.x + step * (a - b))
        - loss(found.x - step * (a - b)) + loss(found.x - step * (a + b))
    ) / (4 * step**2)  # fmt: skip
    H = np.array([[second(a, b) for b in eye] for a in eye])
    return np.exp(found.x), -found.fun, np.sqrt(np.diag(np.linalg.inv(H)))


def test_the_kalman_evidence_is_highest_where_the_density_is(series, exact):
    values, height, errors = exact
    found = fit_evidence(build, START, series)
    got = np.array([found.value["q"], found.value["r"]])
    np.testing.assert_allclose(got, values, rtol=1e-4)
    np.testing.assert_allclose(found.info["log_likelihood"], height, atol=1e-6)
    deviations = found.info["standard_errors"]
    got = np.array([deviations["q"], deviations["r"]])
    np.testing.assert_allclose(got, values * errors, rtol=1e-3)


@pytest.mark.slow
def test_derivatives_go_through_an_ensemble(series, exact):
    values, _, errors = exact
    found = fit_evidence(
        build,
        START,
        series,
        EnsembleTransformKalman(200),
        key=jax.random.key(0),
        errors=False,
    )
    got = np.log([found.value["q"], found.value["r"]])
    assert (np.abs(got - np.log(values)) < 0.5 * errors).all()


@pytest.mark.slow
def test_a_search_needs_no_derivatives(series, exact):
    values, height, errors = exact
    found = search_evidence(
        build, START, series, BridgeFilter(50), key=jax.random.key(1), draws=2
    )
    got = np.log([found.value["q"], found.value["r"]])
    assert (np.abs(got - np.log(values)) < 1.3 * errors).all()
    assert abs(found.info["log_likelihood"] - height) < 3.0
    ratio = np.asarray(found.info["errors"]) / (np.exp(got) * errors)
    assert ((ratio > 0.4) & (ratio < 2.5)).all()
    assert found.info["evaluations"] < 200
    again = search_evidence(
        build, START, series, BridgeFilter(50), key=jax.random.key(1), draws=2
    )
    assert float(again.value["q"]) == float(found.value["q"])


def test_nothing_to_fit_is_refused(series):
    with pytest.raises(InputError, match="`start`"):
        search_evidence(build, {}, series, BridgeFilter(50), key=jax.random.key(0))
    with pytest.raises(InputError, match="`draws`"):
        search_evidence(
            build, START, series, BridgeFilter(50), key=jax.random.key(0), draws=0
        )
