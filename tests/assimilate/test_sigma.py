"""Filters of nonlinear models: against Kalman, quadrature, particles and optimisers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from slipstate.assimilate import (
    Cubature,
    GaussHermite,
    Observations,
    SecondTaylor,
    Sigma,
    Taylor,
    Unscented,
    filter_series,
    smooth_iterated,
    smooth_series,
)
from slipstate.assimilate.linearise import in_state
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.solution import Outcome
from slipstate.systems import (
    AbstractObservation,
    AbstractTransition,
    Gaussian,
    LinearGaussian,
    StateSpaceModel,
)

RULES = [Taylor(), SecondTaylor(), Unscented(), Cubature(), GaussHermite(3)]
name = lambda rule: type(rule).__name__


def linear(scale=1.0):
    rng = np.random.default_rng(0)
    F = 0.9 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    H = rng.normal(size=(2, 3))
    return LinearGaussian(
        np.ones(3), np.eye(3), F, scale * 0.2 * np.eye(3), H, 0.3 * np.eye(2)
    )


def series():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(15, 2))
    y[rng.uniform(size=y.shape) < 0.3] = np.nan
    return y


@pytest.fixture(scope="module")
def exact():
    return smooth_series(linear(), Observations(series()))


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(rule, marks=() if index in (0, 2) else pytest.mark.slow)
        for index, rule in enumerate(RULES)
    ],
    ids=name,
)
def test_on_a_linear_model_every_rule_is_kalman(rule, exact):
    got = smooth_series(linear(), Observations(series()), Sigma(rule, iterations=2))
    for one, other in (
        (got.log_likelihood, exact.log_likelihood),
        (got.means, exact.means),
        (got.covs, exact.covs),
        (got.filter.innovation_covs, exact.filter.innovation_covs),
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_stiff_units_lose_nothing_to_the_points():
    """A linear function has no spread at all, whatever its scale against the noise."""
    big = LinearGaussian([0.0], [[1e8]], [[1.0]], [[1e4]], [[1.0]], [[1e-10]])
    y = Observations(np.cumsum(np.random.default_rng(2).normal(size=(30, 1)), 0) * 100)
    got, want = filter_series(big, y, Sigma(Cubature())), filter_series(big, y)
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(got.covs, want.covs, rtol=1e-8)


class Pendulum(AbstractTransition):
    """A pendulum under random pushes: angle and rate."""

    def mean(self, x, u, dt):
        return jnp.stack([x[0] + x[1] * dt, x[1] - 9.8 * jnp.sin(x[0]) * dt])

    def noise_factor(self, x, u, dt):
        return psd_root(0.3 * jnp.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]]))


class Height(AbstractObservation):
    """Where the pendulum is, seen from the side."""

    sd: float = 0.3
    units: tuple[str, ...] = eqx.field(static=True, default=("m",))

    def predict(self, x, u):
        return jnp.sin(x[:1])

    def noise_factor(self):
        return jnp.full((1, 1), self.sd)


GAP = 0.05
START = Gaussian(jnp.array([1.2, 0.0]), jnp.diag(jnp.array([0.1, 0.1])))
PENDULUM = StateSpaceModel(START, Pendulum(), Height())


def swing(rows=60, seed=3):
    rng = np.random.default_rng(seed)
    x, y = np.array([1.5, 0.0]), []
    Q = 0.3 * np.array([[GAP**3 / 3, GAP**2 / 2], [GAP**2 / 2, GAP]])
    for _ in range(rows):
        y.append([np.sin(x[0]) + 0.3 * rng.normal()])
        x = np.array([x[0] + x[1] * GAP, x[1] - 9.8 * np.sin(x[0]) * GAP])
        x = x + np.linalg.cholesky(Q) @ rng.normal(size=2)
    return Observations(np.array(y), t=GAP * np.arange(rows))


def particles(data, count=100_000):
    """Return log-likelihood and means by a plain particle filter."""
    rng = np.random.default_rng(4)
    x = np.asarray(START.location) + np.sqrt(0.1) * rng.normal(size=(count, 2))
    Q = 0.3 * np.array([[GAP**3 / 3, GAP**2 / 2], [GAP**2 / 2, GAP]])
    root, total, means = np.linalg.cholesky(Q), 0.0, []
    for k, seen in enumerate(np.asarray(data.y)[:, 0]):
        if k:
            rate = x[:, 1] - 9.8 * np.sin(x[:, 0]) * GAP
            x = np.stack([x[:, 0] + x[:, 1] * GAP, rate], 1)
            x = x + rng.normal(size=(count, 2)) @ root.T
        weights = scipy.stats.norm.pdf(seen, np.sin(x[:, 0]), 0.3)
        total += np.log(weights.mean())
        x = x[rng.choice(count, size=count, p=weights / weights.sum())]
        means.append(x.mean(axis=0))
    return total, np.array(means)


@pytest.mark.slow
def test_the_pendulum_is_followed_as_by_particles():
    data = swing()
    total, means = particles(data)
    spread = np.std(means, axis=0)
    # the tangent is off by more than one nat where the first angle is uncertain
    for rule, near in ((Taylor(), 2.0), (Unscented(), 0.6), (GaussHermite(5), 0.6)):
        got = filter_series(PENDULUM, data, Sigma(rule))
        error = np.sqrt(np.mean((np.asarray(got.means) - means) ** 2, axis=0))
        assert (error < 0.05 * spread).all(), name(rule)
        assert abs(got.log_likelihood - total) < near, name(rule)


def moments(f, mean, cov, points=81):
    """Return mean, covariance and cross covariance of f by a fine grid."""
    line = np.linspace(-8.0, 8.0, points)
    z = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    weights = np.exp(-0.5 * (z**2).sum(1))
    weights /= weights.sum()
    x = mean + z @ np.linalg.cholesky(cov).T
    values = np.array(jax.vmap(f)(jnp.array(x)))
    centre = weights @ values
    apart = (values - centre) * weights[:, None]
    return centre, apart.T @ (values - centre), apart.T @ (x - mean)


@pytest.mark.slow
def test_rules_against_quadrature():
    mean, cov = np.array([0.7, -0.4]), np.array([[0.3, 0.1], [0.1, 0.2]])
    root = psd_root(jnp.array(cov))
    quadratic = lambda x: jnp.stack([x[0] * x[1], x[0] ** 2 - x[1], 1.0 + x[1]])
    smooth = lambda x: jnp.stack([jnp.sin(x[0] + x[1]), jnp.exp(0.5 * x[0])])
    for f, rule, tolerance in (
        (quadratic, SecondTaylor(), 1e-12),
        (quadratic, GaussHermite(3), 1e-12),
        (smooth, GaussHermite(8), 1e-6),
    ):
        centre, whole, cross = moments(f, mean, cov)
        line = rule.linearise(f, jnp.array(mean), root)
        np.testing.assert_allclose(line.mean, centre, rtol=0, atol=tolerance)
        np.testing.assert_allclose(line.cov(), whole, rtol=0, atol=tolerance)
        np.testing.assert_allclose(line.slope @ root.T, cross, rtol=0, atol=tolerance)
        slope = in_state(line, jnp.array(cov)) @ cov
        np.testing.assert_allclose(slope, cross, rtol=0, atol=tolerance)
    means = [rule.linearise(quadratic, jnp.array(mean), root).mean for rule in RULES]
    for found in means[1:]:  # all but the tangent see curvature
        np.testing.assert_allclose(found, means[1], rtol=0, atol=1e-12)
    assert np.abs(np.asarray(means[0] - means[1])).max() > 0.05


class Still(AbstractTransition):
    """A state that never moves."""

    def mean(self, x, u, dt):
        return x

    def noise_factor(self, x, u, dt):
        return jnp.zeros((x.shape[0], 0))


class Square(AbstractObservation):
    """The square of the state, seen sharply."""

    units: tuple[str, ...] = eqx.field(static=True, default=("1",))

    def predict(self, x, u):
        return x**2

    def noise_factor(self):
        return jnp.full((1, 1), 0.1)


def test_iterated_updates_reach_the_mode_and_come_near_the_posterior_mean():
    model = StateSpaceModel(
        Gaussian(jnp.array([2.0]), jnp.array([[1.0]])), Still(), Square()
    )
    y = 9.0
    x = np.linspace(0.0, 6.0, 200_001)
    log = -0.5 * (x - 2.0) ** 2 - 0.5 * ((y - x**2) / 0.1) ** 2
    density = np.exp(log - log.max())
    best, mean = x[log.argmax()], (x * density).sum() / density.sum()
    sd = np.sqrt(((x - mean) ** 2 * density).sum() / density.sum())
    run = lambda rule, n: filter_series(
        model, Observations([[y]]), Sigma(rule, iterations=n)
    )
    newton, once = run(Taylor(), 10), run(Taylor(), 1)
    assert abs(newton.means[0, 0] - best) < 1e-4
    assert abs(once.means[0, 0] - best) > 0.1  # one tangent overshoots
    lines = run(GaussHermite(5), 15)
    assert abs(lines.means[0, 0] - mean) < 0.02 * sd
    np.testing.assert_allclose(lines.covs[0, 0, 0], sd**2, rtol=0.02)


def most_probable_path(data):
    """Return the most probable path by general least squares."""
    y, rows = np.asarray(data.y)[:, 0], len(data)
    Q = 0.3 * np.array([[GAP**3 / 3, GAP**2 / 2], [GAP**2 / 2, GAP]])
    white = np.linalg.inv(np.linalg.cholesky(Q))

    def residuals(flat):
        x = flat.reshape(rows, 2)
        rate = x[:-1, 1] - 9.8 * np.sin(x[:-1, 0]) * GAP
        ahead = np.stack([x[:-1, 0] + x[:-1, 1] * GAP, rate], 1)
        start = (x[0] - np.asarray(START.location)) / np.sqrt(0.1)
        seen = (y - np.sin(x[:, 0])) / 0.3
        return np.concatenate([start, ((x[1:] - ahead) @ white.T).ravel(), seen])

    found = scipy.optimize.least_squares(
        residuals, np.tile([1.2, 0.0], rows), xtol=1e-14, ftol=1e-14, gtol=1e-12
    )
    return found.x.reshape(rows, 2)


@pytest.mark.slow
def test_iterating_the_extended_smoother_finds_the_most_probable_path():
    data = swing(rows=20)
    found = smooth_iterated(PENDULUM, data, Taylor(), damping=0.7)
    assert found.outcome == Outcome.successful
    path = most_probable_path(data)
    np.testing.assert_allclose(found.value.means, path, rtol=0, atol=1e-6)
    once = smooth_series(PENDULUM, data, Sigma(Taylor()))
    apart = lambda means: np.abs(np.asarray(means) - path).max()
    assert apart(found.value.means) < 0.01 * apart(once.means)


@pytest.mark.slow
def test_iterating_with_points_settles_and_says_when_it_did_not():
    data = swing(rows=20)
    found = smooth_iterated(PENDULUM, data, Cubature(), damping=0.7)
    assert found.outcome == Outcome.successful
    assert 2 < found.info["steps"] < 50
    short = smooth_iterated(PENDULUM, data, Cubature(), damping=0.7, max_steps=1)
    assert short.outcome == Outcome.not_converged


def test_what_does_not_fit_is_named():
    data = Observations(series())
    with pytest.raises(InputError, match="`iterations` must be at least 1; got 0"):
        Sigma(Taylor(), iterations=0)
    with pytest.raises(InputError, match="`alpha` must be positive"):
        Unscented(alpha=0.0)
    with pytest.raises(InputError, match="`order` must be at least 2"):
        GaussHermite(1)
    with pytest.raises(InputError, match=r"`order` must keep order\^state below"):
        GaussHermite(9).points(8)
    with pytest.raises(InputError, match="`kappa` must be larger than minus the 3"):
        Unscented(kappa=-3.0).points(3)
    with pytest.raises(InputError, match="`damping` must be above 0"):
        smooth_iterated(linear(), data, damping=0.0)
    with pytest.raises(InputError, match="`max_steps` must be at least 1"):
        smooth_iterated(linear(), data, max_steps=0)
    model = linear()
    diffuse = LinearGaussian(
        np.ones(3),
        np.eye(3),
        model.transition.F,
        model.transition.Q,
        model.observation.H,
        model.observation.R,
        diffuse=np.eye(3)[:, :1],
    )
    with pytest.raises(MethodError, match="`Sigma` cannot linearise over a Diffuse"):
        filter_series(diffuse, data, Sigma())
