"""The whole of `slipstate assimilate` but its page: a case followed by a method."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from slipstate.assimilate import (
    AbstractFilter,
    Observations,
    Running,
    filter_series,
    init,
)
from slipstate.assimilate.cases import Case, Twin
from slipstate.assimilate.state_file import as_leaf, as_numbers
from slipstate.fit import ChunkLog, fingerprint
from slipstate.fit.progress import Progress
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key
from slipstate.watch.case_choices import choose_case, choose_filter, ensemble_size
from slipstate.watch.case_chunk import draw_stretch, score_stretch
from slipstate.watch.case_dataset import case_dataset
from slipstate.watch.case_names import noise_sd
from slipstate.watch.output import CHECKPOINT

_CHUNK = 100  # cycles that are followed, scored and kept together


def run_case(
    folder: Path,
    *,
    case: str,
    method: str,
    members: int | None,
    cycles: int,
    seed: int,
    resume: bool,
    progress: Progress,
) -> xr.Dataset:
    """Follow a benchmark case with a method, and judge it.

    Args:
        folder: Output folder; finished chunks are kept in its checkpoint.
        case: Name of the case.
        method: Name of the method.
        members: Size of the ensemble; None for the usual one.
        cycles: Number of observations.
        seed: Seed of truth, noise and ensemble.
        resume: Go on from what is there.
        progress: Shows what is going on.

    Returns:
        The run with its scores.

    Raises:
        InputError: A name is unknown, or a number is too small.
        MethodError: The method cannot treat this case.
        CheckpointError: What is to be resumed was made with other settings.
    """
    choice = choose_filter(method)
    count = ensemble_size(choice, case, members)
    built = choose_case(case, count)
    if cycles < built.burn + 20:
        raise InputError(
            f"`--cycles` must be at least {built.burn + 20}, the burn-in of {case} and "
            f"20 to score; got {cycles}. Pass 1000."
        )
    if seed < 0:
        raise InputError(f"`--seed` must not be negative; got {seed}. Pass 1.")
    settings = {
        "case": case,
        "method": method,
        "members": count,
        "cycles": cycles,
        "seed": seed,
    }
    log = ChunkLog(folder / CHECKPOINT, fingerprint([], settings))
    truth_key, build_key, run_key, draw_key = jax.random.split(jax.random.key(seed), 4)
    used = choice.build(built, count, build_key)
    start = init(built.model, used, key=run_key)
    with progress.task("simulating the case", "case") as advance:
        advance(0, 1)
        twin = built.simulate(key=truth_key, cycles=cycles)
        advance(1, 1)
    chunks = _follow(built, used, start, twin, count, draw_key, log, resume, progress)
    facts = settings | {
        "method_words": choice.words,
        "settings": " ".join(repr(used).split())[:400],
        "members_words": f"{count} members" if choice.usual[0] else f"{count} draws",
    }
    return case_dataset(built, used, twin, chunks, facts)


def _follow(
    case: Case,
    method: AbstractFilter,
    start: Running,
    twin: Twin,
    count: int,
    key: Key,
    log: ChunkLog,
    resume: bool,
    progress: Progress,
) -> list[dict[str, np.ndarray]]:
    """Follow a twin chunk by chunk, from wherever the log ends."""
    cycles = len(twin.observations)
    found = log.resume() if resume else []
    if not found:
        log.start()
    kept = [
        {name: x for name, x in chunk.arrays.items() if not name.startswith("carry/")}
        for chunk in found
    ]
    running = _restore(found[-1].arrays, start) if found else start
    with progress.task(f"following {case.name}", "cycle") as advance:
        advance(min(len(kept) * _CHUNK, cycles), cycles)
        for first in range(len(kept) * _CHUNK, cycles, _CHUNK):
            drawn = jax.random.fold_in(key, first)
            chunk, running = _chunk(case, method, running, twin, first, count, drawn)
            log.append(chunk, _arrays(running))
            kept.append(chunk)
            advance(min(first + _CHUNK, cycles), cycles)
    return kept


def _chunk(
    case: Case,
    method: AbstractFilter,
    running: Running,
    twin: Twin,
    first: int,
    count: int,
    key: Key,
) -> tuple[dict[str, np.ndarray], Running]:
    """Follow one chunk, padded with masked rows so that all are one program."""
    seen = twin.observations
    length = min(_CHUNK, len(seen) - first)
    rows = slice(first, first + length)
    y = np.full((_CHUNK, seen.y.shape[1]), np.nan)
    y[:length] = np.asarray(seen.y)[rows]
    t = case.interval * (first + np.arange(float(_CHUNK)))
    given = Observations(jnp.asarray(y), jnp.asarray(t))
    result = filter_series(case.model, given, method, running=running)
    members = draw_stretch(case, method, result, count, key)
    scored = slice(min(length, max(0, case.burn - first)), None)
    truth = np.asarray(twin.states)[rows]
    return score_stretch(
        members, result, truth, y[:length], noise_sd(case), scored, first
    ), result.final


def _arrays(running: Running) -> dict[str, np.ndarray]:
    """Return the arrays of a running state by number."""
    leaves = jax.tree.leaves(eqx.filter(running, eqx.is_array))
    return {f"{k}": np.asarray(as_numbers(leaf)) for k, leaf in enumerate(leaves)}


def _restore(arrays: dict[str, np.ndarray], like: Running) -> Running:
    """Return the running state of a chunk."""
    leaves, structure = jax.tree.flatten(eqx.filter(like, eqx.is_array))
    found = [as_leaf(arrays[f"carry/{k}"], leaf) for k, leaf in enumerate(leaves)]
    return eqx.combine(jax.tree.unflatten(structure, found), like)
