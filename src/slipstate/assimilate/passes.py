"""The loops over rows: forwards, backwards, and what joins neighbours.

Used by the drivers in `slipstate.assimilate.run` only, inside one compiled function.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.kalman import Kalman, require_linear
from slipstate.assimilate.kept import Keep, keep_state
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractInfo,
    AbstractSeriesFilter,
    AbstractSmoother,
    Running,
    SeriesPass,
    State,
)
from slipstate.ground.errors import MethodError
from slipstate.ground.types import ScalarLike
from slipstate.systems.beliefs import Diffuse, Gaussian
from slipstate.systems.protocol import AbstractModel
from slipstate.systems.varying import AbstractVaryingModel

_IN_CACHE = 4096  # numbers of a covariance matrix times steps treated side by side


def row_model(model: AbstractModel, row: ScalarLike) -> AbstractModel:
    """Return the model of one row, counted from the start of the run.

    Args:
        model: A model, varying from row to row or not.
        row: Number of the row.
    """
    return model.at(row) if isinstance(model, AbstractVaryingModel) else model


def advance(
    model: AbstractModel, running: Running, row: Rows, method: AbstractFilter
) -> tuple[Running, State, AbstractInfo]:
    """Predict to the time of one row and update.

    Args:
        model: The model.
        running: Where the run stands.
        row: One row, without time axis.
        method: The filter.

    Returns:
        Where the run stands now, the prediction, and the diagnostics of the update.
    """
    y, mask, t, u = row
    model = row_model(model, running.count)
    key_predict, key_update = running.keys()
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


def filter_pass(
    model: AbstractModel,
    running: Running,
    rows: Rows,
    method: AbstractFilter,
    cov: Keep,
) -> SeriesPass:
    """Take in many rows, by the method's own road where it has one.

    Args:
        model: The model.
        running: Where the run stands.
        rows: The rows.
        method: The filter.
        cov: What to keep of the states.

    Returns:
        States (or moments of them) and diagnostics at every row.
    """
    if takes_many_rows(method, model):
        assert isinstance(method, AbstractSeriesFilter)
        done = method.filter_rows(model, running, rows)
        keep = jax.vmap(lambda state: keep_state(method, state, cov))
        predicted, filtered = keep(done.predicted), keep(done.filtered)
        return SeriesPass(predicted, filtered, done.info, done.final)

    def body(carry: Running, row: Rows) -> tuple[Running, tuple[State, State, Any]]:
        carry, predicted, info = advance(model, carry, row, method)
        before = keep_state(method, predicted, cov)
        return carry, (before, keep_state(method, carry.state, cov), info)

    final, (predicted, filtered, info) = jax.lax.scan(body, running, rows)
    return SeriesPass(predicted, filtered, info, final)


def smooth_pass(
    model: AbstractModel, rows: Rows, done: SeriesPass, method: AbstractFilter
) -> State:
    """Revise the states of a pass by the rows after each.

    Args:
        model: The model.
        rows: The rows.
        done: The pass forwards, with whole states.
        method: The filter.

    Returns:
        The smoothed states, stacked along time.
    """
    if takes_many_rows(method, model):
        assert isinstance(method, AbstractSeriesFilter)
        return method.smooth_rows(model, rows, done)
    assert isinstance(method, AbstractSmoother)
    before = jax.tree.map(lambda x: x[:-1], done.filtered)
    predicted, inputs = jax.tree.map(lambda x: x[1:], (done.predicted, rows.u))
    dts = jnp.diff(rows.t).astype(rows.y.dtype)

    def prepare(step: tuple[Any, ...]) -> Any:
        number, *given = step
        return method.prepare_smoothing(row_model(model, number), *given)

    elements = jax.lax.map(
        prepare,
        (_numbers(done)[1:], before, predicted, inputs, dts),
        batch_size=max(1, _IN_CACHE // model.initial.mean().shape[0] ** 2),
    )
    last = jax.tree.map(lambda x: x[-1], done.filtered)

    def body(smoothed: State, element: Any) -> tuple[State, State]:
        state = method.smooth_step(element, smoothed)
        return state, state

    _, states = jax.lax.scan(body, last, elements, reverse=True)
    return jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), states, last)


def lag_one_pass(
    model: AbstractModel,
    rows: Rows,
    done: SeriesPass,
    smoothed: State,
    method: AbstractFilter,
) -> Float[Array, "steps state state"]:
    """Return Cov(x_{k+1}, x_k | all rows) = P_{k+1} G_k^T of a linear model.

    G_k is the gain of the smoother from row k + 1 to row k, which any method that
    carries a Gaussian leaves room to compute from its filtered covariance.

    Args:
        model: The model.
        rows: The rows.
        done: The pass forwards, with whole states.
        smoothed: The smoothed states, stacked along time.
        method: The filter.

    Raises:
        MethodError: The model is not linear.
    """
    exact = Kalman()

    def one(step: tuple[Any, ...]) -> Float[Array, "state state"]:
        number, before, later, u, dt = step
        there = row_model(model, number)
        require_linear(there, "lag_one")
        belief = method.belief(before)
        if not isinstance(belief, Gaussian | Diffuse):
            belief = Gaussian(belief.mean(), belief.cov())
        gain = exact.prepare_smoothing(there, belief, belief, u, dt).gain
        return method.belief(later).cov() @ gain.T

    before = jax.tree.map(lambda x: x[:-1], done.filtered)
    later, inputs = jax.tree.map(lambda x: x[1:], (smoothed, rows.u))
    dts = jnp.diff(rows.t).astype(rows.y.dtype)
    return jax.lax.map(
        one,
        (_numbers(done)[1:], before, later, inputs, dts),
        batch_size=max(1, _IN_CACHE // model.initial.mean().shape[0] ** 2),
    )


def takes_many_rows(method: AbstractFilter, model: AbstractModel) -> bool:
    """Tell whether a method's own road over many rows is open for this model."""
    varying = isinstance(model, AbstractVaryingModel)
    return isinstance(method, AbstractSeriesFilter) and not varying


def require_smoother(method: AbstractFilter, model: AbstractModel) -> None:
    """Raise unless `method` can smooth this model.

    Args:
        method: The filter.
        model: The model.

    Raises:
        MethodError: It only filters, or only models that stay the same.
    """
    if takes_many_rows(method, model) or isinstance(method, AbstractSmoother):
        return
    raise MethodError(
        f"`method` must be able to smooth this model; {type(method).__name__} only "
        "filters it. Use Kalman() where the model is linear, InteractingMultipleModel()"
        " where it switches between linear modes."
    )


def _numbers(done: SeriesPass) -> Any:
    """Return the number of each row, counted from the start of the run."""
    rows = jax.tree.leaves(done.info)[0].shape[0]
    return done.final.count - rows + jnp.arange(rows)
