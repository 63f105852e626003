"""Ten cycles of a stick-slip slider, against SciPy and a hundred at once.

Case A: ageing law, k = 0.2 k_c, relative tolerance 1e-10. One JSON line per result;
times are wall-clock seconds, the least of the repeats. Run it on a quiet machine:

    python benchmarks/slider.py
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process()

import json
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from slipstate.earth import SpringSlider
from slipstate.earth.slider import RADIATION_DAMPING

CYCLES = 10
RTOL = 1e-10
SLIDERS = 100
A, B, DC, SIGMA, VPL = 0.010, 0.015, 1e-2, 50e6, 1e-9
STIFFNESS = 5e6  # [Pa/m]
RECURRENCE = 1.3853220e9  # [s]


def case_a(k: Any) -> SpringSlider:
    """Return the slider of case A with stiffness `k` [Pa/m]."""
    return SpringSlider(a=A, b=B, Dc=DC, sigma=SIGMA, k=k, Vpl=VPL)


def main() -> None:
    """Print the results."""
    slider = case_a(STIFFNESS)
    compile_s, run_s, events = timed(lambda: slider.events(CYCLES, rtol=RTOL), 20)
    recurrence = float(events.recurrences()[-1])
    report(
        "10 cycles, one slider",
        compile_s=compile_s,
        run_s=run_s,
        steps=int(events.steps),
        recurrence_error=recurrence / RECURRENCE - 1.0,
    )
    compile_s, cycle_s, cycle = timed(lambda: slider.limit_cycle(rtol=RTOL), 20)
    report(
        "limit cycle with spin-up",
        compile_s=compile_s,
        run_s=cycle_s,
        steps=int(cycle.steps),
        peak_rate_m_s=float(cycle.peak_rate),
    )
    seconds, steps, calls, error = min(scipy_cycles() for _ in range(3))
    report(
        "SciPy DOP853, the same",
        run_s=seconds,
        steps=steps,
        rhs_calls=calls,
        recurrence_error=error,
        ratio=seconds / run_s,
    )
    stiffness = STIFFNESS * jnp.linspace(0.5, 2.0, SLIDERS)
    sliders = eqx.filter_vmap(case_a)(stiffness)
    together = eqx.filter_jit(eqx.filter_vmap(lambda s: s.events(CYCLES, rtol=RTOL)))
    compile_s, many_s, events = timed(lambda: together(sliders), 5)
    report(
        f"{SLIDERS} sliders by vmap, k from 0.1 to 0.4 k_c",
        compile_s=compile_s,
        run_s=many_s,
        steps_most=int(events.steps.max()),
        ratio=many_s / run_s,
    )


def timed(task: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Return seconds of the first call, least seconds of the others, and the result.

    The compilation is the difference between a first call and a later one.
    """
    start = time.perf_counter()
    result = jax.block_until_ready(task())
    first = time.perf_counter() - start
    later = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = jax.block_until_ready(task())
        later.append(time.perf_counter() - start)
    return first - min(later), min(later), result


def scipy_cycles() -> tuple[float, int, int, float]:
    """Return seconds, steps, calls and relative error of ten cycles by SciPy.

    The plain equation without the factor of the regularisation, which spares SciPy an
    exponential and a root per call; the same event, the same tolerance.
    """
    stiffness, damping = STIFFNESS * DC / SIGMA, RADIATION_DAMPING * VPL / SIGMA

    def rates(_: float, state: np.ndarray) -> np.ndarray:
        x, y = state
        speed = np.exp(x)
        drift = np.exp(-y) - speed
        loading = stiffness * (1.0 - speed)
        return np.array([(loading - B * drift) / (A + damping * speed), drift])

    def rise(_: float, state: np.ndarray) -> float:
        return state[0]

    stop: Any = rise
    stop.direction = 1.0
    stop.terminal = CYCLES + 1
    start = time.perf_counter()
    solution = solve_ivp(
        rates, [0.0, 1e5], [1.0, 0.0], "DOP853", rtol=RTOL, atol=RTOL, events=stop
    )
    seconds = time.perf_counter() - start
    recurrence = (solution.t_events[0][-1] - solution.t_events[0][-2]) * DC / VPL
    steps = len(solution.t) - 1
    return seconds, steps, int(solution.nfev), float(recurrence / RECURRENCE - 1.0)


def report(name: str, **numbers: float) -> None:
    """Print one JSON line."""
    device = jax.devices()[0].platform
    line = {"benchmark": "slider", "case": name, "device": device} | numbers
    print(json.dumps(line))


if __name__ == "__main__":
    main()
