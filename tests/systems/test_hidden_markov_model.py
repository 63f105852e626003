"""Hidden Markov models as objects: what they refuse, draw and are called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.special import gammaln
from scipy.stats import norm, poisson

from slipstate.ground.errors import InputError
from slipstate.systems import (
    AutoregressiveEmission,
    CategoricalEmission,
    DrivenChain,
    GaussianEmission,
    HiddenMarkov,
    MarkovChain,
    Past,
    PoissonEmission,
    RateChain,
)
from slipstate.systems.hidden_markov import pasts, remember

HALF = np.full((2, 2), 0.5)
COUNTS = PoissonEmission([2.0, 9.0])


def no_past(rows, obs=1):
    return Past(jnp.zeros((rows, 0, obs)), jnp.zeros((rows, 0), bool))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: HiddenMarkov([0.5, 0.5], [[0.9, 0.2], [0.5, 0.5]], COUNTS),
            r"`transition_matrix\[0\]` must sum to one; got 1.1",
        ),
        (
            lambda: HiddenMarkov([0.5, 0.5], [[1.2, -0.2], [0.5, 0.5]], COUNTS),
            r"`transition_matrix\[0\]` must not be negative; got -0.2 at index 1",
        ),
        (
            lambda: HiddenMarkov([0.5, 0.5], np.ones((2, 3)) / 3, COUNTS),
            r"`transition_matrix` must have shape \(2, 2\)",
        ),
        (
            lambda: HiddenMarkov([0.5, np.nan], HALF, COUNTS),
            "`initial_probs` must be finite",
        ),
        (
            lambda: HiddenMarkov([0.2, 0.3, 0.5], HALF, COUNTS),
            "`transition_matrix` must have 3 modes, as `initial_probs` has; got 2",
        ),
        (
            lambda: HiddenMarkov([0.5, 0.5], HALF, PoissonEmission([1.0, 2.0, 3.0])),
            "`emission` must have 2 modes",
        ),
        (lambda: PoissonEmission([1.0, -2.0]), "`rates` must not be negative; got -2"),
        (lambda: PoissonEmission([1.0, np.nan]), "`rates` must be finite"),
        (lambda: CategoricalEmission([[0.5, 0.6]]), r"`probs\[0\]` must sum to one"),
        (
            lambda: GaussianEmission([[0.0], [1.0]], [[1.0], [-1.0]]),
            r"`covs\[1\]` must be positive semi-definite",
        ),
        (
            lambda: GaussianEmission([[0.0], [1.0]], np.ones((2, 2, 2))),
            r"`covs` must have shape \(2, 1, 1\)",
        ),
        (
            lambda: GaussianEmission([[0.0]], [[1.0]], units=("mm", "mm")),
            "`units` must name the unit of each of 1 components",
        ),
        (
            lambda: AutoregressiveEmission(np.zeros((2, 0, 1, 1)), [[0.0]] * 2, HALF),
            "`covs` must have shape",
        ),
        (
            lambda: AutoregressiveEmission(np.zeros((1, 0, 1, 1)), [[0.0]], [[[1.0]]]),
            "at least one row; got order 0",
        ),
        (lambda: RateChain([[0.0, -1.0], [1.0, 0.0]]), "`rates` must not be negative"),
        (lambda: DrivenChain(HALF, np.zeros((2, 1, 1))), "`slopes` must have shape"),
    ],
)
def test_a_wrong_part_is_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_log_probabilities_are_those_of_scipy():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, size=(6, 1)).astype(float)
    mask = np.array([True, True, False, True, True, True])[:, None]
    got = COUNTS.log_probs(jnp.asarray(y), jnp.asarray(mask), no_past(6))
    want = np.where(mask, poisson.logpmf(y, [[2.0, 9.0]]), 0.0)
    np.testing.assert_allclose(got, want, rtol=1e-13)
    probs = np.array([[0.2, 0.5, 0.3], [0.0, 0.1, 0.9]])
    got = CategoricalEmission(probs).log_probs(
        jnp.asarray(y), jnp.asarray(mask), no_past(6)
    )
    with np.errstate(divide="ignore"):
        want = np.where(mask, np.log(probs.T[y[:, 0].astype(int)]), 0.0)
    np.testing.assert_allclose(got, want, rtol=1e-13)
    many = GaussianEmission(np.zeros((1, 9)), 2.0 * np.eye(9)[None])  # not written out
    z = rng.normal(size=(4, 9))
    got = many.log_probs(jnp.asarray(z), jnp.ones((4, 9), bool), no_past(4, 9))
    want = norm.logpdf(z, scale=np.sqrt(2.0)).sum(axis=1)
    np.testing.assert_allclose(got[:, 0], want, rtol=1e-13)


def test_zero_rates_allow_zero_counts_only():
    silent = PoissonEmission([0.0])
    y = jnp.array([[0.0], [1.0]])
    got = silent.log_probs(y, jnp.ones((2, 1), bool), no_past(2))
    np.testing.assert_array_equal(got[:, 0], [0.0, -np.inf])


@pytest.mark.parametrize(
    ("emission", "value"),
    [(COUNTS, -1.0), (COUNTS, 0.5), (CategoricalEmission([[0.5, 0.5]] * 2), 2.0)],
)
def test_impossible_values_are_named_or_become_nan(emission, value):
    y, seen = jnp.array([[1.0], [value]]), jnp.ones((2, 1), bool)
    with pytest.raises(InputError, match=f"got {value:g} at row 1, component 0"):
        emission.check(y, seen)
    got = emission.log_probs(y, seen, no_past(2))
    assert np.isfinite(got[0]).all()
    assert np.isnan(got[1]).all()
    hidden = emission.log_probs(y, seen.at[1].set(False), no_past(2))
    assert (np.asarray(hidden[1]) == 0.0).all()


def test_pasts_of_a_series_are_those_remembered_row_by_row():
    rng = np.random.default_rng(1)
    y, mask = jnp.asarray(rng.normal(size=(7, 2))), rng.uniform(size=(7, 2)) < 0.7
    mask = jnp.asarray(mask)
    past = Past(jnp.asarray(rng.normal(size=(3, 2))), jnp.array([True, False, True]))
    together = pasts(past, y, mask)
    for k in range(7):
        np.testing.assert_array_equal(together.y[k], past.y)
        np.testing.assert_array_equal(together.seen[k], past.seen)
        past = remember(past, y[k], mask[k])


def test_modes_can_be_renamed_and_sorted():
    matrix = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.05, 0.05, 0.9]])
    model = HiddenMarkov([0.5, 0.3, 0.2], matrix, PoissonEmission([5.0, 9.0, 1.0]))
    sorted_one = model.in_order()
    order = [2, 0, 1]
    np.testing.assert_array_equal(sorted_one.emission.rates[:, 0], [1.0, 5.0, 9.0])
    np.testing.assert_allclose(sorted_one.initial.probs(), [0.2, 0.5, 0.3])
    np.testing.assert_array_equal(sorted_one.chain.probs, matrix[order][:, order])
    assert model.free_parameters == 2 + 6 + 3


def test_draws_have_the_moments_of_the_model(key):
    chain = MarkovChain([[0.9, 0.1], [0.3, 0.7]])
    A = np.array([[[[0.5]]], [[[-0.4]]]])
    emission = AutoregressiveEmission(A, [[1.0], [0.0]], [[[0.04]], [[0.25]]])
    modes, y = HiddenMarkov([1.0, 0.0], chain, emission).draw_path(20_000, key=key)
    modes, y = np.asarray(modes), np.asarray(y)[:, 0]
    assert modes[0] == 0
    assert modes.mean() == pytest.approx(0.25, abs=0.02)
    left = modes[1:][modes[:-1] == 0]
    assert left.mean() == pytest.approx(0.1, abs=0.01)
    for mode, (slope, offset, sd) in enumerate(((0.5, 1.0, 0.2), (-0.4, 0.0, 0.5))):
        new = (y[1:] - offset - slope * y[:-1])[modes[1:] == mode]
        assert new.mean() == pytest.approx(0.0, abs=0.02)
        assert new.std() == pytest.approx(sd, rel=0.03)
    with pytest.raises(InputError, match="`rows`"):
        HiddenMarkov([1.0, 0.0], chain, COUNTS).draw_path(0, key=key)


def test_moments_are_those_of_draws(key):
    probs = jnp.array([[0.3, 0.7]])
    nothing = Past(jnp.zeros((0, 1)), jnp.zeros(0, bool))
    for emission in (COUNTS, CategoricalEmission([[0.2, 0.5, 0.3], [0.0, 0.1, 0.9]])):
        mean, cov = emission.predict(probs, no_past(1))
        key_mode, key_draw = jax.random.split(key)
        modes = jax.random.bernoulli(key_mode, 0.7, (20_000,)).astype(int)
        keys = jax.random.split(key_draw, 20_000)
        draw = lambda mode, key, emission=emission: emission.draw(
            mode, nothing, key=key
        )
        y = np.asarray(jax.vmap(draw)(modes, keys))[:, 0]
        assert y.mean() == pytest.approx(float(mean[0, 0]), rel=0.02)
        assert y.var() == pytest.approx(float(cov[0, 0, 0]), rel=0.03)


def test_rates_are_expected_passages_over_expected_times():
    """The integrals over what happens between two rows, by quadrature."""
    rates = np.array([[-0.9, 0.7, 0.2], [0.5, -0.5, 0.0], [0.1, 1.0, -1.1]])
    dts, rng = np.array([0.3, 2.0, 0.0, 1.1]), np.random.default_rng(3)
    pairs = rng.dirichlet(np.ones(9), 4).reshape(4, 3, 3)
    pairs[2] = np.diag([0.2, 0.3, 0.5])  # no time passes
    nodes, weights = np.polynomial.legendre.leggauss(30)
    passages, stays = np.zeros((3, 3)), np.zeros(3)
    for N, dt in zip(pairs, dts):
        ratio = np.where(N > 0, N / np.where(N > 0, expm(rates * dt), 1.0), 0.0)
        for node, weight in zip(0.5 * dt * (nodes + 1.0), 0.5 * dt * weights):
            before, after = expm(rates * node), expm(rates * (dt - node))
            inner = weight * np.einsum("ij,ia,bj->ab", ratio, before, after)
            passages += inner * rates
            stays += np.diag(inner)
    chain = RateChain(rates)
    got = chain.reestimate(
        jnp.asarray(pairs), None, jnp.asarray(dts), jnp.zeros((3, 3))
    )
    off = ~np.eye(3, dtype=bool)
    want = passages / stays[:, None]
    np.testing.assert_allclose(np.asarray(got.rates)[off], want[off], rtol=1e-10)
    assert stays.sum() == pytest.approx(dts.sum(), rel=1e-10)
    np.testing.assert_allclose(np.sum(chain.matrix(None, 0.3), axis=1), 1.0, rtol=1e-14)


def test_log_factorials_are_exact_for_large_counts():
    y = jnp.array([[1e5]])
    got = PoissonEmission([1e5]).log_probs(y, jnp.ones((1, 1), bool), no_past(1))
    want = 1e5 * np.log(1e5) - 1e5 - gammaln(1e5 + 1)
    np.testing.assert_allclose(got[0, 0], want, rtol=1e-9)
