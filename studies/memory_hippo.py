"""HiPPO is a lag operator: A(r) = r^A_LegS, and public code starts one sample late.

One inner product with the lag operator gives HiPPO-LegS exactly: the discrete matrix
is the power r^A of the published one with r = t0/t1, at every step. The exact hold of
public HiPPO code uses r = t/(t+1) from t = 1 on, so what it projects is the signal with
one sample of zero in front.

References:
    Tomonaga, Doya, Murata (2026), arXiv:2512.18965. Gu et al. (2020), arXiv:2008.07669.
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process()

import argparse
from pathlib import Path

import numpy as np
from scipy.linalg import expm

from slipstate.memory import LagMemory, Legendre, ScaleClock, hippo
from slipstate.report import style


def main(out: Path) -> None:
    """Compare matrices and states, draw the step matrix, check the numbers."""
    worst = 0.0
    for modes in (8, 32, 64):
        a, _ = hippo.legs(modes)
        memory = LagMemory(Legendre(modes), ScaleClock())
        for k in (1, 10, 100, 1000, 10**4, 10**5, 10**6):
            mine = np.asarray(memory.transition(k, k + 1).A)
            power = expm(a * np.log1p(1 / k))
            error = np.linalg.norm(mine - power) / np.linalg.norm(power)
            worst = max(worst, error)
            print(f"N={modes:3d} k={k:8d}  |A - r^A_LegS| / |A| = {error:.1e}")

    u = np.cumsum(np.random.default_rng(1).standard_normal((500, 1)), 0) / 10
    memory = LagMemory(Legendre(32), ScaleClock())
    public = hippo.run_scaled(32, u, hippo.zero_order_hold, first=1.0)
    prepended = memory.scan(np.concatenate([np.zeros((1, 1)), u])).last.coefficients
    plain = memory.scan(u).last.coefficients
    late = np.max(np.abs(public - prepended)) / np.max(np.abs(public))
    apart = np.max(np.abs(public - plain)) / np.max(np.abs(public))
    print(
        f"public code against a prepended zero: {late:.1e}; against the signal:", end=""
    )
    print(f" {apart:.1e}")

    with style.house_style():
        figure = style.new_figure(3.0)
        box = (0.5, 1.0, 0.45, 0.3)
        (axes,) = style.place_panels(figure, (1,), (1, 1, 1), box=box, gap=(0.45, 0.1))
        image = None
        for axis, k in zip(axes, (1, 10, 100)):
            step = LagMemory(Legendre(16), ScaleClock()).transition(k, k + 1).A
            image = axis.imshow(step, cmap="RdBu", vmin=-1, vmax=1)
            axis.set(title=f"A from t = {k} to {k + 1}", xlabel="old mode")
            axis.grid(visible=False)
        axes[0].set_ylabel("new mode")
        assert image is not None
        bar = figure.add_axes((0.895, 0.2, 0.015, 0.64))
        figure.colorbar(image, cax=bar, label="entry of A")
        out.mkdir(parents=True, exist_ok=True)
        figure.savefig(out / "memory_hippo.png", dpi=200, facecolor="white")

    assert worst < 1e-13, worst
    assert late < 1e-12, late
    assert apart > 1e-3, apart


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="picture folder")
    main(parser.parse_args().out)
