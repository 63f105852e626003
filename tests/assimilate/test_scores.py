"""Proper scores against quadrature, brute force and their own definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from slipstate.assimilate.scores import (
    crps_ensemble,
    crps_gaussian,
    crps_mixture,
    energy_score,
    fair_crps,
    log_score_gaussian,
    log_score_mixture,
)
from slipstate.ground.errors import InputError


def _crps_by_quadrature(y, distribution):
    """Integrate (F(x) - 1{x >= y})^2, the definition."""
    left, _ = scipy.integrate.quad(lambda x: distribution(x) ** 2, y - 80, y, limit=500)
    right, _ = scipy.integrate.quad(
        lambda x: (1 - distribution(x)) ** 2, y, y + 80, limit=500
    )
    return left + right


@pytest.mark.parametrize("y", [-4.0, 0.3, 2.0, 30.0])
def test_gaussian_crps_is_its_integral(y):
    exact = _crps_by_quadrature(y, lambda x: scipy.stats.norm.cdf(x, 0.5, 1.7))
    assert crps_gaussian(y, 0.5, 1.7) == pytest.approx(exact, rel=1e-8)


def test_certainty_is_scored_by_its_absolute_error():
    score = crps_gaussian(np.array([1.0, 3.0]), np.array([2.0, 3.0]), np.zeros(2))
    np.testing.assert_array_equal(score, [1.0, 0.0])


def test_a_missing_observation_stays_missing():
    y = np.array([np.nan, 1.0])
    assert np.isnan(crps_gaussian(y, np.zeros(2), np.ones(2))).tolist() == [True, False]
    assert np.isnan(crps_gaussian(np.ones(2), np.zeros(2), y)).tolist() == [True, False]


@pytest.mark.parametrize("y", [-3.0, 0.0, 4.0])
def test_mixture_crps_is_its_integral(y):
    w, m, s = (
        np.array([0.2, 0.5, 0.3]),
        np.array([-2.0, 0.5, 4.0]),
        np.array([0.5, 1, 2]),
    )
    exact = _crps_by_quadrature(y, lambda x: float(w @ scipy.stats.norm.cdf(x, m, s)))
    assert crps_mixture(y, w, m, s) == pytest.approx(exact, rel=1e-8)


def test_a_mixture_of_equal_parts_is_one_gaussian():
    y = np.linspace(-3, 3, 7)
    w, m, s = np.full((7, 4), 0.25), np.full((7, 4), 0.4), np.full((7, 4), 1.3)
    one = crps_gaussian(y, 0.4, 1.3)
    np.testing.assert_allclose(crps_mixture(y, w, m, s), one, rtol=1e-12)
    np.testing.assert_allclose(
        log_score_mixture(y, w, m, s), log_score_gaussian(y, 0.4, 1.3), rtol=1e-12
    )


def test_log_score_is_minus_the_log_density():
    exact = -scipy.stats.norm.logpdf(2.0, 0.5, 3.0)
    assert log_score_gaussian(2.0, 0.5, 3.0) == pytest.approx(exact, rel=1e-14)


def _double_sum(y, members, divisor):
    pairs = sum(abs(a - b) for a in members for b in members)
    return np.mean(np.abs(members - y)) - pairs / (2 * divisor)


def test_ensemble_scores_are_their_double_sums():
    rng = np.random.default_rng(0)
    members = rng.standard_normal((6, 11, 2))  # (time, ens, state)
    y = rng.standard_normal((6, 2))
    plain, fair = crps_ensemble(y, members, axis=1), fair_crps(y, members, axis=-2)
    for t in range(6):
        for c in range(2):
            e = members[t, :, c]
            assert plain[t, c] == pytest.approx(_double_sum(y[t, c], e, 121), rel=1e-12)
            assert fair[t, c] == pytest.approx(_double_sum(y[t, c], e, 110), rel=1e-12)


def test_fair_score_does_not_depend_on_the_number_of_members():
    """Its mean over ensembles is the CRPS of what the members are drawn from."""
    rng = np.random.default_rng(3)
    exact = crps_gaussian(0.8, 0.0, 1.0)
    for count in (2, 5, 20):
        scores = fair_crps(np.full(40_000, 0.8), rng.standard_normal((40_000, count)))
        error = scores.std() / np.sqrt(scores.size)
        assert abs(scores.mean() - exact) < 4 * error
        unfair = crps_ensemble(
            np.full(40_000, 0.8), rng.standard_normal((40_000, count))
        )
        expected = exact + 1 / (count * np.sqrt(np.pi))  # E|x - x'| / 2M
        assert abs(unfair.mean() - expected) < 4 * unfair.std() / 200


def test_energy_score_of_one_component_is_the_crps():
    rng = np.random.default_rng(1)
    members, y = rng.standard_normal((4, 9, 1)), rng.standard_normal((4, 1))
    np.testing.assert_allclose(
        energy_score(y, members), fair_crps(y[:, 0], members[..., 0]), rtol=1e-12
    )
    np.testing.assert_allclose(
        energy_score(y, members, fair=False),
        crps_ensemble(y[:, 0], members[..., 0]),
        rtol=1e-12,
    )


def test_energy_score_is_its_double_sum_and_ignores_rotation():
    rng = np.random.default_rng(2)
    members, y = rng.standard_normal((8, 3)), rng.standard_normal(3)
    pairs = sum(np.linalg.norm(a - b) for a in members for b in members)
    slow = np.mean(np.linalg.norm(members - y, axis=1)) - pairs / (2 * 8 * 7)
    assert energy_score(y, members) == pytest.approx(slow, rel=1e-12)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert energy_score(y @ turn, members @ turn) == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize("score", [crps_gaussian, log_score_gaussian])
def test_nobody_gains_by_forecasting_something_else_than_they_believe(score):
    y = np.random.default_rng(5).standard_normal(100_000)
    honest = score(y, 0.0, 1.0).mean()
    for mean, sd in ((0.0, 0.8), (0.0, 1.25), (0.3, 1.0), (-0.3, 1.0)):
        assert score(y, mean, sd).mean() > honest


def test_one_member_has_no_fair_score():
    with pytest.raises(InputError, match="at least 2"):
        fair_crps(np.zeros(3), np.zeros((3, 1)))
    with pytest.raises(InputError, match="at least 2"):
        energy_score(np.zeros(3), np.zeros((1, 3)))


def test_compiled_scores_agree_with_the_host():
    rng = np.random.default_rng(6)
    y, m, s = rng.standard_normal(5), rng.standard_normal((5, 3)), np.full((5, 3), 0.7)
    w = rng.dirichlet(np.ones(3), size=5)
    e = rng.standard_normal((5, 4, 2))
    for function, args in (
        (crps_gaussian, (y, m[:, 0], s[:, 0])),
        (log_score_gaussian, (y, m[:, 0], s[:, 0])),
        (crps_mixture, (y, w, m, s)),
        (log_score_mixture, (y, w, m, s)),
        (fair_crps, (y, m)),
        (energy_score, (e[:, 0], e)),
    ):
        compiled = jax.jit(function)(*(jnp.asarray(v) for v in args))
        assert isinstance(compiled, jax.Array)
        np.testing.assert_allclose(compiled, function(*args), rtol=1e-10)
