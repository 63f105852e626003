"""How samples fill time: what the signal is between one sample and the next.

A hold turns samples into cells of time and says, inside each cell, with which weights
the neighbouring samples enter. The memory then projects exactly that held signal, so
the choice of the hold is the only approximation of the input.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from slipstate.ground.errors import InputError


class AbstractHold(eqx.Module):
    """How samples fill time."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """How many samples enter one cell: 1 or 2."""

    @abstractmethod
    def cells(
        self, samples: int, t: Float[Array, " tick"] | None
    ) -> Float[Array, " edge"]:
        """Return the cell edges for `samples` samples at the times the user gave."""

    @abstractmethod
    def columns(
        self, u: Shaped[Array, "time channel"]
    ) -> Shaped[Array, "cell input channel"]:
        """Return the samples that enter each cell."""

    @abstractmethod
    def weights(self, s: Float[Array, "*node"]) -> Float[Array, "*node input"]:
        """Return the weights of the samples at the fraction s in [0, 1] of a cell."""

    def held(
        self,
        u: Float[Array, "time channel"],
        edges: Float[Array, " edge"],
        times: Float[Array, " tick"],
    ) -> Float[Array, "tick channel"]:
        """Evaluate the held signal: what the memory takes the input to be.

        Args:
            u: Samples.
            edges: Cell edges, as `cells` returns them.
            times: Where to evaluate; outside the cells the signal is 0.

        Returns:
            The held signal.
        """
        cells = edges.shape[0] - 1
        cell = jnp.clip(jnp.searchsorted(edges, times, side="left") - 1, 0, cells - 1)
        part = (times - edges[cell]) / (edges[cell + 1] - edges[cell])
        weights = self.weights(part).astype(u.dtype)[:, :, None]
        value = jnp.sum(weights * self.columns(u)[cell], axis=1)
        inside = (times >= edges[0]) & (times <= edges[-1])
        return jnp.where(inside[:, None], value, 0.0)


class AbstractCellHold(AbstractHold):
    """Each sample owns one cell and is constant over it."""

    @property
    def inputs(self) -> int:
        """One sample enters a cell."""
        return 1

    def columns(
        self, u: Shaped[Array, "time channel"]
    ) -> Shaped[Array, "cell input channel"]:
        """Return each sample for its own cell."""
        return u[:, None, :]

    def weights(self, s: Float[Array, "*node"]) -> Float[Array, "*node input"]:
        """Return 1 everywhere."""
        return jnp.ones_like(s)[..., None]


class CellHold(AbstractCellHold):
    """Zero-order hold: sample k is the signal from edge k to edge k+1.

    `t` gives the time + 1 edges.
    """

    def cells(
        self, samples: int, t: Float[Array, " tick"] | None
    ) -> Float[Array, " edge"]:
        """Return the edges as given, 0, 1, 2, ... if None."""
        return _edges("CellHold", samples, t)


class BinAverageHold(AbstractCellHold):
    """Sample k is the mean of the signal from edge k to edge k+1 (counts, rates).

    The projection is that of a cell hold; the certificate then speaks of the averaged
    signal, which is what was observed. `t` gives the time + 1 bin edges.
    """

    def cells(
        self, samples: int, t: Float[Array, " tick"] | None
    ) -> Float[Array, " edge"]:
        """Return the bin edges as given, 0, 1, 2, ... if None."""
        return _edges("BinAverageHold", samples, t)


class MidpointHold(AbstractCellHold):
    """Sample k stands in the middle of its cell: second order for a smooth signal.

    `t` gives either the time + 1 edges or the `time` sample times; then the edges lie
    half-way between samples, and the two outer cells are symmetric about theirs.
    """

    def cells(
        self, samples: int, t: Float[Array, " tick"] | None
    ) -> Float[Array, " edge"]:
        """Return the edges, from sample times if those were given."""
        if t is None or t.shape[0] != samples or samples < 2:
            return _edges("MidpointHold", samples, t, or_samples=True)
        middle = 0.5 * (t[1:] + t[:-1])
        first, last = 2.0 * t[:1] - middle[:1], 2.0 * t[-1:] - middle[-1:]
        return jnp.concatenate([first, middle, last])


class LinearHold(AbstractHold):
    """First-order hold: the signal is linear in time between samples.

    The right choice for sampled physical fields. `t` gives the `time` sample times, so
    there is one cell less than there are samples.
    """

    @property
    def inputs(self) -> int:
        """The samples at both ends enter a cell."""
        return 2

    def cells(
        self, samples: int, t: Float[Array, " tick"] | None
    ) -> Float[Array, " edge"]:
        """Return the sample times."""
        if samples < 2:
            raise InputError(
                f"`u` must have at least 2 samples for `LinearHold`; got {samples}."
            )
        if t is None:
            return jnp.arange(samples, dtype=jnp.result_type(float))
        if t.shape[0] != samples:
            raise InputError(
                f"`t` must hold the {samples} sample times for `LinearHold`; got "
                f"{t.shape[0]}. Cell edges (one more) go with `CellHold`."
            )
        return t

    def columns(
        self, u: Shaped[Array, "time channel"]
    ) -> Shaped[Array, "cell input channel"]:
        """Return the samples at both ends of each cell."""
        return jnp.stack([u[:-1], u[1:]], axis=1)

    def weights(self, s: Float[Array, "*node"]) -> Float[Array, "*node input"]:
        """Return 1 - s for the older sample, s for the newer."""
        return jnp.stack([1.0 - s, s], axis=-1)


def _edges(
    name: str,
    samples: int,
    t: Float[Array, " tick"] | None,
    *,
    or_samples: bool = False,
) -> Float[Array, " edge"]:
    if t is None:
        return jnp.arange(samples + 1, dtype=jnp.result_type(float))
    if t.shape[0] != samples + 1:
        also = f", or the {samples} sample times" if or_samples else ""
        raise InputError(
            f"`t` must hold the {samples + 1} cell edges of {samples} samples for "
            f"`{name}`{also}; got {t.shape[0]}."
            + ("" if or_samples else " Sample times go with `LinearHold`.")
        )
    return t
