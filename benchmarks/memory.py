"""Memories against the dense recurrences of public code written as plain loops.

One JSON line per result. Times are CPU seconds (all threads), the least of the repeats,
because wall-clock time on a shared machine says little:

    python benchmarks/memory.py

The loops take their matrices from `slipstate.memory.hippo`. Where the package hippox is
installed (`pip install hippox chex`; it needs chex without saying so), its own matrices
run too, as a compiled scan of dense steps.
"""

# ruff: noqa: E402 - the process is prepared before jax and numpy are imported
import os

# matrices of 64 rows: more threads would only wait for each other, and be counted
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from slipstate.ground.platform import prepare_process

prepare_process()

import importlib
import importlib.util
import json
import resource
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import expm, solve_triangular

from slipstate.memory import (
    ExponentialClock,
    LagMemory,
    Legendre,
    LinearHold,
    ScaleClock,
    WindowClock,
    hippo,
)

LENGTH, MODES, CHANNELS = 100_000, 64, 3
TAU, THETA = 500.0, 1000.0


def say(**fields: Any) -> None:
    """Print one result."""
    print(json.dumps(fields), flush=True)


def cpu_seconds(run: Callable[[], Any], repeats: int = 5) -> float:
    """Return the least CPU time of a few runs, after one that compiles."""
    jax.block_until_ready(run())
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        jax.block_until_ready(run())
        best = min(best, time.process_time() - start)
    return best


def peak_mb() -> float:
    """Return the largest memory of the process so far [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def scaled_loop(u: np.ndarray) -> np.ndarray:
    """Run LegS as public code does: bilinear, one dense triangular solve a step."""
    a, b = hippo.legs(MODES)
    eye = np.eye(MODES)
    c = np.zeros((MODES, u.shape[1]))
    for k, sample in enumerate(u, start=1):
        right = c + (a @ c) / (2 * k) + np.outer(b, sample) / k
        c = solve_triangular(eye - a / (2 * k), right, lower=True, check_finite=False)
    return c


def fixed_loop(a: np.ndarray, b: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Run a time-invariant memory (LMU, hippox matrices): one dense product a step."""
    c = np.zeros((len(b), u.shape[1]))
    for sample in u:
        c = a @ c + np.outer(b, sample)
    return c


@jax.jit
def dense_scan(a: jax.Array, b: jax.Array, u: jax.Array) -> jax.Array:
    """Run a time-invariant memory as a compiled scan of dense products."""

    def step(c, sample):
        return a @ c + b[:, None] * sample, None

    return jax.lax.scan(step, jnp.zeros((b.size, u.shape[1]), u.dtype), u)[0]


def bilinear(a: np.ndarray, b: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Discretise dc/dt = A c + B u as layers initialised with these matrices do."""
    eye = np.eye(len(b))
    left = eye - 0.5 * dt * a
    return np.linalg.solve(left, eye + 0.5 * dt * a), np.linalg.solve(left, dt * b)


def peer(lti: LagMemory, signal: jax.Array, edges: jax.Array, fast: float) -> None:
    """Compare with hippox: its LegS matrices, bilinear, a compiled scan."""
    if importlib.util.find_spec("hippox") is None:
        say(result="hippox", skipped="not installed: pip install hippox chex")
        return
    hippox = importlib.import_module("hippox.main")
    given = hippox.Hippo(state_size=MODES, basis_measure="legs", diagonalize=False)()
    a = np.asarray(given.state_matrix, float)
    b = np.asarray(given.input_matrix, float)
    same = np.max(np.abs(a - hippo.legs(MODES)[0])) / np.max(np.abs(a))
    pair = [jnp.asarray(x) for x in bilinear(a, b, 1.0 / TAU)]
    slow = cpu_seconds(lambda: dense_scan(*pair, signal), 2)
    exact = np.asarray(lti.scan(signal, edges).last.coefficients)
    gap = np.linalg.norm(dense_scan(*pair, signal) - exact) / np.linalg.norm(exact)
    say(
        result="hippox LegS, bilinear, compiled scan of dense steps",
        cpu_s=slow,
        ratio=slow / fast,
        matrix_difference=float(same),
        error_of_bilinear=float(gap),
    )


def main() -> None:
    """Print all results."""
    u = np.random.default_rng(0).standard_normal((LENGTH, CHANNELS))
    signal, edges = jnp.asarray(u), jnp.arange(LENGTH + 1.0)
    setting = {"length": LENGTH, "modes": MODES, "channels": CHANNELS}

    legs = LagMemory(Legendre(MODES), ScaleClock())
    run = lambda: legs.scan(signal, edges).last.coefficients
    jax.block_until_ready(run())
    before = peak_mb()
    fast = cpu_seconds(run)
    say(result="scan, scale clock", cpu_s=fast, extra_mb=peak_mb() - before, **setting)
    short = u[: LENGTH // 20]
    slow = 20 * cpu_seconds(lambda: scaled_loop(short), 1)
    say(result="dense NumPy loop, LegS bilinear", cpu_s=slow, ratio=slow / fast)

    lti = LagMemory(Legendre(MODES), ExponentialClock(TAU))
    fast = cpu_seconds(lambda: lti.scan(signal, edges).last.coefficients)
    say(result="scan, exponential clock", cpu_s=fast, **setting)
    a, b = hippo.legs(MODES)
    matrix = expm(a / TAU)
    gain = np.linalg.solve(a, (matrix - np.eye(MODES)) @ b)
    slow = cpu_seconds(lambda: fixed_loop(matrix, gain, u), 1)
    say(result="dense NumPy loop, one fixed A", cpu_s=slow, ratio=slow / fast)
    gap = lti.scan(signal, edges).last.coefficients - fixed_loop(matrix, gain, u)
    say(result="scan against that loop", largest_difference=float(jnp.abs(gap).max()))

    peer(lti, signal, edges, fast)

    states = legs.scan(signal, edges)
    say(
        result="all states, scale clock",
        cpu_s=cpu_seconds(lambda: states.coefficients, 2),
        **setting,
    )
    linear = LagMemory(Legendre(MODES), ScaleClock(), LinearHold())
    fast = cpu_seconds(lambda: linear.scan(signal).last.coefficients, 3)
    say(result="scan, linear hold", cpu_s=fast, **setting)
    window = LagMemory(Legendre(MODES), WindowClock(THETA))
    fast = cpu_seconds(lambda: window.scan(signal, edges).last.coefficients, 2)
    say(result="scan, window, with its bound", cpu_s=fast, **setting)
    a, b = (x / THETA for x in hippo.lmu(MODES))
    matrix = expm(a)
    gain = np.linalg.solve(a, (matrix - np.eye(MODES)) @ b)
    slow = cpu_seconds(lambda: fixed_loop(matrix, gain, u), 1)
    say(result="dense NumPy loop, LMU, no bound", cpu_s=slow, ratio=slow / fast)

    wide = LagMemory(Legendre(256), ScaleClock())
    fast = cpu_seconds(lambda: wide.transition(1000.0, 1001.0).A, 20)
    say(result="one transition", modes=256, cpu_s=fast)


if __name__ == "__main__":
    main()
