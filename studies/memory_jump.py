"""A jump located by the certificate: sin(6 pi t) + 1[t > 0.37], 4000 samples.

Legendre polynomials pay for a jump with an error of order N^{-1/2} for ever. The
certificate sees it at the very sample; the segment is frozen and the memory starts
anew, so 24 numbers and one cut do better than 64 numbers without.
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process()

import argparse
from pathlib import Path

import numpy as np

from slipstate.memory import LagMemory, Legendre, ScaleClock, SegmentedMemory
from slipstate.report import style


def main(out: Path) -> None:
    """Run both memories, draw, check the numbers."""
    x, edges = (np.arange(4000) + 0.5) / 4000, np.arange(4001) / 4000
    f = (np.sin(6 * np.pi * x) + (x > 0.37))[:, None]
    cutting = SegmentedMemory(LagMemory(Legendre(24), ScaleClock()), 1e-2)
    states = cutting.scan(f, edges)
    cut = np.flatnonzero(states.cut)
    rebuilt = np.asarray(cutting.reconstruct(states.last, x))
    plain = LagMemory(Legendre(64), ScaleClock())
    smooth = np.asarray(plain.reconstruct(plain.scan(f, edges).last, x))
    relative = lambda g: np.linalg.norm(g - f) / np.linalg.norm(f)
    print(f"cut at samples {cut.tolist()} (the jump is at 1480)")
    print(
        f"24 modes with a cut {relative(rebuilt):.3e}, 64 modes {relative(smooth):.3e}"
    )

    with style.house_style():
        figure = style.new_figure(4.2)
        box = (0.7, 0.15, 0.45, 0.2)
        (top,), (bottom,) = style.place_panels(figure, (2, 1), (1,), box=box, share="x")
        top.plot(x, f, color=style.RULE, lw=4, label="signal")
        top.plot(x, smooth, color=style.BLUE, label="64 modes")
        top.plot(x, rebuilt, color=style.RED, label="24 modes, cut at the jump")
        top.set_ylabel("signal")
        top.legend(loc="lower right")
        bottom.semilogy(x, states.errors, color=style.BLUE)
        bottom.axhline(1e-2, color=style.GOLD, ls="--", label="tolerance")
        bottom.annotate("sample 1480", (0.37, 0.02), (0.385, 0.02), va="center", size=7)
        bottom.set(ylabel="certificate", xlabel="t", ylim=(1e-4, 1e-1), xlim=(0, 1))
        bottom.legend(loc="upper right")
        out.mkdir(parents=True, exist_ok=True)
        figure.savefig(out / "memory_jump.png", dpi=200, facecolor="white")

    assert cut.tolist() == [1480]
    assert relative(rebuilt) < 1e-5
    assert abs(relative(smooth) - 4.67e-2) < 1e-4


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="picture folder")
    main(parser.parse_args().out)
