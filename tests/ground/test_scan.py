"""All ways of running a recurrence are one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.scan import recur_blocked, recur_chunked, recur_sequential

WAYS = [recur_sequential, recur_chunked, recur_blocked]


@pytest.fixture(params=[1, 64, 150])
def problem(request):
    rng = np.random.default_rng(request.param)
    n = request.param
    a = rng.uniform(0, 1, (n, 3)) * np.exp(1j * rng.uniform(0, 6, (n, 3)))
    return tuple(jnp.asarray(x) for x in (a, rng.standard_normal((n, 3)) + 0j, a[0]))


@pytest.mark.parametrize("way", WAYS)
def test_a_plain_loop_agrees(way, problem):
    a, b, h = problem
    states, last = way(a, b, h)
    for k in range(a.shape[0]):
        h = a[k] * h + b[k]
        assert np.allclose(states[k], h, atol=1e-13)
    assert np.allclose(last, h, atol=1e-13)


@pytest.mark.parametrize("way", WAYS[1:])
def test_gradients_agree(way, problem):
    a, b, h = (jnp.real(x) for x in problem)
    loss = lambda way: jax.grad(
        lambda a, b, h: jnp.sum(way(a, b, h)[0] ** 2), argnums=(0, 1, 2)
    )(a, b, h)
    for mine, plain in zip(loss(way), loss(recur_sequential)):
        assert np.allclose(mine, plain, atol=1e-12)
