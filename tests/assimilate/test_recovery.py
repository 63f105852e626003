"""Starting again from what is possible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import (
    Assimilator,
    EnsembleTransformKalman,
    Health,
    Kalman,
    ParticleFilter,
    climatology,
)
from slipstate.assimilate.cases import lorenz63_sakov2012
from slipstate.assimilate.recovery import blend, hand_over, predicted_moments
from slipstate.ground.errors import InputError
from slipstate.systems import Ensemble, Gaussian, LinearGaussian, Particles

KEY = jax.random.key(7)
CLIMATE = Gaussian(jnp.array([5.0, -5.0]), jnp.array([[2.0, 0.3], [0.3, 1.0]]))


def test_a_share_of_the_members_and_all_that_are_lost_are_replaced():
    members = jnp.zeros((20, 2)).at[3].set(jnp.nan)
    for share, least in ((0.5, 10), (0.1, 2), (1.0, 20)):
        got = blend(Ensemble(members), CLIMATE, share, key=KEY).members
        fresh = np.asarray(jnp.any(got != 0.0, axis=1))
        assert least <= fresh.sum() <= least + 1
        assert fresh[3]
        assert np.isfinite(got).all()
    # draws of the climatology they are: mean of 4000 within 4 standard errors
    many = blend(Ensemble(jnp.zeros((4000, 2))), CLIMATE, 1.0, key=KEY).members
    error = np.abs(many.mean(0) - CLIMATE.mean()) / np.sqrt([2.0 / 4000, 1.0 / 4000])
    assert (error < 4).all()


def test_a_gaussian_takes_the_moments_of_the_mixture():
    one = Gaussian(jnp.array([1.0, 2.0]), jnp.eye(2))
    got = blend(one, CLIMATE, 0.3, key=KEY)
    draws = np.random.default_rng(0)
    pick = draws.uniform(size=200_000) < 0.3
    x = np.where(
        pick[:, None],
        draws.multivariate_normal(CLIMATE.mean(), CLIMATE.cov(), size=pick.size),
        draws.multivariate_normal(one.mean(), one.cov(), size=pick.size),
    )
    np.testing.assert_allclose(got.mean(), x.mean(0), atol=0.03)
    np.testing.assert_allclose(got.cov(), np.cov(x.T), atol=0.1)
    lost = Gaussian(jnp.array([jnp.nan, 0.0]), jnp.eye(2))
    np.testing.assert_array_equal(
        blend(lost, CLIMATE, 0.3, key=KEY).cov(), CLIMATE.cov()
    )


def test_beliefs_are_handed_over(key):
    model = LinearGaussian(
        [0.0, 0.0], np.eye(2), np.eye(2), np.eye(2), [[1.0, 0]], [[1.0]]
    )
    members = jax.random.normal(key, (10, 2))
    method = EnsembleTransformKalman(10)
    state = hand_over(model, method, Ensemble(members), key=key)
    np.testing.assert_array_equal(method.belief(state).members, members)
    heavy = jnp.where(jnp.arange(10) == 4, 0.0, -jnp.inf)
    state = hand_over(model, method, Particles(members, heavy), key=key)
    np.testing.assert_array_equal(state.members, jnp.tile(members[4], (10, 1)))
    state = hand_over(model, Kalman(), CLIMATE, key=key)
    np.testing.assert_array_equal(state.cov(), CLIMATE.cov())
    mean, cov = predicted_moments(model, Ensemble(members), key=key)
    np.testing.assert_allclose(mean, members[:, :1].mean(0))
    np.testing.assert_allclose(cov, np.cov(members[:, 0])[None, None] + 1.0)


def test_the_climatology_is_the_stationary_law():
    """x' = 0.8 x + w: variance 1 / (1 - 0.64), whatever the start."""
    model = LinearGaussian([9.0], [[0.0]], [[0.8]], [[1.0]], [[1.0]], [[1.0]])
    got = climatology(model, interval=1.0, samples=5000, steps=60, key=KEY).members
    assert abs(float(got.mean())) < 4 * np.sqrt(2.78 / 5000)
    np.testing.assert_allclose(got.var(), 1.0 / 0.36, rtol=4 * np.sqrt(2 / 5000))
    with pytest.raises(InputError, match="`samples`"):
        climatology(model, interval=1.0, samples=1, key=KEY)


def put(run, members):
    """Put members in the place of those of a run."""
    swap = lambda x: members if x.shape == members.shape else x
    run.carry = run.programs.pack(jax.tree.map(swap, run.running))


@pytest.mark.slow
def test_a_lost_filter_returns():
    """Lorenz-63: an ensemble far outside, close together and sure; and one that dies.

    Without recovery the first stays lost until its spread has grown again, and the
    particles, which have no noise to move apart, for ever.
    """
    case = lorenz63_sakov2012()
    cycles, start = 400, 60
    twin = case.simulate(key=jax.random.key(3), cycles=cycles)
    truth = np.asarray(twin.states)
    y, t = np.asarray(twin.observations.y), np.asarray(twin.observations.t)
    climate = climatology(case.model, interval=case.interval, key=KEY)
    for method, most in (
        (EnsembleTransformKalman(10, 1.02), 1.3),
        (ParticleFilter(50), 5.0),
    ):
        programs, errors = None, {}
        for name, health in (("with", Health()), ("without", Health(recover_on=()))):
            run = Assimilator(
                case.model,
                method,
                climate=climate,
                health=health,
                programs=programs,
                key=KEY,
            )
            programs, path = run.programs, []
            for k in range(cycles):
                if k == start:
                    cloud = 1e-9 * jax.random.normal(KEY, (method.members, 3))
                    put(run, cloud + jnp.array([[-9.0, -9.0, 45.0]]))
                run.step(y[k], t=t[k])
                mean = np.asarray(run.belief.mean())
                path.append(np.sqrt(np.mean((mean - truth[k]) ** 2)))
            errors[name] = np.array(path)
            assert (run.tally["recovered"] > 0) == (name == "with")
            assert run.tally["lost"] > 0
        # a few rows to be sure that it is lost, a few to find the trajectory again
        lost = {name: int((e[start:] > 4.0).sum()) for name, e in errors.items()}
        assert lost["with"] < 0.6 * lost["without"]
        assert errors["with"][start + 6 :].mean() < most
        assert errors["with"][start + 6 :].mean() < errors["without"][start:].mean()
