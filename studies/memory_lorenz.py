"""Lorenz reconstruction: the lag operator against four discretisations of HiPPO-LegS.

The memory is the exact projection of the held samples, so its error is that of N
Legendre functions and of the hold, nothing else. Each discretisation adds its own.
N = 64, dt = 0.01, 1000 samples (RK4 of the same step from (1, 1, 1)); the error is the
relative L2 distance at the middle of the cells, for each of x, y, z.
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
    CellHold,
    LagMemory,
    Legendre,
    LinearHold,
    ScaleClock,
    hippo,
)


def lorenz(length: int, dt: float, steps: int = 1) -> np.ndarray:
    """Integrate the Lorenz system by RK4 from (1, 1, 1), the initial state included."""

    def flow(s: np.ndarray) -> np.ndarray:
        x, y, z = s
        return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    h, path, s = dt / steps, [np.ones(3)], np.ones(3)
    for _ in range(length - 1):
        for _ in range(steps):
            k1 = flow(s)
            k2 = flow(s + h / 2 * k1)
            k3 = flow(s + h / 2 * k2)
            s = s + h / 6 * (k1 + 2 * k2 + 2 * k3 + flow(s + h * k3))
        path.append(s)
    return np.array(path)


def relative(rebuilt: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the relative L2 distance, per channel."""
    return np.linalg.norm(rebuilt - truth, axis=0) / np.linalg.norm(truth, axis=0)


def main(out: Path) -> None:
    """Measure all methods, draw x and the convergence, check the numbers."""
    u = lorenz(1000, 0.01)
    middle = np.arange(1000) + 0.5
    memory = LagMemory(Legendre(64), ScaleClock(), CellHold())
    state = memory.scan(u).last
    errors = {
        "lag operator": relative(np.asarray(memory.reconstruct(state, middle)), u)
    }
    rules = {
        "bilinear": (hippo.bilinear, 0.0),
        "zero-order hold of public code": (hippo.zero_order_hold, 1.0),
        "backward Euler": (hippo.backward_euler, 0.0),
        "forward Euler": (hippo.forward_euler, 1.0),
    }
    functions = np.asarray(memory.basis.at(memory.clock.lag(middle, state.time)))
    for name, (rule, first) in rules.items():
        errors[name] = relative(
            functions @ hippo.run_scaled(64, u, rule, first=first), u
        )
    for name, error in errors.items():
        print(f"{name:32s} x {error[0]:.6f}  y {error[1]:.6f}  z {error[2]:.6f}")

    modes = (8, 16, 32, 64, 96)
    by_modes, by_step = [], []
    for n in modes:
        m = LagMemory(Legendre(n), ScaleClock())
        by_modes.append(
            relative(np.asarray(m.reconstruct(m.scan(u).last, middle)), u)[0]
        )
    fine = lorenz(8001, 0.00125)
    steps = (0.04, 0.02, 0.01)
    for dt in steps:
        stride = round(dt / 0.00125)
        samples, times = fine[::stride], np.arange(8001) * 0.00125
        held = LagMemory(Legendre(64), ScaleClock())
        linear = LagMemory(Legendre(64), ScaleClock(), LinearHold())
        t = np.arange(len(samples)) * dt
        zero = held.scan(samples[:-1], t).last
        first = linear.scan(samples, t).last
        by_step.append(
            [
                relative(np.asarray(held.reconstruct(zero, times)), fine)[0],
                relative(np.asarray(linear.reconstruct(first, times)), fine)[0],
            ]
        )
        print(
            f"dt={dt}: cell hold {by_step[-1][0]:.4f}, linear hold {by_step[-1][1]:.4f}"
        )

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    axes[0].plot(middle, u[:, 0], lw=0.8, label="x")
    axes[0].plot(middle, np.asarray(memory.reconstruct(state, middle))[:, 0], lw=0.8)
    axes[0].set(title="x and its 64 numbers", xlabel="sample")
    axes[1].semilogy(modes, by_modes, "o-")
    axes[1].set(title="error against N", xlabel="N")
    axes[2].loglog(steps, by_step, "o-", label=["cell hold", "linear hold"])
    axes[2].set(title="error against the true flow", xlabel="dt")
    axes[2].legend()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "memory_lorenz.png", dpi=120)

    assert abs(errors["lag operator"][0] - 0.0135108) < 5e-8
    assert abs(errors["bilinear"][0] - 0.0193018) < 5e-7
    assert abs(errors["zero-order hold of public code"][0] - 0.0283408) < 5e-7
    assert abs(errors["backward Euler"][0] - 0.111438) < 5e-6
    assert abs(errors["forward Euler"][0] - 0.303064) < 5e-6
    assert abs(by_step[2][0] - 0.0204) < 5e-4, by_step
    assert by_step[2][1] < 0.0140, by_step


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="picture folder")
    main(parser.parse_args().out)
