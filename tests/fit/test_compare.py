"""Held-out scores: the sums written out, and errors that respect correlation."""

import numpy as np
import pytest
import scipy.stats

from slipstate.assimilate import Kalman, Observations
from slipstate.fit.compare import (
    baseline_predictions,
    batch_error,
    compare,
    follow,
)
from slipstate.fit.fitted import Fitted
from slipstate.fit.predictive import Predictive
from slipstate.fit.series import Series
from slipstate.ground.solution import Outcome
from slipstate.systems.structural import Level, structural


def series_of(y, cut):
    stamps = np.datetime64("2000-01-01", "ns") + np.arange(len(y)) * np.timedelta64(
        1, "D"
    )
    observations = Observations(y[:, None])
    return Series("T x", "x", "mm", "day", stamps, observations, 1.0, True, cut)


def level(name, walk, noise):
    model = structural((Level(walk),), noise, "mm")
    done = Outcome.successful
    return Fitted(name, name, model, Kalman(), (), 0.0, 1, 10, done, "by hand")


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(3)
    y = np.cumsum(0.4 * rng.standard_normal(200)) + rng.standard_normal(200)
    y[[20, 150, 151]] = np.nan
    series = series_of(y, 140)
    models = [level("true", 0.4, 1.0), level("stiff", 0.02, 1.0)]
    followed = [follow(model, series) for model in models]
    return series, followed, compare(followed, series)


def test_every_score_is_the_sum_written_out(case):
    series, followed, scores = case
    y = series.values
    held = np.flatnonzero(np.isfinite(y) & (np.arange(200) >= 140))
    assert [score.scored for score in scores] == [58] * 4
    losses = {}
    for model in followed:
        mean, sd = model.predicted.moments()
        losses[model.fitted.name] = -scipy.stats.norm.logpdf(y, mean, sd)[held]
        score = next(s for s in scores if s.name == model.fitted.name)
        z = ((y - mean) / sd)[held]
        assert np.isclose(score.nis, np.mean(z**2))
        assert np.isclose(score.coverage, np.mean(np.abs(z) <= 1.6448536))
    head = y[:140][np.isfinite(y[:140])]
    losses["climatology"] = -scipy.stats.norm.logpdf(y[held], head.mean(), head.std())
    for score in scores:
        if score.name in losses:
            assert np.isclose(score.log_score, losses[score.name].mean())
            assert np.isclose(score.behind, score.log_score - scores[0].log_score)


def test_the_true_model_is_first_and_its_rows_are_the_same(case):
    _, _, scores = case
    assert scores[0].name == "true"
    assert scores[0].behind == scores[0].behind_error == 0.0
    assert [s.log_score for s in scores] == sorted(s.log_score for s in scores)
    assert {s.name for s in scores[1:]} == {"stiff", "persistence", "climatology"}
    assert 0.8 <= scores[0].coverage <= 1.0
    assert 0.6 < scores[0].nis < 1.5


def test_nothing_of_the_held_out_part_reaches_the_baselines(case):
    series, _, _ = case
    before = baseline_predictions(series)
    y = series.values.copy()
    y[160:] += 50.0
    after = baseline_predictions(series_of(y, 140))
    for name in before:
        one, other = before[name].moments(), after[name].moments()
        assert np.allclose(one[1][1:], other[1][1:])
        assert np.allclose(one[0][1:161], other[0][1:161])
    mean, sd = before["persistence"].moments()
    assert mean[152] == series.values[149]  # the last one that was seen
    assert np.isclose(sd[152], np.sqrt(3.0) * sd[149])


def test_the_error_of_a_mean_respects_correlation():
    rng = np.random.default_rng(7)
    white = rng.standard_normal((300, 2500))
    red = np.zeros_like(white)
    for k in range(1, 2500):
        red[:, k] = 0.9 * red[:, k - 1] + white[:, k]
    for values in (white, red):
        true = values.mean(1).std()
        stated = np.mean([batch_error(row) for row in values])
        assert 0.75 * true < stated < 1.15 * true
    plain = np.mean(red.std(1) / np.sqrt(2500))
    assert plain < 0.3 * red.mean(1).std()


def test_counts_are_judged_by_their_own_law():
    weights = np.array([[0.3, 0.7], [1.0, 0.0]])
    means = np.array([[2.0, 9.0], [4.0, 1.0]])
    said = Predictive(weights, means, np.sqrt(means), counts=True)
    y = np.array([3.0, 0.0])
    law = scipy.stats.poisson
    slow = np.log((weights * law.pmf(y[:, None], means)).sum(1))
    assert np.allclose(said.log_density(y), slow)
    below = (weights * law.cdf(y[:, None], means)).sum(1)
    under = (weights * law.cdf(y[:, None] - 1, means)).sum(1)
    assert np.allclose(said.pit(y), 0.5 * (below + under))
    found = said.quantiles([0.05, 0.5, 0.95])
    assert np.array_equal(found[1], law.ppf([0.05, 0.5, 0.95], 4.0))
    for level, q in zip([0.05, 0.5, 0.95], found[0]):
        assert (weights[0] * law.cdf(q, means[0])).sum() >= level
        assert (weights[0] * law.cdf(q - 1, means[0])).sum() < level
