"""Parameters as part of the state: what moves, what stays, and what is learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import ndtri

from slipstate.assimilate import (
    EnsembleTransformKalman,
    Kalman,
    Observations,
    filter_series,
    sample,
)
from slipstate.ground.errors import InputError
from slipstate.ground.params import Interval, Positive
from slipstate.systems import (
    Ensemble,
    Gaussian,
    LinearGaussian,
    Mixture,
    StateSpaceModel,
    Unknown,
    augment,
    natural_values,
    split_state,
)

Q, R = 0.5, 0.4


def build(values):
    """Return a first-order autoregression with values (coefficient,)."""
    stationary = Q / (1.0 - values[0] ** 2)
    return LinearGaussian(
        jnp.zeros(1),
        stationary.reshape(1, 1),
        values[0].reshape(1, 1),
        jnp.full((1, 1), Q),
        jnp.ones((1, 1)),
        jnp.full((1, 1), R),
    )


def coefficient(guess=0.5, spread=1.0, evolution=0.0):
    return Unknown("coefficient", guess, spread, evolution, Interval(0.0, 1.0))


def test_the_state_moves_with_its_own_parameters_and_these_walk():
    unknown = coefficient(evolution=0.1)
    model = augment(build, [unknown])
    z = unknown.bijection.inverse(jnp.asarray(0.8))
    x = jnp.stack([jnp.asarray(2.0), z])
    one = jnp.ones(())
    np.testing.assert_allclose(
        model.transition.mean(x, None, one), jnp.stack([jnp.asarray(1.6), z])
    )
    factor = model.transition.noise_factor(x, None, one)
    np.testing.assert_allclose(factor @ factor.T, np.diag([Q, 0.01]), rtol=1e-12)
    np.testing.assert_allclose(model.observation.predict(x, None), [2.0])
    R_root = model.observation.noise_factor()
    np.testing.assert_allclose(R_root @ R_root.T, [[R]])


def test_the_prior_is_the_belief_beside_the_spread():
    unknowns = [coefficient(), Unknown("scale", 3.0, 0.2, bijection=Positive())]
    two = lambda values: build(values[:1])
    prior = augment(two, unknowns).initial
    assert isinstance(prior, Gaussian)
    np.testing.assert_allclose(prior.mean(), [0.0, 0.0, np.log(3.0)], atol=1e-12)
    want = np.diag([Q / 0.75, 1.0, 0.04])
    np.testing.assert_allclose(prior.cov(), want, rtol=1e-12)


def test_parameters_are_spread_evenly_over_an_ensemble(key):
    first = jax.random.normal(key, (40, 1))

    def with_members(values):
        model = build(values)
        return StateSpaceModel(Ensemble(first), model.transition, model.observation)

    prior = augment(with_members, [coefficient(spread=0.3)], key=key).initial
    assert isinstance(prior, Ensemble)
    np.testing.assert_array_equal(prior.members[:, :1], first)
    z = np.sort(np.asarray(prior.members[:, 1]))
    assert abs(z.mean()) < 1e-12
    np.testing.assert_allclose(z.std(ddof=1), 0.3)
    even = np.asarray(ndtri((jnp.arange(40.0) + 0.5) / 40))
    np.testing.assert_allclose(z / z.std(), even / even.std(), atol=1e-9)
    with pytest.raises(InputError, match="`key`"):
        augment(with_members, [coefficient()])


def test_the_posterior_of_a_coefficient_is_that_of_a_grid(key):
    """Slow twin: exact evidence of every value, times the prior."""
    truth = build(jnp.array([0.85]))
    path = sample(truth, jnp.arange(300.0), key=key)
    observations = Observations(path.observations)
    unknown = coefficient()
    z = jnp.linspace(-3.0, 5.0, 81)
    values = unknown.bijection.forward(z)
    exact = jax.jit(jax.vmap(
        lambda v: filter_series(build(v[None]), observations, Kalman()).log_likelihood
    ))  # fmt: skip
    logs = exact(values) - 0.5 * z**2
    weights = np.asarray(jax.nn.softmax(logs))
    mean = float(weights @ values)
    sd = float(np.sqrt(weights @ (values - mean) ** 2))
    model = augment(build, [unknown])
    method = EnsembleTransformKalman(400)
    result = filter_series(model, observations, method, key=key, cov="full")
    _, free = split_state([unknown], result.ensembles[-1])
    found = np.asarray(natural_values([unknown], free))[:, 0]
    assert found.min() > 0.0
    assert found.max() < 1.0
    assert abs(found.mean() - mean) < 1.0 * sd
    assert 0.6 * sd < found.std() < 1.6 * sd


def test_what_cannot_be_extended_is_refused():
    with pytest.raises(InputError, match="`unknowns`"):
        augment(build, [])
    with pytest.raises(InputError, match="`guess` of coefficient"):
        coefficient(guess=1.0)
    with pytest.raises(InputError, match="`spread` of coefficient"):
        coefficient(spread=-1.0)

    def mixture(values):
        model = build(values)
        start = Mixture(jnp.zeros(1), jnp.zeros((1, 1)), jnp.ones((1, 1, 1)))
        return StateSpaceModel(start, model.transition, model.observation)

    with pytest.raises(InputError, match="Mixture"):
        augment(mixture, [coefficient()])
