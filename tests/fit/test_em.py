"""Expectation maximisation against loops, published maxima and its own promises."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import Observations, mode_posterior
from slipstate.fit import (
    ModePrior,
    baum_welch,
    compare_modes,
    start_model,
    sticky_chain,
)
from slipstate.fit.em_batch import em_step, make_batch
from slipstate.fit.em_starts import cluster_labels, stretch_labels
from slipstate.ground.errors import InputError
from slipstate.ground.solution import Outcome
from slipstate.systems import (
    AutoregressiveEmission,
    CategoricalEmission,
    DrivenChain,
    GaussianEmission,
    HiddenMarkov,
    PoissonEmission,
    RateChain,
)

TABLE = Path(__file__).parents[1] / "reference" / "earthquake_counts.json"
REFERENCE = json.loads(TABLE.read_text(encoding="utf-8"))
QUAKES = Observations(np.array(REFERENCE["counts"], float)[:, None])
CHAIN = np.array([[0.8, 0.2], [0.3, 0.7]])
STEP = eqx.filter_jit(em_step)


def climbs(model, series, prior=None, steps=6):
    """Return the log posterior before each step of EM; steps must never lower it."""
    batch = make_batch(model, series)
    heights = []
    for _ in range(steps):
        model, climb = STEP(model, batch, prior or ModePrior(), False)
        heights.append(float(climb.log_posterior))
    return np.array(heights), model


def holes(y, share=0.25, seed=0):
    y = np.array(y)
    y[np.random.default_rng(seed).uniform(size=y.shape) < share] = np.nan
    return y


def by_products(model, matrix, shift, one):
    """Return the log-likelihood by products of matrices, for any matrix.

    Its slope in the matrix tells the passages, in `shift` the probability of each mode
    at each row.
    """
    rate = model.emission.rates[:, 0]
    y, mask = one.y[:, 0], one.mask[:, 0]
    logs = y[:, None] * jnp.log(rate)[None] - rate[None]
    logs = logs - jax.scipy.special.gammaln(y + 1.0)[:, None]
    emitted = jnp.exp(jnp.where(mask[:, None], logs, 0.0) + shift)
    x = model.initial.probs() * emitted[0]
    for row in emitted[1:]:
        x = (x @ matrix) * row
    return jnp.log(jnp.sum(x))


SLOPES = eqx.filter_jit(
    lambda model, matrix, shift, one: jax.value_and_grad(
        lambda both: by_products(model, both[0], both[1], one)
    )((matrix, shift))
)
SHORT = [
    Observations(np.array([1.0, 7.0, np.nan, 5.0, 2.0])[:, None]),
    Observations(np.array([4.0, 3.0, 8.0])[:, None]),
]


@pytest.mark.parametrize("modes", [pytest.param("2", marks=pytest.mark.slow), "3"])
def test_earthquakes_reach_the_published_maximum(modes):
    key, count = jax.random.key(1), int(modes)
    start = start_model(PoissonEmission(np.ones(count)), QUAKES, key=key)
    got = baum_welch(start, QUAKES, restarts=7, tolerance=1e-9, key=key)
    assert got.outcome == Outcome.successful
    expected = REFERENCE["log_likelihood"][modes]
    np.testing.assert_allclose(got.info["log_likelihood"], expected, atol=5e-5)
    np.testing.assert_allclose(
        got.value.emission.rates[:, 0], REFERENCE["rates"][modes], atol=5e-3
    )
    shift = jnp.zeros((len(QUAKES), count))
    again = by_products(got.value, got.value.chain.probs, shift, QUAKES)
    np.testing.assert_allclose(again, got.info["log_likelihood"], rtol=1e-12)
    assert (np.diff(got.info["trace"]) > -1e-9).all()


def test_one_step_is_the_weighted_counts_of_a_loop():
    """Two series of different length, with a missing row; everything by hand."""
    model = HiddenMarkov([0.6, 0.4], CHAIN, PoissonEmission([2.0, 6.0]))
    start, passages, rows, counts = np.zeros(2), np.zeros((2, 2)), 0.0, 0.0
    height, series = 0.0, SHORT
    for one in series:
        given = (jnp.asarray(CHAIN), jnp.zeros((len(one), 2)))
        value, (slope, probs) = SLOPES(model, *given, one)
        probs, seen = np.asarray(probs), np.asarray(one.mask[:, 0])
        height += float(value)
        start += probs[0]
        passages += np.asarray(slope) * CHAIN
        rows = rows + probs[seen].sum(0)
        counts = counts + probs[seen].T @ np.asarray(one.y[seen, 0])
    batch = make_batch(model, series)
    for careful in (False, True):
        better, climb = STEP(model, batch, ModePrior(), careful)
        np.testing.assert_allclose(climb.log_likelihood, height, rtol=1e-12)
        np.testing.assert_allclose(better.initial.probs(), start / 2, rtol=1e-11)
        np.testing.assert_allclose(
            better.chain.probs, passages / passages.sum(1, keepdims=True), rtol=1e-9
        )
        np.testing.assert_allclose(better.emission.rates[:, 0], counts / rows)


@pytest.mark.parametrize("full", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_no_step_lowers_the_likelihood_with_entries_missing(full, key):
    rng = np.random.default_rng(2)
    means = np.array([[0.0, 0.0], [2.0, -1.0]])
    covs = np.stack([np.eye(2), [[1.0, 0.8], [0.8, 1.0]]])
    model = HiddenMarkov([0.5, 0.5], CHAIN, GaussianEmission(means, covs))
    series = [
        Observations(holes(model.draw_path(rows, key=jax.random.fold_in(key, rows))[1]))
        for rows in (40, 25)
    ]
    covs = np.stack([np.eye(2)] * 2) if full else np.ones((2, 2))
    rough = GaussianEmission(means + rng.normal(size=(2, 2)), covs)
    heights, last = climbs(HiddenMarkov([0.5, 0.5], CHAIN, rough), series)
    assert (np.diff(heights) > -1e-9).all()
    assert heights[-1] > heights[0] + 1.0
    # at a maximum of a full fit the data explain the moments: no slope is left
    assert np.isfinite(np.asarray(last.emission.covs)).all()


@pytest.mark.slow
def test_no_step_lowers_the_likelihood_of_a_memory(key):
    A = np.array([[[[0.8]]], [[[-0.5]]]])
    emission = AutoregressiveEmission(A, [[0.0], [5.0]], [[[0.1]], [[0.4]]])
    chain = sticky_chain(2)
    modes, y = HiddenMarkov([0.5, 0.5], chain, emission).draw_path(300, key=key)
    y = holes(y, 0.03)
    template = AutoregressiveEmission(0 * A, [[0.0], [0.0]], [[[1.0]], [[1.0]]])
    data = Observations(y)
    start = start_model(template, data, key=key)
    heights, _ = climbs(start, [data])
    assert (np.diff(heights) > -1e-9).all()
    got = baum_welch(start, data, restarts=5, key=key).value
    np.testing.assert_allclose(got.emission.coefs, A, atol=0.15)
    np.testing.assert_allclose(got.emission.offsets[:, 0], [0.0, 5.0], atol=0.3)
    found = np.argmax(mode_posterior(got, data).probs, axis=1)
    assert np.mean(found == np.asarray(modes)) > 0.9


@pytest.mark.slow
def test_an_input_is_found_to_drive_the_chain(key):
    rng = np.random.default_rng(4)
    u = rng.normal(size=(800, 1))
    slopes = np.array([[[0.0], [2.5]], [[0.0], [-1.0]]])
    truth = HiddenMarkov(
        [0.5, 0.5],
        DrivenChain([[1.0, -1.0], [0.0, 0.0]], slopes),
        PoissonEmission([2.0, 12.0]),
    )
    _, y = truth.draw_path(800, u=u, key=key)
    data = Observations(y, u=u)
    chain = DrivenChain(np.zeros((2, 2)), np.zeros((2, 2, 1)))
    start = HiddenMarkov([0.5, 0.5], chain, PoissonEmission([3.0, 8.0]))
    heights, _ = climbs(start, [data])
    assert (np.diff(heights) > -1e-9).all()
    got = baum_welch(start, data, tolerance=1e-5)
    found = np.asarray(got.value.chain.slopes)[:, :, 0]
    np.testing.assert_allclose(found[:, 1] - found[:, 0], [2.5, -1.0], atol=0.5)
    best = float(mode_posterior(truth, data).log_likelihood)
    assert got.info["log_likelihood"] > best  # a maximum is above the truth


def test_a_prior_is_counts_seen_before(key):
    model = HiddenMarkov(
        [0.5, 0.5], CHAIN, CategoricalEmission([[0.7, 0.3], [0.2, 0.8]])
    )
    _, y = model.draw_path(30, key=key)
    data = [Observations(y)]
    for prior in (
        ModePrior(initial=1.0, transition=0.5, sticky=5.0, rows=2.0),
        ModePrior(sticky=1e6),
    ):
        heights, last = climbs(model, data, jax.tree.map(jnp.asarray, prior))
        assert (np.diff(heights) > -1e-6).all()
    np.testing.assert_allclose(np.diagonal(last.chain.probs), 1.0, atol=1e-4)
    with pytest.raises(InputError, match="`sticky` must be a count"):
        ModePrior(sticky=-1.0)


@pytest.mark.slow
def test_a_mode_that_collapses_is_reported_and_a_prior_keeps_it_apart():
    """One value far from all others: alone in a mode it has no spread at all."""
    y = np.concatenate([np.random.default_rng(0).normal(size=30), [50.0]])[:, None]
    emission = GaussianEmission([[0.0], [50.0]], [[[1.0]], [[1.0]]])
    model = HiddenMarkov([0.5, 0.5], CHAIN, emission)
    bare = baum_welch(model, Observations(y), max_steps=100)
    assert bare.outcome == Outcome.not_finite
    held = baum_welch(model, Observations(y), prior=ModePrior(rows=0.1), max_steps=100)
    assert np.isfinite(held.info["log_likelihood"])
    assert float(held.value.emission.covs[1, 0, 0]) > 0.1


def test_a_mode_without_rows_stays_as_it_is():
    model = HiddenMarkov([1.0, 0.0], np.eye(2), PoissonEmission([2.0, 77.0]))
    got, _ = STEP(model, make_batch(model, SHORT), ModePrior(), False)
    assert float(got.emission.rates[1, 0]) == 77.0
    np.testing.assert_allclose(got.emission.rates[0, 0], 30.0 / 7.0)
    np.testing.assert_array_equal(got.chain.probs, np.eye(2))


@pytest.mark.slow
def test_logarithms_take_over_where_numbers_are_too_small():
    emission = GaussianEmission([[0.0], [60.0]], [[[1.0]], [[1.0]]])
    model = HiddenMarkov([0.5, 0.5], [[1.0, 0.0], [0.3, 0.7]], emission)
    y = Observations(np.array([[0.0], [0.0], [140.0], [60.0], [61.0], [0.0]]))
    batch, prior = make_batch(model, [y]), ModePrior(rows=0.1)
    _, plain = STEP(model, batch, prior, False)
    _, careful = STEP(model, batch, prior, True)
    assert plain.risky
    got = baum_welch(model, y, prior=prior, max_steps=1)
    height = float(careful.log_posterior)
    assert np.isfinite(height)
    assert got.info["trace"][0] == pytest.approx(height, rel=1e-12)


def test_starts_are_clusters_or_stretches():
    y = np.repeat([[0.0], [10.0], [20.0]], 10, axis=0)
    model = start_model(
        PoissonEmission(np.ones(3)), Observations(y), key=jax.random.key(0)
    )
    np.testing.assert_allclose(
        model.in_order().emission.rates[:, 0], [1.6, 10.0, 18.4], atol=0.4
    )
    batch = make_batch(model, [Observations(y)])
    labels = cluster_labels(batch, 3, np.random.default_rng(0))
    assert len({*labels[:10]}) == len({*labels[10:20]}) == 1
    cut = stretch_labels(batch, 3, np.random.default_rng(0))
    assert {*cut.tolist()} == {0, 1, 2}
    assert (np.diff(cut) != 0).sum() <= 8
    np.testing.assert_allclose(np.sum(sticky_chain(4).probs, axis=1), 1.0)


@pytest.mark.slow
def test_rates_are_fitted_to_rows_at_irregular_times(key):
    """No step lowers the likelihood, and where they end its slope is zero."""
    rates, emission = np.array([[0.0, 0.4], [0.9, 0.0]]), PoissonEmission([2.0, 9.0])
    truth = HiddenMarkov([0.5, 0.5], RateChain(rates), emission)
    t = np.cumsum(np.random.default_rng(0).exponential(0.7, 200))
    _, y = truth.draw_path(200, t=t, key=key)
    series = [Observations(y[:120], t[:120]), Observations(y[120:], t[120:])]
    start = HiddenMarkov([0.5, 0.5], RateChain(np.ones((2, 2))), emission)
    heights, _ = climbs(start, series)
    assert (np.diff(heights) > 0).all()
    fitted = baum_welch(start, series, tolerance=1e-7)
    assert fitted.outcome == Outcome.successful

    def height(logs):
        chain = RateChain(jnp.exp(logs))
        model = HiddenMarkov(fitted.value.initial.probs(), chain, fitted.value.emission)
        return sum(mode_posterior(model, one).log_likelihood for one in series)

    found = np.asarray(fitted.value.chain.rates)
    logs = jnp.log(jnp.abs(found))
    slope = np.asarray(jax.jit(jax.grad(height))(logs))
    assert abs(slope).max() < 0.03
    np.testing.assert_allclose(found[[0, 1], [1, 0]], rates[[0, 1], [1, 0]], rtol=0.6)


def test_what_cannot_be_fitted_is_refused():
    model = HiddenMarkov([0.5, 0.5], CHAIN, PoissonEmission([2.0, 6.0]))
    odd = Observations(np.array([[1.0], [2.5]]))
    wide = Observations(np.ones((3, 2)))
    with pytest.raises(InputError, match=r"got 2.5 at row 1"):
        baum_welch(model, odd)
    with pytest.raises(InputError, match="1 components"):
        baum_welch(model, [QUAKES, wide])
    with pytest.raises(InputError, match="got none"):
        baum_welch(model, [])
    with pytest.raises(InputError, match="`key`"):
        baum_welch(model, QUAKES, restarts=1)


@pytest.mark.slow
def test_sizes_are_compared_by_cost_and_by_what_they_predict():
    seen = []
    choices = compare_modes(
        lambda modes: PoissonEmission(np.ones(modes)),
        QUAKES,
        (1, 2, 3),
        restarts=5,
        progress=lambda done, total: seen.append((done, total)),
        key=jax.random.key(0),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [c.free_parameters for c in choices] == [1, 5, 11]
    heights = [c.log_likelihood for c in choices]
    np.testing.assert_allclose(heights[1:], [-341.8787, -328.5275], atol=1e-3)
    assert choices[2].aic == pytest.approx(2 * 328.5275 + 22, abs=2e-3)
    assert choices[1].bic == pytest.approx(2 * 341.8787 + 5 * np.log(107), abs=2e-3)
    held = [c.held_out for c in choices]
    assert np.argmax(held) == 2
    with pytest.raises(InputError, match="`training`"):
        compare_modes(PoissonEmission, QUAKES, training=1.0, key=jax.random.key(0))
    with pytest.raises(InputError, match="`candidates`"):
        compare_modes(PoissonEmission, QUAKES, (0,), key=jax.random.key(0))
