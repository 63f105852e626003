"""One observation at a time, in microseconds.

    follow = Stepper(model, Kalman())
    info = follow(y, t=t)              # predict to t, update, diagnostics
    follow.running                     # to save, or to go on with elsewhere

What `step` spends on a small model is not arithmetic but handing a tree of arrays to
the compiled program and back. Here the model is part of the program, the running state
stays on the device in one buffer for each type of number, given up to the program at
each call, and one vector goes in. The arithmetic is that of `step`.
"""

from math import isfinite
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from slipstate.assimilate.kalman import Kalman
from slipstate.assimilate.layout import Layout
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo, Running
from slipstate.assimilate.run import init
from slipstate.assimilate.sequential import advance
from slipstate.ground.arrays import Numbers
from slipstate.ground.compiling import options
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key, ScalarLike
from slipstate.systems.protocol import AbstractModel

_EXACT = Kalman()
_NONE = np.empty(0)


class Stepper:
    """A run that takes in one observation per call, compiled once for one model.

    It holds the running state and changes it; everything else in this package returns
    new states. The first call of a new input size compiles.
    """

    def __init__(
        self,
        model: AbstractModel,
        method: AbstractFilter = _EXACT,
        *,
        running: Running | None = None,
        t0: ScalarLike | None = None,
        key: Key | None = None,
    ) -> None:
        """Start a run, or go on with one.

        Args:
            model: The model.
            method: The filter.
            running: Where an earlier run stands; None to start.
            t0: Time at which the initial belief holds; as for `init`.
            key: Random key; needed by methods that draw.

        Raises:
            MethodError: The method cannot treat this model.
        """
        start = init(model, method, t0=t0, key=key)
        running = start if running is None else running
        self._obs = len(model.observation.units)
        self._last = float(running.t) if bool(running.moves) else -np.inf
        self._count = int(running.count)
        self._layout = Layout(running)
        self._carry = self._layout.pack(running)
        self._info: Layout | None = None
        self._program = jax.jit(
            self._compile(model, method), donate_argnums=0, compiler_options=options()
        )

    def __call__(
        self,
        y: Numbers,
        *,
        t: float,
        mask: Numbers | None = None,
        u: Numbers | None = None,
    ) -> AbstractInfo:
        """Let time pass until `t` and take in one observation.

        Args:
            y: The observation, NaN where missing.
            t: Its time; not before the last one.
            mask: True where observed; None for wherever `y` is not NaN.
            u: Exogenous input, or None.

        Returns:
            The diagnostics of this update, in NumPy arrays.

        Raises:
            InputError: Time runs backwards, the observation has the wrong size, or an
                observed value is not finite. The run is as it was before.
        """
        size, values = self._obs, np.asarray(y, float)
        if values.shape != (size,):
            raise InputError(
                f"`y` must have {size} components, as the model's observation has; got "
                f"shape {values.shape}. Select columns, or change the model."
            )
        t = float(t)
        if not self._last <= t < np.inf:
            raise InputError(
                f"`t` must be finite and not before {self._last:.10g}, where the run "
                f"stands after {self._count} rows; got {t:.10g}. Sort the observations "
                "by time."
            )
        seen = values == values if mask is None else np.asarray(mask)
        if seen.shape != (size,):
            raise self._not_finite(values, seen)
        inputs = _NONE if u is None else np.asarray(u, float)
        given = np.empty(1 + 2 * size + inputs.size)
        given[0], given[1 + size : 1 + 2 * size] = t, seen
        given[1 : 1 + size] = np.where(seen, values, 0.0)
        given[1 + 2 * size :] = inputs
        # a sum of squares is quick to form; it may overflow where no number is infinite
        told = given[1 : 1 + size]
        if not isfinite(told.dot(told)) and not np.isfinite(told).all():
            raise self._not_finite(values, seen)
        self._carry, info = self._program(self._carry, given)
        self._last = t
        self._count += 1
        assert self._info is not None
        return self._info.unpack([np.asarray(part) for part in info])

    @property
    def running(self) -> Running:
        """Where the run stands, in arrays of its own."""
        copies = [jnp.array(part, copy=True) for part in self._carry]
        return self._layout.unpack(copies)

    def _not_finite(self, values: np.ndarray, seen: np.ndarray) -> InputError:
        return InputError(
            f"`y` must be finite wherever `mask` is True; got {values} with mask "
            f"{seen} at row {self._count}. Set the mask to False there."
        )

    def _compile(self, model: AbstractModel, method: AbstractFilter) -> Any:
        """Return the program of one observation, with the model inside."""
        dtype = model.initial.mean().dtype

        def program(
            carry: list[Array], given: Array
        ) -> tuple[list[Array], list[Array]]:
            running = self._layout.unpack(carry)
            t, values = given[0], given[1:].astype(dtype)
            y, seen, u = jnp.split(values, [self._obs, 2 * self._obs])
            inputs = u if u.shape[0] else None
            row = Rows(y, seen > 0, t.astype(running.t.dtype), inputs)
            running, _, info = advance(model, running, row, method)
            self._info = Layout(info)  # while tracing: shapes are known then
            return self._layout.pack(running), self._info.pack(info)

        return program
