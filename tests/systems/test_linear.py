"""Linear Gaussian systems: what they say, and what they refuse."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from slipstate.ground.errors import InputError
from slipstate.systems import (
    Diffuse,
    Gaussian,
    LinearGaussian,
    LinearObservation,
    LinearTransition,
    is_linear,
)

F = np.array([[1.0, 0.1], [0.0, 0.9]])
Q = np.array([[0.2, 0.1], [0.1, 0.3]])
H = np.array([[1.0, 0.0]])
R = np.array([[0.5]])


def test_mean_and_noise_are_those_of_the_matrices(key):
    transition = LinearTransition(F, Q, b=[1.0, 2.0])
    x, dt = jnp.array([3.0, 4.0]), jnp.ones(())
    want = F @ np.array([3.0, 4.0]) + [1.0, 2.0]
    np.testing.assert_allclose(transition.mean(x, None, dt), want)
    root = transition.noise_factor(x, None, dt)
    np.testing.assert_allclose(root @ root.T, Q, rtol=1e-14)
    draws = jax.vmap(lambda key: transition.sample(x, None, dt, key=key))(
        jax.random.split(key, 20_000)
    )
    np.testing.assert_allclose(np.cov(draws.T), Q, atol=0.02)


def test_the_step_belongs_to_no_length_of_time():
    transition = LinearTransition(F, Q)
    for dt in (0.1, 1.0, 100.0):
        np.testing.assert_array_equal(transition.matrix(dt), F)
        np.testing.assert_array_equal(transition.noise_cov(dt), Q)


def test_lists_and_integers_are_numbers_too():
    model = LinearGaussian(
        [0, 0], [[1, 0], [0, 1]], [[1, 1], [0, 1]], Q, [[1, 0]], [[1]]
    )
    assert model.transition.F.dtype == jnp.float64
    assert isinstance(model.initial, Gaussian)
    assert is_linear(model)
    assert model.observation.units == ("1",)


def test_unknown_directions_make_the_start_diffuse():
    model = LinearGaussian([0, 0], np.eye(2), F, Q, H, R, diffuse=[[1], [0]])
    assert isinstance(model.initial, Diffuse)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"F": np.ones((2, 3))}, "`F`"),
        ({"Q": np.eye(3)}, "`Q` must have shape"),
        ({"Q": np.array([[1.0, 2.0], [2.0, 1.0]])}, "`Q` must be positive"),
        ({"Q": np.array([[1.0, 0.2], [0.0, 1.0]])}, "`Q` must be symmetric"),
        ({"H": np.ones((1, 3))}, "`H` must have shape"),
        ({"R": np.eye(2)}, "`R` must have shape"),
        ({"R": np.array([[-1.0]])}, "`R` must be positive"),
        ({"F": np.array([[1.0, np.nan], [0, 1]])}, "`F` must be finite"),
        ({"initial_mean": np.zeros(3)}, "`initial_mean` must have shape"),
        ({"initial_cov": -np.eye(2)}, "`initial_cov` must be positive"),
    ],
)
def test_wrong_matrices_are_refused_by_name(change, message):
    right = {
        "initial_mean": np.zeros(2),
        "initial_cov": np.eye(2),
        "F": F,
        "Q": Q,
        "H": H,
        "R": R,
    }
    with pytest.raises(InputError, match=message):
        LinearGaussian(**(right | change))


def test_units_are_one_per_component():
    assert LinearObservation(H, R, units=("mm",)).units == ("mm",)
    with pytest.raises(InputError, match="`units`"):
        LinearObservation(H, R, units=("mm", "mm"))


def test_a_model_can_be_built_while_its_parameters_are_traced():
    @jax.jit
    def trace(q):
        model = LinearGaussian(jnp.zeros(2), jnp.eye(2), F, q * Q, H, R)
        return jnp.trace(model.transition.noise_cov(1.0))

    np.testing.assert_allclose(trace(jnp.asarray(2.0)), 1.0)


def test_densities_of_a_step_and_of_an_observation_are_gaussian():
    model = LinearGaussian([0, 0], np.eye(2), F, Q, np.eye(2), np.diag([0.5, 2.0]))
    x, after = jnp.array([3.0, 4.0]), jnp.array([3.1, 3.9])
    normal: Any = scipy.stats.multivariate_normal
    step = normal(F @ np.array([3.0, 4.0]), Q)
    got = model.transition.log_density(after, x, None, jnp.ones(()))
    np.testing.assert_allclose(got, step.logpdf(after), rtol=1e-12)
    y, mask = jnp.array([2.0, jnp.nan]), jnp.array([True, False])
    got = model.observation.log_likelihood(y, mask, x, None)
    want = scipy.stats.norm.logpdf(2.0, 3.0, np.sqrt(0.5))
    np.testing.assert_allclose(got, want, rtol=1e-12)
    nothing = model.observation.log_likelihood(y, jnp.zeros(2, bool), x, None)
    assert float(nothing) == 0.0
    slope = jax.grad(lambda x: model.observation.log_likelihood(y, mask, x, None))(x)
    assert np.isfinite(slope).all()
