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

import numpy as np

from slipstate.memory import (
    CellHold,
    LagMemory,
    Legendre,
    LinearHold,
    ScaleClock,
    hippo,
)
from slipstate.report import style

LAG, PUBLIC = "lag operator", "zero-order hold of public code"
Curves = tuple[tuple[float, ...], list[dict[str, np.ndarray]]]


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
    errors = compare(64, u, middle, u)
    for name, error in errors.items():
        print(f"{name:32s} x {error[0]:.6f}  y {error[1]:.6f}  z {error[2]:.6f}")

    modes = (8, 16, 32, 64, 96)
    by_modes = [compare(n, u, middle, u) for n in modes]
    fine, steps = lorenz(8001, 0.00125), (0.04, 0.02, 0.01)
    by_step = []
    for dt in steps:
        samples, times = fine[:: round(dt / 0.00125)], np.arange(8001) * 0.00125 / dt
        # the last sample ends the last cell and begins none
        found = compare(64, samples[:-1], times, fine)
        linear = LagMemory(Legendre(64), ScaleClock(), LinearHold())
        rebuilt = linear.reconstruct(linear.scan(samples).last, times)
        found["lag operator, linear hold"] = relative(np.asarray(rebuilt), fine)
        by_step.append(found)
        print(f"dt={dt}:", ", ".join(f"{k} {v[0]:.4f}" for k, v in found.items()))

    draw(out, u, (modes, by_modes), (steps, by_step))

    assert abs(errors[LAG][0] - 0.0135108) < 5e-8
    assert abs(errors["bilinear"][0] - 0.0193018) < 5e-7
    assert abs(errors[PUBLIC][0] - 0.0283408) < 5e-7
    assert abs(errors["backward Euler"][0] - 0.111438) < 5e-6
    assert abs(errors["forward Euler"][0] - 0.303064) < 5e-6
    assert abs(by_step[0][LAG][0] - 0.063) < 5e-4, by_step
    assert abs(by_step[2][LAG][0] - 0.0204) < 5e-4, by_step
    assert by_step[2]["lag operator, linear hold"][0] < 0.0140, by_step


def compare(
    modes: int, u: np.ndarray, times: np.ndarray, truth: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the error of every method, per channel, at times in samples."""
    memory = LagMemory(Legendre(modes), ScaleClock(), CellHold())
    state = memory.scan(u).last
    functions = np.asarray(memory.basis.at(memory.clock.lag(times, state.time)))
    # the exact hold of public code is the lag operator one zero sample late
    late = memory.scan(np.concatenate([np.zeros((1, 3)), u])).last
    states = {
        LAG: state.coefficients,
        "bilinear": hippo.run_scaled(modes, u, hippo.bilinear, first=0.0),
        PUBLIC: late.coefficients,
        "backward Euler": hippo.run_scaled(modes, u, hippo.backward_euler, first=0.0),
        "forward Euler": hippo.run_scaled(modes, u, hippo.forward_euler, first=1.0),
    }
    return {k: relative(functions @ np.asarray(c), truth) for k, c in states.items()}


def draw(out: Path, u: np.ndarray, by_modes: Curves, by_step: Curves) -> None:
    """Draw x with its memory, and the error of x against N and dt."""
    memory = LagMemory(Legendre(64), ScaleClock(), CellHold())
    middle = np.arange(1000) + 0.5
    rebuilt = np.asarray(memory.reconstruct(memory.scan(u).last, middle))
    with style.house_style():
        figure = style.new_figure(3.1)
        box = (0.55, 0.1, 0.45, 0.75)
        (axes,) = style.place_panels(figure, (1,), (1, 1, 1), box=box, gap=(0.6, 0.1))
        axes[0].plot(middle / 100, u[:, 0], lw=3, color=style.RULE)
        axes[0].plot(middle / 100, rebuilt[:, 0], color=style.BLUE)
        axes[0].set(title="x, and its 64 numbers", xlabel="t", ylabel="x")
        names = list(by_step[1][0])
        for name, colour in zip(names, style.SERIES_COLOURS):
            for axis, (places, rows) in zip(axes[1:], (by_modes, by_step)):
                if name in rows[0]:
                    heights = [row[name][0] for row in rows]
                    axis.loglog(places, heights, "o-", ms=3, color=colour, label=name)
        axes[1].set(title="relative error of x against N", xlabel="N")
        axes[2].set(title="and of the true flow against dt", xlabel="dt")
        for axis, (places, _) in zip(axes[1:], (by_modes, by_step)):
            axis.set_ylim(4e-3, 3.0)
            axis.set_xticks(places, [f"{place:g}" for place in places])
            axis.minorticks_off()
        handles, labels = axes[2].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", ncols=3)
        out.mkdir(parents=True, exist_ok=True)
        figure.savefig(out / "memory_lorenz.png", dpi=200, facecolor="white")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="picture folder")
    main(parser.parse_args().out)
