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
import numpy as np
import optax

from slipstate.memory import LagMemory, Legendre, MonotoneClock, RateWarp
from slipstate.report import style

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

    with style.house_style():
        figure = style.new_figure(4.2)
        box = (0.7, 0.15, 0.45, 0.2)
        (top,), (bottom,) = style.place_panels(figure, (2, 1), (1,), box=box, share="x")
        top.plot(x, u, color=style.RULE, lw=4, label="signal")
        top.plot(x, uniform, color=style.BLUE, label=f"{N} modes, uniform clock")
        top.plot(x, rebuild(warp), color=style.RED, label=f"{N} modes, learned clock")
        top.set_ylabel("signal")
        top.legend(loc="lower left")
        bottom.axhline(1.0, color=style.BLUE)
        bottom.plot(x, warp.rate(x), color=style.RED)
        bottom.set(ylabel="rate of the clock", xlabel="t", xlim=(0, 1), ylim=(0, None))
        out.mkdir(parents=True, exist_ok=True)
        figure.savefig(out / "memory_clock.png", dpi=200, facecolor="white")

    assert before > 0.1, before
    assert after < 0.1 * before, after
    assert rates[1] > 3 * rates[0], rates


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="picture folder")
    main(parser.parse_args().out)
