"""Paths of a hidden mode: the most probable one, and draws of all.

The path of highest probability (Viterbi 1967) is not the sequence of the most probable
modes: every step of it is possible. Draws (forward filtering, backward sampling) tell
what a path may be and how long the system stays where it is.

References:
    Viterbi (1967), Error bounds for convolutional codes, IEEE Trans. Inf. Theory 13.
    Scott (2002), Bayesian methods for hidden Markov models, J. Am. Stat. Assoc. 97.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from slipstate.assimilate.hidden_markov import require_hidden_markov, step_matrices
from slipstate.assimilate.mode_messages import Matrices, log_sum
from slipstate.assimilate.mode_passes import filter_modes
from slipstate.assimilate.observations import Observations
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key, Scalar
from slipstate.systems.hidden_markov import HiddenMarkov, pasts, safe_log


class ModePath(eqx.Module):
    """The most probable path.

    Attributes:
        modes: Its mode at each row.
        log_prob: log p(path, observations) [nats]; minus infinity where no path is
            possible, NaN where an observation is impossible in itself.
    """

    modes: Int[Array, " time"]
    log_prob: Scalar


def most_probable_path(model: HiddenMarkov, observations: Observations) -> ModePath:
    """Return the most probable path of the mode, by dynamic programming.

    Of two equally probable predecessors the one with the lower number is taken.

    Args:
        model: The model.
        observations: The series; its first row has the initial probabilities.

    Raises:
        MethodError: It is no hidden Markov model.
        InputError: An observed value is impossible.
    """
    hidden = require_hidden_markov(model, "most_probable_path")
    hidden.observation.check(observations.y, observations.mask)
    return _best_path(hidden, observations)


def sample_states(
    model: HiddenMarkov, observations: Observations, *, count: int = 1, key: Key
) -> Int[Array, "count time"]:
    """Draw paths of the mode given all observations.

    Args:
        model: The model.
        observations: The series; its first row has the initial probabilities.
        count: Number of paths.
        key: Random key.

    Returns:
        One path per row.

    Raises:
        MethodError: It is no hidden Markov model.
        InputError: An observed value is impossible, or no path is asked for.
    """
    hidden = require_hidden_markov(model, "sample_states")
    if count < 1:
        raise InputError(f"`count` must be at least 1; got {count}. Ask for a path.")
    hidden.observation.check(observations.y, observations.mask)
    return _draw_paths(hidden, observations, count, key)


@eqx.filter_jit
def _best_path(model: HiddenMarkov, observations: Observations) -> ModePath:
    """Pass forwards for scores, then backwards for the path."""
    first, matrices, emitted = _prepare(model, observations)
    logs = safe_log(matrices)
    steady = logs.ndim == 2

    def ahead(score: Array, step: Any) -> tuple[Array, Array]:
        matrix, term = (logs, step) if steady else step
        best = jnp.max(score[:, None] + matrix, axis=0) + term
        # only differences matter; a sum over a million rows would lose them
        best = best - jnp.max(best)
        return best, score

    start = first + emitted[0]
    start = start - jnp.max(start)
    later = emitted[1:] if steady else (logs, emitted[1:])
    last, scores = jax.lax.scan(ahead, start, later)

    def back(mode: Array, step: Any) -> tuple[Array, Array]:
        score, matrix = (step, logs) if steady else step
        before = jnp.argmax(score + matrix[:, mode])
        return before, before

    end = jnp.argmax(last)
    given = scores if steady else (scores, logs)
    _, modes = jax.lax.scan(back, end, given, reverse=True)
    modes = jnp.concatenate([modes, end[None]])
    moves = logs[modes[:-1], modes[1:]]
    if not steady:
        moves = logs[jnp.arange(len(logs)), modes[:-1], modes[1:]]
    total = first[modes[0]] + jnp.sum(moves)
    return ModePath(modes, total + jnp.sum(emitted[jnp.arange(len(modes)), modes]))


@eqx.filter_jit
def _draw_paths(
    model: HiddenMarkov, observations: Observations, count: int, key: Key
) -> Int[Array, "count time"]:
    """Filter forwards, then draw backwards, all paths side by side."""
    first, matrices, emitted = _prepare(model, observations)
    filtered = filter_modes(first, matrices, emitted).filtered
    logs = safe_log(matrices)
    steady = logs.ndim == 2
    rows = emitted.shape[0]

    # one number for each row and path, as many as are returned
    points = jax.random.uniform(key, (rows, count), filtered.dtype)

    def back(modes: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
        log_probs, point = step[:2]
        matrix = logs if steady else step[2]
        drawn = _draw(log_probs[None] + matrix[:, modes].T, point)
        return drawn, drawn

    alike = jnp.broadcast_to(filtered[-1], (count, filtered.shape[1]))
    end = _draw(alike, points[-1])
    given = (filtered[:-1], points[:-1])
    given = given if steady else (*given, logs)
    _, modes = jax.lax.scan(back, end, given, reverse=True)
    return jnp.concatenate([modes, end[None]]).T


def _draw(
    logits: Float[Array, "count mode"], point: Float[Array, " count"]
) -> Int[Array, " count"]:
    """Return the mode that a number between 0 and 1 falls upon, in each row."""
    top = jnp.max(logits, axis=1, keepdims=True)
    upto = jnp.cumsum(jnp.exp(logits - top), axis=1)
    # strictly beyond: a mode of probability zero is never drawn
    return jnp.argmax(upto > (point * upto[:, -1])[:, None], axis=1)


def _prepare(
    model: HiddenMarkov, observations: Observations
) -> tuple[Float[Array, " mode"], Matrices, Float[Array, "time mode"]]:
    """Return first log probabilities, step matrices and log p(y | mode)."""
    y, mask, t, u = observations.rows()
    emitted = model.observation.log_probs(y, mask, pasts(model.start_past(), y, mask))
    dts = jnp.diff(t, prepend=t[:1] - 1.0).astype(y.dtype)
    log_probs = model.initial.log_probs
    return log_probs - log_sum(log_probs), step_matrices(model, u, dts), emitted
