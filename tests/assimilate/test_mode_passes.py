"""Hidden Markov inference against a slow twin by loops, enumeration and hmmlearn."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM
from scipy.stats import multivariate_normal, poisson

from slipstate.assimilate import (
    ForwardBackward,
    Kalman,
    Observations,
    filter_series,
    init,
    mode_pieces,
    mode_posterior,
    most_probable_path,
    posterior_stretches,
    sample_states,
    smooth_series,
    step,
)
from slipstate.assimilate.mode_expectations import expect, expect_log
from slipstate.assimilate.mode_messages import propagate, propagate_blocked
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.solution import Outcome
from slipstate.systems import (
    AutoregressiveEmission,
    CategoricalEmission,
    DrivenChain,
    GaussianEmission,
    HiddenMarkov,
    LinearGaussian,
    PoissonEmission,
    RateChain,
)
from slipstate.systems.hidden_markov import pasts

METHOD = ForwardBackward()


def twin(log_first, log_matrices, emitted):
    """Return likelihoods, filtered, smoothed and pair probabilities, in logarithms."""
    rows, modes = emitted.shape
    ahead, filtered, terms = log_first, [], []
    for k in range(rows):
        if k:
            ahead = np.logaddexp.reduce(
                filtered[-1][:, None] + log_matrices[k - 1], axis=0
            )
        joint = ahead + emitted[k]
        terms.append(np.logaddexp.reduce(joint) - np.logaddexp.reduce(ahead))
        filtered.append(joint - np.logaddexp.reduce(joint))
    behind, smoothed, pairs = np.zeros(modes), [], []
    for k in reversed(range(rows)):
        joint = filtered[k] + behind
        smoothed.append(joint - np.logaddexp.reduce(joint))
        if k:
            message = emitted[k] + behind
            pair = filtered[k - 1][:, None] + log_matrices[k - 1] + message
            pairs.append(np.exp(pair - np.logaddexp.reduce(pair, axis=None)))
            behind = np.logaddexp.reduce(log_matrices[k - 1] + message, axis=1)
    return (
        np.array(terms),
        np.exp(filtered),
        np.exp(smoothed[::-1]),
        np.array(pairs[::-1]),
    )


def gaussian_log_probs(y, means, covs):
    """Return log p(y | mode) by SciPy, over the numbers that are not NaN."""
    out = np.zeros((len(y), len(means)))
    for k, row in enumerate(y):
        seen = ~np.isnan(row)
        if seen.any():
            for j, (mean, cov) in enumerate(zip(means, covs)):
                inside = cov[np.ix_(seen, seen)]
                out[k, j] = multivariate_normal.logpdf(row[seen], mean[seen], inside)
    return out


def random_model(modes=4, obs=3, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(modes, obs, obs))
    covs = root @ root.transpose(0, 2, 1) / obs + 0.3 * np.eye(obs)
    matrix = 0.8 * np.eye(modes) + 0.2 * rng.dirichlet(np.ones(modes), size=modes)
    emission = GaussianEmission(2.0 * rng.normal(size=(modes, obs)), covs)
    return HiddenMarkov(rng.dirichlet(np.ones(modes)), matrix, emission)


def holes(y, seed=1):
    """Return the series with entries, whole rows, the first and the last missing."""
    rng = np.random.default_rng(seed)
    y = np.array(y)
    y[rng.uniform(size=y.shape) < 0.2] = np.nan
    y[[0, 5, 6, -1]] = np.nan
    return y


def check_against_twin(model, observations, expected, tolerance=1e-11):
    terms, filtered, smoothed, _ = expected
    got = smooth_series(model, observations, METHOD)
    np.testing.assert_allclose(
        got.filter.step_log_likelihoods, terms, rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(got.filter.probs, filtered, atol=tolerance)
    np.testing.assert_allclose(got.probs, smoothed, atol=tolerance)
    short = mode_posterior(model, observations)
    np.testing.assert_allclose(short.probs, smoothed, atol=tolerance)
    np.testing.assert_allclose(short.log_likelihood, terms.sum(), rtol=tolerance)


def logs(model):
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(model.chain.probs))


@pytest.mark.slow
def test_missing_entries_are_integrated_out(key):
    model = random_model()
    _, y = model.draw_path(40, key=key)
    y = holes(y)
    emitted = gaussian_log_probs(y, model.emission.means, model.emission.covs)
    matrices = np.broadcast_to(logs(model), (39, 4, 4))
    expected = twin(np.asarray(model.initial.log_probs), matrices, emitted)
    check_against_twin(model, Observations(y), expected)
    mask = jnp.asarray(~np.isnan(y))
    past = pasts(model.start_past(), jnp.asarray(y), mask)
    for shape in ((4, 3), (4, 3, 3)):
        ones = np.ones(shape) if len(shape) == 2 else np.stack([np.eye(3)] * 4)
        emission = GaussianEmission(model.emission.means, ones)
        got = emission.log_probs(jnp.nan_to_num(y), mask, past)
        want = gaussian_log_probs(y, emission.means, np.stack([np.eye(3)] * 4))
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_expectations_of_pairs_are_those_of_the_twin(key):
    model = random_model()
    _, y = model.draw_path(40, key=key)
    emitted = gaussian_log_probs(
        np.asarray(y), model.emission.means, model.emission.covs
    )
    matrices = np.broadcast_to(logs(model), (39, 4, 4))
    first = np.asarray(model.initial.log_probs)
    _, _, smoothed, pairs = twin(first, matrices, emitted)
    counted = jnp.arange(40) < 35  # the steps to the last rows are not counted
    for got in (
        expect(jnp.exp(first), model.chain.probs, jnp.asarray(emitted), counted),
        expect_log(
            jnp.asarray(first), model.chain.probs, jnp.asarray(emitted), counted
        ),
    ):
        np.testing.assert_allclose(got.probs, smoothed, atol=1e-12)
        np.testing.assert_allclose(got.pairs[0], pairs[:34].sum(0), rtol=1e-11)
        assert not got.risky


def test_blocks_side_by_side_are_row_by_row(key):
    model = random_model()
    _, y = model.draw_path(40, key=key)
    plain, blocked = (
        smooth_series(model, Observations(holes(y)), ForwardBackward(block=block))
        for block in (None, 7)
    )
    np.testing.assert_allclose(blocked.log_likelihood, plain.log_likelihood, rtol=1e-13)
    np.testing.assert_allclose(blocked.probs, plain.probs, atol=1e-12)
    rng = np.random.default_rng(3)
    given = jnp.asarray(rng.dirichlet(np.ones(3), size=(25, 3)))  # a matrix each step
    weights, start = jnp.asarray(rng.uniform(size=(25, 3))), jnp.full(3, 1 / 3)
    np.testing.assert_allclose(
        propagate_blocked(start, given, weights, 4),
        propagate(start, given, weights),
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    "kind",
    [
        "steady",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("rates", "driven", "memory")
        ),
    ],
)
def test_piece_by_piece_is_the_whole_series(kind, key, monkeypatch):
    """Long series are cut into pieces; here a short one is, with an uneven end."""
    model, rng = random_model(), np.random.default_rng(8)
    initial, chain, emission = model.initial.probs(), model.chain, model.emission
    u = rng.normal(size=(103, 1)) if kind == "driven" else None
    if kind == "driven":
        chain = DrivenChain(rng.normal(size=(4, 4)), rng.normal(size=(4, 4, 1)))
    if kind == "rates":
        chain = RateChain(rng.uniform(size=(4, 4)))
    if kind == "memory":
        A = 0.2 * rng.normal(size=(4, 2, 3, 3))
        emission = AutoregressiveEmission(A, emission.means, emission.covs)
    model = HiddenMarkov(initial, chain, emission)
    t = np.cumsum(rng.uniform(0.2, 2.0, size=103))
    _, y = random_model().draw_path(103, key=key)
    series = Observations(holes(y), t=t, u=u)
    whole = smooth_series(model, series, METHOD)
    monkeypatch.setattr(mode_pieces, "_NUMBERS", 40)
    monkeypatch.setattr(mode_pieces, "_LEAST", 7)

    @jax.jit
    def in_pieces(rows, running):
        done = METHOD.filter_rows(model, running, rows)
        return done, METHOD.smooth_rows(model, rows, done)

    assert mode_pieces.long(103, 4)
    done, smoothed = in_pieces(series.rows(), init(model, METHOD))
    found = (done.predicted, done.filtered, done.info, done.final, smoothed)
    first = whole.filter
    want = (first.predicted, first.filtered, first.info, first.final, whole.smoothed)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("driven", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_stretch_by_stretch_is_the_whole_series(driven, key):
    model, u = random_model(), None
    if driven:
        rng = np.random.default_rng(8)
        chain = DrivenChain(rng.normal(size=(4, 4)), rng.normal(size=(4, 4, 1)))
        model = HiddenMarkov(model.initial.probs(), chain, model.emission)
        u = rng.normal(size=(40, 1))
    _, y = random_model().draw_path(40, key=key)
    whole = Observations(holes(y), u=u)
    stretches = [whole[start : start + 8] for start in range(0, 40, 8)]
    found = list(posterior_stretches(model, stretches))[::-1]
    expected = mode_posterior(model, whole)
    probs = np.concatenate([part.probs for part in found])
    np.testing.assert_allclose(probs, expected.probs, atol=1e-12)
    total = sum(float(part.log_likelihood) for part in found)
    np.testing.assert_allclose(total, expected.log_likelihood, rtol=1e-13)


def test_a_path_that_only_logarithms_see_is_not_lost():
    """Mode 1 can never be reached again, and row 2 is possible in it only."""
    emission = GaussianEmission([[0.0], [60.0]], [[[1.0]], [[1.0]]])
    model = HiddenMarkov([0.5, 0.5], [[1.0, 0.0], [0.3, 0.7]], emission)
    y = np.array([[0.0], [0.0], [140.0], [60.0]])
    emitted = gaussian_log_probs(y, emission.means, emission.covs)
    # after two rows mode 1 has the probability exp(-3600), less than any number has
    expected = twin(
        np.log([0.5, 0.5]), np.broadcast_to(logs(model), (3, 2, 2)), emitted
    )
    assert expected[1][1, 1] == 0.0
    assert expected[2][0, 1] > 0.99
    check_against_twin(model, Observations(y), expected)
    assert (np.asarray(most_probable_path(model, Observations(y)).modes) == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("missing", [False, True])
def test_hmmlearn_agrees_on_a_long_series(missing):
    """Without missing entries hmmlearn itself, with them its C++ on our emissions."""
    modes, rows = 16, 10_000
    model = random_model(modes, 4, seed=7)
    _, drawn = model.draw_path(rows, key=jax.random.key(5))
    y = holes(drawn) if missing else np.asarray(drawn)
    peer = GaussianHMM(modes, covariance_type="full", implementation="log")
    peer.startprob_ = np.asarray(model.initial.probs())
    peer.transmat_ = np.asarray(model.chain.probs)
    peer.means_ = np.asarray(model.emission.means)
    peer.n_features = 4
    peer.covars_ = np.asarray(model.emission.covs)
    if missing:
        emitted = gaussian_log_probs(y, peer.means_, peer.covars_)
        peer._compute_log_likelihood = lambda X: emitted
    height, probs = peer.score_samples(np.nan_to_num(y))
    got = smooth_series(model, Observations(y), METHOD)
    np.testing.assert_allclose(got.log_likelihood, height, rtol=1e-9)
    np.testing.assert_allclose(got.means, probs, atol=1e-8)
    score, path = peer.decode(np.nan_to_num(y))
    best = most_probable_path(model, Observations(y))
    np.testing.assert_allclose(best.log_prob, score, rtol=1e-9)
    np.testing.assert_array_equal(best.modes, path)


def test_the_best_path_is_the_best_of_all():
    model = HiddenMarkov(
        [0.6, 0.4, 0.0],
        [[0.7, 0.3, 0.0], [0.0, 0.5, 0.5], [0.2, 0.2, 0.6]],
        CategoricalEmission([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]]),
    )
    y = np.array([0, 1, np.nan, 1, 1, 0.0])[:, None]
    emit = np.asarray(model.emission.probs)

    def height(path):
        total = np.log(np.asarray(model.initial.probs())[path[0]])
        for before, after in itertools.pairwise(path):
            total += logs(model)[before, after]
        return total + sum(
            np.log(emit[mode, int(value)])
            for mode, (value,) in zip(path, y)
            if not np.isnan(value)
        )

    with np.errstate(divide="ignore"):
        scores = {p: height(p) for p in itertools.product(range(3), repeat=len(y))}
    best = max(scores, key=scores.__getitem__)
    got = most_probable_path(model, Observations(y))
    assert tuple(got.modes.tolist()) == best
    np.testing.assert_allclose(got.log_prob, scores[best], rtol=1e-12)
    posterior = mode_posterior(model, Observations(y))
    total = float(np.logaddexp.reduce(list(scores.values())))
    np.testing.assert_allclose(posterior.log_likelihood, total, rtol=1e-12)
    draws = np.asarray(
        sample_states(model, Observations(y), count=4000, key=jax.random.key(2))
    )
    for path, often in zip(*np.unique(draws, axis=0, return_counts=True)):
        prob = np.exp(scores[tuple(path.tolist())] - total)
        assert prob > 0  # an impossible path is never drawn
        assert abs(often - 4000 * prob) < 5 * np.sqrt(4000 * prob) + 1


@pytest.mark.slow
def test_an_input_drives_the_chain(key):
    rng = np.random.default_rng(3)
    B, W = rng.normal(size=(2, 2)), rng.normal(size=(2, 2, 1))
    u = rng.normal(size=(30, 1))
    emission = PoissonEmission([2.0, 9.0])
    model = HiddenMarkov([0.5, 0.5], DrivenChain(B, W), emission)
    _, y = model.draw_path(30, u=u, key=key)
    odds = np.exp(B + W[None, :, :, 0] * u[1:, :, None])
    matrices = np.log(odds / odds.sum(axis=2, keepdims=True))
    emitted = poisson.logpmf(np.asarray(y), [[2.0, 9.0]])
    expected = twin(np.log([0.5, 0.5]), matrices, emitted)
    check_against_twin(model, Observations(y, u=u), expected)
    path = most_probable_path(model, Observations(y, u=u)).modes
    draws = sample_states(model, Observations(y, u=u), count=300, key=key)
    agreed = np.mean(np.asarray(draws) == np.asarray(path))
    assert agreed == pytest.approx(expected[2][np.arange(30), path].mean(), abs=0.05)
    with pytest.raises(InputError, match="1 inputs"):
        mode_posterior(model, Observations(y))


@pytest.mark.slow
def test_a_chain_of_rates_follows_the_clock(key):
    rates = np.array([[0.0, 0.3], [0.1, 0.0]])
    model = HiddenMarkov([0.5, 0.5], RateChain(rates), PoissonEmission([2.0, 9.0]))
    t = np.array([0.0, 0.5, 3.0, 3.0, 4.0])
    y = np.array([2.0, 3.0, 8.0, 9.0, 1.0])[:, None]
    matrices = []
    for dt in np.diff(t):  # in closed form for two modes
        decay = np.exp(-0.4 * dt)
        there = np.array([0.25, 0.75])
        matrices.append((1 - decay) * there + decay * np.eye(2))
    with np.errstate(divide="ignore"):
        matrices = np.log(matrices)
    expected = twin(np.log([0.5, 0.5]), matrices, poisson.logpmf(y, [[2.0, 9.0]]))
    check_against_twin(model, Observations(y, t=t), expected)


@pytest.mark.slow
def test_a_memory_of_the_last_rows(key):
    """A row is passed over where one of the two before it was not seen."""
    rng = np.random.default_rng(5)
    A = 0.3 * rng.normal(size=(2, 2, 2, 2))
    b, C = rng.normal(size=(2, 2)), np.stack([np.eye(2), 0.2 * np.eye(2) + 0.1])
    matrix = np.array([[0.9, 0.1], [0.3, 0.7]])
    model = HiddenMarkov([0.5, 0.5], matrix, AutoregressiveEmission(A, b, C))
    _, y = model.draw_path(30, key=key)
    y = np.array(y)
    y[10] = np.nan
    y[20, 0] = np.nan
    emitted = np.zeros((30, 2))
    for k in range(2, 30):
        if not np.isnan(y[k - 2 : k]).any():
            means = b + np.einsum("jlde,le->jd", A, y[[k - 1, k - 2]])
            emitted[k] = gaussian_log_probs(y[k : k + 1], means, C)[0]
    assert (emitted[[0, 1, 10, 11, 12, 21, 22]] == 0).all()
    assert (emitted[[9, 20, 23]] != 0).all()
    matrices = np.broadcast_to(np.log(matrix), (29, 2, 2))
    expected = twin(np.log([0.5, 0.5]), matrices, emitted)
    check_against_twin(model, Observations(y), expected)
    first = filter_series(model, Observations(y[:13]), METHOD)
    passed = np.isinf(np.asarray(first.innovation_covs)).all(axis=(1, 2))
    assert np.flatnonzero(passed).tolist() == [0, 1, 11, 12]
    running = first.final
    for k in range(13, 30):
        running, info = step(model, running, y[k], t=float(k), method=METHOD)
        np.testing.assert_allclose(
            METHOD.log_likelihood(info), expected[0][k], atol=1e-12
        )
    np.testing.assert_allclose(running.state.probs, expected[1][-1], atol=1e-12)


def test_one_mode_is_no_mode():
    y = np.array([3.0, 7.0, 4.0])[:, None]
    model = HiddenMarkov([1.0], [[1.0]], PoissonEmission([4.0]))
    got = smooth_series(model, Observations(y), METHOD)
    np.testing.assert_allclose(
        got.filter.step_log_likelihoods, poisson.logpmf(y[:, 0], 4.0), rtol=1e-13
    )
    assert (np.asarray(got.probs) == 1.0).all()


def test_innovations_are_what_the_mixture_did_not_expect(key):
    model = random_model()
    _, y = model.draw_path(40, key=key)
    got = smooth_series(model, Observations(y), METHOD).filter
    means, covs = np.asarray(model.emission.means), np.asarray(model.emission.covs)
    for k in (0, 7, 39):
        probs = np.asarray(got.predicted_means[k])
        mean = probs @ means
        second = covs + np.einsum("jd,je->jde", means, means)
        cov = np.einsum("j,jde->de", probs, second) - np.outer(mean, mean)
        np.testing.assert_allclose(got.innovations[k], y[k] - mean, atol=1e-12)
        np.testing.assert_allclose(got.innovation_covs[k], cov, atol=1e-12)


@pytest.mark.slow
def test_derivatives_are_differences(key):
    model = random_model(modes=3, obs=2)
    _, y = model.draw_path(15, key=key)
    observations = Observations(holes(y))

    def height(shift):
        emission = GaussianEmission(model.emission.means + shift, model.emission.covs)
        moved = HiddenMarkov([1.0, 0.0, 0.0], model.chain, emission)
        return filter_series(moved, observations, METHOD).log_likelihood

    slope = float(jax.grad(height)(0.0))
    assert slope == pytest.approx(float(height(1e-5) - height(-1e-5)) / 2e-5, rel=1e-6)


def test_a_second_call_traces_nothing(monkeypatch):
    traces = 0
    plain = PoissonEmission.log_probs

    def counting(self, y, mask, past):
        nonlocal traces
        traces += 1
        return plain(self, y, mask, past)

    monkeypatch.setattr(PoissonEmission, "log_probs", counting)
    for rate in (1.0, 2.0, 3.0):
        emission = PoissonEmission([rate, 5.0])
        model = HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], emission)
        y = Observations(np.full((11, 1), rate))
        smooth_series(model, y, METHOD)
        mode_posterior(model, y)
        most_probable_path(model, y)
    assert 0 < traces <= 3


def test_what_cannot_be_is_said(key):
    y = np.array([1.0, 2.0, 3.0])[:, None]
    model = HiddenMarkov([0.5, 0.5], np.full((2, 2), 0.5), PoissonEmission([1.0, 5.0]))
    for ask in (
        lambda data: mode_posterior(model, data),
        lambda data: most_probable_path(model, data),
        lambda data: sample_states(model, data, key=key),
    ):
        with pytest.raises(InputError, match=r"a count .* got 1.5 at row 1"):
            ask(Observations(y + np.array([[0.0], [-0.5], [0.0]])))
    odd = filter_series(model, Observations(y - [[0.0], [0.5], [0.0]]), METHOD)
    assert odd.outcome == Outcome.not_finite
    assert odd.first_failure == 1
    silent = HiddenMarkov([1.0, 0.0], np.eye(2), PoissonEmission([0.0, 5.0]))
    none = filter_series(silent, Observations(y), METHOD)
    assert none.first_failure == 0
    assert most_probable_path(silent, Observations(y)).log_prob == -np.inf
    linear = LinearGaussian([0.0], [[1.0]], [[1.0]], [[1.0]], [[1.0]], [[1.0]])
    with pytest.raises(MethodError, match="InteractingMultipleModel"):
        filter_series(linear, Observations(y), METHOD)
    with pytest.raises(MethodError):
        init(model, Kalman())
    with pytest.raises(InputError, match="at least 2"):
        ForwardBackward(block=1)
    with pytest.raises(InputError, match="`count`"):
        sample_states(model, Observations(y), count=0, key=key)
