"""Many series of different lengths as one block, and one step of EM on it."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.hidden_markov import step_matrices
from slipstate.assimilate.mode_expectations import Expectations, expect, expect_log
from slipstate.assimilate.observations import Observations
from slipstate.ground.errors import InputError
from slipstate.ground.types import Flag, Scalar, ScalarLike
from slipstate.systems.chains import normalised_rows
from slipstate.systems.emissions import Past
from slipstate.systems.hidden_markov import HiddenMarkov, pasts


class ModePrior(eqx.Module):
    """What is believed before any data, as counts of what was seen before.

    All zero is maximum likelihood.

    Attributes:
        initial: Series begun in each mode.
        transition: Passages from each mode to each mode.
        sticky: Further passages from each mode to itself; holds on to modes.
        rows: Rows in each mode that showed the spread of the whole series; keeps a
            mode from collapsing onto one value, where the likelihood has no bound.
    """

    initial: ScalarLike
    transition: ScalarLike
    sticky: ScalarLike
    rows: ScalarLike

    def __init__(
        self,
        initial: float = 0.0,
        transition: float = 0.0,
        sticky: float = 0.0,
        rows: float = 0.0,
    ) -> None:
        """Check and keep the counts.

        Args:
            initial: Series begun in each mode.
            transition: Passages from each mode to each mode.
            sticky: Further passages from each mode to itself.
            rows: Rows in each mode.

        Raises:
            InputError: A count is negative.
        """
        given = {"initial": initial, "transition": transition}
        given |= {"sticky": sticky, "rows": rows}
        for name, value in given.items():
            if not value >= 0.0:
                raise InputError(
                    f"`{name}` must be a count, 0 or more; got {value}. Pass 0 for "
                    "maximum likelihood."
                )
        self.initial, self.transition = initial, transition
        self.sticky, self.rows = sticky, rows

    def pairs(self, modes: int) -> Float[Array, "mode mode"]:
        """Return the passages that count as seen before."""
        return self.transition + self.sticky * jnp.eye(modes)


class Batch(NamedTuple):
    """Series side by side, filled up at their ends by rows without observations.

    Attributes:
        y: Observed values; 0 where missing.
        mask: True where observed.
        past: The rows before each row.
        u: Exogenous inputs, or None.
        dts: Length of the step that ends at each row; 1 at the first.
        counted: False at rows that only fill up.
    """

    y: Float[Array, "series time obs"]
    mask: Bool[Array, "series time obs"]
    past: Past
    u: Float[Array, "series time input"] | None
    dts: Float[Array, "series time"]
    counted: Bool[Array, "series time"]


class Climb(NamedTuple):
    """How high one model stands, and the next one.

    Attributes:
        log_likelihood: Of the model the step began with [nats].
        log_posterior: The same with the prior, up to a constant.
        risky: Whether logarithms are needed, and were not used.
    """

    log_likelihood: Scalar
    log_posterior: Scalar
    risky: Flag


def make_batch(model: HiddenMarkov, series: Sequence[Observations]) -> Batch:
    """Return series side by side.

    Args:
        model: Says how far back its emission looks, and what it can show.
        series: The series.

    Raises:
        InputError: There is none, a value is impossible, or sizes disagree.
    """
    if not series:
        raise InputError("`observations` must hold a series; got none. Pass data.")
    obs = len(model.observation.units)
    for number, one in enumerate(series):
        if one.y.shape[1] != obs:
            raise InputError(
                f"`observations` must have {obs} components, as the emission has; got "
                f"{one.y.shape[1]} in series {number}. Select columns."
            )
        if (one.u is None) != (series[0].u is None):
            raise InputError(
                f"`observations` must all have inputs `u`, or none; series {number} "
                "differs from the first. Pass u for each."
            )
        model.observation.check(one.y, one.mask)
    longest = max(len(one) for one in series)

    def fill(x: Array, value: float | bool) -> Array:
        width = [(0, longest - x.shape[0])] + [(0, 0)] * (x.ndim - 1)
        return jnp.pad(x, width, constant_values=value)

    y = jnp.stack([fill(one.y, 0.0) for one in series])
    mask = jnp.stack([fill(one.mask, False) for one in series])
    gaps = [jnp.diff(one.t, prepend=one.t[:1] - 1.0).astype(y.dtype) for one in series]
    inputs = [one.u for one in series if one.u is not None]
    return Batch(
        y,
        mask,
        jax.vmap(pasts, in_axes=(None, 0, 0))(model.start_past(), y, mask),
        jnp.stack([fill(u, 0.0) for u in inputs]) if inputs else None,
        jnp.stack([fill(gap, 1.0) for gap in gaps]),
        jnp.stack([fill(jnp.ones(len(one), bool), False) for one in series]),
    )


def flat(x: Array) -> Array:
    """Return an array with series one after the other."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def em_step(
    model: HiddenMarkov, batch: Batch, prior: ModePrior, careful: bool
) -> tuple[HiddenMarkov, Climb]:
    """Return a model that is at least as good, and how good the given one was.

    Args:
        model: The model.
        batch: The series.
        prior: The prior.
        careful: Whether to use logarithms throughout.
    """
    found = expectations(model, batch, careful)
    emission, chain, modes = model.observation, model.chain, model.modes
    y, mask = flat(batch.y), flat(batch.mask)
    past = jax.tree.map(flat, batch.past)
    pseudo = prior.pairs(modes).astype(y.dtype)
    pairs = flat(found.pairs)
    if chain.steady:
        pairs = jnp.sum(pairs, axis=0, keepdims=True)
    u = None if batch.u is None or chain.steady else flat(batch.u[:, 1:])
    dts = flat(batch.dts[:, 1:])
    first = jnp.sum(found.probs[:, 0], axis=0) + prior.initial
    probs = model.initial.probs()
    better = HiddenMarkov(
        normalised_rows(first, probs),
        chain.reestimate(pairs, u, dts, pseudo),
        emission.reestimate(y, mask, past, flat(found.probs), prior.rows),
    )
    log_prior = chain.log_prior(pseudo) + emission.log_prior(y, mask, prior.rows)
    log_prior += prior.initial * jnp.sum(jnp.where(probs > 0, jnp.log(probs), 0.0))
    seen = jnp.any(batch.mask, axis=2)
    height = jnp.sum(jnp.where(seen, found.step_log_likelihoods, 0.0))
    return better, Climb(height, height + log_prior, jnp.any(found.risky))


def expectations(model: HiddenMarkov, batch: Batch, careful: bool) -> Expectations:
    """Return the expectations of all series, one after the other along the first axis.

    Args:
        model: The model.
        batch: The series.
        careful: Whether to use logarithms throughout.
    """
    past = jax.tree.map(flat, batch.past)
    emitted = model.observation.log_probs(flat(batch.y), flat(batch.mask), past)
    emitted = emitted.reshape(*batch.counted.shape, -1)
    first = model.initial.log_probs if careful else model.initial.probs()

    def one(
        emitted: Array, u: Array | None, dts: Array, counted: Array
    ) -> Expectations:
        matrices = step_matrices(model, u, dts)
        return (expect_log if careful else expect)(first, matrices, emitted, counted)

    return jax.vmap(one)(emitted, batch.u, batch.dts, batch.counted)
