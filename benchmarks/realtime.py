"""How long a step of `Assimilator` takes: median and 99th percentile, by case.

Wall time is what a deadline sees; processor time is what the machine's other work does
not disturb. One JSON line per case; run it on a quiet machine:

    python benchmarks/realtime.py --steps 2000
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process()

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from slipstate import assimilate as sa
from slipstate.assimilate import bridge, cases
from slipstate.systems import Gaussian, LinearObservation, LinearTransition
from slipstate.systems.protocol import StateSpaceModel


def linear(size: int, observation: Any) -> StateSpaceModel:
    """Return a model whose step costs nothing, so that the update is what is timed."""
    move = LinearTransition(0.95 * np.eye(size), 0.1 * np.eye(size))
    return StateSpaceModel(Gaussian(jnp.zeros(size), jnp.eye(size)), move, observation)


def offered() -> dict[str, tuple[Any, Any]]:
    """Return model and method of each case."""
    lorenz63, lorenz96 = cases.lorenz63_sakov2012(), cases.lorenz96_bao2024(size=40)
    plain = LinearObservation(jnp.eye(40), jnp.eye(40))
    small = sa.BridgeFilter(members=50)
    near = bridge.ring_neighbours(40, 4)
    local = lambda members: bridge.LocalBridgeFilter(near, members=members)
    return {
        "bridge update, d=3, M=50": (linear(3, lorenz63.model.observation), small),
        "lorenz63 with its step, M=50": (lorenz63.model, small),
        "local bridge update, d=40, M=20, linear": (linear(40, plain), local(20)),
        "local bridge update, d=40, M=50, linear": (linear(40, plain), local(50)),
        "local bridge update, d=40, M=20, arctan": (
            linear(40, lorenz96.model.observation),
            local(20),
        ),
        "ETKF update, d=40, M=20": (
            linear(40, plain),
            sa.EnsembleTransformKalman(20),
        ),
        "Kalman, d=3": (linear(3, lorenz63.model.observation), sa.Kalman()),
    }


def measure(model: Any, method: Any, steps: int) -> dict[str, float]:
    """Return percentiles of wall and processor time per step [ms]."""
    run = sa.Assimilator(model, method, key=jax.random.key(1))
    obs = len(model.observation.units)
    y = 0.5 * np.random.default_rng(2).normal(size=(steps, obs))
    wall, spent = np.zeros(steps), np.zeros(steps)
    for k in range(20):
        run.step(y[k], t=float(k))
    for k in range(steps):
        began, before = time.perf_counter(), time.process_time()
        run.step(y[k], t=20.0 + k)
        spent[k] = time.process_time() - before
        wall[k] = time.perf_counter() - began
    line = {"steps": steps}
    for name, values in (("wall", wall), ("cpu", spent)):
        for share in (50, 99):
            line[f"{name}_p{share}_ms"] = round(1e3 * np.percentile(values, share), 4)
    return line | {"load": os.getloadavg()[0]}


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--only", default="", help="part of the name of a case")
    parser.add_argument("--json", type=Path, default=None, help="also write lines here")
    asked = parser.parse_args()
    lines = []
    for name, (model, method) in offered().items():
        if asked.only in name:
            line = {"benchmark": "realtime", "case": name}
            lines.append(line | measure(model, method, asked.steps))
            print(json.dumps(lines[-1]), flush=True)
    if asked.json is not None:
        asked.json.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
