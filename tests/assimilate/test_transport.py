"""Entropic transport: sums, limits, the slow twin, and even draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate.bridge import log_sinkhorn, sinkhorn
from slipstate.assimilate.bridge.transport import absorbed_sinkhorn, scaled_cost

M = 12


def _problem(seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(M, 2)), 0.7 * rng.normal(size=(M, 2)) + 0.5
    b = rng.uniform(0.2, 1.0, size=M)
    cost = scaled_cost(jnp.asarray(x), jnp.asarray(y))
    return cost, jnp.full(M, 1.0 / M), jnp.asarray(b / b.sum())


def _plain(cost, a, b, epsilon, sweeps):
    K = np.exp(-np.asarray(cost) / epsilon)
    u, v = np.ones(M), np.ones(M)
    for _ in range(sweeps):
        v = np.asarray(b) / (K.T @ u)
        u = np.asarray(a) / (K @ v)
    return u[:, None] * K * v[None, :]


def test_sums_are_met_and_the_error_is_told():
    cost, a, b = _problem()
    short, long = (sinkhorn(cost, a, b, 0.05, sweeps) for sweeps in (3, 300))
    for got in (short, long):
        np.testing.assert_allclose(got.plan.sum(axis=1), a, rtol=1e-12)
        missed = np.abs(np.asarray(got.plan.sum(axis=0) - b)).sum()
        np.testing.assert_allclose(got.error, missed, rtol=1e-10, atol=1e-15)
    assert long.error < 1e-8 < 1e-4 < short.error


@pytest.mark.parametrize("epsilon", [0.05, 1.0])
def test_three_roads_to_one_plan(epsilon):
    cost, a, b = _problem(1)
    plain = _plain(cost, a, b, epsilon, 400)
    slow = sinkhorn(cost, a, b, epsilon, 400)
    fast = absorbed_sinkhorn(-cost / epsilon, jnp.log(a), jnp.log(b), 400)
    np.testing.assert_allclose(slow.plan, plain, atol=1e-10)
    np.testing.assert_allclose(fast.plan, slow.plan, atol=1e-10)
    rebuilt = fast.row_potential[:, None] + fast.column_potential[None, :]
    np.testing.assert_allclose(rebuilt - cost / epsilon, fast.log_plan, atol=1e-9)


def test_little_entropy_sorts_and_much_of_it_forgets():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, M, 1))
    equal = jnp.full(M, 1.0 / M)
    cost = scaled_cost(jnp.asarray(x), jnp.asarray(y))
    sharp = sinkhorn(cost, equal, equal, 1e-3, 3000).plan * M
    # the cheapest way on a line keeps the order
    wanted = np.argsort(y[:, 0])[np.argsort(np.argsort(x[:, 0]))]
    assert (np.argmax(np.asarray(sharp), axis=1) == wanted).all()
    blunt = sinkhorn(cost, equal, equal, 1e6, 5).plan
    np.testing.assert_allclose(blunt, 1.0 / M**2, rtol=1e-4)


def test_empty_columns_and_forbidden_pairs_stay_empty_and_finite():
    cost, a, b = _problem(3)
    b = b.at[4].set(0.0) / (1.0 - b[4])
    # two groups that may not mix, each with as much on both sides
    half = jnp.arange(M) < M // 2
    b = jnp.where(half, b / (2 * b[half].sum()), b / (2 * b[~half].sum()))
    cost = jnp.where(half[:, None] == half[None, :], cost, jnp.inf)

    def total(cost):
        return sinkhorn(cost, a, b, 0.1, 60)

    got = total(cost)
    assert np.isfinite(got.log_plan).all()
    assert np.asarray(got.plan)[:, 4].max() < 1e-300
    assert np.asarray(got.plan)[np.asarray(half[:, None] != half[None, :])].max() < 1e-9
    slope = jax.grad(lambda b: jnp.sum(sinkhorn(cost, a, b, 0.1, 60).plan ** 2))(b)
    assert np.isfinite(slope).all()


def test_draws_follow_the_plan_and_keep_the_mass_of_each_cloud(key):
    rng = np.random.default_rng(4)
    x = np.sort(rng.normal(size=M))
    side = np.where(np.arange(M) < M // 2, -3.0, 3.0)
    logs = -0.1 * (x[:, None] - side[None, :]) ** 2
    plan = log_sinkhorn(
        jnp.asarray(logs), jnp.full(M, -np.log(M)), jnp.full(M, -np.log(M)), 50
    )
    draw = jax.jit(
        jax.vmap(lambda k: plan.draw(jnp.asarray(x), jnp.asarray(side), key=k))
    )
    labels = np.asarray(draw(jax.random.split(key, 4000)))
    right = (labels >= M // 2).sum(axis=1)
    # independent draws would scatter by more than one and a half
    assert np.abs(right - M / 2).max() <= 2
    often = np.stack([(labels == j).mean(axis=0) for j in range(M)], axis=1)
    np.testing.assert_allclose(often, plan.conditional, atol=0.035)
