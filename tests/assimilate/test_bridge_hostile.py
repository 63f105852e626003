"""No bridge and none of its relatives gives a number that is none, whatever comes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import BridgeFilter
from slipstate.assimilate.bridge import (
    BridgeState,
    FlowFilter,
    FoellmerFilter,
    LocalBridgeFilter,
    ScoreFilter,
    SinkhornTransform,
    ring_neighbours,
)
from slipstate.systems import (
    AbstractObservation,
    Ensemble,
    Gaussian,
    LinearGaussian,
    StateSpaceModel,
)

N, M = 3, 12
LISTS = ring_neighbours(N, 1.0)
METHODS = {
    "bridge": BridgeFilter,
    "guided": lambda M: BridgeFilter(M, guided=True),
    "local": lambda M: LocalBridgeFilter(LISTS, M, bandwidth=0.5),
    "Sinkhorn": SinkhornTransform,
    "Foellmer": lambda M: FoellmerFilter(M, steps=10),
    "score": lambda M: ScoreFilter(M, steps=10),
    "flow": lambda M: FlowFilter(M, steps=10),
}


class Edge(AbstractObservation):
    """x^2 and the like up to an edge, infinite beyond it."""

    edge: jax.Array
    factor: jax.Array
    units: tuple[str, ...] = eqx.field(static=True, default=("1",) * N)

    def predict(self, x, u):
        return jnp.where(x[0] > self.edge, jnp.inf, x + 0.1 * x**2)

    def noise_factor(self):
        return self.factor


def hostile(members):
    """Return members, y, mask, edge and noise factor of each trial."""
    rng = np.random.default_rng(3)
    cloud = rng.normal(size=(members, N))
    y, seen, eye = np.array([0.7, -1.0, 0.2]), np.ones(N, bool), np.eye(N)
    lost = cloud.copy()
    lost[1] = np.nan
    half = -(-members // 2)
    plain = (cloud, y, seen, np.inf, eye)
    trials = {
        "20 sigma": (cloud, y + 20.0, *plain[2:]),
        "-20 sigma": (cloud, y - 20.0, *plain[2:]),
        "1e6 sigma": (cloud, 1e6 * y, *plain[2:]),
        "1e200 sigma": (cloud, 1e200 * y, *plain[2:]),
        "nothing": (cloud, y, ~seen, np.inf, eye),
        "NaN where masked": (
            cloud,
            np.array([0.7, np.nan, 0.2]),
            np.array([True, False, True]),
            np.inf,
            eye,
        ),
        "constant": (np.ones((members, N)), *plain[1:]),
        "constant at zero": (np.zeros((members, N)), *plain[1:]),
        "duplicates": (np.repeat(cloud[:2], half, axis=0)[:members], *plain[1:]),
        "flat": (cloud * np.array([1.0, 0.0, 1.0]), *plain[1:]),
        "a member lost": (lost, *plain[1:]),
        "tiny": (1e-160 * cloud, *plain[1:]),
        "huge": (1e100 * cloud, *plain[1:]),
        "sharp": (*plain[:4], 1e-9 * eye),
        "no noise": (*plain[:4], 0.0 * eye),
        "one without noise": (*plain[:4], np.diag([1.0, 0.0, 1.0])),
        "infinite for some": (*plain[:3], np.median(cloud[:, 0]), eye),
        "infinite for all": (*plain[:3], -1e9, eye),
    }
    correlated = 1e-6 * np.ones((N, N)) + 1e-14 * eye
    trials["noise that nearly repeats"] = (*plain[:4], correlated)
    return {name: tuple(map(jnp.asarray, given)) for name, given in trials.items()}


@eqx.filter_jit
def update(method, members, y, mask, edge, factor, key):
    moves = LinearGaussian(
        np.zeros(N), np.eye(N), 0.9 * np.eye(N), np.eye(N), np.eye(N), np.eye(N)
    ).transition
    start = Gaussian(jnp.zeros(N), jnp.eye(N))
    model = StateSpaceModel(start, moves, Edge(edge=edge, factor=factor))
    state: Any = Ensemble(members)
    if isinstance(method, BridgeFilter):
        count = len(members)
        noise = 0.3 * jnp.eye(N)[None, :, : N if method.guided else 0]
        noise = jnp.broadcast_to(noise, (count, *noise.shape[1:]))
        state = BridgeState(members, members, noise, jnp.arange(count))
    after, info = method.update(model, state, y, mask, None, key=key)
    return after.members, method.log_likelihood(info)


@pytest.mark.slow
@pytest.mark.parametrize("members", [M, 2])
@pytest.mark.parametrize("name", METHODS)
def test_nothing_makes_it_nan(name, members, key):
    method = METHODS[name](members)
    for trial, given in hostile(members).items():
        cloud, y, mask, edge, factor = given
        got, evidence = update(method, cloud, y, mask, edge, factor, key)
        before = np.asarray(cloud)
        kept = np.isfinite(before).all(axis=1)
        assert np.isfinite(got)[kept].all(), (trial, got)
        assert not np.isnan(evidence), trial
        if trial == "nothing":
            np.testing.assert_array_equal(got, before)
            assert evidence == 0.0
