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
from slipstate.report import style


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
    print("relative error of", ", ".join(signals), "and the certificate of the first,")
    print("which also counts the steps of the cell hold")
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

    with style.house_style():
        figure = style.new_figure(3.2)
        ((axis,),) = style.place_panels(figure, (1,), (1,), box=(0.7, 0.15, 0.35, 0.35))
        places, colours = np.arange(len(bases)), (style.BLUE, style.RED, style.GREEN)
        for k, (name, colour) in enumerate(zip(signals, colours)):
            heights = [row[k] for row in table.values()]
            axis.bar(places + 0.25 * k, heights, 0.23, color=colour, label=name)
        axis.set_xticks(places + 0.25, list(bases))
        axis.grid(visible=False, axis="x")
        axis.set(yscale="log", ylabel="relative error", title="32 functions each")
        axis.legend(loc="upper left", ncols=3)
        axis.set_ylim(1e-5, 6.0)
        out.mkdir(parents=True, exist_ok=True)
        figure.savefig(out / "memory_basis.png", dpi=200, facecolor="white")

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
