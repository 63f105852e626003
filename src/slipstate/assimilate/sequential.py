"""One row after the other, forwards and backwards: the road that every method has."""

from typing import Any

import jax
import jax.numpy as jnp

from slipstate.assimilate.kept import Keep, keep_state
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractInfo,
    AbstractSmoother,
    Running,
    SeriesPass,
    State,
)
from slipstate.ground.types import Key, ScalarLike
from slipstate.systems.protocol import AbstractModel
from slipstate.systems.varying import AbstractVaryingModel

IN_CACHE = 4096  # numbers of a covariance matrix times steps treated side by side


def row_model(model: AbstractModel, row: ScalarLike) -> AbstractModel:
    """Return the model of one row, counted from the start of the run.

    Args:
        model: A model, varying from row to row or not.
        row: Number of the row.
    """
    return model.at(row) if isinstance(model, AbstractVaryingModel) else model


def advance(
    model: AbstractModel,
    running: Running,
    row: Rows,
    method: AbstractFilter,
    keys: tuple[Key | None, Key | None] | None = None,
) -> tuple[Running, State, AbstractInfo]:
    """Predict to the time of one row and update.

    Args:
        model: The model.
        running: Where the run stands.
        row: One row, without time axis.
        method: The filter.
        keys: `running.keys()` where it is known already.

    Returns:
        Where the run stands now, the prediction, and the diagnostics of the update.
    """
    y, mask, t, u = row
    model = row_model(model, running.count)
    key_predict, key_update = running.keys() if keys is None else keys
    # A run that has not started does not move; 1 keeps the unused branch finite.
    dt = jnp.where(running.moves, t - running.t, 1.0).astype(y.dtype)
    moved = method.predict(model, running.state, u, dt, key=key_predict)
    predicted = jax.tree.map(
        lambda new, old: jnp.where(running.moves, new, old), moved, running.state
    )
    state, info = method.update(model, predicted, y, mask, u, key=key_update)
    count = running.count + 1
    now = Running(state, t, jnp.asarray(True), count, running.key)
    return now, predicted, info


def filter_rows(
    model: AbstractModel,
    running: Running,
    rows: Rows,
    method: AbstractFilter,
    cov: Keep,
) -> SeriesPass:
    """Take in one row after the other.

    Args:
        model: The model.
        running: Where the run stands.
        rows: The rows.
        method: The filter.
        cov: What to keep of the states.

    Returns:
        States (or moments of them) and diagnostics at every row.
    """

    def body(
        carry: Running, given: tuple[Rows, tuple[Key | None, Key | None]]
    ) -> tuple[Running, tuple[State, State, Any]]:
        carry, predicted, info = advance(model, carry, given[0], method, given[1])
        before = keep_state(method, predicted, cov)
        return carry, (before, keep_state(method, carry.state, cov), info)

    given = (rows, running.keys_ahead(rows.t.shape[0]))
    final, (predicted, filtered, info) = jax.lax.scan(body, running, given)
    return SeriesPass(predicted, filtered, info, final)


def smooth_rows(
    model: AbstractModel, rows: Rows, done: SeriesPass, method: AbstractSmoother
) -> State:
    """Revise one row after the other, from the last to the first.

    Args:
        model: The model.
        rows: The rows.
        done: The pass forwards, with whole states.
        method: The filter.

    Returns:
        The smoothed states, stacked along time.
    """
    before = jax.tree.map(lambda x: x[:-1], done.filtered)
    predicted, inputs = jax.tree.map(lambda x: x[1:], (done.predicted, rows.u))
    dts = jnp.diff(rows.t).astype(rows.y.dtype)

    def prepare(step: tuple[Any, ...]) -> Any:
        number, *given = step
        return method.prepare_smoothing(row_model(model, number), *given)

    elements = jax.lax.map(
        prepare,
        (row_numbers(done)[1:], before, predicted, inputs, dts),
        batch_size=max(1, IN_CACHE // model.initial.mean().shape[0] ** 2),
    )
    last = jax.tree.map(lambda x: x[-1], done.filtered)

    def body(smoothed: State, element: Any) -> tuple[State, State]:
        state = method.smooth_step(element, smoothed)
        return state, state

    _, states = jax.lax.scan(body, last, elements, reverse=True)
    return jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), states, last)


def row_numbers(done: SeriesPass) -> Any:
    """Return the number of each row of a pass, counted from the start of the run."""
    rows = jax.tree.leaves(done.info)[0].shape[0]
    return done.final.count - rows + jnp.arange(rows)
