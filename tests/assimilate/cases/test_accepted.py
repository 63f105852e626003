"""Errors that other programs agree on, over 1000 cycles and seeds fixed beforehand."""

import jax
import numpy as np
import pytest

from slipstate.assimilate import (
    DeterministicEnsembleKalman,
    EnsembleTransformKalman,
    FourDVar,
    IterativeEnsembleKalmanSmoother,
    LocalEnsembleTransformKalman,
    ParticleFilter,
    filter_series,
    on_ring,
)
from slipstate.assimilate.cases import (
    lorenz63_sakov2012,
    lorenz96_bocquet2013,
    lorenz96_sakov2008,
)

THREE, FORTY = lorenz63_sakov2012(), lorenz96_sakov2008()
FAR = lorenz96_bocquet2013()
ACCEPTED = [
    (THREE, EnsembleTransformKalman(10, 1.02), 0.55, 0.66),
    (THREE, IterativeEnsembleKalmanSmoother(10, 1, 1.02), 0.29, 0.34),
    (THREE, ParticleFilter(800, 0.2, 0.9), 0.26, 0.30),
    (FORTY, EnsembleTransformKalman(24, 1.013), 0.165, 0.20),
    (
        FORTY,
        LocalEnsembleTransformKalman(
            localisation=on_ring(40, 4.0), members=7, inflation=1.04
        ),
        0.20,
        0.24,
    ),
    (FORTY, DeterministicEnsembleKalman(40, 1.01), 0.165, 0.19),
    (FAR, IterativeEnsembleKalmanSmoother(20, 4, 1.02), 0.27, 0.34),
    (FAR, FourDVar(0.02 * np.eye(40), lag=4, outer=5), 0.34, 0.40),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "method", "low", "high"),
    ACCEPTED,
    ids=[f"{case.name}-{type(method).__name__}" for case, method, _, _ in ACCEPTED],
)
def test_the_error_is_the_accepted_one(case, method, low, high):
    errors = []
    for seed in (101, 102):
        twin = case.simulate(key=jax.random.key(seed), cycles=1000)
        key = jax.random.key(100 + seed)
        got = filter_series(case.model, twin.observations, method, key=key)
        error = np.asarray(got.means - twin.states)[case.burn :]
        errors.append(np.sqrt((error**2).mean(axis=1)).mean())
    assert low < np.mean(errors) < high
