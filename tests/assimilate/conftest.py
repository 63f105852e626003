"""A small network of stations with random but harmless numbers."""

import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.systems.network import NetworkModel


def _covariance(rng, *shape):
    root = rng.normal(size=(*shape, shape[-1]))
    return root @ np.swapaxes(root, -1, -2) / shape[-1]


@pytest.fixture
def build_network():
    """Return a function that draws a network of a given size."""

    def build(stations=1, comps=1, modes=2, states=3, common=0.0, kick=1e-300, seed=3):
        rng = np.random.default_rng(seed)
        S, C, M, N = stations, comps, modes, states
        b = rng.normal(size=(M, S, C, N))
        b[0] = 0.0
        switch = np.array([[0.95, 0.05], [0.2, 0.8]]) if M == 2 else np.ones((1, 1))
        probs = np.array([0.8, 0.2]) if M == 2 else np.ones(1)
        model = {
            "F": 0.9 * np.eye(N) + 0.1 * rng.normal(size=(S, C, N, N)),
            "b": b,
            "Q": 0.2 * _covariance(rng, M, S, C, N),
            "h": rng.normal(size=N),
            "noise_scale": rng.uniform(0.5, 1.5, size=(S, C)),
            "initial_mean": rng.normal(size=(S, C, N)),
            "initial_cov": _covariance(rng, S, C, N),
            "switch": switch,
            "initial_probs": probs,
            "kick_cov": 100.0 * _covariance(rng, S, C, N),
            "kick_prob": np.asarray(kick),
            "common_sd": np.full(C, common),
            "common_decay": np.full(C, 0.7),
        }
        return NetworkModel(**{name: jnp.asarray(x) for name, x in model.items()})

    return build
