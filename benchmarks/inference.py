"""Exact inference beside statsmodels, dynamax, cuthbert and filterpy.

Same process, same data, one JSON line per result. Times are CPU seconds over all
threads, the least of the repeats, and wall seconds, because wall-clock time on a shared
machine says little. A peer that is not installed is named and left out:

    python benchmarks/inference.py                    # everything
    python benchmarks/inference.py kalman latency     # some parts
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process()

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from slipstate.assimilate import (
    ConstantGainKalman,
    Kalman,
    Observations,
    Stepper,
    filter_series,
    filter_stretches,
    smooth_series,
)
from slipstate.systems import LinearGaussian

ROWS = 10_000


def say(**fields: Any) -> None:
    """Print one result."""
    print(json.dumps(fields), flush=True)


def timed(run: Callable[[], Any], repeats: int = 5) -> tuple[Any, dict[str, float]]:
    """Return what a run gives, and the least CPU and wall seconds of a few runs.

    The first run compiles; what it takes beyond the others is told apart.
    """
    start, start_cpu = time.perf_counter(), time.process_time()
    found = jax.block_until_ready(run())
    first = time.perf_counter() - start
    first_cpu = time.process_time() - start_cpu
    cpu, wall = np.inf, np.inf
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(run())
        cpu = min(cpu, time.process_time() - start_cpu)
        wall = min(wall, time.perf_counter() - start)
    return found, {
        "cpu_s": round(cpu, 5),
        "wall_s": round(wall, 5),
        "compile_wall_s": round(first - wall, 2),
        "compile_cpu_s": round(first_cpu - cpu, 2),
    }


def problem(n: int, p: int, rows: int = ROWS, *, missing: float = 0.0) -> tuple:
    """Return the matrices of a random stable system and a series drawn from it."""
    rng = np.random.default_rng(n)
    F = 0.95 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    H = rng.normal(size=(p, n))
    Q, R = 0.1 * np.eye(n), 0.5 * np.eye(p)
    x, y = np.zeros(n), np.empty((rows, p))
    for k in range(rows):
        x = F @ x + np.sqrt(0.1) * rng.normal(size=n)
        y[k] = H @ x + np.sqrt(0.5) * rng.normal(size=p)
    y[rng.uniform(size=y.shape) < missing] = np.nan
    return np.zeros(n), np.eye(n), F, Q, H, R, y


def own(matrices: tuple, method: Any, cov: str) -> Callable[[], tuple]:
    """Return filter, likelihood and smoother of this package."""
    *parts, y = matrices
    model, series = LinearGaussian(*parts), Observations(y)

    def run() -> tuple:
        result = smooth_series(model, series, method, cov=cov)
        return result.log_likelihood, result.means, result.smoothed

    return run


def statsmodels(
    matrices: tuple, *, tolerance: float | None = None, means_only: bool = False
) -> Callable:
    """Return the same by statsmodels, which settles too unless its tolerance is 0."""
    from statsmodels.tsa.statespace.kalman_smoother import SMOOTHER_STATE
    from statsmodels.tsa.statespace.mlemodel import MLEModel

    mean, cov, F, Q, H, R, y = matrices
    n = len(mean)
    model = MLEModel(y, k_states=n, k_posdef=n)
    for name, value in {
        "design": H,
        "obs_cov": R,
        "transition": F,
        "selection": np.eye(n),
        "state_cov": Q,
    }.items():
        model[name] = value
    model.ssm.initialize_known(mean, cov)
    if tolerance is not None:
        model.ssm.tolerance = tolerance

    wanted: dict[str, Any] = {"smoother_output": SMOOTHER_STATE} if means_only else {}

    def run() -> tuple:
        result = model.ssm.smooth(**wanted)
        return result.llf, result.smoothed_state.T

    return run


def dynamax(matrices: tuple) -> Callable[[], tuple]:
    """Return the same by dynamax."""
    from dynamax.linear_gaussian_ssm.inference import lgssm_smoother, make_lgssm_params

    mean, cov, F, Q, H, R, y = (jnp.asarray(x) for x in matrices)
    params = make_lgssm_params(mean, cov, F, Q, H, R)
    smoother = jax.jit(lgssm_smoother)

    def run() -> tuple:
        found = smoother(params, y)
        return found.marginal_loglik, found.smoothed_means, found.smoothed_covariances

    return run


def cuthbert(matrices: tuple) -> Callable[[], tuple]:
    """Return the same by cuthbert, sequential; its first step is made to do nothing."""
    import cuthbert as library
    from cuthbert.gaussian import kalman

    mean, cov, F, Q, H, R, y = (jnp.asarray(x) for x in matrices)
    zero_n, zero_p = jnp.zeros(len(mean)), jnp.zeros(y.shape[1])
    roots = [jnp.linalg.cholesky(x) for x in (cov, Q, R)]

    def dynamics(given: tuple) -> tuple:
        first, _ = given
        move = jnp.where(first, jnp.eye(len(mean)), F)
        return move, zero_n, jnp.where(first, 0.0, roots[1])

    def observation(given: tuple) -> tuple:
        return H, zero_p, roots[2], given[1]

    forwards = kalman.build_filter(mean, roots[0], dynamics, observation)
    backwards = kalman.build_smoother(dynamics)
    given = (jnp.arange(y.shape[0]) == 0, y)

    @jax.jit
    def run(given: tuple) -> tuple:
        states = library.filter(forwards, given, forwards.init_prepare())
        smoothed = library.smoother(backwards, states, given)
        value = states.log_normalizing_constant[-1]
        return value, smoothed.mean[1:], smoothed.chol_cov

    return lambda: run(given)


def filterpy(matrices: tuple) -> Callable[[], tuple]:
    """Return the same by filterpy's Python loop."""
    from filterpy.kalman import KalmanFilter

    mean, cov, F, Q, H, R, y = matrices

    def run() -> tuple:
        kalman = KalmanFilter(dim_x=len(mean), dim_z=y.shape[1])
        kalman.x, kalman.P = mean[:, None].copy(), cov.copy()
        kalman.F, kalman.Q, kalman.H, kalman.R = F, Q, H, R
        kalman.compute_log_likelihood = True
        means, covs, total = [], [], 0.0
        for k, row in enumerate(y):
            if k:
                kalman.predict()
            kalman.update(row[:, None])
            total += kalman.log_likelihood
            means.append(kalman.x.copy())
            covs.append(kalman.P.copy())
        smoothed = kalman.rts_smoother(np.array(means), np.array(covs))[0]
        return total, smoothed[..., 0]

    return run


