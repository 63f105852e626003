"""Irregular sampling: nothing changes, because a step only asks for r = t0 / t1.

Gaps over six orders of magnitude, and the same signal on a regular grid with a third
of its samples missing. The exact step is compared with direct projection, and with the
usual bilinear step in (t1 - t0)/t1, which is first order.
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process()

import argparse
from pathlib import Path

import numpy as np

from slipstate.memory import LagMemory, Legendre, LinearHold, ScaleClock, hippo
from slipstate.report import style


def main(out: Path) -> None:
    """Compare with direct projection, draw, check the numbers."""
    rng = np.random.default_rng(5)
    t = np.concatenate([[0.0], np.cumsum(10.0 ** rng.uniform(-5, 1, 400))])
    t = t / t[-1]
    signal = lambda x: np.sin(9 * x) + 0.5 * np.cos(31 * x)
    u = signal(t[:-1])[:, None]
    memory = LagMemory(Legendre(32), ScaleClock())
    exact = np.asarray(memory.scan(u, t).last.coefficients)

    nodes, weights = np.polynomial.legendre.leggauss(20)
    z = t[:-1, None] + np.diff(t)[:, None] * (nodes + 1) / 2
    w = np.diff(t)[:, None] * weights / 2
    direct = np.einsum("kgn,kg,kc->nc", np.asarray(memory.basis.values(z)), w, u)
    gap = np.max(np.abs(exact - direct))
    a, b = hippo.legs(32)
    c = np.zeros((32, 1))
    for k in range(1, len(u)):
        step, gain = hippo.bilinear(a, b, t[k], t[k + 1] - t[k])
        c = step @ c + np.outer(gain, u[k])
    off = np.linalg.norm(c - direct) / np.linalg.norm(direct)
    print(f"gaps {np.diff(t).min():.1e} .. {np.diff(t).max():.1e}")
    print(f"lag operator against direct projection {gap:.1e}; bilinear {off:.1e}")

    grid = np.arange(1000) / 999.0
    kept = np.sort(rng.choice(np.arange(1, 999), 665, replace=False))
    kept = np.concatenate([[0], kept, [999]])
    linear = LagMemory(Legendre(32), ScaleClock(), LinearHold())
    state = linear.scan(signal(grid[kept])[:, None], grid[kept]).last
    rebuilt = np.asarray(linear.reconstruct(state, grid))[:, 0]
    error = np.sqrt(np.mean((rebuilt - signal(grid)) ** 2))
    stated = float(linear.error(state)[0])
    print(f"a third missing: error {error:.2e}, certificate of the held {stated:.2e}")

    own = memory.scan(u, t).last
    held = np.asarray(memory.reconstruct(own, grid))[:, 0]
    with style.house_style():
        figure = style.new_figure(4.2)
        box = (0.7, 0.15, 0.45, 0.4)
        (top,), (bottom,) = style.place_panels(figure, (2, 1), (1,), box=box, share="x")
        top.plot(grid, signal(grid), lw=3, color=style.RULE, label="signal")
        top.plot(
            t[:-1], u[:, 0], ".", ms=4, color=style.BLUE, label="irregular samples"
        )
        top.plot(grid, rebuilt, color=style.RED, label="remembered, a third missing")
        top.set_ylabel("signal")
        top.legend(loc="lower left")
        for line, colour, label in (
            (held, style.BLUE, "irregular samples, cell hold"),
            (rebuilt, style.RED, "a third missing, linear hold"),
        ):
            gaps = np.abs(line - signal(grid))
            bottom.semilogy(grid, gaps, lw=0.7, color=colour, label=label)
        bottom.set(ylabel="|error|", xlabel="t", ylim=(1e-7, 1e2))
        bottom.legend(loc="upper right", ncols=2)
        out.mkdir(parents=True, exist_ok=True)
        figure.savefig(out / "memory_irregular.png", dpi=200, facecolor="white")

    assert gap < 1e-12, gap
    assert off > 1e-3, off
    assert error < 1e-3, error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="picture folder")
    main(parser.parse_args().out)
