"""Which basis for which signal: smooth, oscillating, discontinuous.

Each basis gets 32 functions and sees the signal once, sample by sample, under a scale
clock. Polynomials win where the signal is smooth, need about pi functions per period
where it oscillates, and lose to nobody at a jump, because a step-by-step histogram
smears it; what does win there is a cut (see memory_jump.py).
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process()

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from slipstate.memory import (
    BSpline,
    ChebyshevT,
    Fourier,
    Haar,
    LagMemory,
    Legendre,
    PiecewiseConstant,
    ScaleClock,
)


def main(out: Path) -> None:
    """Run every pair, draw a table, check the order."""
    edges = np.arange(401.0) / 400
    x = 0.5 * (edges[1:] + edges[:-1])
    signals = {
        "smooth": np.exp(-((x - 0.4) ** 2) / 0.05),
        "7 periods": np.sin(14 * np.pi * x),
        "jump": 1.0 * (x > 0.37),
    }
    bases = {
        "Legendre": Legendre(32),
        "Chebyshev T": ChebyshevT(32),
        "Fourier": Fourier(31),
        "B-spline": BSpline(32),
        "Haar": Haar(32),
        "histogram": PiecewiseConstant(32),
    }
    u = np.stack(list(signals.values()), 1)
    table = {}
    for name, basis in bases.items():
        memory = LagMemory(basis, ScaleClock())
        state = memory.scan(u, edges).last
        gap = np.asarray(memory.reconstruct(state, x)) - u
        table[name] = np.linalg.norm(gap, axis=0) / np.linalg.norm(u, axis=0)
        bound = np.asarray(memory.error(state))
        kind = "exact" if memory.closed else "bound"
        shown = "  ".join(f"{e:9.2e}" for e in table[name])
        print(f"{name:12s} {shown}   {kind} {bound[0]:.1e}")
    few = LagMemory(Legendre(16), ScaleClock())
    few_state = few.scan(u[:, 1:2], edges).last
    short = np.asarray(few.reconstruct(few_state, x)) - u[:, 1:2]
    short = np.linalg.norm(short) / np.linalg.norm(u[:, 1])
    print(f"Legendre(16) on 7 periods: {short:.2f}")

    figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
    places = np.arange(len(bases))
    for k, name in enumerate(signals):
        axis.bar(
            places + 0.25 * k, [row[k] for row in table.values()], 0.25, label=name
        )
    axis.set_xticks(places + 0.25, list(bases))
    axis.set(yscale="log", ylabel="relative error, 32 functions")
    axis.legend(frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "memory_basis.png", dpi=120)

    legendre = table["Legendre"]
    assert legendre[0] < 2e-3, legendre
    assert legendre[1] < 3e-2, legendre
    assert short > 0.2, short
    # within the error of the hold, nothing is better where the signal is smooth
    assert all(legendre[0] <= 1.1 * row[0] for row in table.values())
    assert all(legendre[1] <= row[1] for row in table.values())
    assert legendre[2] < table["histogram"][2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="picture folder")
    main(parser.parse_args().out)
