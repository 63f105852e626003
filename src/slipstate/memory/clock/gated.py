"""Clocks that data drive, sample by sample."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar
from slipstate.memory.clock.lag import Dilation, Lag
from slipstate.memory.clock.protocol import (
    AbstractClock,
    is_traced,
    log_quotient,
    real,
)


class GatedClock(AbstractClock):
    """Each cell has its own ratio: W_{k+1} = keep_k W_k + gain_k, from W_0 = 0.

    A gain of 0 skips the sample (r = 1: the memory neither ages nor learns), a huge
    gain or a keep of 0 resets (r = 0: only the new sample remains), and equal gains
    are `ScaleClock`. Inside a cell W grows linearly in time.

    Attributes:
        log_ratios: ln r_k of each cell; -inf resets.
        edges: Times between the cells.
        log_sums: Running sum of the finite log ratios, 0 at the last edge.
        resets: Running count of the resets.
    """

    log_ratios: Float[Array, " cell"]
    edges: Float[Array, " edge"]
    log_sums: Float[Array, " edge"]
    resets: Int[Array, " edge"]

    def __init__(
        self,
        gain: object = None,
        *,
        keep: object = None,
        ratios: object = None,
        edges: object = None,
    ):
        """Build the clock from gains, or from the ratios themselves.

        Args:
            gain: What each cell adds to W, shape (time,), not negative.
            keep: Factor in [0, 1] that W loses before each cell; 1 if None.
            ratios: Instead of gains, r_k in [0, 1] of each cell: 1 skips, 0 resets.
            edges: Cell edges, shape (time + 1,); 0, 1, 2, ... if None.

        Raises:
            InputError: both or neither of `gain` and `ratios`, a value out of range,
                or lengths that do not fit.
        """
        if (gain is None) == (ratios is None):
            raise InputError(
                "Pass either `gain` or `ratios` to `GatedClock`, not both."
            )
        if ratios is not None:
            given = _gate("ratios", ratios, 1.0)
            safe = jnp.where(given > 0.0, given, 1.0)
            self.log_ratios = jnp.where(given > 0.0, jnp.log(safe), -jnp.inf)
        else:
            gains = _gate("gain", gain, jnp.inf)
            keeps = jnp.ones_like(gains) if keep is None else _gate("keep", keep, 1.0)
            if keeps.shape != gains.shape:
                raise InputError(
                    f"`keep` must have one entry per gain; got {keeps.shape} for "
                    f"{gains.shape}."
                )
            self.log_ratios = _ratios_of_gains(gains, keeps)
        cells = self.log_ratios.shape[0]
        self.edges = real(jnp.arange(cells + 1) if edges is None else edges)
        if self.edges.shape != (cells + 1,):
            raise InputError(
                f"`edges` must have one entry more than the {cells} cells; got shape "
                f"{self.edges.shape}."
            )
        finite = jnp.isfinite(self.log_ratios)
        steps = jnp.where(finite, -self.log_ratios, 0.0)
        sums = jnp.concatenate([jnp.zeros((1,), steps.dtype), jnp.cumsum(steps)])
        self.log_sums = sums - sums[-1]
        self.resets = jnp.concatenate(
            [jnp.zeros((1,), jnp.int32), jnp.cumsum((~finite).astype(jnp.int32))]
        )

    def lag(self, t0: Float[Array, "*#batch"], t1: Float[Array, "*#batch"]) -> Lag:
        """Return the product of the ratios between t0 and t1."""
        cell1, part1 = self._place(t1)
        cell0, part0 = self._place(t0)
        # inside one cell, with its left edge, no logarithm is subtracted
        left = self.edges[cell1]
        width = self.edges[cell1 + 1] - left
        same = t0 >= left
        first = jnp.clip((t0 - left) / width, 0.0, 1.0)
        r = jnp.exp(self.log_ratios[cell1])
        rho = -jnp.expm1(self.log_ratios[cell1])
        inside = log_quotient(
            r + rho * first, rho * jnp.maximum(part1 - first, 0.0), r + rho * part1
        )
        moved = self._height(cell0, part0) - self._height(cell1, part1)
        reset = self._count(cell0, part0) < self._count(cell1, part1)
        across = jnp.where(reset, -jnp.inf, jnp.minimum(moved, 0.0))
        return Dilation(jnp.where(same, inside, across))

    def fraction(
        self, lag: Lag, t0: Float[Array, ""], t1: Float[Array, ""]
    ) -> Float[Array, "*node"]:
        """Return 1 - (1 - z) / (1 - r); right where t0, t1 lie in one cell."""
        gained = self.lag(t0, t1).new
        return 1.0 - lag.new / jnp.where(gained > 0.0, gained, 1.0)

    def origin(self) -> Scalar:
        """Return the first edge."""
        return self.edges[0]

    @property
    def invariant(self) -> bool:
        """The data decide."""
        return False

    def _place(self, t: Array) -> tuple[Array, Array]:
        """Return the cell with left < t <= right and where in it t lies, in [0, 1]."""
        cells = self.log_ratios.shape[0]
        cell = jnp.clip(jnp.searchsorted(self.edges, t, side="left") - 1, 0, cells - 1)
        left = self.edges[cell]
        part = (t - left) / (self.edges[cell + 1] - left)
        return cell, jnp.clip(part, 0.0, 1.0)

    def _height(self, cell: Array, part: Array) -> Array:
        """Return ln W, up to the resets."""
        r, rho = jnp.exp(self.log_ratios[cell]), -jnp.expm1(self.log_ratios[cell])
        share = r + rho * part
        begun = share > 0.0
        rise = jnp.where(begun, jnp.log(jnp.where(begun, share, 1.0)), 0.0)
        return self.log_sums[cell + 1] + rise

    def _count(self, cell: Array, part: Array) -> Array:
        """Return how many resets came before a point."""
        return jnp.where(part > 0.0, self.resets[cell + 1], self.resets[cell])


def _ratios_of_gains(
    gains: Float[Array, " cell"], keeps: Float[Array, " cell"]
) -> Float[Array, " cell"]:
    """Return ln(keep_k W_k / W_{k+1})."""

    def grow(before, gate):
        gain, keep = gate
        kept = keep * before
        now = kept + gain
        return now, log_quotient(kept, gain, now)

    return jax.lax.scan(grow, jnp.zeros((), gains.dtype), (gains, keeps))[1]


def _gate(name: str, value: object, highest: float) -> Float[Array, " cell"]:
    """Return a gate sequence, checked where its values are known."""
    gate = real(value)
    if gate.ndim != 1 or gate.shape[0] < 1:
        raise InputError(f"`{name}` must have shape (time,); got {gate.shape}.")
    if not is_traced(gate):
        low, high = float(jnp.min(gate)), float(jnp.max(gate))
        if not (low >= 0.0 and high <= highest):
            raise InputError(
                f"`{name}` must lie in [0, {highest}]; got values from {low} to {high}."
            )
    return gate
