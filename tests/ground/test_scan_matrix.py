"""One matrix for all times: chunks side by side are one loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.scan import matrix_power, recur_chunked, recur_matrix


@pytest.mark.parametrize("rows", [1, 64, 150])
@pytest.mark.parametrize("chunk", [1, 13, 200])
def test_chunks_are_one_loop(rows, chunk):
    rng = np.random.default_rng(rows)
    A = 0.9 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    b, h = rng.normal(size=(rows, 3)), rng.normal(size=3)
    states, last = recur_matrix(jnp.array(A), jnp.array(b), jnp.array(h), chunk=chunk)
    for k in range(rows):
        h = A @ h + b[k]
        np.testing.assert_allclose(states[k], h, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(last, states[-1])


def test_a_diagonal_matrix_is_the_recurrence_by_element():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(size=4), jnp.array(rng.normal(size=(100, 4)))
    h = jnp.ones(4)
    got, _ = recur_matrix(jnp.diag(jnp.array(a)), b, h, chunk=16)
    want, _ = recur_chunked(jnp.broadcast_to(jnp.array(a), b.shape), b, h)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def test_gradients_go_through():
    A, b = 0.5 * jnp.eye(2), jnp.ones((20, 2))
    slope = jax.grad(lambda A: recur_matrix(A, b, jnp.zeros(2), chunk=6)[1][0])(A)
    step = 1e-6
    ends = [
        recur_matrix(A.at[0, 0].add(s), b, jnp.zeros(2), chunk=6)[1][0]
        for s in (-step, step)
    ]
    np.testing.assert_allclose(slope[0, 0], (ends[1] - ends[0]) / (2 * step), rtol=1e-8)


def test_a_power_is_repeated_products():
    A = jnp.array(np.random.default_rng(0).normal(size=(3, 3)))
    np.testing.assert_array_equal(matrix_power(A, 0), np.eye(3))
    want = np.linalg.matrix_power(np.asarray(A), 13)
    np.testing.assert_allclose(matrix_power(A, 13), want, rtol=1e-12)
