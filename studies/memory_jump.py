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

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from slipstate.memory import LagMemory, Legendre, ScaleClock, SegmentedMemory


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

    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 5), layout="constrained")
    top.plot(x, f, color="0.7", lw=3, label="signal")
    top.plot(x, smooth, lw=0.8, label="64 modes")
    top.plot(x, rebuilt, lw=0.8, label="24 modes, cut")
    top.legend(frameon=False)
    bottom.semilogy(x, np.maximum(np.asarray(states.errors), 1e-9))
    bottom.axhline(1e-2, color="C3", lw=0.8)
    bottom.set(ylabel="certificate", xlabel="t")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "memory_jump.png", dpi=120)

    assert cut.tolist() == [1480]
    assert relative(rebuilt) < 1e-5
    assert abs(relative(smooth) - 4.67e-2) < 1e-4


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="picture folder")
    main(parser.parse_args().out)
