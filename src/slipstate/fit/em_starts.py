"""Where a search for hidden modes begins: clusters of rows, or stretches of time.

The likelihood of a hidden Markov model has many maxima. Rows close to each other in
value make good first modes where modes differ in their means (k-means++, Arthur and
Vassilvitskii 2007); stretches of time do where they differ in how they move.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from slipstate.assimilate.observations import Observations
from slipstate.fit.em_batch import Batch, flat, make_batch
from slipstate.ground.types import Key
from slipstate.systems.chains import AbstractChain, MarkovChain
from slipstate.systems.emissions import AbstractEmission
from slipstate.systems.hidden_markov import HiddenMarkov

_SWEEPS = 10  # of k-means; the search itself does the rest
_DOUBT = 0.1  # of each row's weight is shared by all modes
_STAY = 0.9  # probability of staying in a mode at first


def start_model(
    emission: AbstractEmission,
    observations: Observations | Sequence[Observations],
    *,
    chain: AbstractChain | None = None,
    key: Key,
) -> HiddenMarkov:
    """Return a hidden Markov model to begin a search with, from clusters of rows.

    Args:
        emission: An emission of the wanted kind and number of modes; its numbers are
            not used, except to fill in missing components.
        observations: The data, one series or several.
        chain: How modes move at first; None for a `MarkovChain` that mostly stays.
        key: Random key.

    Returns:
        The model.

    Raises:
        InputError: A value is impossible for the emission, or sizes disagree.
    """
    modes = emission.modes
    held = sticky_chain(modes) if chain is None else chain
    template = HiddenMarkov(np.full(modes, 1.0 / modes), held, emission)
    batch = make_batch(template, as_series(observations))
    labels = cluster_labels(batch, modes, seed_of(key))
    return _from_labels(template, batch, jnp.asarray(labels))


def other_starts(
    model: HiddenMarkov, batch: Batch, restarts: int, key: Key
) -> list[HiddenMarkov]:
    """Return models from clusters and from stretches of time in turn.

    Args:
        model: Says what kind of model; its chain is kept unless it is a `MarkovChain`.
        batch: The data.
        restarts: How many.
        key: Random key.
    """
    modes = model.modes
    chain = model.chain
    if isinstance(chain, MarkovChain):
        chain = sticky_chain(modes)
    template = HiddenMarkov(np.full(modes, 1.0 / modes), chain, model.observation)
    starts = []
    for number in range(restarts):
        seed = seed_of(jax.random.fold_in(key, number))
        draw = stretch_labels if number % 2 else cluster_labels
        starts.append(
            _from_labels(template, batch, jnp.asarray(draw(batch, modes, seed)))
        )
    return starts


def sticky_chain(modes: int) -> MarkovChain:
    """Return a chain that mostly stays where it is."""
    if modes == 1:
        return MarkovChain([[1.0]])
    move = (1.0 - _STAY) / (modes - 1)
    return MarkovChain(np.full((modes, modes), move) + (_STAY - move) * np.eye(modes))


def as_series(
    observations: Observations | Sequence[Observations],
) -> Sequence[Observations]:
    """Return a sequence of series where there may be one only."""
    return [observations] if isinstance(observations, Observations) else observations


def seed_of(key: Key) -> np.random.Generator:
    """Return a generator for work on the host, from a random key."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())


def cluster_labels(
    batch: Batch, modes: int, rng: np.random.Generator
) -> Int[np.ndarray, " row"]:
    """Return a mode for each row by its value: k-means from spread-out seeds.

    Args:
        batch: The data.
        modes: Number of modes.
        rng: Random numbers.
    """
    y, mask = np.asarray(flat(batch.y)), np.asarray(flat(batch.mask))
    count = np.maximum(mask.sum(0), 1)
    mean = np.where(mask, y, 0.0).sum(0) / count
    scale = np.sqrt(np.where(mask, (y - mean) ** 2, 0.0).sum(0) / count)
    z = np.where(mask, (y - mean) / np.where(scale > 0, scale, 1.0), 0.0)
    labels = rng.integers(modes, size=len(z))
    rows = np.flatnonzero(mask.any(1))
    if len(rows) < modes:
        return labels
    centres = z[rng.choice(rows, 1)]
    while len(centres) < modes:
        near = np.min(((z[rows, None] - centres) ** 2).sum(2), axis=1)
        odds = (
            near / near.sum() if near.sum() > 0 else np.full(len(rows), 1 / len(rows))
        )
        centres = np.concatenate([centres, z[rng.choice(rows, 1, p=odds)]])
    for _ in range(_SWEEPS):
        labels[rows] = np.argmin(((z[rows, None] - centres) ** 2).sum(2), axis=1)
        for mode in range(modes):
            own = rows[labels[rows] == mode]
            if len(own):
                centres[mode] = z[own].mean(0)
    return labels


def stretch_labels(
    batch: Batch, modes: int, rng: np.random.Generator
) -> Int[np.ndarray, " row"]:
    """Return a mode for each row by its time: a few stretches for each mode.

    Args:
        batch: The data.
        modes: Number of modes.
        rng: Random numbers.
    """
    rows = batch.counted.size
    cuts = np.sort(rng.choice(rows, min(3 * modes, rows) - 1, replace=False))
    turns = np.concatenate(
        [rng.permutation(modes) for _ in range(len(cuts) // modes + 1)]
    )
    return turns[np.searchsorted(cuts, np.arange(rows), side="right") % len(turns)]


@eqx.filter_jit
def _from_labels(
    template: HiddenMarkov, batch: Batch, labels: Int[Array, " row"]
) -> HiddenMarkov:
    """Return the template with an emission estimated from labelled rows."""
    modes = template.modes
    y, mask = flat(batch.y), flat(batch.mask)
    weights = _soft(labels, modes).astype(y.dtype)
    past = jax.tree.map(flat, batch.past)
    # one row's worth of the whole spread: a cluster may be a single value
    emission = template.observation.reestimate(y, mask, past, weights, 1.0)
    return HiddenMarkov(template.initial.probs(), template.chain, emission)


def _soft(labels: Int[Array, " row"], modes: int) -> Float[Array, "row mode"]:
    """Return weights that leave every mode a share of every row."""
    return (1.0 - _DOUBT) * jax.nn.one_hot(labels, modes) + _DOUBT / modes
