"""Every case simulates what its model says, reproducibly."""

import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate.cases import (
    double_well,
    lorenz63_sakov2012,
    lorenz96_sakov2008,
)
from slipstate.ground.errors import InputError

CASES = [lorenz63_sakov2012(), lorenz96_sakov2008(), double_well()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_twin_is_what_the_model_says(case, key):
    twin = case.simulate(key=key, cycles=300)
    assert np.isfinite(twin.states).all()
    assert bool(twin.observations.mask.all())
    np.testing.assert_allclose(jnp.diff(twin.observations.t), case.interval)
    clean = np.stack(
        [case.truth.observation.predict(x, None) for x in twin.states[:40]]
    )
    noise = np.asarray(twin.observations.y[:40]) - clean
    factor = np.asarray(case.truth.observation.noise_factor())
    ratio = (np.linalg.solve(factor, noise.T) ** 2).mean()
    assert abs(ratio - 1.0) < 4 * np.sqrt(2 / noise.size)
    again = case.simulate(key=key, cycles=300)
    np.testing.assert_array_equal(again.states, twin.states)


def test_model_noise_is_the_variance_that_a_cycle_adds(key):
    case = lorenz63_sakov2012(model_noise=0.02)
    factor = case.model.transition.noise_factor(jnp.zeros(3), None, case.interval)
    np.testing.assert_allclose(factor @ factor.T, 0.02 * np.eye(3))
    with pytest.raises(InputError, match="`model_noise`"):
        lorenz63_sakov2012(model_noise=-1.0)
    with pytest.raises(InputError, match="`cycles`"):
        case.simulate(key=key, cycles=0)
