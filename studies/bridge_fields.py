"""The localised bridge against the LETKF on Lorenz-96, seeds fixed before.

Forty variables, 20 members, radius 4: all seen directly every 0.05 with variance 1;
all through |x| every 0.15 with variance 1; all through arctan x every 0.1 with
standard deviation 0.05.
Inflations were chosen for each filter and case on other seeds.
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process(x64=True)

import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from slipstate.assimilate import (
    LocalEnsembleTransformKalman,
    Observations,
    fair_crps,
    filter_series,
    on_ring,
)
from slipstate.assimilate.bridge import LocalBridgeFilter, near_observations
from slipstate.assimilate.cases import Case, lorenz96_bao2024, lorenz96_sakov2008
from slipstate.assimilate.cases.mandel2016 import DistanceObservation
from slipstate.systems import StateSpaceModel

SIZE, MEMBERS, CYCLES, BURN, SEED = 40, 20, 300, 100, 20_261_128


def absolute(interval: float) -> Case:
    """Return Lorenz-96 seen through |x|.

    Args:
        interval: Time between observations.
    """
    base = lorenz96_sakov2008().model
    seen = DistanceObservation(
        sd=jnp.ones(()), centre=jnp.zeros(()), units=("1",) * SIZE
    )
    model = StateSpaceModel(base.initial, base.transition, seen)
    return Case("|x|", model, interval=interval, burn=BURN)


@eqx.filter_jit
def scores(model, t, twins, method, keys):
    """Return RMSE and CRPS of each trial."""

    def one(given):
        (states, y), key = given
        got = filter_series(model, Observations(y, t=t), method, key=key)
        error = jnp.sqrt(jnp.mean((got.means - states) ** 2, axis=1))
        crps = fair_crps(states, got.ensembles, axis=1)
        return error[BURN:].mean(), crps[BURN:].mean()

    return jax.lax.map(one, (twins, keys))


def main(trials: int, only: str) -> None:
    """Print every score and its paired difference to the LETKF."""
    ring = on_ring(SIZE, 4.0)
    near = near_observations(ring)
    number = lambda x: jnp.asarray(float(x))  # traced: one program for all settings
    letkf = lambda inflation: LocalEnsembleTransformKalman(
        localisation=ring, members=MEMBERS, inflation=number(inflation)
    )
    narrow = {"bandwidth": number(1.0), "theta": number(0.5)}
    bridge = lambda inflation, **given: LocalBridgeFilter(
        near, MEMBERS, inflation=number(inflation), **given
    )
    for case, theirs, ours in (
        (lorenz96_sakov2008(), letkf(1.02), bridge(1.02)),
        (absolute(0.15), letkf(1.05), bridge(1.05, **narrow)),
        (lorenz96_bao2024(size=SIZE), letkf(1.02), bridge(1.02, **narrow)),
    ):
        if only not in case.name:
            continue
        keys = jax.random.split(jax.random.key(SEED), trials)
        twins = [case.simulate(key=key, cycles=CYCLES) for key in keys]
        t = twins[0].observations.t
        data = (
            jnp.stack([twin.states for twin in twins]),
            jnp.stack([twin.observations.y for twin in twins]),
        )
        keys = jax.random.split(jax.random.key(SEED + 1), trials)
        base = None
        for name, method in (("LETKF", theirs), ("bridge", ours)):
            got = np.array(scores(case.model, t, data, method, keys))
            base = got if base is None else base
            apart = got - base
            error = apart.std(axis=1, ddof=1) / np.sqrt(trials)
            print(
                f"{case.name} every {case.interval:g} {name}: rmse {got[0].mean():.4f} "
                f"({apart[0].mean():+.4f} +- {error[0]:.4f}) crps {got[1].mean():.4f} "
                f"({apart[1].mean():+.4f} +- {error[1]:.4f}) worst trial "
                f"{got[0].max():.2f}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="paired trials")
    parser.add_argument("--only", default="", help="part of the name of one case")
    given = parser.parse_args()
    main(given.trials, given.only)