def compare(n: int, p: int, *, missing: float = 0.0) -> None:
    """Filter and smooth with everything there is."""
    case = f"n={n}, p={p}, T={ROWS}" + (f", {missing:.0%} missing" if missing else "")
    data = problem(n, p, missing=missing)
    reference: tuple | None = None
    roads: dict[str, Callable[[], Callable]] = {
        "slipstate Kalman": lambda: own(data, Kalman(), "full"),
        "slipstate Kalman, cov=none": lambda: own(data, Kalman(), "none"),
        "statsmodels": lambda: statsmodels(data),
        "statsmodels, tolerance 0": lambda: statsmodels(data, tolerance=0.0),
        "statsmodels, means only": lambda: statsmodels(data, means_only=True),
    }
    if not missing:  # the others take no missing components
        roads |= {
            "slipstate ConstantGainKalman": lambda: own(
                data, ConstantGainKalman(), "full"
            ),
            "slipstate ConstantGainKalman, cov=none": lambda: own(
                data, ConstantGainKalman(), "none"
            ),
            "dynamax": lambda: dynamax(data),
            "cuthbert": lambda: cuthbert(data),
            "filterpy": lambda: filterpy(data),
        }
    for name, build in roads.items():
        try:
            run = build()
            found, clocks = timed(run, 1 if name == "filterpy" else 5)
        except ImportError as error:
            say(case=case, method=name, skipped=f"not installed: {error}")
            continue
        value, means = float(found[0]), np.asarray(found[1])
        if reference is None:
            reference = (value, means)
        scale = np.abs(reference[1]).max()
        say(
            case=case,
            method=name,
            log_likelihood=value,
            relative_difference=abs(value / reference[0] - 1.0),
            mean_difference=float(np.abs(means - reference[1]).max() / scale),
            **clocks,
        )


def compiled(n: int, p: int) -> None:
    """Say what the first call costs, in a shape that nothing else has used."""
    *parts, y = problem(n, p, 3000)
    model, series = LinearGaussian(*parts), Observations(y)
    for name, run in {
        "filter_series": lambda: filter_series(model, series).means,
        "smooth_series": lambda: smooth_series(model, series).means,
    }.items():
        _, clocks = timed(run, 1)
        say(case=f"compile, n={n}, p={p}", method=name, **clocks)


def latency(n: int, p: int, calls: int = 20_000) -> None:
    """Time single observations, wall and CPU, against the whole series."""
    *parts, y = problem(n, p, calls)
    model = LinearGaussian(*parts)
    follow = Stepper(model)
    wall, cpu = np.empty(calls), np.empty(calls)
    for k, row in enumerate(y):
        start, start_cpu = time.perf_counter(), time.thread_time()
        follow(row, t=float(k))
        cpu[k] = time.thread_time() - start_cpu
        wall[k] = time.perf_counter() - start
    final = filter_series(model, Observations(y), cov="none").means[-1]
    off = np.abs(np.asarray(follow.running.state.location) - np.asarray(final)).max()
    late = {
        f"{name}_{q}_us": round(float(np.quantile(clock[1000:], q) * 1e6), 1)
        for name, clock in (("wall", wall), ("cpu", cpu))
        for q in (0.5, 0.9, 0.99)
    }
    say(case=f"Stepper, n={n}, p={p}", calls=calls, difference=float(off), **late)


def million(
    n: int = 4, p: int = 2, rows: int = 1_000_000, stretch: int = 20_000
) -> None:
    """Follow a million rows in stretches; only one stretch is ever in memory."""
    *parts, y = problem(n, p, stretch)
    model = LinearGaussian(*parts)
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def stretches(count: int):
        for k in range(count):
            yield Observations(y, t=np.arange(k * stretch, (k + 1) * stretch))

    values = [r.log_likelihood for r in filter_stretches(model, stretches(5))]
    before, start = peak(), time.process_time()
    values = [
        float(r.log_likelihood)
        for r in filter_stretches(model, stretches(rows // stretch))
    ]
    say(
        case=f"a million rows in stretches, n={n}, p={p}",
        cpu_s=round(time.process_time() - start, 3),
        log_likelihood=sum(values),
        peak_mb_before=round(before),
        peak_mb_after=round(peak()),
    )


PARTS: dict[str, list[Callable[[], None]]] = {
    "kalman": [lambda: compare(4, 2), lambda: compare(4, 2, missing=0.1)],
    "wide": [lambda: compare(32, 16), lambda: compare(32, 16, missing=0.1)],
    "compile": [lambda: compiled(4, 2), lambda: compiled(32, 16)],
    "latency": [lambda: latency(8, 2), lambda: latency(8, 8)],
    "million": [million],
}


if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        for run in PARTS[part]:
            run()
