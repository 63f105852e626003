"""How many hidden modes: fits of different size beside each other.

Two questions, two answers. The Bayesian information criterion asks which size explains
the data at hand at the least cost; the held-out log score asks which one predicts data
it has not seen, which is the safer guide where the model is only nearly right: a
criterion then goes on adding modes to mend the emission.

References:
    Schwarz (1978), Estimating the dimension of a model, Ann. Statist. 6. Celeux &
    Durand (2008), Selecting hidden Markov model state number with cross-validated
    likelihood, Comput. Statist. 23.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from slipstate.assimilate.hidden_markov import ForwardBackward
from slipstate.assimilate.observations import Observations
from slipstate.assimilate.run import filter_series
from slipstate.fit.em import baum_welch
from slipstate.fit.em_batch import ModePrior
from slipstate.fit.em_starts import start_model
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key
from slipstate.systems.emissions import AbstractEmission
from slipstate.systems.hidden_markov import HiddenMarkov


class ModeChoice(NamedTuple):
    """One size of model.

    Attributes:
        modes: Number of modes.
        model: The fit to all rows.
        log_likelihood: Of all rows [nats].
        free_parameters: Numbers fitted.
        bic: -2 log-likelihood + free_parameters log(rows); smaller is better.
        aic: -2 log-likelihood + 2 free_parameters; smaller is better.
        held_out: Mean log p(row | rows before it) [nats] over the last rows, of a model
            fitted to the rows before them; larger is better.
    """

    modes: int
    model: HiddenMarkov
    log_likelihood: float
    free_parameters: int
    bic: float
    aic: float
    held_out: float


def compare_modes(
    emission_of: Callable[[int], AbstractEmission],
    observations: Observations,
    candidates: Sequence[int] = (1, 2, 3, 4),
    *,
    training: float = 0.7,
    prior: ModePrior | None = None,
    restarts: int = 10,
    tolerance: float = 1e-6,
    progress: Callable[[int, int], None] | None = None,
    key: Key,
) -> tuple[ModeChoice, ...]:
    """Fit models of several sizes to the same series.

    Args:
        emission_of: Function of the number of modes that gives an emission of the
            wanted kind, such as `lambda modes: PoissonEmission(np.ones(modes))`.
        observations: The series.
        candidates: Numbers of modes to try.
        training: Part of the rows, the first ones, that the held-out score's model is
            fitted to.
        prior: Counts of what was seen before; None for maximum likelihood.
        restarts: Further starts of each fit.
        tolerance: Gain in one step [nats] below which a fit has converged.
        progress: Called with the sizes done and their number.
        key: Random key.

    Returns:
        One entry for each candidate, in their order.

    Raises:
        InputError: No candidate, no rows to hold out, or an impossible value.
    """
    cut = round(training * len(observations))
    if not 0 < cut < len(observations):
        raise InputError(
            f"`training` must leave rows on both sides; got {training:g} of "
            f"{len(observations)} rows. Pass a part such as 0.7."
        )
    if not candidates or min(candidates) < 1:
        raise InputError(
            f"`candidates` must be numbers of modes, 1 or more; got {candidates}. Pass "
            "(1, 2, 3)."
        )
    rows = int(jnp.sum(jnp.any(observations.mask, axis=1)))
    later = jnp.any(observations.mask[cut:], axis=1)
    choices = []
    for modes in candidates:
        key_all, key_head = jax.random.split(jax.random.fold_in(key, modes))

        def fit(part: Observations, key: Key, modes: int = modes) -> HiddenMarkov:
            start = start_model(emission_of(modes), part, key=key)
            return baum_welch(
                start,
                part,
                prior=prior,
                restarts=restarts if modes > 1 else 0,
                tolerance=tolerance,
                key=key,
            ).value

        model = fit(observations, key_all)
        height = float(_filtered(model, observations).sum())
        head = fit(observations[:cut], key_head)
        terms = _filtered(head, observations)[cut:]
        score = float(jnp.sum(terms)) / max(int(jnp.sum(later)), 1)
        count = model.free_parameters
        choices.append(
            ModeChoice(
                modes,
                model,
                height,
                count,
                -2.0 * height + count * math.log(max(rows, 1)),
                -2.0 * height + 2.0 * count,
                score,
            )
        )
        if progress is not None:
            progress(len(choices), len(candidates))
    return tuple(choices)


def _filtered(model: HiddenMarkov, observations: Observations) -> jax.Array:
    """Return log p(row | rows before it) of each row."""
    result = filter_series(model, observations, ForwardBackward(), cov="none")
    return result.step_log_likelihoods
