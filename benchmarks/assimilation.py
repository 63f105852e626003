"""Ensemble, particle and variational filters on benchmark cases, beside DAPPER.

Where DAPPER is installed, it simulates truth and observations and both follow the same
data, so that differences are paired; else the case simulates its own. One JSON line per
program and seed, then one with paired differences. Times are processor time per cycle
of forecast, update, likelihood, and means and variances before and after, once
everything is compiled. NumPy is held to one thread, as a second one only waits:

    python benchmarks/assimilation.py --case lorenz96_sakov2008 --method etkf --seeds 4
    python benchmarks/assimilation.py --case constant_velocity --method kalman
"""

# ruff: noqa: E402 - the process is prepared before jax is imported
import os

from slipstate.ground.platform import prepare_process

prepare_process()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before NumPy is imported

import argparse
import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from slipstate import assimilate as sa
from slipstate.assimilate import cases
from slipstate.ground.errors import MethodError
from slipstate.systems import Gaussian

# Case: module of DAPPER, and steps between its observations where they differ.
CASES: dict[str, tuple[Callable[[], Any], str | None, int | None]] = {
    "lorenz63_sakov2012": (
        cases.lorenz63_sakov2012,
        "dapper.mods.Lorenz63.sakov2012",
        None,
    ),
    "lorenz63_wiljes2017": (cases.lorenz63_wiljes2017, None, None),
    "lorenz63_mandel2016": (cases.lorenz63_mandel2016, None, None),
    "lorenz63_distance": (cases.lorenz63_distance, None, None),
    "lorenz96_sakov2008": (
        cases.lorenz96_sakov2008,
        "dapper.mods.Lorenz96.sakov2008",
        None,
    ),
    "lorenz96_bocquet2013": (
        cases.lorenz96_bocquet2013,
        "dapper.mods.Lorenz96.sakov2008",
        4,
    ),
    "lorenz96_spantini2019": (
        cases.lorenz96_spantini2019,
        "dapper.mods.Lorenz96.spantini2019",
        None,
    ),
    "lorenz96_bao2024": (cases.lorenz96_bao2024, None, None),
    "kuramoto_sivashinsky_bocquet2019": (
        cases.kuramoto_sivashinsky_bocquet2019,
        "dapper.mods.KS.bocquet2019",
        None,
    ),
    "double_well": (cases.double_well, None, None),
    "constant_velocity": (cases.constant_velocity, None, None),
    "slider_twin": (cases.slider_twin, None, None),
}


