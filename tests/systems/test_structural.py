"""Series made of parts: each step against its own textbook, and steps that compose."""

import jax.numpy as jnp
import numpy as np
import pytest
import statsmodels.api as sm

from slipstate.assimilate import Observations, filter_series
from slipstate.ground.errors import InputError
from slipstate.systems import ContinuousTransition, Diffuse, Gaussian, Matern
from slipstate.systems.drift_switch import DriftSwitch
from slipstate.systems.structural import (
    Level,
    Season,
    Stationary,
    StructuralTransition,
    Trend,
    gauss_markov,
    structural,
)

PARTS = {
    "level": Level(0.7),
    "trend": Trend(0.7, 0.3),
    "season": Season(11.0, 2.0, 0.4),
    "markov": gauss_markov(1.5, 4.0),
    "matern": Stationary(Matern(1.5, 3.0, 2.0)),
}


def drift_of(name):
    """Return A and W of dx = A x dt + dw for the parts that have a short one."""
    turn = 2 * np.pi / 11.0
    return {
        "level": ([[0.0]], [[0.49]]),
        "trend": ([[0.0, 1.0], [0.0, 0.0]], [[0.49, 0.0], [0.0, 0.09]]),
        "season": ([[0.0, turn], [-turn, 0.0]], [[0.16, 0.0], [0.0, 0.16]]),
        "markov": ([[-0.25]], [[2 * 0.25 * 1.5**2]]),
    }[name]


@pytest.mark.parametrize("name", ["level", "trend", "season", "markov"])
def test_a_step_is_that_of_its_differential_equation(name):
    exact = ContinuousTransition(*drift_of(name))
    for dt in (0.1, 3.7):
        part = PARTS[name]
        assert np.allclose(part.matrix(dt), exact.matrix(dt), atol=1e-12)
        assert np.allclose(part.noise_cov(dt), exact.noise_cov(dt), atol=1e-12)


def test_two_short_steps_are_one_long_step():
    both = StructuralTransition(tuple(PARTS.values()))
    first, second, whole = (both.matrix(dt) for dt in (1.3, 2.6, 3.9))
    assert np.allclose(second @ first, whole, atol=1e-12)
    joint = second @ both.noise_cov(1.3) @ second.T + both.noise_cov(2.6)
    assert np.allclose(joint, both.noise_cov(3.9), atol=1e-12)
    assert np.allclose(both.offset(None, 1.0), 0.0)


def test_the_parts_add_up_and_start_as_they_say():
    model = structural(tuple(PARTS.values()), 0.5, "mm")
    assert model.observation.units == ("mm",)
    row = np.concatenate([part.readout() for part in PARTS.values()])
    assert np.array_equal(model.observation.matrix()[0], row)
    assert isinstance(model.initial, Diffuse)
    # level, level and slope of the trend
    assert np.array_equal(model.initial.directions, np.eye(8)[:, :3])
    known = np.asarray(model.initial.covariance)
    assert np.allclose(known[:3], 0.0)
    assert np.allclose(np.diag(known)[3:6], [4.0, 4.0, 1.5**2])
    assert isinstance(structural((gauss_markov(1.0, 2.0),), 0.1).initial, Gaussian)


def test_the_nile_has_the_published_likelihood():
    """Durbin & Koopman (2012): exact diffuse, and with two decades missing twice."""
    data = sm.datasets.nile.load_pandas().data
    assert data is not None
    flow = np.array(data["volume"], float)
    model = structural((Level(np.sqrt(1469.18)),), np.sqrt(15098.5))
    whole = filter_series(model, Observations(flow[:, None]), cov="none")
    assert np.isclose(float(whole.log_likelihood), -633.46456, atol=1e-5)
    flow[20:40] = flow[60:80] = np.nan
    holes = filter_series(model, Observations(flow[:, None]), cov="none")
    assert np.isclose(float(holes.log_likelihood), -381.5060, atol=1e-4)


def test_a_switch_of_drift_is_a_chain_in_continuous_time():
    model = DriftSwitch(0.0, 1.0, [0.1, -2.0], 0.3, [0.05, 0.4], 1.0, "mm")

    def chain(dt):
        modes = (0, 1)
        x = jnp.zeros(1)
        return np.exp([model.switch_log_probs(x, m, None, dt) for m in modes])

    assert np.allclose(chain(1.0) @ chain(2.5), chain(3.5), atol=1e-12)
    assert np.allclose(chain(1e-6)[0, 1], 0.05e-6, rtol=1e-5)
    share = np.exp(np.asarray(model.initial.log_weights))
    assert np.allclose(share @ chain(1.7), share, atol=1e-12)
    assert np.allclose(model.transitions[1].offset(None, 2.0), [-4.0])
    assert np.allclose(model.transitions[0].noise_cov(2.0), [[0.18]])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Level(-1.0), "`walk` must not be negative"),
        (lambda: Trend(0.0, np.nan), "`bend` must not be negative"),
        (lambda: Season(0.0, 1.0), "`period` must be positive"),
        (lambda: structural((), 1.0), "`parts` must hold at least one"),
        (lambda: structural((Level(1.0),), -2.0), "`noise_sd` must not be negative"),
    ],
)
def test_wrong_numbers_are_refused(build, words):
    with pytest.raises(InputError, match=words):
        build()
