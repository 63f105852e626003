"""The bridge filter against ensemble Kalman filters on Lorenz-63, seeds fixed before.

Model noise of variance 0.02 per cycle; everything observed with variance 2 every 0.25
(Sakov et al. 2012), or x alone with variance 8 every 0.12 (de Wiljes et al. 2018).
Settings are the defaults with inflation 1.02; nothing was chosen on these seeds.
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
    BridgeFilter,
    EnsembleTransformKalman,
    StochasticEnsembleKalman,
    fair_crps,
    filter_series,
)
from slipstate.assimilate.cases import Case, lorenz63_sakov2012
from slipstate.earth.chaos import Lorenz63
from slipstate.systems import LinearObservation, StateSpaceModel

CYCLES, BURN, SEED = 250, 50, 20_261_128


def x_only() -> Case:
    """Return Lorenz-63 seen through x."""
    start = lorenz63_sakov2012().model.initial
    moves = Lorenz63(diffusion=(0.02 / 0.12) ** 0.5, substeps=12)
    seen = LinearObservation(jnp.array([[1.0, 0.0, 0.0]]), 8.0 * jnp.eye(1))
    return Case("x only", StateSpaceModel(start, moves, seen), interval=0.12, burn=BURN)


@eqx.filter_jit
def scores(case, method, keys):
    """Return RMSE, CRPS and 90 % coverage of each trial."""

    def one(key):
        key_twin, key_filter = jax.random.split(key)
        twin = case.simulate(key=key_twin, cycles=CYCLES)
        got = filter_series(case.model, twin.observations, method, key=key_filter)
        error = jnp.sqrt(jnp.mean((got.means - twin.states) ** 2, axis=1))
        crps = fair_crps(twin.states, got.ensembles, axis=1)
        low, high = jnp.quantile(got.ensembles, jnp.array([0.05, 0.95]), axis=1)
        inside = (low <= twin.states) & (twin.states <= high)
        return error[BURN:].mean(), crps[BURN:].mean(), inside[BURN:].mean()

    return jax.lax.map(one, keys, batch_size=4)


def main(trials: int) -> None:
    """Print every score and its paired difference to the rotated ETKF."""
    keys = jax.random.split(jax.random.key(SEED), trials)
    for case in (lorenz63_sakov2012(model_noise=0.02), x_only()):
        for members in (20, 50):
            base = None
            for name, method in (
                ("ETKF 1.02", EnsembleTransformKalman(members, inflation=1.02)),
                ("EnKF 1.05", StochasticEnsembleKalman(members, inflation=1.05)),
                ("bridge", BridgeFilter(members, inflation=1.02)),
            ):
                got = np.array(scores(case, method, keys))
                base = got if base is None else base
                apart = (got - base)[:2]
                error = apart.std(axis=1, ddof=1) / np.sqrt(trials)
                means = got.mean(axis=1)
                print(
                    f"{case.name} M={members} {name}: rmse {means[0]:.3f} "
                    f"({apart[0].mean():+.3f} +- {error[0]:.3f}) crps {means[1]:.3f} "
                    f"({apart[1].mean():+.3f} +- {error[1]:.3f}) coverage "
                    f"{means[2]:.3f} worst trial {got[0].max():.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="paired trials")
    main(parser.parse_args().trials)