def methods(case: str, size: int, M: int | None) -> dict[str, tuple[Any, str | None]]:
    """Return methods of slipstate with DAPPER's for the same, in its own words.

    Args:
        case: Name of the case.
        size: Number of state components.
        M: Number of members; None for the accepted setting.
    """
    field = size > 3
    ring = sa.on_ring(size, 4.0) if field else None
    wide = sa.on_ring(size, 6.0) if field else None
    far = case == "lorenz96_bocquet2013"
    n = lambda usual: usual if M is None else M
    lag = 4 if far else 1
    found: dict[str, tuple[Any, str | None]] = {
        "etkf": (
            sa.EnsembleTransformKalman(
                n(24 if field else 10), 1.013 if field else 1.02
            ),
            f"EnKF('Sqrt',N={n(24 if field else 10)},rot=True,"
            f"infl={1.013 if field else 1.02})",
        ),
        "enkf": (
            sa.StochasticEnsembleKalman(
                n(40 if field else 10), 1.06 if field else 1.04
            ),
            f"EnKF('PertObs',N={n(40 if field else 10)},"
            f"infl={1.06 if field else 1.04})",
        ),
        "denkf": (
            sa.DeterministicEnsembleKalman(n(40), 1.01),
            f"EnKF('DEnKF',N={n(40)},infl=1.01)",
        ),
        "enkf-n": (
            sa.FiniteSizeEnsembleKalman(n(24 if field else 10), 2.0 if field else 1.0),
            f"EnKF_N(N={n(24 if field else 10)},rot=True,xN={2.0 if field else 1.0})",
        ),
        "eakf": (
            sa.SerialEnsembleAdjustment(
                n(7 if field else 20), wide, 1.07 if field else 1.02
            ),
            f"SL_EAKF(N={n(7)},rot=True,infl=1.07,loc_rad=6)" if field else None,
        ),
        "rhf": (sa.RankHistogramFilter(n(50), wide), None),
        "netf": (sa.NonlinearEnsembleTransform(n(40), ring, 1.02), None),
        "ienks": (
            sa.IterativeEnsembleKalmanSmoother(n(20 if field else 10), lag, 1.02),
            f"iEnKS('Sqrt',N={n(20 if field else 10)},Lag={lag},infl=1.02,rot=True)",
        ),
        "pf": (
            sa.ParticleFilter(
                n(3000 if field else 800), 0.5 if field else 0.2, 0.7 if field else 0.9
            ),
            f"PartFilt(N={n(3000 if field else 800)},NER={0.5 if field else 0.2},"
            f"reg={0.7 if field else 0.9})",
        ),
        "gsf": (sa.GaussianSum(n(50)), None),
        "bridge": (sa.BridgeFilter(n(20)), None),
        "kalman": (sa.Kalman(), None),
    }
    if ring is not None:
        local = sa.LocalEnsembleTransformKalman(ring, n(7), 1.04)
        found["letkf"] = (local, f"LETKF(N={n(7)},rot=True,infl=1.04,loc_rad=4)")
    if case.startswith("lorenz96"):
        background = cases.lorenz96_climate(size)
        found["3dvar"] = (sa.FourDVar(0.02 * background, 0), "Var3D(xB=0.02)")
        narrow = 0.02 if far else 0.2  # the accepted variance for this window
        words = f"Var4D(B='eye',Lag={lag},xB={narrow})"
        found["4dvar"] = (sa.FourDVar(narrow * np.eye(size), lag, 5), words)
    return found


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=sorted(CASES), default="lorenz63_sakov2012")
    parser.add_argument("--method", default="etkf")
    parser.add_argument("--members", type=int, default=None)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None, help="also write lines here")
    asked = parser.parse_args()
    build, module, dko = CASES[asked.case]
    case = build()
    size = len(case.model.initial.mean())
    offered = methods(asked.case, size, asked.members)
    if asked.method not in offered:
        parser.error(f"--method must be one of {', '.join(sorted(offered))}")
    method, words = offered[asked.method]
    lines: list[dict[str, Any]] = []

    def report(line: dict[str, Any]) -> None:
        start = {"benchmark": "assimilation", "case": asked.case}
        lines.append(start | {"method": asked.method} | line)
        print(json.dumps(lines[-1]), flush=True)

    peer, reason = load_peer(case, module, words, dko, asked.cycles)
    if peer is None:
        report({"program": "DAPPER", "skipped": reason})
    pairs = []
    for seed in range(1, asked.seeds + 1):
        data = own_data(case, seed, asked.cycles) if peer is None else peer.data(seed)
        ours = follow(case, method, data, seed)
        report({"program": "slipstate", "seed": seed} | ours)
        if peer is not None:
            try:
                theirs = peer.follow(case.burn)
            except Exception as error:  # noqa: BLE001 - a failure of a peer is a line
                report({"program": "DAPPER", "seed": seed, "failed": repr(error)})
                continue
            report({"program": "DAPPER", "seed": seed} | theirs)
            pairs.append([ours, theirs])
        if asked.case == "constant_velocity":
            theirs = filterpy_follow(case, data)
            report({"program": "filterpy", "seed": seed} | theirs)
    if len(pairs) > 1:
        report({"program": "slipstate - DAPPER"} | paired(pairs))
    if asked.json is not None:
        asked.json.write_text("".join(json.dumps(line) + "\n" for line in lines))


def own_data(case: Any, seed: int, cycles: int) -> tuple[Any, ...]:
    """Return model, truth, observations and where the prior holds."""
    twin = case.simulate(key=jax.random.key(seed), cycles=cycles)
    return case.model, np.asarray(twin.states), twin.observations, "first"


def follow(
    case: Any, method: Any, data: tuple[Any, ...], seed: int
) -> dict[str, float]:
    """Return scores and milliseconds per cycle of slipstate."""
    model, truth, observations, prior_at = data
    run = lambda cov: jax.block_until_ready(
        sa.filter_series(
            model,
            observations,
            method,
            key=jax.random.key(1000 + seed),
            prior_at=prior_at,
            cov=cov,
        )
    )
    result = run("full")
    wall = time.perf_counter()
    run("diagonal")
    first = time.perf_counter() - wall
    times = []
    for _ in range(5):
        start = time.process_time()
        run("diagonal")
        times.append(time.process_time() - start)
    means = np.asarray(result.means)
    sds = np.sqrt(np.asarray(jax.vmap(jnp.diag)(result.covs)))
    line = scores(truth, means, sds, case.burn)
    try:
        members, weights = np.asarray(result.ensembles), np.asarray(result.weights)
        if np.allclose(weights, weights[0, 0]):
            late = slice(case.burn, None)
            crps = sa.fair_crps(
                jnp.asarray(truth[late]), jnp.asarray(members[late]), axis=1
            )
            ends = sa.central_interval(members[late], 0.9, axis=1)
            line |= {
                "fair_crps": float(np.mean(crps)),
                "coverage90_members": sa.coverage(truth[late], *ends),
                "coverage90_target": sa.coverage_target(0.9, members.shape[1]),
            }
    except MethodError:
        pass  # no members: the Gaussian scores stand alone
    line |= {
        "log_likelihood": float(result.log_likelihood),
        "ms_per_cycle": 1e3 * min(times) / len(truth),
        "first_call_s": first,
        "load": os.getloadavg()[0],
    }
    return line


