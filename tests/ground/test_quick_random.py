"""Quick random numbers: spread evenly, and different for every key."""

import jax
import numpy as np
import pytest

from slipstate.ground.quick_random import quick_uniform


def slow_uniform(words, count):
    """The same numbers by arithmetic on Python's integers."""
    found = []
    for i in range(count):
        x = (i * 0x9E3779B9) % 2**32
        for word in words:
            x ^= int(word)
            x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
            x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
            x ^= x >> 16
        found.append((x >> 8) / 2**23 - 1.0)
    return np.array(found)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_the_numbers_are_those_of_the_mixing_function(impl):
    key = jax.random.key(3, impl=impl)
    got = np.asarray(quick_uniform(key, (4, 7), np.dtype(float)))
    words = np.asarray(jax.random.key_data(key))
    np.testing.assert_array_equal(got.reshape(-1), slow_uniform(words, 28))


def test_the_numbers_are_uniform_and_without_neighbours(key):
    keys = jax.random.split(key, 200)
    draw = lambda k: quick_uniform(k, (8, 25), np.dtype(float))
    got = np.asarray(jax.vmap(draw)(keys))
    values = got.reshape(200, 200)
    counts = np.histogram(values, bins=50, range=(-1.0, 1.0))[0]
    assert ((counts - 800.0) ** 2 / 800.0).sum() < 94.0  # chi2(49), one in 10,000
    assert abs(values.mean()) < 4.0 * np.sqrt(1.0 / 3.0 / 40_000)
    for a, b in ((values[:, 1:], values[:, :-1]), (values[1:], values[:-1])):
        assert abs(np.mean(a * b)) < 4.0 / 3.0 / np.sqrt(a.size)
