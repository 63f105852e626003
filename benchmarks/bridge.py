"""Latency of bridge updates, and how their cost grows with members and state.

One JSON line per setting: median and 99th percentile in milliseconds of single updates,
compiled, one after the other, each with a fresh ensemble and random key. `--figure`
draws the curves. Run it on a quiet machine:

    python benchmarks/bridge.py --part latency
    python benchmarks/bridge.py --part growth --figure docs/figures/bridge_cost.svg
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process(x64=True)

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate import BridgeFilter
from slipstate.assimilate.bridge import (
    BridgeState,
    LocalBridgeFilter,
    near_observations,
    ring_neighbours,
)
from slipstate.assimilate.cases import lorenz63_sakov2012
from slipstate.assimilate.localise import on_ring
from slipstate.systems import AbstractLinearObservation, Ensemble, StateSpaceModel


class Everything(AbstractLinearObservation):
    """Every component, with noise of covariance one."""

    R: Float[Array, "obs obs"]
    units: tuple[str, ...] = eqx.field(static=True)

    def matrix(self):
        """Return the identity."""
        return self.R

    def offset(self, u):
        """Return zeros."""
        return jnp.zeros(len(self.R))

    def noise_cov(self):
        """Return the identity."""
        return self.R

    def predict(self, x, u):
        """Return x."""
        return x

    def noise_factor(self):
        """Return the identity."""
        return self.R


def measure(method: Any, size: int, repeats: int) -> dict[str, Any]:
    """Return the quantiles of one update's time."""
    base = lorenz63_sakov2012().model
    model = base
    if size > 3:
        observation = Everything(R=jnp.eye(size), units=("1",) * size)
        model = StateSpaceModel(base.initial, base.transition, observation)
    M, p = method.members, 3 if size <= 3 else size
    mask = jnp.ones(p, bool)

    @eqx.filter_jit
    def update(model, members, y, key):
        state: Any = Ensemble(members)
        if isinstance(method, BridgeFilter):
            noise = jnp.zeros((M, size, 0))
            state = BridgeState(members, members, noise, jnp.arange(M))
        return method.update(model, state, y, mask, None, key=key)[0].members

    rng = np.random.default_rng(0)
    clouds = [jnp.asarray(rng.normal(size=(M, size))) for _ in range(8)]
    rows = [jnp.asarray(rng.normal(size=p)) for _ in range(8)]
    keys = list(jax.random.split(jax.random.key(0), repeats))
    for _ in range(5):
        jax.block_until_ready(update(model, clouds[0], rows[0], keys[0]))
    times = []
    for k, key in enumerate(keys):
        start = time.perf_counter()
        jax.block_until_ready(update(model, clouds[k % 8], rows[k % 8], key))
        times.append(time.perf_counter() - start)
    return {
        "method": type(method).__name__,
        "members": M,
        "state": size,
        "median_ms": 1e3 * float(np.median(times)),
        "p99_ms": 1e3 * float(np.quantile(times, 0.99)),
        "updates": repeats,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        "load": os.getloadavg()[0],
    }


def ring(size: int, members: int) -> LocalBridgeFilter:
    """Return the localised bridge of a ring of places, radius 4."""
    if size == 40:
        return LocalBridgeFilter(near_observations(on_ring(40, 4.0)), members)
    return LocalBridgeFilter(ring_neighbours(size, 4.0 * 1.82), members)


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("latency", "growth"), default="latency")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--first", type=int, default=None, help="settings to measure")
    parser.add_argument("--last", type=int, default=None, help="and where to stop")
    parser.add_argument("--figure", type=Path, default=None)
    asked = parser.parse_args()
    if asked.part == "latency":
        jobs = [(BridgeFilter(50), 3), (ring(40, 50), 40), (ring(40, 20), 40)]
        for method, size in jobs:
            line = measure(method, size, asked.updates)
            print(json.dumps({"benchmark": "bridge"} | line), flush=True)
        return
    jobs = [(BridgeFilter(M), 3, 200) for M in (10, 20, 50, 100, 200, 400)]
    sizes = (40, 100, 400, 1000, 4000, 10000)
    jobs += [(ring(d, 20), d, max(10, min(200, 40000 // d))) for d in sizes]
    lines = []
    for job in jobs[asked.first : asked.last]:
        lines.append({"benchmark": "bridge"} | measure(*job))
        print(json.dumps(lines[-1]), flush=True)
    if asked.figure is not None:
        draw(lines, asked.figure)


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """Draw both curves with the slopes they should have."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8.0, 3.4), layout="constrained")
    parts = (("BridgeFilter", "members", 2), ("LocalBridgeFilter", "state", 1))
    for ax, (method, axis, power) in zip(axes, parts):
        own = [line for line in lines if line["method"] == method]
        x = np.array([line[axis] for line in own], float)
        y = np.array([line["median_ms"] for line in own])
        ax.loglog(x, y, "o-", color="#1f5c99", label="median of one update")
        ax.loglog(
            x, y[-1] * (x / x[-1]) ** power, ":", color="0.5", label=f"slope {power}"
        )
        ax.set_xlabel(
            {"members": "members M (d = 3)", "state": "state d (M = 20)"}[axis]
        )
        ax.set_ylabel("time [ms]")
        ax.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    main()
