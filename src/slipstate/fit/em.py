"""Expectation maximisation for hidden Markov models, from many starts at once.

Baum and Welch: the expected passages and rows of each mode under the present model are
the counts of the next one, and no step lowers the likelihood. All starts and all series
go through one compiled program side by side.

References:
    Baum, Petrie, Soules & Weiss (1970), Ann. Math. Statist. 41. Dempster, Laird & Rubin
    (1977), J. R. Statist. Soc. B 39.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from slipstate.assimilate.hidden_markov import require_hidden_markov
from slipstate.assimilate.observations import Observations
from slipstate.fit.em_batch import Batch, Climb, ModePrior, em_step, make_batch
from slipstate.fit.em_starts import as_series, other_starts
from slipstate.ground.errors import InputError
from slipstate.ground.solution import Outcome, Solution
from slipstate.ground.types import Count, Key
from slipstate.systems.hidden_markov import HiddenMarkov

_ROUND = 25  # steps between looks at progress


def baum_welch(
    model: HiddenMarkov,
    observations: Observations | Sequence[Observations],
    *,
    prior: ModePrior | None = None,
    restarts: int = 0,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
    in_order: bool = True,
    progress: Callable[[int, int], None] | None = None,
    key: Key | None = None,
) -> Solution[HiddenMarkov]:
    """Fit a hidden Markov model by expectation maximisation.

    Args:
        model: The first start; says the kind of emission and chain. `start_model` makes
            one from data.
        observations: One series, or several of any lengths with rows missing anywhere.
        prior: Counts of what was seen before; None for maximum likelihood.
        restarts: Further starts, from clusters of rows and stretches of time in turn.
        tolerance: Gain in one step [nats] below which a search has converged.
        max_steps: Limit of the iteration.
        in_order: Whether to sort the modes by their first mean.
        progress: Called with the steps done and their limit.
        key: Random key; needed for restarts.

    Returns:
        Solution whose value is the best model. Its info holds "log_likelihood" and
        "log_posterior" of it, "trace" (the log posterior before each step),
        "log_likelihoods", "converged" (one per start) and "steps". A search in which a
        mode collapses onto one value ends as not finite; a prior with `rows` > 0 keeps
        it from that.

    Raises:
        InputError: Restarts without a key, an impossible value, or sizes that disagree.
        MethodError: The model is of another kind.
    """
    hidden = require_hidden_markov(model, "baum_welch")
    belief = ModePrior() if prior is None else prior
    batch = make_batch(hidden, as_series(observations))
    starts = [hidden]
    if restarts > 0:
        if key is None:
            raise InputError(
                "`key` must be a random key where `restarts` > 0; got None. Pass "
                "key=jax.random.key(0)."
            )
        starts += other_starts(hidden, batch, restarts, key)
    models = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    models, trace, likelihoods, converged = _search(
        models,
        batch,
        jax.tree.map(jnp.asarray, belief),  # numbers of one program, not of many
        tolerance,
        max_steps,
        progress,
    )
    ranked = np.where(np.isfinite(trace[-1]), trace[-1], -np.inf)
    best = int(np.argmax(ranked))
    chosen = jax.tree.map(lambda leaf: leaf[best], models)
    info: dict[str, Any] = {
        "log_likelihood": likelihoods[best],
        "log_posterior": trace[-1, best],
        "log_likelihoods": likelihoods,
        "converged": converged,
        "trace": trace[:, best],
        "steps": len(trace) - 1,
    }
    if not np.isfinite(ranked[best]):
        outcome = Outcome.not_finite
    elif converged[best]:
        outcome = Outcome.successful
    else:
        outcome = Outcome.not_converged
    provenance = (
        f"expectation maximisation (Baum-Welch), {hidden.modes} modes, "
        f"{len(starts)} start(s), tolerance {tolerance:g} nats, prior "
        f"initial {belief.initial:g}, transition {belief.transition:g}, sticky "
        f"{belief.sticky:g}, rows {belief.rows:g}"
    )
    value = chosen.in_order() if in_order else chosen
    return Solution(value, outcome, info, provenance)


def _search(
    models: HiddenMarkov,
    batch: Batch,
    prior: ModePrior,
    tolerance: float,
    max_steps: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[HiddenMarkov, np.ndarray, np.ndarray, np.ndarray]:
    """Climb from all starts until each gains too little; return where they stand.

    The heights of a round are those of the models it began each step with, so the last
    model of all is measured by one more step whose result is not taken.
    """
    heights: list[np.ndarray] = []
    careful, done = False, 0
    while True:
        steps = min(_ROUND, max_steps - done)
        moved, climb = _climb(models, batch, prior, careful, jnp.asarray(steps))
        if not careful and bool(np.any(climb.risky)):
            careful = True  # the same round again, by logarithms
            continue
        models, done = moved, done + steps
        heights += list(np.asarray(climb.log_posterior)[:steps])
        if progress is not None:
            progress(done, max_steps)
        gains = heights[-1] - heights[-2] if len(heights) > 1 else np.inf
        # a search that is no number any more will not come back
        if done >= max_steps or np.all((gains < tolerance) | ~np.isfinite(gains)):
            break
    _, last = _climb(models, batch, prior, careful, jnp.asarray(1))
    heights.append(np.asarray(last.log_posterior[0]))
    trace = np.stack(heights)
    converged = trace[-1] - trace[-2] < tolerance
    return models, trace, np.asarray(last.log_likelihood[0]), converged


@eqx.filter_jit
def _climb(
    models: HiddenMarkov, batch: Batch, prior: ModePrior, careful: bool, steps: Count
) -> tuple[HiddenMarkov, Climb]:
    """Take at most `_ROUND` steps from all starts side by side.

    The number of steps is data, so that one compiled program serves every round.
    """
    arrays, rest = eqx.partition(models, eqx.is_array)

    def one(arrays: Any) -> tuple[Any, Climb]:
        better, climb = em_step(eqx.combine(arrays, rest), batch, prior, careful)
        return eqx.filter(better, eqx.is_array), climb

    def body(number: Count, carry: tuple[Any, Climb]) -> tuple[Any, Climb]:
        arrays, table = carry
        arrays, climb = jax.vmap(one)(arrays)
        table = jax.tree.map(lambda rows, new: rows.at[number].set(new), table, climb)
        return arrays, table

    starts = models.initial.log_probs.shape[0]
    empty = jnp.zeros((_ROUND, starts), models.initial.log_probs.dtype)
    table = Climb(empty, empty, jnp.zeros((_ROUND, starts), bool))
    arrays, climb = jax.lax.fori_loop(0, steps, body, (arrays, table))
    return eqx.combine(arrays, rest), climb
