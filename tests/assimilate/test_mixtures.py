"""Gaussian mixtures against quadrature, bisection and SciPy."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

from slipstate.assimilate.mixtures import (
    mixture_distribution,
    mixture_log_density,
    mixture_moments,
    mixture_quantiles,
)
from slipstate.ground.errors import InputError

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


def _mixtures(shape, parts, seed=1):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(parts, 0.5), size=shape)
    means = 4.0 * rng.standard_normal((*shape, parts))
    sds = np.exp(rng.standard_normal((*shape, parts)))
    return weights, means, sds


def _density(x, w, m, s):
    return np.sum(w * scipy.stats.norm.pdf(x, m, s))


def test_moments_are_those_of_the_density():
    w, m, s = _mixtures((), 3)
    mean, sd = mixture_moments(w, m, s)
    grid = np.linspace(-60, 60, 200_001)
    density = np.array(scipy.stats.norm.pdf(grid[:, None], m, s) @ w)
    first = scipy.integrate.simpson(grid * density, x=grid)
    second = scipy.integrate.simpson((grid - first) ** 2 * density, x=grid)
    assert mean == pytest.approx(first, rel=1e-10)
    assert sd == pytest.approx(np.sqrt(second), rel=1e-10)


def test_distribution_is_the_integral_of_the_density():
    w, m, s = _mixtures((), 4)
    for y in (-3.0, 0.2, 5.0):
        mass, _ = scipy.integrate.quad(
            _density, -80, y, args=(w, m, s), points=np.sort(m), limit=400
        )
        assert mixture_distribution(y, w, m, s) == pytest.approx(mass, abs=1e-9)


def test_log_density_agrees_and_does_not_underflow():
    w, m, s = _mixtures((), 4)
    assert mixture_log_density(1.3, w, m, s) == pytest.approx(
        np.log(_density(1.3, w, m, s)), rel=1e-13
    )
    far = mixture_log_density(1e6, np.array([0.5, 0.5]), np.zeros(2), np.ones(2))
    assert far == pytest.approx(-0.5e12, rel=1e-9)


def test_a_component_without_weight_changes_nothing():
    w, m, s = _mixtures((7,), 3)
    more = [
        np.concatenate([v, np.full((7, 1), x)], 1)
        for v, x in zip((w, m, s), (0.0, 2.0, 1e-3))
    ]
    y = np.linspace(-2, 2.0, 7)
    for function in (mixture_distribution, mixture_log_density):
        np.testing.assert_allclose(function(y, *more), function(y, w, m, s), rtol=1e-14)
    np.testing.assert_allclose(
        mixture_quantiles(LEVELS, *more), mixture_quantiles(LEVELS, w, m, s), rtol=1e-11
    )


def test_quantiles_of_one_component_are_the_normal_ones():
    m, s = np.array([[3.0], [-1e4]]), np.array([[0.5], [1e-3]])
    found = mixture_quantiles(LEVELS, np.ones((2, 1)), m, s)
    np.testing.assert_allclose(found, m + s * scipy.stats.norm.ppf(LEVELS), rtol=1e-13)


def test_quantiles_agree_with_a_root_finder():
    w, m, s = _mixtures((40,), 5)
    found = mixture_quantiles(LEVELS, w, m, s)
    for row in range(40):
        for column, level in enumerate(LEVELS):
            slow = scipy.optimize.brentq(
                lambda x, i=row, p=level: mixture_distribution(x, w[i], m[i], s[i]) - p,
                -100,
                100,
                xtol=1e-13,
            )
            assert found[row, column] == pytest.approx(slow, abs=2e-10)


def test_quantiles_survive_wild_mixtures():
    """Components of 1e-5 width, thousands of widths apart, some without weight."""
    rng = np.random.default_rng(4)
    w = rng.dirichlet(np.full(6, 0.2), size=4000)
    m = rng.standard_normal((4000, 6)) * 10.0 ** rng.uniform(-3, 3, size=(4000, 1))
    s = 10.0 ** rng.uniform(-4, 3, size=(4000, 6))
    w[:1000, 0] = 0.0
    w /= w.sum(-1, keepdims=True)
    found = mixture_quantiles(LEVELS, w, m, s)
    back = np.stack([mixture_distribution(q, w, m, s) for q in found.T], -1)
    # the spacing of doubles near |x| = 1e3 over the narrowest width
    assert np.abs(back - LEVELS).max() < 1e-8


def test_quantiles_keep_nan_where_the_input_has_it():
    w, m, s = _mixtures((3,), 2)
    m[1, 0] = np.nan
    found = mixture_quantiles(LEVELS, w, m, s)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()


def test_quantiles_of_a_station_take_less_than_a_second():
    w, m, s = _mixtures((7700, 3, 3), 12)
    start = time.process_time()
    mixture_quantiles(LEVELS, w, m, s)
    assert time.process_time() - start < 2.0  # 0.6 s on an idle core


def test_impossible_probabilities_are_refused():
    w, m, s = _mixtures((), 2)
    with pytest.raises(InputError, match="`probabilities`"):
        mixture_quantiles(np.array([0.0, 0.5]), w, m, s)


def test_both_array_libraries_agree():
    w, m, s = _mixtures((5,), 3)
    y = np.linspace(-1.0, 1.0, 5)
    device = [jnp.asarray(v) for v in (y, w, m, s)]
    for function in (mixture_distribution, mixture_log_density):
        compiled = jax.jit(function)(*device)
        assert isinstance(compiled, jax.Array)
        np.testing.assert_allclose(compiled, function(y, w, m, s), rtol=1e-12)
