"""Elements of stretches, against the loop they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import Observations, ParallelKalman, filter_series
from slipstate.assimilate.elements import (
    after_element,
    compose,
    empty_element,
    extend,
    prefixes,
)
from slipstate.ground.errors import MethodError
from slipstate.systems import (
    Gaussian,
    GaussianEmission,
    HiddenMarkov,
    LinearGaussian,
)

ROWS = 12


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(2)
    F = 0.9 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    H, R = rng.normal(size=(2, 3)), np.array([[0.3, 0.1], [0.1, 0.5]])
    y = rng.normal(size=(ROWS, 2))
    y[3, 0] = y[7] = np.nan
    return F, np.diag([0.4, 0.0, 0.2]), H, R, y


@pytest.fixture(scope="module")
def elements(problem):
    """One element per row, stacked."""
    F, Q, H, R, y = (jnp.array(x) for x in problem)
    mask = ~jnp.isnan(y)

    def one(y, mask):
        start = empty_element(3, F.dtype)
        return extend(start, (F, jnp.ones(3), Q), (H, R, y), mask)

    return jax.vmap(one)(jnp.where(mask, y, 0.0), mask)


def by_rows(elements, start):
    for k in range(ROWS):
        start = after_element(start, jax.tree.map(lambda x, k=k: x[k], elements))
    return start


def test_any_grouping_is_the_same_stretch(elements):
    at = lambda k: jax.tree.map(lambda x: x[k], elements)
    left = compose(compose(at(0), at(1)), at(2))
    right = compose(at(0), compose(at(1), at(2)))
    for name in ("gain", "offset", "cov"):
        np.testing.assert_allclose(
            getattr(left, name), getattr(right, name), atol=1e-13
        )
    # the factor of the information is free up to a rotation, the information is not
    J = lambda e: e.seen.T @ e.seen
    np.testing.assert_allclose(J(left), J(right), atol=1e-12)
    eta = lambda e: e.seen.T @ e.data
    np.testing.assert_allclose(eta(left), eta(right), atol=1e-12)


def test_joined_stretches_say_what_the_rows_say_one_by_one(elements):
    start = Gaussian(jnp.array([1.0, -2.0, 0.5]), jnp.diag(jnp.array([1.0, 3.0, 0.0])))
    whole = jax.tree.map(lambda x: x[-1], prefixes(elements))
    got, want = after_element(start, whole), by_rows(elements, start)
    np.testing.assert_allclose(got.location, want.location, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(got.covariance, want.covariance, atol=1e-13)


def test_an_element_is_the_textbook_filter(problem, elements):
    F, Q, H, R, y = problem
    m, P = np.array([1.0, -2.0, 0.5]), np.diag([1.0, 3.0, 0.0])
    start = Gaussian(jnp.array(m), jnp.array(P))
    for k in range(ROWS):
        m, P = F @ m + 1.0, F @ P @ F.T + Q
        seen = ~np.isnan(y[k])
        h, v = H[seen], y[k][seen] - H[seen] @ m
        K = P @ h.T @ np.linalg.inv(h @ P @ h.T + R[np.ix_(seen, seen)])
        m, P = m + K @ v, P - K @ h @ P
    got = by_rows(elements, start)
    np.testing.assert_allclose(got.location, m, rtol=1e-11)
    np.testing.assert_allclose(got.covariance, P, atol=1e-13)


@pytest.mark.slow
def test_the_length_of_blocks_does_not_matter(problem):
    F, Q, H, R, _ = problem
    model = LinearGaussian(np.ones(3), np.eye(3), F, Q, H, R)
    data = Observations(np.random.default_rng(3).normal(size=(50, 2)))
    want = filter_series(model, data)
    for block in (1, 7, 50, 128):
        got = filter_series(model, data, ParallelKalman(block=block))
        np.testing.assert_allclose(got.means, want.means, atol=1e-11)
        np.testing.assert_allclose(got.covs, want.covs, atol=1e-12)
        np.testing.assert_allclose(
            got.step_log_likelihoods, want.step_log_likelihoods, rtol=1e-10
        )


def test_hidden_modes_are_refused():
    emission = GaussianEmission(np.zeros((2, 1)), np.ones((2, 1, 1)))
    model = HiddenMarkov([0.5, 0.5], np.full((2, 2), 0.5), emission)
    with pytest.raises(MethodError, match="ParallelKalman"):
        filter_series(model, Observations(np.zeros((3, 1))), ParallelKalman())
