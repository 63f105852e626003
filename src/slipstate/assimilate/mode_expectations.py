"""What is known about the modes of a whole series, and nothing else, in one pass.

Both recursions of `slipstate.assimilate.mode_messages` run side by side in one loop,
from either end of the series. With a_k the filtered and p_k the predicted
probabilities and w_k the message from behind,

    P(s_k = j | all)               = p_k(j) w_k(j) / z_k,
    P(s_k = i, s_{k+1} = j | all)  = a_k(i) P_ij w_{k+1}(j) / z_{k+1},

z_k = sum_j p_k(j) w_k(j). It is the E-step of Baum and Welch, and the shortest way to
posterior probabilities where innovations and predictions are not asked for.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.hidden_markov import require_hidden_markov, step_matrices
from slipstate.assimilate.mode_messages import (
    Matrices,
    backward,
    log_sum,
    log_turn,
    lost,
    propagate,
    propagate_log,
    scaled_weights,
    through,
)
from slipstate.assimilate.observations import Observations
from slipstate.ground.types import Flag, Scalar
from slipstate.systems.hidden_markov import HiddenMarkov, pasts, safe_log


class Expectations(NamedTuple):
    """Expectations over the modes of one series.

    Attributes:
        step_log_likelihoods: log p(y_k | earlier rows) [nats].
        probs: Probability of each mode at each row given all rows.
        pairs: Expected passages from row to column; their sum where the chain is
            steady, else one entry for each step.
        risky: Whether logarithms are needed, and were not used.
    """

    step_log_likelihoods: Float[Array, " time"]
    probs: Float[Array, "time mode"]
    pairs: Float[Array, "step mode mode"]
    risky: Flag


class ModePosterior(eqx.Module):
    """Probabilities of the modes of a series, given all of it.

    Attributes:
        step_log_likelihoods: log p(y_k | earlier rows) [nats].
        probs: Probability of each mode at each row.
    """

    step_log_likelihoods: Float[Array, " time"]
    probs: Float[Array, "time mode"]

    @property
    def log_likelihood(self) -> Scalar:
        """The log-likelihood of the series [nats]."""
        return jnp.sum(self.step_log_likelihoods)


def mode_posterior(model: HiddenMarkov, observations: Observations) -> ModePosterior:
    """Return the probability of each mode at each row, given all rows.

    The same probabilities as `smooth_series` with `ForwardBackward()` gives, without
    predictions and innovations, in about half the time.

    Args:
        model: The model.
        observations: The series; its first row has the initial probabilities.

    Raises:
        MethodError: It is no hidden Markov model.
        InputError: An observed value is impossible, or sizes disagree.
    """
    hidden = require_hidden_markov(model, "mode_posterior")
    hidden.observation.check(observations.y, observations.mask)
    return _posterior(hidden, observations)


@eqx.filter_jit
def _posterior(model: HiddenMarkov, observations: Observations) -> ModePosterior:
    """Return posterior probabilities, by logarithms where they are needed."""
    y, mask, t, u = observations.rows()
    emitted = model.observation.log_probs(y, mask, pasts(model.start_past(), y, mask))
    dts = jnp.diff(t, prepend=t[:1] - 1.0).astype(y.dtype)
    matrices = step_matrices(model, u, dts)
    counted = jnp.ones(y.shape[0], bool)
    plain = expect(model.initial.probs(), matrices, emitted, counted)

    def careful() -> tuple[Array, Array]:
        found = expect_log(model.initial.log_probs, matrices, emitted, counted)
        return found.step_log_likelihoods, found.probs

    terms, probs = jax.lax.cond(
        plain.risky, careful, lambda: (plain.step_log_likelihoods, plain.probs)
    )
    return ModePosterior(jnp.where(jnp.any(mask, axis=1), terms, 0.0), probs)


def expect(
    first: Float[Array, " mode"],
    matrices: Matrices,
    emitted: Float[Array, "time mode"],
    counted: Bool[Array, " time"],
) -> Expectations:
    """Return the expectations of one series, in plain numbers.

    Args:
        first: Probability of each mode before the first row.
        matrices: Matrix of the step to each row after the first, or of all.
        emitted: log p(y | mode) at each row.
        counted: False at rows that only fill up; the steps to them are not counted.
    """
    top = jnp.max(emitted, axis=1)
    weights = scaled_weights(emitted)
    start = first * weights[0]
    end = weights[-1] / jnp.sum(weights[-1])
    both = jax.vmap(propagate)(
        jnp.stack([start / jnp.sum(start), end]),
        jnp.stack([matrices, backward(matrices)]),
        jnp.stack([weights[1:], weights[:-1][::-1]]),
    )
    filtered = jnp.concatenate([start[None] / jnp.sum(start), both[0]])
    behind = jnp.concatenate([end[None], both[1]])[::-1]
    later = through(filtered[:-1], matrices)
    predicted = jnp.concatenate([first[None], later])
    total = jnp.sum(predicted * behind, axis=1)
    terms = safe_log(jnp.sum(predicted * weights, axis=1)) + top
    scaled = behind[1:] * jnp.where(counted[1:], 1.0 / total[1:], 0.0)[:, None]
    if matrices.ndim == 2:
        pairs = (matrices * (filtered[:-1].T @ scaled))[None]
    else:
        pairs = filtered[:-1, :, None] * matrices * scaled[:, None]
    starved = jnp.any(total < jnp.sqrt(jnp.finfo(total.dtype).tiny))
    risky = starved | lost(later, weights[1:], emitted[1:], matrices)
    earlier = through(behind[1:][::-1], backward(matrices))
    risky = risky | lost(
        earlier, weights[:-1][::-1], emitted[:-1][::-1], backward(matrices)
    )
    return Expectations(terms, predicted * behind / total[:, None], pairs, risky)


def expect_log(
    log_first: Float[Array, " mode"],
    matrices: Matrices,
    emitted: Float[Array, "time mode"],
    counted: Bool[Array, " time"],
) -> Expectations:
    """Return the expectations of one series by logarithms: nothing is too small.

    Args:
        log_first: Log probability of each mode before the first row.
        matrices: Matrix of the step to each row after the first, or of all.
        emitted: log p(y | mode) at each row.
        counted: False at rows that only fill up; the steps to them are not counted.
    """
    log_matrices = safe_log(matrices)
    start = log_first + emitted[0]
    start = start - log_sum(start)
    end = emitted[-1] - log_sum(emitted[-1])
    filtered = propagate_log(start, log_matrices, emitted[1:])
    filtered = jnp.concatenate([start[None], filtered])
    turned = backward(log_matrices)
    behind = propagate_log(end, turned, emitted[:-1][::-1])
    behind = jnp.concatenate([end[None], behind])[::-1]
    predicted = jnp.concatenate(
        [log_first[None], log_turn(filtered[:-1], log_matrices)]
    )
    total = log_sum(predicted + behind, axis=1)
    terms = log_sum(predicted + emitted, axis=1) - log_sum(predicted, axis=1)
    joint = filtered[:-1, :, None] + behind[1:, None]
    joint = joint + (log_matrices if matrices.ndim == 3 else log_matrices[None])
    each = jnp.exp(joint - total[1:, None, None])
    each = jnp.where(counted[1:, None, None], each, 0.0)
    pairs = jnp.sum(each, axis=0, keepdims=True) if matrices.ndim == 2 else each
    probs = jnp.exp(predicted + behind - total[:, None])
    return Expectations(terms, probs, pairs, jnp.asarray(False))
