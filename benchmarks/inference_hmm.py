"""Hidden Markov inference beside its peers: one JSON line per result.

    python benchmarks/inference_hmm.py            # T = 10,000, 16 modes, 4 components
    python benchmarks/inference_hmm.py stream     # a million rows in bounded memory

All see the same process and data in one run. CPU seconds, of all threads, are the mean
over the later calls, because the clock of a thread ticks too coarsely for one; wall
seconds are the least. A first call minus a later one is what compiling costs. hmmlearn
computes in one thread, but its BLAS waits in others: OMP_NUM_THREADS=1 shows it at its
best. Peers that are not installed are left out; dynamax needs its own environment.
"""

import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

# ruff: noqa: E402 - the process is prepared before jax is imported
from slipstate.ground.platform import prepare_process

prepare_process(x64=True)

import jax
import numpy as np

from slipstate.assimilate import (
    ForwardBackward,
    Observations,
    filter_stretches,
    mode_posterior,
    most_probable_path,
    posterior_stretches,
    sample_states,
    smooth_series,
)
from slipstate.fit import baum_welch
from slipstate.systems import GaussianEmission, HiddenMarkov

MODES, OBS, ROWS, REPEATS = 16, 4, 10_000, 40
STRETCH, MILLION = 10_000, 1_000_000


def process() -> HiddenMarkov:
    """Return a model of 16 modes that overlap."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(MODES, OBS, OBS))
    covs = root @ root.transpose(0, 2, 1) / OBS + 0.3 * np.eye(OBS)
    matrix = 0.9 * np.eye(MODES) + 0.1 * rng.dirichlet(np.ones(MODES), size=MODES)
    emission = GaussianEmission(2.0 * rng.normal(size=(MODES, OBS)), covs)
    return HiddenMarkov(rng.dirichlet(np.ones(MODES)), matrix, emission)


def timed(call: Callable[[], Any], repeats: int = REPEATS) -> tuple[Any, dict]:
    """Return what a call gives, and what its first and its later runs cost."""

    def once() -> tuple[Any, float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        got = jax.block_until_ready(call())
        return got, time.process_time() - cpu, time.perf_counter() - wall

    got, first_cpu, first = once()
    start = time.process_time()
    wall = min(once()[2] for _ in range(repeats))
    cpu = (time.process_time() - start) / repeats
    return got, {
        "cpu_ms": round(1e3 * cpu, 2),
        "wall_ms": round(1e3 * wall, 2),
        "compile_s": round(first - wall, 2),
        "compile_cpu_s": round(first_cpu - cpu, 2),
    }


def report(what: str, who: str, costs: dict, **more: float | str) -> None:
    """Print one line."""
    line = {"benchmark": "hmm", "what": what, "who": who} | costs | more
    line["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(line), flush=True)


def ours(model: HiddenMarkov, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Time slipstate; return log-likelihood and posterior probabilities."""
    data = Observations(y)
    got, costs = timed(lambda: mode_posterior(model, data))
    height = float(got.log_likelihood)
    report("posterior", "slipstate", costs, log_likelihood=height)
    found, costs = timed(lambda: smooth_series(model, data, ForwardBackward()))
    report(
        "smooth_series", "slipstate", costs, log_likelihood=float(found.log_likelihood)
    )
    blocked = ForwardBackward(block=100)
    found, costs = timed(lambda: smooth_series(model, data, blocked))
    report("smooth_series", "slipstate, blocks of 100", costs)
    best, costs = timed(lambda: most_probable_path(model, data))
    report("path", "slipstate", costs, log_prob=float(best.log_prob))
    key = jax.random.key(1)
    _, costs = timed(lambda: sample_states(model, data, count=10, key=key), 3)
    report("10 sampled paths", "slipstate", costs)
    steps = lambda: baum_welch(model, data, tolerance=-1.0, max_steps=10).value
    _, costs = timed(steps, 2)
    report("10 steps of EM", "slipstate", costs)
    return height, np.asarray(got.probs)


