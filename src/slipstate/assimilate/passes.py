"""The loops over rows: forwards, backwards, and what joins neighbours.

Used by the drivers in `slipstate.assimilate.run` only, inside one compiled function.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate import sequential, steady
from slipstate.assimilate.kalman import Kalman, require_linear
from slipstate.assimilate.kept import Keep, keep_state
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractSeriesFilter,
    AbstractSmoother,
    Running,
    SeriesPass,
    State,
)
from slipstate.ground.errors import MethodError
from slipstate.systems.beliefs import Diffuse, Gaussian
from slipstate.systems.protocol import AbstractModel
from slipstate.systems.varying import AbstractVaryingModel


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
    elif isinstance(method, Kalman) and steady.may_settle(method, model, running, rows):
        done = steady.filter_rows(model, running, rows, method)
    else:
        return sequential.filter_rows(model, running, rows, method, cov)
    keep = jax.vmap(lambda state: keep_state(method, state, cov))
    predicted, filtered = keep(done.predicted), keep(done.filtered)
    return SeriesPass(predicted, filtered, done.info, done.final, done.found)


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
    if isinstance(method, Kalman) and steady.may_settle(
        method, model, done.final, rows
    ):
        return steady.smooth_rows(model, rows, done, method)
    assert isinstance(method, AbstractSmoother)
    return sequential.smooth_rows(model, rows, done, method)


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
        there = sequential.row_model(model, number)
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
        (sequential.row_numbers(done)[1:], before, later, inputs, dts),
        batch_size=max(1, sequential.IN_CACHE // model.initial.mean().shape[0] ** 2),
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