def scores(truth: Any, means: Any, sds: Any, burn: int) -> dict[str, float]:
    """Return RMSE, Gaussian CRPS, coverage and spread after the burn-in."""
    error, sds = (means - truth)[burn:], np.maximum(sds[burn:], 1e-12)
    crps = sa.crps_gaussian(jnp.asarray(error), jnp.zeros_like(error), jnp.asarray(sds))
    inside = np.abs(error) <= 1.6448536269514722 * sds
    return {
        "rmse": float(np.mean(np.sqrt(np.mean(error**2, axis=1)))),
        "crps": float(np.mean(crps)),
        "coverage90": float(inside.mean()),
        "spread": float(np.mean(np.sqrt(np.mean(sds**2, axis=1)))),
        "finite": bool(np.isfinite(means).all()),
    }


def paired(pairs: list[list[dict[str, float]]]) -> dict[str, float]:
    """Return mean differences over seeds with standard errors, and the speed ratio."""
    line: dict[str, float] = {"seeds": len(pairs)}
    for name in ("rmse", "crps", "coverage90"):
        gaps = np.array([ours[name] - theirs[name] for ours, theirs in pairs])
        line[name] = float(gaps.mean())
        line[f"{name}_se"] = float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    fast = min(ours["ms_per_cycle"] for ours, _ in pairs)
    slow = min(theirs["ms_per_cycle"] for _, theirs in pairs)
    line["times_faster"] = slow / fast
    return line


class Dapper:
    """A case of DAPPER and one of its methods."""

    def __init__(
        self, package: Any, module: Any, case: Any, words: str, dko: int | None, n: int
    ) -> None:
        """Keep the case, with `n` observations."""
        self.case = case
        package.rc.liveplotting = False
        self.package, self.words = package, words
        self.hmm = module.HMM.copy()
        if dko is not None:
            self.hmm.tseq.dko = dko
        self.hmm.tseq.Ko = n - 1
        self.xx, self.yy, self.truth = [], [], np.zeros(())

    def data(self, seed: int) -> tuple[Any, ...]:
        """Simulate, and return the same for slipstate."""
        self.package.set_seed(seed)
        self.xx, self.yy = self.hmm.simulate()
        case, ticks = self.case, self.hmm.tseq
        start = Gaussian(
            jnp.asarray(self.hmm.X0.mu, float), jnp.asarray(self.hmm.X0.C.full, float)
        )
        model = eqx.tree_at(lambda m: m.initial, case.model, start)
        t = case.interval * np.arange(1.0, len(self.yy) + 1.0)
        self.truth = np.asarray(self.xx[ticks.kko])
        observations = sa.Observations(np.stack(list(self.yy)), t=t)
        return model, self.truth, observations, "before"

    def follow(self, burn: int) -> dict[str, float]:
        """Return scores and milliseconds per cycle of DAPPER."""
        import dapper.da_methods as da

        method = eval(f"da.{self.words}", {"da": da})
        start = time.process_time()
        method.assimilate(self.hmm, self.xx, self.yy)
        seconds = time.process_time() - start
        line = scores(self.truth, method.stats.mu.a, method.stats.spread.a, burn)
        return line | {"ms_per_cycle": 1e3 * seconds / len(self.yy)}


def load_peer(
    case: Any, module: str | None, words: str | None, dko: int | None, cycles: int
) -> tuple[Dapper | None, str]:
    """Return DAPPER with a case, or why there is none."""
    if module is None or words is None:
        return None, "has no such case or method as shipped"
    try:
        package = importlib.import_module("dapper")
        found = importlib.import_module(module)
        return Dapper(package, found, case, words, dko, cycles), ""
    except Exception as error:  # noqa: BLE001 - any failure of a peer is a reason
        return None, f"{type(error).__name__}: {error}"


def filterpy_follow(case: Any, data: tuple[Any, ...]) -> dict[str, Any]:
    """Return log-likelihood and milliseconds per cycle of filterpy's Kalman filter."""
    try:
        from filterpy.kalman import KalmanFilter
    except ImportError as error:
        return {"skipped": f"{type(error).__name__}: {error}"}
    model, truth, observations, _ = data
    theirs = KalmanFilter(dim_x=4, dim_z=2)
    theirs.x = np.asarray(model.initial.mean())[:, None]
    theirs.P = np.asarray(model.initial.cov())
    theirs.F, theirs.Q = np.asarray(model.transition.F), np.asarray(model.transition.Q)
    theirs.H, theirs.R = (
        np.asarray(model.observation.H),
        np.asarray(model.observation.R),
    )
    total, means = 0.0, []
    start = time.process_time()
    for row, y in enumerate(np.asarray(observations.y)):
        if row:
            theirs.predict()
        theirs.update(y[:, None])
        total += theirs.log_likelihood
        means.append(theirs.x[:, 0])
    seconds = time.process_time() - start
    error = (np.array(means) - truth)[case.burn :]
    return {
        "rmse": float(np.mean(np.sqrt(np.mean(error**2, axis=1)))),
        "log_likelihood": float(total),
        "ms_per_cycle": 1e3 * seconds / len(truth),
    }


if __name__ == "__main__":
    main()