def hmmlearn(model: HiddenMarkov, y: np.ndarray, height: float, probs: np.ndarray):
    """Time hmmlearn in both of its forms."""
    from hmmlearn.hmm import GaussianHMM

    for form in ("log", "scaling"):
        peer = GaussianHMM(
            MODES,
            covariance_type="full",
            implementation=form,
            init_params="",
            n_iter=10,
            tol=-np.inf,
            covars_prior=0,
            covars_weight=0,
        )
        peer.startprob_ = np.asarray(model.initial.probs())
        peer.transmat_ = np.asarray(model.chain.probs)
        peer.means_ = np.asarray(model.emission.means)
        peer.n_features = OBS
        peer.covars_ = np.asarray(model.emission.covs)
        (score, found), costs = timed(lambda peer=peer: peer.score_samples(y))
        report(
            "posterior",
            f"hmmlearn, {form}",
            costs,
            log_likelihood=float(score),
            relative_difference=float(abs(score - height) / abs(height)),
            posterior_difference=float(np.abs(found - probs).max()),
        )
        (score, _), costs = timed(lambda peer=peer: peer.decode(y))
        report("path", f"hmmlearn, {form}", costs, log_prob=float(score))
    _, costs = timed(lambda: peer.fit(y), 2)
    report("10 steps of EM", "hmmlearn, scaling", costs)


def dynamax(model: HiddenMarkov, y: np.ndarray, height: float, probs: np.ndarray):
    """Time dynamax on log p(y | mode) computed inside, as for the others."""
    from dynamax.hidden_markov_model import hmm_smoother
    from jax.scipy.stats import multivariate_normal

    means, covs = model.emission.means, model.emission.covs

    @jax.jit
    def run(y):
        each = jax.vmap(multivariate_normal.logpdf, in_axes=(None, 0, 0))
        emitted = each(y, means, covs).T
        return hmm_smoother(model.initial.probs(), model.chain.probs, emitted)

    values = jax.numpy.asarray(y)
    got, costs = timed(lambda: run(values))
    report(
        "posterior",
        "dynamax",
        costs,
        log_likelihood=float(got.marginal_loglik),
        relative_difference=abs(float(got.marginal_loglik) - height) / abs(height),
        posterior_difference=float(np.abs(got.smoothed_probs - probs).max()),
    )


class Stretches:
    """A million rows that are drawn, a stretch at a time, when they are asked for."""

    def __init__(self, model: HiddenMarkov) -> None:
        """Keep the model."""
        self.model = model
        self.draw = jax.jit(lambda key: model.draw_path(STRETCH, key=key)[1])

    def __len__(self) -> int:
        """Return the number of stretches."""
        return MILLION // STRETCH

    def __getitem__(self, number: int) -> Observations:
        """Draw a stretch."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        t = np.arange(number * STRETCH, (number + 1) * STRETCH)
        return Observations(self.draw(jax.random.key(number)), t=t)


def stream(model: HiddenMarkov) -> None:
    """Follow a million rows forwards, then forwards and back, and tell the memory."""
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    stretches = Stretches(model)
    warm = stretches[0]
    list(filter_stretches(model, [warm], ForwardBackward()))
    list(posterior_stretches(model, [warm, warm]))
    for what, pieces in (
        (
            "filter, a million rows",
            filter_stretches(model, stretches, ForwardBackward()),
        ),
        ("posterior, a million rows", posterior_stretches(model, stretches)),
    ):
        before, cpu, wall = peak(), time.process_time(), time.perf_counter()
        height = sum(float(piece.log_likelihood) for piece in pieces)
        costs = {
            "cpu_s": round(time.process_time() - cpu, 2),
            "wall_s": round(time.perf_counter() - wall, 2),
            "peak_mb": round(peak()),
            "peak_growth_mb": round(peak() - before),
        }
        report(what, "slipstate", costs, log_likelihood=height)


def main() -> None:
    """Run what is asked for."""
    model = process()
    if "stream" in sys.argv[1:]:
        stream(model)
        return
    y = np.asarray(model.draw_path(ROWS, key=jax.random.key(0))[1])
    height, probs = ours(model, y)
    for name, peer in (("hmmlearn", hmmlearn), ("dynamax", dynamax)):
        if importlib.util.find_spec(name) is not None:
            peer(model, y, height, probs)


if __name__ == "__main__":
    main()
