"""Compiled sooner, a function is the same function."""

import jax
import jax.numpy as jnp
import numpy as np

from slipstate.ground import compiling
from slipstate.ground.compiling import compiled


def height(x, words):
    assert words == "kept as they are"
    return jnp.sum(jnp.sin(x) ** 2)


WORDS = "kept as they are"
X = np.linspace(0.0, 1.0, 5)


def test_it_is_the_same_function_wherever_it_is_called():
    soon, want = compiled(height), height(X, WORDS)
    call = lambda x: soon(x, WORDS)
    np.testing.assert_allclose(call(X), want, rtol=1e-15)
    np.testing.assert_allclose(jax.jit(call)(X), want, rtol=1e-15)
    np.testing.assert_allclose(jax.jit(lambda: call(X))(), want, rtol=1e-15)
    np.testing.assert_allclose(jax.vmap(call)(X[None]), [want], rtol=1e-15)
    slope = jax.grad(call)(jnp.asarray(X))
    np.testing.assert_allclose(slope, np.sin(2 * X), rtol=1e-12, atol=1e-15)
    many = jax.lax.map(lambda _: call(X), jnp.arange(2))
    np.testing.assert_allclose(many, [want, want], rtol=1e-15)


def test_it_is_traced_once():
    traces = []

    @compiled
    def double(x):
        traces.append(x)
        return 2 * x

    for value in (1.0, 2.0):
        assert float(double(jnp.asarray(value))) == 2 * value
    assert len(traces) == 1


def test_a_compiler_that_does_not_know_the_option_is_left_alone(monkeypatch):
    monkeypatch.setattr(compiling, "_OPTIONS", {"no_such_option_of_xla": True})
    compiling._is_known.cache_clear()
    try:
        assert not compiling._is_known()
        assert float(compiled(lambda x: x + 1)(jnp.asarray(1.0))) == 2.0
    finally:
        compiling._is_known.cache_clear()
