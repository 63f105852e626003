"""Fisher scoring finds the maxima that a general optimiser finds."""

import numpy as np
import pytest
import scipy.optimize

from slipstate.fit.fisher import fisher_scoring
from slipstate.ground.solution import Outcome

RNG = np.random.default_rng(31)
DATA = np.array([1.0, -2.0, 0.3])[:, None] + np.array([0.5, 1.0, 2.0])[
    :, None
] * RNG.normal(size=(3, 400))
FLAT = np.full((3, 2), 1e6)
START = np.zeros((3, 2))
CLOSE = 4e-4  # scores are taken from a shift of 1e-4


def terms(theta, which):
    """Log density of normal data, by mean and log deviation."""
    mean, log_sd = theta[..., :1], theta[..., 1:]
    z = (DATA[which, None] - mean) / np.exp(log_sd)
    return -0.5 * z**2 - log_sd - 0.5 * np.log(2 * np.pi)


def by_scipy(k, prior_mean, prior_sd):
    def loss(theta):
        value = terms(theta[None, None], np.array([k])).sum()
        return 0.5 * np.sum(((theta - prior_mean) / prior_sd) ** 2) - value

    return scipy.optimize.minimize(loss, np.zeros(2), tol=1e-12).x


def test_maxima_are_those_of_the_sample():
    found = fisher_scoring(terms, START, START, FLAT, tolerance=4e-6, max_steps=200)
    assert found.outcome == Outcome.successful
    assert np.all(found.info["converged"])
    truth = np.stack([DATA.mean(1), np.log(DATA.std(1))], 1)
    np.testing.assert_allclose(found.value, truth, atol=CLOSE)
    # the inverse information is the covariance of the estimates
    sd = np.sqrt(np.diagonal(found.info["covariance"], axis1=1, axis2=2))
    theory = np.stack([DATA.std(1) / 20.0, np.full(3, 1 / np.sqrt(800.0))], 1)
    np.testing.assert_allclose(sd, theory, rtol=0.15)
    value = terms(found.value[:, None], np.arange(3)).sum((1, 2))
    np.testing.assert_allclose(found.info["log_posterior"], value, rtol=1e-9)


def test_a_prior_pulls_as_scipy_says():
    mean, sd = np.full((3, 2), 0.5), np.full((3, 2), 0.05)
    found = fisher_scoring(terms, START, mean, sd, tolerance=4e-6, max_steps=200)
    for k in range(3):
        np.testing.assert_allclose(
            found.value[k], by_scipy(k, mean[k], sd[k]), atol=CLOSE
        )
    assert np.all(np.abs(found.value[:, 0] - 0.5) < np.abs(DATA.mean(1) - 0.5))


def test_a_deviation_of_zero_holds_a_parameter():
    mean, sd = np.full((3, 2), 0.7), FLAT.copy()
    sd[:, 1] = 0.0
    found = fisher_scoring(terms, START, mean, sd, tolerance=4e-6, max_steps=200)
    np.testing.assert_array_equal(found.value[:, 1], 0.7)
    np.testing.assert_allclose(found.value[:, 0], DATA.mean(1), atol=CLOSE)


def test_one_problem_does_not_care_about_the_others():
    whole = fisher_scoring(terms, START, START, FLAT)
    alone = fisher_scoring(
        lambda theta, which: terms(theta, which + 2), START[2:], START[2:], FLAT[2:]
    )
    np.testing.assert_allclose(alone.value[0], whole.value[2], rtol=1e-12)


def test_too_few_steps_are_not_called_a_success():
    found = fisher_scoring(terms, START + 5.0, START, FLAT, max_steps=1)
    assert found.outcome == Outcome.not_converged
    assert not np.all(found.info["converged"])
    assert found.info["steps"] == 1


def test_progress_is_told():
    seen = []
    fisher_scoring(terms, START, START, FLAT, progress=lambda *now: seen.append(now))
    assert seen[-1] == (3, 3)
    assert all(total == 3 for _, total in seen)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_likelihood_that_is_no_number_is_not_called_a_success():
    def broken(theta, which):
        return np.where(which[:, None, None] == 1, np.nan, terms(theta, which))

    found = fisher_scoring(broken, START, START, FLAT)
    assert found.outcome == Outcome.not_converged
    np.testing.assert_array_equal(found.info["converged"], [True, False, True])
