"""Posterior probabilities of modes over a series longer than the memory.

The pass forwards keeps where it stood before each stretch; the way back follows each
stretch once more from there and hands the message of its first row to the stretch
before. Every row is followed twice, and one stretch is held at a time.
"""

from collections.abc import Iterator, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.hidden_markov import (
    ForwardBackward,
    ModeInfo,
    ModeState,
    all_matrices,
    require_hidden_markov,
)
from slipstate.assimilate.mode_expectations import ModePosterior
from slipstate.assimilate.mode_passes import smooth_stretch
from slipstate.assimilate.observations import Observations, Rows
from slipstate.assimilate.protocol import Running
from slipstate.assimilate.run import init
from slipstate.systems.hidden_markov import HiddenMarkov

_METHOD = ForwardBackward()


def posterior_stretches(
    model: HiddenMarkov, stretches: Sequence[Observations]
) -> Iterator[ModePosterior]:
    """Follow a series that comes in stretches, and return posteriors from the last on.

    Stretches of equal length share one compiled program. A sequence that reads each
    stretch when it is asked for keeps memory bounded; each is asked for twice.

    Args:
        model: The model.
        stretches: The series, in order.

    Yields:
        The posterior of each stretch given the whole series, the last stretch first.

    Raises:
        MethodError: It is no hidden Markov model.
        InputError: An observed value is impossible.
    """
    hidden = require_hidden_markov(model, "posterior_stretches")
    running = init(hidden, _METHOD)
    before: list[Running] = []
    for stretch in stretches:
        hidden.observation.check(stretch.y, stretch.mask)
        before.append(running)
        running = _forward(hidden, stretch.rows(), running)
    message = jnp.zeros_like(hidden.initial.log_probs)
    for number in reversed(range(len(before))):
        rows = stretches[number].rows()
        found, message = _backward(hidden, rows, before[number], message)
        yield found


@eqx.filter_jit
def _forward(model: HiddenMarkov, rows: Rows, running: Running) -> Running:
    """Return where the run stands after a stretch."""
    return _METHOD.filter_rows(model, running, rows).final


@eqx.filter_jit
def _backward(
    model: HiddenMarkov, rows: Rows, running: Running, message: Float[Array, " mode"]
) -> tuple[ModePosterior, Float[Array, " mode"]]:
    """Return the posterior of a stretch, and the message to the one before.

    Args:
        model: The model.
        rows: The rows of the stretch.
        running: Where the run stood before it.
        message: log p(all later rows | mode at the last row), up to a constant.
    """
    done = _METHOD.filter_rows(model, running, rows)
    filtered, info = done.filtered, done.info
    assert isinstance(filtered, ModeState)
    assert isinstance(info, ModeInfo)
    dts = running.gaps(rows.t)[0].astype(rows.y.dtype)
    matrices = all_matrices(model, rows.u, dts)
    found = smooth_stretch(filtered.log_probs, matrices, info.log_emitted, message)
    terms = jax.vmap(_METHOD.log_likelihood)(info)
    return ModePosterior(terms, jnp.exp(found.log_probs)), found.message
