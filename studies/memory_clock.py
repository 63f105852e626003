"""A learned clock: a signal with two time scales and twenty numbers to hold it.

The signal is a chirp that runs slowly for three quarters of the record and fast for
the rest. A uniform clock wastes its modes on the slow part; gradient descent on the
positive rate of a `RateWarp`, through the closed form of the whole sequence, gives the
fast part the room it needs. Each clock is judged by the error over time, not by its own
measure.
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process()

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from slipstate.memory import LagMemory, Legendre, MonotoneClock, RateWarp

N, L = 20, 800


def main(out: Path) -> None:
    """Learn the rate, draw it, check the numbers."""
    t = jnp.arange(L + 1.0) / L
    x = 0.5 * (t[1:] + t[:-1])
    phase = lambda s: 2 * jnp.pi * (s + 12 * jnp.maximum(s - 0.75, 0.0))
    u = jnp.sin(phase(x))[:, None]

    def rebuild(warp: RateWarp) -> jax.Array:
        memory = LagMemory(Legendre(N), MonotoneClock(warp))
        return memory.reconstruct(memory.scan(u, t).last, x)

    def loss(warp: RateWarp) -> jax.Array:
        return jnp.mean((rebuild(warp) - u) ** 2)

    warp = RateWarp(jnp.linspace(0.0, 1.0, 9))
    optimiser = optax.adam(0.1)
    carried = optimiser.init(warp.raw)

    @eqx.filter_jit
    def descend(warp, carried):
        value, slope = eqx.filter_value_and_grad(loss)(warp)
        update, carried = optimiser.update(slope.raw, carried)
        return eqx.tree_at(lambda w: w.raw, warp, warp.raw + update), carried, value

    before = float(jnp.sqrt(loss(warp)))
    uniform = rebuild(warp)
    for _ in range(400):
        warp, carried, _ = descend(warp, carried)
    after = float(jnp.sqrt(loss(warp)))
    rates = np.asarray(warp.rate(jnp.asarray([0.3, 0.9])))
    print(f"root mean square error: uniform clock {before:.4f}, learned {after:.4f}")
    print(f"rate in the slow part {rates[0]:.3f}, in the fast part {rates[1]:.3f}")

    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 5), layout="constrained")
    top.plot(x, u, color="0.7", lw=3, label="signal")
    top.plot(x, uniform, lw=0.8, label="uniform clock")
    top.plot(x, rebuild(warp), lw=0.8, label="learned clock")
    top.legend(frameon=False)
    bottom.plot(x, warp.rate(x))
    bottom.set(ylabel="rate of the clock", xlabel="t")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "memory_clock.png", dpi=120)

    assert before > 0.1, before
    assert after < 0.1 * before, after
    assert rates[1] > 3 * rates[0], rates


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="picture folder")
    main(parser.parse_args().out)
