"""`Assimilator` in numbers: time of a step, the ladder, recovery, memory, intervals.

    python benchmarks/realtime.py --what latency --steps 2000
    python benchmarks/realtime.py --what ladder --only slider
    python benchmarks/realtime.py --what recovery --trials 100
    python benchmarks/realtime.py --what memory --steps 1000000
    python benchmarks/realtime.py --what intervals --steps 4000

One JSON line per result. Wall time is what a deadline sees; processor time is what the
machine's other work does not disturb: measure times on a quiet machine.
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process()

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from slipstate import assimilate as sa
from slipstate.assimilate import bridge, cases
from slipstate.systems import Gaussian, LinearObservation, LinearTransition
from slipstate.systems.protocol import StateSpaceModel

KEY = jax.random.key(1)


def linear(size: int, observation: Any) -> StateSpaceModel:
    """Return a model whose step costs nothing, so that the update is what is timed."""
    move = LinearTransition(0.95 * np.eye(size), 0.1 * np.eye(size))
    return StateSpaceModel(Gaussian(jnp.zeros(size), jnp.eye(size)), move, observation)


def twins() -> dict[str, tuple[cases.Case, Any]]:
    """Return the cases whose data are their own: Lorenz-63 and the slider."""
    method = sa.BridgeFilter(members=50)
    return {
        "lorenz63, bridge M=50": (cases.lorenz63_sakov2012(model_noise=0.02), method),
        "slider twin C, bridge M=50": (cases.slider_twin(model_noise=1e-4), method),
    }


def updates() -> dict[str, tuple[Any, Any]]:
    """Return model and method of updates timed without a step of a model."""
    lorenz63, lorenz96 = cases.lorenz63_sakov2012(), cases.lorenz96_bao2024(size=40)
    plain = LinearObservation(jnp.eye(40), jnp.eye(40))
    near = bridge.ring_neighbours(40, 4)
    local = lambda members: bridge.LocalBridgeFilter(near, members=members)
    arctan = linear(40, lorenz96.model.observation)
    return {
        "bridge update, d=3, M=50": (
            linear(3, lorenz63.model.observation),
            sa.BridgeFilter(members=50),
        ),
        "local bridge update, d=40, M=20, linear": (linear(40, plain), local(20)),
        "local bridge update, d=40, M=50, linear": (linear(40, plain), local(50)),
        "local bridge update, d=40, M=20, arctan": (arctan, local(20)),
        "ETKF update, d=40, M=20": (linear(40, plain), sa.EnsembleTransformKalman(20)),
        "Kalman, d=3": (linear(3, lorenz63.model.observation), sa.Kalman()),
    }


def measure_latency(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield percentiles of wall and processor time per step [ms]."""
    for name, (model, method) in updates().items():
        if asked.only in name:
            size = (asked.steps + 20, len(model.observation.units))
            y = 0.5 * np.random.default_rng(2).normal(size=size)
            times = np.arange(float(len(y)))
            yield {"case": name} | _timed(
                sa.Assimilator(model, method, key=KEY), y, times
            )
    for name, (case, method) in twins().items():
        if asked.only in name:
            y, t, _ = _data(case, asked.steps + 20)
            run = sa.Assimilator(case.model, method, key=KEY)
            yield {"case": name} | _timed(run, y, t)


def _timed(run: sa.Assimilator, y: np.ndarray, t: np.ndarray) -> dict[str, Any]:
    """Step through rows, the first 20 untimed."""
    wall, spent = np.zeros(len(y)), np.zeros(len(y))
    for k in range(len(y)):
        began, before = time.perf_counter(), time.process_time()
        run.step(y[k], t=float(t[k]))
        spent[k] = time.process_time() - before
        wall[k] = time.perf_counter() - began
    line: dict[str, Any] = {"steps": len(y) - 20}
    for name, values in (("wall", wall[20:]), ("cpu", spent[20:])):
        for share in (50, 99):
            line[f"{name}_p{share}_ms"] = round(1e3 * np.percentile(values, share), 4)
    return line | {"load": os.getloadavg()[0]}


