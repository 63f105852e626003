"""Maximum likelihood: the Nile, a closed form, restarts and failures."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from statsmodels.datasets import nile as nile_data

from slipstate.assimilate import Observations, filter_series
from slipstate.fit import Parameter, Positive, Real, maximise
from slipstate.ground.errors import InputError
from slipstate.ground.solution import Outcome
from slipstate.systems import LinearGaussian


def _nile_height(parameters):
    data: Any = nile_data.load_pandas().data
    y = data["volume"].to_numpy()[:, None]
    one = jnp.ones((1, 1))
    model = LinearGaussian(
        jnp.zeros(1),
        0 * one,
        one,
        parameters["level"] * one,
        one,
        parameters["noise"] * one,
        diffuse=one,
    )
    return filter_series(model, Observations(y)).log_likelihood


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("start", [(1e4, 1e3), (1.0, 1.0)])
def test_the_nile_gives_its_known_variances(forward, start):
    got = maximise(
        _nile_height,
        {
            "noise": Parameter(start[0], Positive()),
            "level": Parameter(start[1], Positive()),
        },
        forward=forward,
    )
    assert got.outcome == Outcome.successful
    np.testing.assert_allclose(got.value["noise"], 15098.5, rtol=1e-5)
    np.testing.assert_allclose(got.value["level"], 1469.18, rtol=1e-5)
    np.testing.assert_allclose(got.info["log_likelihood"], -633.46456, atol=5e-6)
    # Durbin and Koopman (2012), 2.10.3: 15099 and 1469.1, errors by finite differences
    step, values = 1e-3, {k: float(v) for k, v in got.value.items()}

    def at(a, b):
        return float(
            _nile_height(
                {
                    "noise": jnp.asarray(values["noise"] * np.exp(a * step)),
                    "level": jnp.asarray(values["level"] * np.exp(b * step)),
                }
            )
        )

    curve = np.array(
        [
            [at(1, 0) - 2 * at(0, 0) + at(-1, 0), 0.0],
            [0.0, at(0, 1) - 2 * at(0, 0) + at(0, -1)],
        ]
    )
    curve[0, 1] = curve[1, 0] = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    errors = np.sqrt(np.diagonal(np.linalg.inv(-curve / step**2)))
    for error, name in zip(errors, ("noise", "level")):
        want = error * values[name]
        np.testing.assert_allclose(got.info["standard_errors"][name], want, rtol=1e-3)


class NormalHeight(eqx.Module):
    """Log-likelihood of independent normal data, which has a closed form."""

    data: jnp.ndarray

    def __call__(self, parameters):
        z = (self.data - parameters["mean"]) / parameters["sd"]
        return -0.5 * jnp.sum(z**2) - self.data.shape[0] * jnp.log(parameters["sd"])


def _normal_start(mean=0.0, sd=1.0, fixed=False):
    return {
        "mean": Parameter(mean, Real(), trainable=not fixed),
        "sd": Parameter(sd, Positive()),
    }


def test_a_normal_sample_gives_its_moments_and_their_errors():
    data = np.random.default_rng(0).normal(5.0, 2.0, size=400)
    got = maximise(NormalHeight(jnp.array(data)), _normal_start())
    np.testing.assert_allclose(got.value["mean"], data.mean(), rtol=1e-6)
    np.testing.assert_allclose(got.value["sd"], data.std(), rtol=1e-6)
    errors = got.info["standard_errors"]
    np.testing.assert_allclose(errors["mean"], data.std() / 20.0, rtol=1e-5)
    np.testing.assert_allclose(errors["sd"], data.std() / np.sqrt(800.0), rtol=1e-5)
    assert "2 unconstrained numbers" in got.provenance


def test_what_is_not_trainable_stays():
    data = np.random.default_rng(0).normal(5.0, 2.0, size=400)
    got = maximise(NormalHeight(jnp.array(data)), _normal_start(4.0, fixed=True))
    assert float(got.value["mean"]) == 4.0
    assert float(got.info["standard_errors"]["mean"]) == 0.0
    want = np.sqrt(np.mean((data - 4.0) ** 2))
    np.testing.assert_allclose(got.value["sd"], want, rtol=1e-6)


def test_restarts_find_the_higher_of_two_hills(key):
    def height(parameters):
        x = parameters["x"]
        return 2.0 * jnp.exp(-((x - 3.0) ** 2)) + jnp.exp(-((x + 1.0) ** 2))

    start = {"x": Parameter(-1.5)}
    near = maximise(height, start)
    np.testing.assert_allclose(near.value["x"], -1.0, atol=1e-3)
    best = maximise(height, start, restarts=12, spread=3.0, key=key)
    np.testing.assert_allclose(best.value["x"], 3.0, atol=1e-3)
    assert best.info["log_likelihoods"].shape == (13,)


def test_failures_are_outcomes_and_misuse_raises():
    lost = maximise(lambda p: jnp.log(-p["x"]), {"x": Parameter(1.0, Positive())})
    assert lost.outcome == Outcome.not_finite
    short = maximise(
        NormalHeight(jnp.arange(9.0)), _normal_start(), max_steps=2, errors=False
    )
    assert short.outcome == Outcome.not_converged
    assert "standard_errors" not in short.info
    with pytest.raises(InputError, match="`start`"):
        maximise(lambda p: p, jnp.zeros(()))
    with pytest.raises(InputError, match="`key`"):
        maximise(NormalHeight(jnp.arange(9.0)), _normal_start(), restarts=2)
