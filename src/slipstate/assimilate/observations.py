"""A series of observations as every filter takes it."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from slipstate.ground.arrays import Numbers, as_real, check_finite, is_concrete
from slipstate.ground.errors import InputError


class Rows(NamedTuple):
    """The rows of a series as a loop over time takes them; nothing is ever NaN.

    Attributes:
        y: Observed values; 0 where nothing was observed.
        mask: True where a component was observed.
        t: Time of each row.
        u: Exogenous input of each row, or None.
    """

    y: Float[Array, "*time obs"]
    mask: Bool[Array, "*time obs"]
    t: Float[Array, "*time"]
    u: Float[Array, "*time input"] | None


class Observations(eqx.Module):
    """Observations in arrival order; nothing in it is ever NaN.

    NaN is accepted where observations enter and becomes False in the mask there. With
    an explicit mask, NaN where the mask says observed is an error.

    Attributes:
        y: Observed values, one row per time; 0 where nothing was observed.
        mask: True where a component was observed.
        t: Time of each row, non-decreasing, in the time unit of the model.
        u: Exogenous input of each row, which acts on the step that ends there and on
            the observation made there; None where there is none.
    """

    y: Float[Array, "time obs"]
    mask: Bool[Array, "time obs"]
    t: Float[Array, " time"]
    u: Float[Array, "time input"] | None

    def __init__(
        self,
        y: Numbers,
        t: Numbers | None = None,
        mask: Numbers | None = None,
        u: Numbers | None = None,
    ) -> None:
        """Check the series and turn NaN into a mask.

        Args:
            y: Observed values (time, obs), NaN where missing.
            t: Times; None for 0, 1, 2, ...
            mask: True where observed; None for wherever `y` is not NaN.
            u: Exogenous inputs (time, input), or None.

        Raises:
            InputError: Shapes disagree, times decrease, or an observed value is not
                finite.
        """
        values = as_real("y", y, (None, None))
        rows = values.shape[0]
        if rows == 0:
            raise InputError("`y` must hold at least one row; got none. Pass data.")
        missing = jnp.isnan(values)
        if mask is None:
            seen = ~missing
        else:
            seen = jnp.asarray(mask)
            if seen.dtype != bool or seen.shape != values.shape:
                raise InputError(
                    f"`mask` must be bool of the shape of `y` {values.shape}; got "
                    f"{seen.dtype} {seen.shape}. Pass True where observed."
                )
            _check_mask(missing, seen)
        self.mask = seen & ~missing
        self.y = jnp.where(self.mask, values, 0.0)
        check_finite("y", self.y)
        steps = jnp.arange(rows, dtype=float)
        self.t = steps if t is None else as_real("t", t, (rows,)).astype(float)
        check_finite("t", self.t)
        _check_order(self.t)
        self.u = None if u is None else as_real("u", u, (rows, None))
        if self.u is not None:
            check_finite("u", self.u)

    def rows(self) -> Rows:
        """Return y, mask, t, u as a loop over rows takes them."""
        return Rows(self.y, self.mask, self.t, self.u)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.y.shape[0]

    def __getitem__(self, rows: slice) -> "Observations":
        """Return a stretch of the series."""
        u = None if self.u is None else self.u[rows]
        return Observations(self.y[rows], self.t[rows], self.mask[rows], u)


def _check_mask(missing: Bool[Array, "time obs"], seen: Bool[Array, "time obs"]):
    """Raise where `y` is NaN although the mask says observed."""
    if not (is_concrete(missing) and is_concrete(seen)):
        return
    wrong = np.asarray(missing & seen)
    if wrong.any():
        row, column = (int(axis[0]) for axis in np.nonzero(wrong))
        raise InputError(
            f"`y` must be a number wherever `mask` is True; it is NaN at row {row}, "
            f"component {column}. Set the mask to False there, or pass mask=None."
        )


def _check_order(t: Float[Array, " time"]) -> None:
    """Raise where time runs backwards."""
    if not is_concrete(t):
        return
    back = np.nonzero(np.diff(np.asarray(t)) < 0)[0]
    if back.size:
        row = int(back[0]) + 1
        raise InputError(
            f"`t` must not decrease; row {row} is at {float(t[row]):.10g} after "
            f"{float(t[row - 1]):.10g}. Sort the observations by time."
        )
