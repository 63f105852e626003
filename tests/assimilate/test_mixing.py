"""Formulas of switching filters against loops and against every path of a chain."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate.mixing import (
    NEVER,
    backward_probabilities,
    collapse,
    mix_moments,
    mix_probabilities,
)


def mixture(seed=0, modes=3, n=2, batch=()):
    """Return weights (columns sum to one), means and covariances."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(modes), size=modes).T
    means = rng.normal(size=(*batch, modes, n))
    roots = rng.normal(size=(*batch, modes, n, n))
    return weights, means, roots @ np.swapaxes(roots, -1, -2)


def chain(seed=0, rows=5, modes=3):
    """Return first probabilities, switch and likelihoods of a hidden Markov chain."""
    rng = np.random.default_rng(seed)
    first = rng.dirichlet(np.ones(modes))
    switch = rng.dirichlet(np.ones(modes), size=modes)
    return first, switch, rng.uniform(0.05, 1.0, size=(rows, modes))


def forward(first, switch, likelihood):
    """Return filtered and predicted mode probabilities, one row after the other."""
    predicted, filtered = [first], []
    for row in likelihood:
        joint = predicted[-1] * row
        filtered.append(joint / joint.sum())
        predicted.append(filtered[-1] @ switch)
    return np.array(filtered), np.array(predicted[:-1])


def test_mixing_probabilities_are_bayes_rule():
    first, switch, _ = chain()
    log_predicted, weights = mix_probabilities(jnp.log(first), jnp.log(switch))
    for j in range(3):
        total = sum(first[i] * switch[i, j] for i in range(3))
        np.testing.assert_allclose(jnp.exp(log_predicted[j]), total, rtol=1e-13)
        for i in range(3):
            want = first[i] * switch[i, j] / total
            np.testing.assert_allclose(weights[i, j], want, rtol=1e-13)


def test_a_closed_mode_has_no_weight_and_a_finite_gradient():
    log_switch = jnp.array([[0.0, NEVER], [NEVER, NEVER]])

    def weight(log_probs):
        predicted, weights = mix_probabilities(log_probs, log_switch)
        return predicted[0] + jnp.sum(weights[:, 1] * jnp.array([1.0, 2.0]))

    log_probs = jnp.array([0.0, NEVER])
    predicted, weights = mix_probabilities(log_probs, log_switch)
    np.testing.assert_array_equal(jnp.exp(predicted), [1.0, 0.0])
    np.testing.assert_array_equal(weights[:, 0], [1.0, 0.0])
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    assert np.isfinite(jax.grad(weight)(log_probs)).all()


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_mixed_moments_are_those_of_the_loop(batch):
    weights, means, covs = mixture(batch=batch)
    got_means, got_covs = mix_moments(
        jnp.array(weights), jnp.array(means), jnp.array(covs)
    )
    for place in np.ndindex(batch):
        m, P = means[place], covs[place]
        for j in range(3):
            mean = sum(weights[i, j] * m[i] for i in range(3))
            cov = sum(
                weights[i, j] * (P[i] + np.outer(m[i] - mean, m[i] - mean))
                for i in range(3)
            )
            np.testing.assert_allclose(got_means[(*place, j)], mean, rtol=1e-12)
            np.testing.assert_allclose(got_covs[(*place, j)], cov, rtol=1e-12)


def test_mixing_by_the_identity_changes_nothing():
    _, means, covs = mixture()
    got = mix_moments(jnp.eye(3), jnp.array(means), jnp.array(covs))
    np.testing.assert_array_equal(got[0], means)
    np.testing.assert_array_equal(got[1], covs)


def test_collapse_keeps_the_moments_of_draws():
    weights, means, covs = mixture()
    mean, cov = collapse(jnp.array(weights[:, 0]), jnp.array(means), jnp.array(covs))
    rng, count = np.random.default_rng(1), 200_000
    labels = rng.choice(3, p=weights[:, 0], size=count)
    roots = np.linalg.cholesky(covs)
    draws = means[labels] + np.einsum(
        "cnm,cm->cn", roots[labels], rng.normal(size=(count, 2))
    )
    scale = np.sqrt(np.diagonal(cov))
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean) / scale, 0.01)
    apart = np.abs(np.cov(draws.T) - cov) / np.outer(scale, scale)
    np.testing.assert_array_less(apart, 0.02)


def test_collapse_is_one_column_of_mixing():
    weights, means, covs = (jnp.array(x) for x in mixture())
    mixed = mix_moments(weights, means, covs)
    for j in range(3):
        alone = collapse(weights[:, j], means, covs)
        np.testing.assert_allclose(alone[0], mixed[0][j], rtol=1e-13)
        np.testing.assert_allclose(alone[1], mixed[1][j], rtol=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_backward_probabilities_are_the_sum_over_all_paths(seed):
    first, switch, likelihood = chain(seed)
    filtered, predicted = forward(first, switch, likelihood)
    got, pairs = backward_probabilities(
        jnp.log(filtered), jnp.log(predicted), jnp.array(switch)
    )
    want, want_pairs = np.zeros((5, 3)), np.zeros((5, 3, 3))
    for path in itertools.product(range(3), repeat=5):
        weight = first[path[0]] * likelihood[0, path[0]]
        for k in range(1, 5):
            weight *= switch[path[k - 1], path[k]] * likelihood[k, path[k]]
        for k in range(5):
            want[k, path[k]] += weight
            if k < 4:
                want_pairs[k, path[k], path[k + 1]] += weight
    total = want[0].sum()
    np.testing.assert_allclose(got, want / total, rtol=1e-12)
    np.testing.assert_allclose(pairs, want_pairs / total, rtol=1e-12)


def test_a_single_row_is_left_as_it_is():
    filtered = jnp.log(jnp.array([[0.25, 0.75]]))
    got, pairs = backward_probabilities(filtered, filtered, jnp.eye(2))
    np.testing.assert_allclose(got, [[0.25, 0.75]], rtol=1e-15)
    np.testing.assert_array_equal(pairs, np.zeros((1, 2, 2)))


def test_a_mode_that_was_never_possible_gets_no_probability_back():
    switch = np.array([[1.0, 0.0], [0.5, 0.5]])
    likelihood = np.array([[0.2, 0.9], [0.2, 0.9], [0.2, 0.9]])
    filtered, predicted = forward(np.array([1.0, 0.0]), switch, likelihood)
    with np.errstate(divide="ignore"):
        logs = jnp.array(np.log(filtered)), jnp.array(np.log(predicted))
    got, _ = backward_probabilities(*logs, jnp.array(switch))
    np.testing.assert_array_equal(got, [[1.0, 0.0]] * 3)
