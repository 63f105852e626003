"""The fit of switches that ask the state, against known truth and the plain fit."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from slipstate.assimilate import Observations
from slipstate.fit import fit_recurrent, fit_switching
from slipstate.fit.recurrent_em import Guard, crossing
from slipstate.ground.errors import InputError
from slipstate.ground.solution import Outcome
from slipstate.systems import (
    ContinuousTransition,
    LinearObservation,
    LinearTransition,
    Mixture,
    RecurrentSwitching,
    SwitchingLinearGaussian,
    soft_guard,
)

WIDTH = 0.1


def model(weights, bias, drift=0.15, keep=0.3):
    return RecurrentSwitching(
        Mixture(jnp.log(jnp.array([0.9, 0.1])), jnp.zeros((2, 1)), jnp.ones((2, 1, 1))),
        (
            LinearTransition([[1.0]], [[0.01]], [drift]),
            LinearTransition([[keep]], [[0.02]], [0.0]),
        ),
        LinearObservation([[1.0]], [[0.02]]),
        weights,
        bias,
    )


def draw(rows=300):
    """Return a state that climbs to one, then slips back to zero."""
    rng = np.random.default_rng(0)
    mode, x, modes, y = 0, 0.0, [], []
    for k in range(rows):
        if k:
            edge = (1.0, 0.1)[mode]
            mode = int(rng.uniform() < scipy.special.expit((x - edge) / WIDTH))
            moved = 0.3 * x if mode else x + 0.15
            x = moved + np.sqrt((0.01, 0.02)[mode]) * rng.normal()
        modes.append(mode)
        y.append([x + np.sqrt(0.02) * rng.normal()])
    y = np.array(y)
    y[rng.uniform(size=rows) < 0.05] = np.nan
    return Observations(y), np.array(modes)


@pytest.mark.slow
def test_the_guard_is_found():
    y, modes = draw()
    start = model(np.zeros((2, 2, 1)), np.zeros((2, 2)), drift=0.1, keep=0.5)
    fitted = fit_recurrent(start, y, rtol=1e-5)
    assert fitted.outcome == Outcome.successful
    estimates = fitted.info["estimates"]
    assert estimates[-1] > estimates[0] + 50.0
    found = np.asarray(fitted.info["mode_probs"])[:, 1] > 0.5
    # the true numbers themselves tell 94 % of the modes from these observations
    assert (found == modes).mean() > 0.9
    value = fitted.value
    edge = crossing(Guard(value.weights, value.bias), 0)
    assert abs(edge - 1.0) < 0.15
    assert isinstance(value.transitions[0], LinearTransition)
    np.testing.assert_allclose(value.transitions[0].b, 0.15, atol=0.1)


@pytest.mark.slow
def test_a_guard_that_does_not_ask_is_the_plain_switch():
    y, _ = draw(40)
    switch = np.array([[0.9, 0.1], [0.6, 0.4]])
    asked = model(np.zeros((2, 2, 1)), np.log(switch))
    each = asked.transitions
    plain = SwitchingLinearGaussian(
        np.zeros(1),
        np.eye(1),
        [0.9, 0.1],
        np.stack([t.matrix(1.0) for t in each]),
        np.stack([t.noise_cov(1.0) for t in each]),
        [[1.0]],
        [[0.02]],
        switch,
        np.stack([t.offset(None, 1.0) for t in each]),
    )
    got = fit_recurrent(asked, y, max_steps=1, sweeps=2).info["estimates"]
    # the first turn of the plain fit starts from the same modes
    want = fit_switching(plain, y, max_steps=1, sweeps=2).info["bounds"]
    np.testing.assert_allclose(got, want, rtol=1e-10)


def test_what_does_not_fit_is_named():
    y, _ = draw(10)
    weights, bias = soft_guard([1.0], 1.0, WIDTH)
    both = jnp.stack([weights, weights]), jnp.stack([bias, bias])
    with pytest.raises(InputError, match="`ridge` must be positive"):
        fit_recurrent(model(*both), y, ridge=0.0)
    right = model(*both)
    flow = ContinuousTransition([[0.0]], [[1.0]])
    other = RecurrentSwitching(right.initial, (flow, flow), right.observation, *both)
    with pytest.raises(InputError, match="`model` must consist of LinearTransition"):
        fit_recurrent(other, y)