def measure_ladder(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield which rungs are taken under deadlines from ample to hopeless.

    A deadline lies between what two neighbouring rungs were found to take, each in
    time of the first; the last lies below all of them.
    """
    for name, (case, method) in twins().items():
        if asked.only not in name:
            continue
        y, t, truth = _data(case, asked.steps)
        tried = sa.Assimilator(case.model, method, deadline=1.0, key=KEY)
        takes = [1e3 * cost.mean for cost in tried.costs]
        ends = [10.0 * takes[0], *(0.5 * (a + b) for a, b in itertools.pairwise(takes))]
        for deadline in [*ends, 0.5 * takes[-1]]:
            run = sa.Assimilator(
                case.model,
                method,
                deadline=1e-3 * deadline,
                programs=tried.programs,
                key=KEY,
            )
            took, errors = [], []
            for k in range(len(y)):
                report = run.step(y[k], t=float(t[k]))
                took.append(report.seconds)
                errors.append(np.asarray(run.belief.mean()) - truth[k])
            late = np.array(errors[case.burn :])
            yield {
                "case": name,
                "deadline_ms": round(deadline, 4),
                "rungs": {r.name: run.tally[r.name] for r in run.programs.rungs},
                "missed": round(run.tally["missed"] / len(y), 4),
                "wall_p50_ms": round(1e3 * np.percentile(took, 50), 4),
                "wall_p99_ms": round(1e3 * np.percentile(took, 99), 4),
                "rung_costs_ms": [round(x, 4) for x in takes],
                "rmse": round(float(np.sqrt(np.mean(late**2, axis=1)).mean()), 4),
                "load": os.getloadavg()[0],
            }


def measure_recovery(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield how soon a filter is back after it was put elsewhere, close and sure.

    The members are moved to where the trajectory of Lorenz-63 was at another time, a
    thousandth apart; back is an error below the observation's for three rows.
    """
    case = cases.lorenz63_sakov2012()
    climate = sa.climatology(case.model, interval=case.interval, key=KEY)
    for name, method in (
        ("ETKF M=10", sa.EnsembleTransformKalman(10, 1.02)),
        ("bridge M=50", sa.BridgeFilter(members=50)),
        ("particles M=200", sa.ParticleFilter(200, jitter=0.2)),
    ):
        programs = None
        for recover in (True, False):
            health = sa.Health() if recover else sa.Health(recover_on=())
            alarmed, back = [], []
            for trial in range(asked.trials):
                run = sa.Assimilator(
                    case.model,
                    method,
                    climate=climate,
                    health=health,
                    programs=programs,
                    key=jax.random.key(1000 + trial),
                )
                programs = run.programs
                first, returned = _lose(run, case, method.members, trial)
                alarmed.append(first)
                back.append(returned)
            found, heard = np.array(back), np.array(alarmed)
            yield {
                "case": f"lorenz63 lost, {name}",
                "recovery": recover,
                "trials": asked.trials,
                "alarm_rows_p50": float(np.median(heard)),
                "back_rows_p50": float(np.median(found)),
                "back_rows_p90": float(np.percentile(found, 90)),
                "not_back_in_200": int((found >= 200).sum()),
            }


def _lose(
    run: sa.Assimilator, case: cases.Case, members: int, trial: int
) -> tuple[int, int]:
    """Lose a filter on row 40; return rows to the alarm, and to being back."""
    y, t, truth = _data(case, 240, seed=trial)
    cloud = 1e-3 * np.random.default_rng(trial).normal(size=(members, 3))
    first, good = 200, 0
    for k in range(240):
        if k == 40:
            run.carry = run.programs.pack(_moved(run, truth[15] + cloud))
        report = run.step(y[k], t=float(t[k]))
        if k >= 40:
            if report.alarms and first == 200:
                first = k - 39
            error = np.asarray(run.belief.mean()) - truth[k]
            good = good + 1 if np.sqrt(np.mean(error**2)) < np.sqrt(2.0) else 0
            if good == 3:
                return first, k - 41
    return first, 200


def _moved(run: sa.Assimilator, members: np.ndarray) -> Any:
    swap = lambda x: jnp.asarray(members) if x.shape == members.shape else x
    return jax.tree.map(swap, run.running)


def measure_memory(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield resident memory along a run, late and double rows and checkpoints in it."""
    case = cases.lorenz63_sakov2012()
    y, _, _ = _data(case, 10_000)
    method = sa.EnsembleTransformKalman(10, 1.02)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        run = sa.Assimilator(case.model, method, checkpoint=path, key=KEY)
        sizes, files = [], []
        for k in range(asked.steps):
            if k % 100 != 50:
                run.step(y[k % len(y)], t=case.interval * k)
            if k % 100 == 52:  # what was left out comes late, and what came comes again
                run.step(y[(k - 2) % len(y)], t=case.interval * (k - 2))
                run.step(y[k % len(y)], t=case.interval * k)
            if (k + 1) % (asked.steps // 10) == 0:
                sizes.append(round(_resident() / 2**20, 2))
                files.append(path.stat().st_size if path.exists() else 0)
        yield {
            "case": "memory, lorenz63, ETKF M=10",
            "steps": asked.steps,
            "late": run.tally["late"],
            "duplicate": run.tally["duplicate"],
            "resident_MiB": sizes,
            "checkpoint_bytes": files,
            "finite": bool(np.isfinite(run.belief.members).all()),
        }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE"
    )


def measure_intervals(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the coverage of intervals of the next observation, raw and calibrated.

    The observations are noisier than the model says by a factor: right at first, then
    two, then a half, a third of the run each.
    """
    case = cases.lorenz63_sakov2012(model_noise=0.02)
    runs = {f"lorenz63, noise sd x{x}": x for x in (1.0, 2.0, 0.5)}
    factors = np.repeat([1.0, 2.0, 0.5], -(-asked.steps // 3))[: asked.steps, None]
    for name, scale in [*runs.items(), ("lorenz63, noise sd x1, x2, x0.5", factors)]:
        y, t, truth = _data(case, asked.steps)
        yield _covered(name, case, truth + scale * (y - truth), t)
    wrong = cases.slider_twin(bias=-0.14, model_noise=1e-4)
    y, t, _ = _data(wrong, asked.steps // 4)
    yield _covered("slider twin C, b - a 14 % too small", wrong, y, t)


def _covered(
    name: str, case: cases.Case, y: np.ndarray, t: np.ndarray
) -> dict[str, Any]:
    run = sa.Assimilator(case.model, sa.BridgeFilter(members=50), key=KEY)
    raw, held, width = [], [], []
    for k in range(len(y)):
        ends = run.step(y[k], t=float(t[k])).interval
        raw.append((ends.raw_lower <= y[k]) & (y[k] <= ends.raw_upper))
        held.append((ends.lower <= y[k]) & (y[k] <= ends.upper))
        width.append((ends.upper - ends.lower) / (ends.raw_upper - ends.raw_lower))
    line: dict[str, Any] = {"case": f"intervals, {name}", "steps": len(y)}
    for row, level in enumerate((50, 90)):
        for word, values in (("raw", raw), ("calibrated", held)):
            inside = np.array(values)[case.burn :, row]
            line[f"{word}{level}"] = round(100.0 * float(inside.mean()), 2)
            thirds = [100.0 * float(x.mean()) for x in np.array_split(inside, 3)]
            line[f"{word}{level}_thirds"] = [round(x, 1) for x in thirds]
    line["width90_end"] = round(float(np.mean(width[-1][1])), 3)
    return line


def _data(
    case: cases.Case, rows: int, seed: int = 7
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observations, times and truth."""
    twin = case.simulate(key=jax.random.key(seed), cycles=rows)
    seen = twin.observations
    return np.asarray(seen.y), np.asarray(seen.t), np.asarray(twin.states)


WHAT = {
    "latency": measure_latency,
    "ladder": measure_ladder,
    "recovery": measure_recovery,
    "memory": measure_memory,
    "intervals": measure_intervals,
}


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=sorted(WHAT), default="latency")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--trials", type=int, default=100, help="of recovery")
    parser.add_argument("--only", default="", help="part of the name of a case")
    parser.add_argument("--json", type=Path, default=None, help="also write lines here")
    asked = parser.parse_args()
    lines = []
    for found in WHAT[asked.what](asked):
        lines.append({"benchmark": "realtime", "what": asked.what} | found)
        print(json.dumps(lines[-1]), flush=True)
    if asked.json is not None:
        asked.json.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
